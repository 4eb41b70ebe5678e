"""The audit log, the counts of an issue whose deliveries have gone, and ledgers that the database lets only grow."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from newsletter.tables import AuditEntry
from subscribers.append_only import triggers
from subscribers.db import UtcDateTime
from subscribers.tables import ConsentEvent

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("person", sa.LargeBinary(length=16), nullable=True),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("previous", sa.LargeBinary(length=32), nullable=False),
        sa.Column("code", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    for column in ("at", "person"):
        op.create_index(op.f(f"ix_audit_entries_{column}"), "audit_entries", [column])
    op.create_table(
        "issue_totals",
        sa.Column("issue_id", sa.Integer(), nullable=False),
        sa.Column("kept_at", UtcDateTime(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["issue_id"], ["issues.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("issue_id"),
    )
    for table in (AuditEntry.__table__, ConsentEvent.__table__):
        for statement in triggers(table, op.get_bind().dialect.name):
            op.execute(sa.text(statement.replace(":", "\\:")))
