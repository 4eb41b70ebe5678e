"""When what an import changed was forgotten: it cannot be undone then."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from subscribers.db import UtcDateTime

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.add_column("import_batches", sa.Column("forgotten_at", UtcDateTime(), nullable=True))
