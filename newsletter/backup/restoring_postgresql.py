"""
Puts a dump back into a PostgreSQL database: what stands there is moved into a schema of its own, never dropped.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from sqlalchemy import inspect, text
from sqlalchemy.orm import Session

from newsletter.backup.database_copy import found, load_dump
from newsletter.backup.manifest import POSTGRESQL
from newsletter.errors import Conflict
from newsletter.send.instance import require_no_sender
from subscribers.db import Base, Database

_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
_FUNCTIONS = (
    "SELECT pg_proc.oid::regprocedure::text FROM pg_proc WHERE pronamespace = current_schema()::regnamespace "
    "AND prorettype = 'trigger'::regtype"
)
# Whoever else is connected as the same user; a server's own processes and other people's tools are not in the way.
_OTHERS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = current_user "
    "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
)


def check_target(url: str, locks: Path, *, replace: bool) -> bool:
    """
    Refuse a database that is in use, or holds tables that may not be put aside. Return whether it holds any.

    Raises:
        Conflict: With what to do.
        DatabaseUnavailable: When it cannot be reached.
    """
    found("pg_restore")
    with closing(Database(url)) as database, database.read() as session:
        names = _ours(session)
        if names:
            require_no_sender(session, locks)
            refuse_others(session)
    if names and not replace:
        raise Conflict(
            f"The database holds tables already ({names[0]} and others). Nothing was changed.",
            hint="To move them into a schema of their own and restore in their place: --replace",
        )
    return bool(names)


def refuse_others(session: Session) -> None:
    """
    Refuse while other programs are connected as the same user.

    Raises:
        Conflict: With what to stop.
    """
    others = session.scalar(text(_OTHERS)) or 0
    if others:
        raise Conflict(
            f"Other programs are connected to the database ({others}); nothing was changed.",
            hint="Stop newsletter serve, work and every command that runs on it, then try again.",
        )


def put_back(url: str, fresh: Path, schema: str, folder: Path, *, stood: bool) -> str:
    """
    Put the dump in the place of the tables that *stood* there, and return the schema that holds those; empty for none.

    Two transactions: after a stop between them the tables are aside, and the second alone is done.
    """
    with closing(Database(url)) as database:
        with database.write() as session:
            is_aside = bool(session.scalar(text("SELECT to_regnamespace(:name) IS NOT NULL"), {"name": schema}))
            if stood and not is_aside:
                _move_aside(session, schema)
            is_back = bool(_ours(session))
        if not is_back:
            load_dump(database.url, fresh / POSTGRESQL, folder)
    return schema if stood else ""


def _ours(session: Session) -> list[str]:
    return sorted({*inspect(session.connection()).get_table_names()} & {*Base.metadata.tables, "alembic_version"})


def _move_aside(session: Session, schema: str) -> None:
    """Move tables, with all that belongs to them, and the triggers' functions."""
    names = [name for (name,) in session.execute(text(_TABLES))]
    functions = [signature for (signature,) in session.execute(text(_FUNCTIONS))]
    session.execute(text(f'CREATE SCHEMA "{schema}"'))
    for name in names:
        session.execute(text(f'ALTER TABLE "{name}" SET SCHEMA "{schema}"'))
    for signature in functions:
        session.execute(text(f'ALTER FUNCTION {signature} SET SCHEMA "{schema}"'))
