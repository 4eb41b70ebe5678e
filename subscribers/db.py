"""
The database: one engine, sessions that read or write; every writing transaction takes its lock at once.

A deferred transaction that reads and then writes fails under a busy writer whatever the timeout, so `Database.write`
begins with ``BEGIN IMMEDIATE`` on SQLite. Commits are durable (WAL, ``synchronous=FULL``).
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Dialect, Engine, create_engine, event
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import DatabaseError as SqlDatabaseError
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionLeft
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.types import DateTime, TypeDecorator

from subscribers.errors import DatabaseUnavailable

BUSY_TIMEOUT_MS = 15_000
LOOK_SECONDS, LOOK_OFTEN_SECONDS = 0.0005, 0.2
# A network that has gone silent is told within half a minute; the system itself waits for a quarter of an hour, and a
# connection on which nobody speaks for two hours. What database.url says of these wins.
PATIENCE = {
    "connect_timeout": 10,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time, kept in UTC on every database; a naive value is refused."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        return dialect.type_descriptor(DateTime(timezone=dialect.name == "postgresql"))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"naive time: {value!r}")
        value = value.astimezone(UTC)
        return value if dialect.name == "postgresql" else value.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Both packages' tables share this metadata."""

    type_annotation_map = {datetime: UtcDateTime}


class Database:
    """
    The engine of one workspace and the only two ways to a session.

    Args:
        url: SQLAlchemy URL; ``sqlite:///path`` or ``postgresql+psycopg://...``.

    Raises:
        DatabaseUnavailable: From `read` and `write`, when the database is locked, full, away or refuses the password.
    """

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.written = False  # whether anything was committed by `write`
        self.engine = _sqlite_engine(url) if self.is_sqlite else self._postgresql_engine()

    def _postgresql_engine(self) -> Engine:
        patience = {name: value for name, value in PATIENCE.items() if name not in self.url.query}
        return create_engine(self.url, pool_pre_ping=True, connect_args=patience)

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Yield a session that sees one snapshot and never waits for writers; nothing it does is kept."""
        # PostgreSQL by itself takes a new snapshot for each statement.
        options = {"sqlite_begin": "DEFERRED"} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with self.guarded(), self.engine.connect().execution_options(**options) as connection:
            with Session(connection, expire_on_commit=False) as session:
                yield session
            connection.rollback()

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Yield a session whose changes are committed together at the end, or not at all."""
        with self.guarded(), Session(self.engine, expire_on_commit=False) as session:
            yield session
            session.commit()
            self.written = True
            for then in session.info.get(_AFTER_COMMIT, ()):
                then()

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Put a driver's complaint into words, for whoever needs a connection of their own."""
        try:
            yield
        except NoConnectionLeft as error:
            raise DatabaseUnavailable(_BUSY[0], hint=_BUSY[1]) from error
        except (OperationalError, SqlDatabaseError) as error:
            explained = explain_database_error(error)
            if explained is None:
                raise
            raise explained from error

    def drop_traces(self) -> None:
        """Take out of SQLite's log what was deleted: pages of before stay there until it is written back."""
        if self.is_sqlite:
            with self.guarded(), self.engine.connect().execution_options(sqlite_begin="DEFERRED") as connection:
                connection.rollback()
                raw: Any = connection.connection.driver_connection
                raw.execute("PRAGMA busy_timeout=200")  # whoever reads an older page now is not waited for
                raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                raw.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")

    def close(self) -> None:
        self.engine.dispose()


_AFTER_COMMIT = "after commit"


def after_commit(session: Session, then: Callable[[], None]) -> None:
    """Have something done once `Database.write` has committed; a session of another kind never does it."""
    session.info.setdefault(_AFTER_COMMIT, []).append(then)


def explain_database_error(error: SqlDatabaseError) -> DatabaseUnavailable | None:
    """Put a driver's complaint into words for a person; None when it is a fault of the program."""
    text, sqlstate = str(error.orig).lower(), getattr(error.orig, "sqlstate", None) or ""
    for beginning, message, hint in _SQLSTATES:
        if sqlstate.startswith(beginning):
            return DatabaseUnavailable(message, hint=hint)
    for needle, message, hint in _EXPLANATIONS:
        if needle in text:
            return DatabaseUnavailable(message, hint=hint)
    # The client library of PostgreSQL has no code for a connection that ended or was never made.
    never_made = isinstance(error, OperationalError) and hasattr(error.orig, "sqlstate") and not sqlstate
    if error.connection_invalidated or never_made:
        return DatabaseUnavailable(_AWAY[0], hint=_AWAY[1])
    return None


_AWAY = ("The database server does not answer, or has ended the connection.", "Check that it runs; then try again.")
_BUSY = ("All connections of this program to the database are in use.", "Try again.")
_FULL = ("The database server takes no more connections.", "Raise max_connections, or run fewer programs at once.")
_ENGAGED = ("The database was engaged by another program.", "Try again.")
# Source: appendix A of PostgreSQL's manual. The longer beginning stands before the shorter.
_SQLSTATES = (
    ("08", *_AWAY),
    ("57P", *_AWAY),
    ("53100", "The disk that holds the database is full; nothing was changed.", "Free some space, try again."),
    ("53300", *_FULL),
    ("53", "The database server is short of memory or disk.", "Look at the server's log."),
    ("40001", *_ENGAGED),
    ("40P01", *_ENGAGED),
    ("55P03", *_ENGAGED),
)
_EXPLANATIONS = (
    ("database is locked", "The database is locked by another program.", "Wait for it to finish, then try again."),
    ("disk is full", "The disk that holds the database is full; nothing was changed.", "Free some space, try again."),
    (
        "disk i/o error",
        "The disk that holds the database is full or failing.",
        "Free some space and look at the disk: newsletter doctor",
    ),
    ("readonly", "The database file is read-only.", "Check the owner and mode of the file and its folder."),
    ("unable to open", "The database file cannot be opened.", "Check database.url and the folder's permissions."),
    ("not a database", "The file named by database.url is not a SQLite database.", "Check database.url."),
    ("malformed", "The database file is damaged.", "Restore the last backup."),
    ("no such table", "The database has no tables yet, or is from an older version.", "Run: newsletter db upgrade"),
    ("no such column", "The database is from another version of this program.", "Run: newsletter db upgrade"),
    ("password", "The database refuses the user or password.", "Check database.url."),
    ("too many clients", *_FULL),
    ("connection slots", *_FULL),
    ("connection refused", "The database server does not answer.", "Check that it runs and database.url is right."),
    ("does not exist", "The database or one of its tables does not exist.", "Run: newsletter db upgrade"),
)


def _sqlite_engine(url: str) -> Engine:
    # isolation_level=None switches off the driver's own BEGIN, which would come only with the first write.
    engine = create_engine(url, connect_args={"isolation_level": None, "timeout": BUSY_TIMEOUT_MS / 1000})

    @event.listens_for(engine, "connect")
    def configure(dbapi_connection: Any, _record: Any) -> None:
        cursor = dbapi_connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA secure_delete=ON")  # what an erasure deletes is overwritten too
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("sqlite_begin") == "DEFERRED":
            connection.exec_driver_sql("BEGIN DEFERRED")
            return
        try:
            begin_immediate(connection.connection.cursor())
        except sqlite3.Error as error:
            raise OperationalError("BEGIN IMMEDIATE", None, error) from error

    return engine


def begin_immediate(cursor: Any) -> None:
    """
    Begin a transaction of SQLite that writes; wait for the lock as long as any statement waits.

    SQLite's own waiting sleeps longer each time, and misses the half milliseconds in which a busy writer lets others
    in: a commit of one row then takes over a second. Looking often costs a hundredth of a core while it lasts.

    Raises:
        sqlite3.OperationalError: When the lock was not to be had.
    """
    began = time.monotonic()
    cursor.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                cursor.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                waited = time.monotonic() - began
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or waited >= BUSY_TIMEOUT_MS / 1000:
                    raise
            else:
                return
            # Not in step with the other writer; less often where somebody holds the lock for long.
            time.sleep(random.uniform(0.5, 1.0) * (LOOK_SECONDS if waited < LOOK_OFTEN_SECONDS else 10 * LOOK_SECONDS))  # noqa: S311
    finally:
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
