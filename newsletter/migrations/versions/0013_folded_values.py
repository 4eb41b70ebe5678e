"""Index the text of attributes as segments compare it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from subscribers.comparing import folded

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.drop_index("ix_attribute_values_text", table_name="attribute_values")
    values = sa.table("attribute_values", sa.column("text", sa.Text()))
    is_set = sa.text("text IS NOT NULL")
    op.create_index(
        "ix_attribute_values_folded",
        "attribute_values",
        ["definition_id", folded(values.c.text), "subscriber_id"],
        sqlite_where=is_set,
        postgresql_where=is_set,
    )
