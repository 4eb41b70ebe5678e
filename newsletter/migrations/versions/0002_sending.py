"""Limits by receiving domain, what providers call a copy, and an outbox of notices."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from subscribers.db import UtcDateTime

revision = "0002"
down_revision = "0001"

_REMOTE_ID = sa.text("remote_id IS NOT NULL")


def upgrade() -> None:
    op.add_column("deliveries", sa.Column("rate_key", sa.String(length=253), nullable=True))
    op.add_column("deliveries", sa.Column("remote_id", sa.String(length=128), nullable=True))
    op.drop_index("ix_deliveries_work", table_name="deliveries")
    op.create_index("ix_deliveries_work", "deliveries", ["issue_id", "state", "rate_key", "retry_at", "id"])
    op.create_index(
        "ix_deliveries_remote_id",
        "deliveries",
        ["remote_id"],
        sqlite_where=_REMOTE_ID,
        postgresql_where=_REMOTE_ID,
    )
    op.create_table(
        "throttles",
        sa.Column("name", sa.String(length=320), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.execute(sa.text("DELETE FROM settings WHERE name LIKE 'rate:%'"))
    op.create_table(
        "notices",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum("test", "confirmation", "link", "alert", "reply", name="noticekind", native_enum=False, length=32),
            nullable=False,
        ),
        sa.Column("address", sa.String(length=254), nullable=True),
        sa.Column("address_hash", sa.LargeBinary(length=16), nullable=False),
        sa.Column("domain", sa.String(length=253), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("message", sa.LargeBinary(), nullable=True),
        sa.Column("message_id", sa.String(length=128), nullable=False),
        sa.Column("dedupe", sa.String(length=200), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "pending",
                "claimed",
                "intent",
                "deferred",
                "sent",
                "bounced",
                "expired",
                "suppressed",
                "held",
                "cancelled",
                "uncertain",
                name="deliverystate",
                native_enum=False,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("state_at", UtcDateTime(), nullable=False),
        sa.Column("owner", sa.Integer(), nullable=True),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("retry_at", UtcDateTime(), nullable=True),
        sa.Column("reply_code", sa.Integer(), nullable=True),
        sa.Column("reply_status", sa.String(length=16), nullable=True),
        sa.Column("reply_text", sa.String(length=512), nullable=True),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("dedupe"),
    )
    op.create_index("ix_notices_work", "notices", ["state", "retry_at"])
    op.create_index(op.f("ix_notices_address_hash"), "notices", ["address_hash"])
    op.create_index(op.f("ix_notices_message_id"), "notices", ["message_id"])
