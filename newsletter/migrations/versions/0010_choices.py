"""What sending heeds of people's choices: the monthly digest and discreet delivery."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("issues", sa.Column("digest_of", sa.String(length=7), nullable=True))
    op.add_column("issues", sa.Column("gathered_in", sa.Integer(), nullable=True))
    op.add_column("issues", sa.Column("left_out", sa.JSON(), nullable=True))
    op.create_index(op.f("ix_issues_digest_of"), "issues", ["digest_of"], unique=True)
    op.add_column("variants", sa.Column("discreet", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_table(
        "digest_entries",
        sa.Column("issue_id", sa.Integer(), nullable=False),
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.Column("list_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["issue_id"], ["issues.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["list_id"], ["lists.id"]),
        sa.ForeignKeyConstraint(["subscriber_id"], ["subscribers.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("issue_id", "subscriber_id"),
    )
    op.create_index(op.f("ix_digest_entries_subscriber_id"), "digest_entries", ["subscriber_id"])
