"""Where a record is gone or was merged into another, its links are looked up by who it was."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

_ENDED = sa.text("kind IN ('gone', 'merged')")


def upgrade() -> None:
    op.drop_index("ix_never_mail_changes_merged", table_name="never_mail_changes")
    op.create_index(
        "ix_never_mail_changes_ended",
        "never_mail_changes",
        ["person"],
        sqlite_where=_ENDED,
        postgresql_where=_ENDED,
    )
