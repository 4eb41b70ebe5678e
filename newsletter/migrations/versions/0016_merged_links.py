"""Merged records are found by the token of their links: those links speak for the record which is kept."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

_MERGED = sa.text("kind = 'merged'")


def upgrade() -> None:
    op.create_index(
        "ix_never_mail_changes_merged",
        "never_mail_changes",
        ["person"],
        sqlite_where=_MERGED,
        postgresql_where=_MERGED,
    )
