"""The links of a record that was merged into another are looked up when somebody leaves by one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0015"

_MERGED = sa.text("kept IS NOT NULL")


def upgrade() -> None:
    op.create_index(
        "ix_never_mail_changes_merged",
        "never_mail_changes",
        ["person"],
        sqlite_where=_MERGED,
        postgresql_where=_MERGED,
    )
