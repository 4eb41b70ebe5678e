"""Column mappings kept by name, what an import keeps out, and indexes of values only where a value is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from subscribers.db import UtcDateTime

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("import_batches", sa.Column("kept_out", sa.JSON(), server_default="{}", nullable=False))
    op.create_table(
        "import_suppressions",
        sa.Column("batch_id", sa.Integer(), nullable=False),
        sa.Column("suppression_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["batch_id"], ["import_batches.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["suppression_id"], ["suppressions.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("batch_id", "suppression_id"),
    )
    op.create_index(op.f("ix_import_suppressions_suppression_id"), "import_suppressions", ["suppression_id"])
    op.create_table(
        "import_profiles",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("mapping", sa.JSON(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    for column in ("number", "date"):
        is_set = sa.text(f"{column} IS NOT NULL")
        name = f"ix_attribute_values_{column}"
        op.drop_index(name, "attribute_values")
        op.create_index(
            name,
            "attribute_values",
            ["definition_id", column, "subscriber_id"],
            sqlite_where=is_set,
            postgresql_where=is_set,
        )
