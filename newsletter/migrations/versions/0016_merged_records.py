"""Find the record that another was merged into by the token of that other."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    merged = sa.text("kind = 'merged'")
    op.create_index(
        "ix_never_mail_changes_merged",
        "never_mail_changes",
        ["person"],
        sqlite_where=merged,
        postgresql_where=merged,
    )
