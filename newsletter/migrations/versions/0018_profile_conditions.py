"""A profile of imports may state how the conditions of the charity soft opt-in are met."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.add_column("import_profiles", sa.Column("conditions", sa.Text(), nullable=False, server_default=""))
    op.add_column("import_profiles", sa.Column("stated_by", sa.String(length=200), nullable=False, server_default=""))
