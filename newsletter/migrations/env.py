"""What Alembic runs: migrate over the one connection it is handed, inside that connection's transaction."""

from __future__ import annotations

from alembic import context

from newsletter import tables as _newsletter_tables  # noqa: F401  (registers the tables)
from subscribers import tables as _subscribers_tables  # noqa: F401
from subscribers.db import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite cannot alter most of a table in place
    transactional_ddl=True,  # the caller has begun the transaction, on SQLite too
)
with context.begin_transaction():
    context.run_migrations()
