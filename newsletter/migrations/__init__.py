"""
The schema and its versions: `upgrade` brings a database to this program's, `require_current` guards commands.

`HEAD` is the newest revision in `versions/`, written down here so that a command need not import Alembic to compare.
"""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, inspect, select
from sqlalchemy.sql import column, table, text

from subscribers.db import Database
from subscribers.errors import DatabaseUnavailable

HEAD = "0019"
_FOLDER = Path(__file__).parent
_VERSIONS = table("alembic_version", column("version_num"))
_LOCK_NUMBER = 7_263_542_001  # any constant: two upgrades of one PostgreSQL database take turns on it


def upgrade(database: Database) -> str | None:
    """
    Bring the database to this program's schema, in one transaction, creating it when it is empty.

    Returns:
        The revision it had before; None when it was empty.

    Raises:
        DatabaseUnavailable: When it cannot be reached, or was made by a newer program.
    """
    with database.write() as session:
        return upgrade_in(session.connection())


def upgrade_in(connection: Connection) -> str | None:
    """Do as `upgrade`, within a transaction of the caller's."""
    from alembic import command
    from alembic.config import Config

    from subscribers.never_mail.triggers import make_triggers

    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK_NUMBER})
    before = _revision(connection)
    refuse_newer(before)
    if before != HEAD:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
        command.upgrade(config, "head")
        make_triggers(connection)  # SQLite drops them with a table that a migration rebuilds
    return before


def revision(database: Database) -> str | None:
    """Return the database's revision; None when it has no tables yet. A SQLite file that is absent is not created."""
    if _is_absent(database):
        return None
    with database.read() as session:
        return _revision(session.connection())


def require_current(database: Database) -> None:
    """
    Refuse a database of another version before a command meets its tables.

    Raises:
        DatabaseUnavailable: With the command that mends it.
    """
    found = revision(database)
    if found == HEAD:
        return
    refuse_newer(found)
    what = "There is no database yet." if found is None else f"The database is of an older version ({found})."
    raise DatabaseUnavailable(what, hint="Run: newsletter db upgrade")


def _is_absent(database: Database) -> bool:
    name = database.url.database
    return database.is_sqlite and name not in (None, "", ":memory:") and not Path(str(name)).exists()


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_VERSIONS.name):
        return None
    found: str | None = connection.scalar(select(_VERSIONS.c.version_num))
    return found


def refuse_newer(found: str | None) -> None:
    """
    Refuse what a newer program made.

    Raises:
        DatabaseUnavailable: With what to do.
    """
    if found is not None and not any((_FOLDER / "versions").glob(f"{found}_*.py")):
        raise DatabaseUnavailable(
            f"The database was made by a newer version of this program ({found}).",
            hint="Install that version again, or restore a backup from before the upgrade.",
        )


def make_private(url: str) -> None:
    """Make the file of a SQLite database that is absent, readable by its owner only."""
    with closing(Database(url)) as database:
        if _is_absent(database):
            os.close(os.open(str(database.url.database), os.O_CREAT | os.O_WRONLY, 0o600))


def open_and_upgrade(url: str) -> str | None:
    """
    Upgrade the database at *url*; a new SQLite file is made readable by its owner only, as is all that joins it.

    Returns:
        The revision it had before; None when it was empty.
    """
    make_private(url)
    database = Database(url)
    try:
        return upgrade(database)
    finally:
        database.close()
