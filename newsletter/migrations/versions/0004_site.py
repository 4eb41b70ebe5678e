"""What people choose and ask for on the site."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from subscribers.db import UtcDateTime

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("subscribers", sa.Column("paused_until", sa.Date(), nullable=True))
    op.add_column("subscribers", sa.Column("frequency", sa.String(length=32), server_default="each", nullable=False))
    op.add_column("subscribers", sa.Column("discreet", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("lists", sa.Column("open", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("issues", sa.Column("published_at", UtcDateTime(), nullable=True))
    op.add_column("issues", sa.Column("indexed", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_table(
        "one_time_tokens",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("purpose", sa.String(length=32), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("subscriber_id", sa.Integer(), nullable=True),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("used_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["subscriber_id"], ["subscribers.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("digest"),
    )
    for column in ("subscriber_id", "expires_at"):
        op.create_index(op.f(f"ix_one_time_tokens_{column}"), "one_time_tokens", [column])
    op.create_table(
        "web_requests",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("network", sa.String(length=64), nullable=False),
        sa.Column("fields", sa.JSON(), nullable=False),
        sa.Column("done_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_web_requests_work", "web_requests", ["done_at", "id"])
    for column in ("at", "network"):
        op.create_index(op.f(f"ix_web_requests_{column}"), "web_requests", [column])
