"""Addresses that were typed into the sign-up form, and how often they were written to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from subscribers.db import UtcDateTime

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "sign_ups",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("address_hash", sa.LargeBinary(length=16), nullable=False),
        sa.Column("mailbox_hash", sa.LargeBinary(length=16), nullable=False),
        sa.Column("address", sa.String(length=254), nullable=True),
        sa.Column("mails", sa.Integer(), nullable=False),
        sa.Column("mailed_at", UtcDateTime(), nullable=True),
        sa.Column("told_at", UtcDateTime(), nullable=True),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("address_hash"),
    )
    for column in ("mailbox_hash", "expires_at"):
        op.create_index(op.f(f"ix_sign_ups_{column}"), "sign_ups", [column])
