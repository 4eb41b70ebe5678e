"""
A copy of the database as it is at one moment, while others go on writing.

On SQLite by `VACUUM INTO`: one reading transaction, so that no writer waits, and none makes it begin again as the
backup interface does; and what was deleted is not in it. On PostgreSQL by pg_dump, in the snapshot that the rows are
counted in.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from psycopg.conninfo import make_conninfo
from sqlalchemy import URL, func, select, text
from sqlalchemy.orm import Session

from newsletter.errors import NewsletterError
from subscribers.db import Base, Database

ASIDE = "before_restore_"
LOOK_SECONDS = 0.2
Tell = Callable[[int, int], None]


class CopyTrouble(NewsletterError):
    """The database could not be copied, or put back; the message says what its program said."""

    code = "database_copy"


def copy_database(database: Database, target: Path, folder: Path, tell: Tell) -> dict[str, int]:
    """
    Write a copy, readable by its owner only, and return how many rows each table has in it.

    Args:
        folder: For a file with the password, gone when this returns; nobody else may enter it.
        tell: Is given how many bytes are written, and about how many there will be.
    """
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    if not database.is_sqlite:
        return _dump(database, target, folder, tell)
    with database.read() as session:
        pages, size = (session.scalar(text(f"PRAGMA {name}")) or 0 for name in ("page_count", "page_size"))
    with (
        closing(sqlite3.connect(str(database.url.database), isolation_level=None, timeout=15)) as connection,
        _watching(target, pages * size, tell),
    ):
        connection.execute("VACUUM INTO ?", (str(target),))
    return check_sqlite(target)


def check_sqlite(path: Path) -> dict[str, int]:
    """
    Return how many rows each table of a SQLite file has.

    Raises:
        CopyTrouble: When the file is damaged.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            damage = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            orphan = connection.execute("PRAGMA foreign_key_check").fetchone()
            if damage != "ok" or orphan is not None:
                raise CopyTrouble(f"The copy of the database is damaged: {damage if damage != 'ok' else orphan[0]}")
            names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            known = [name for name in Base.metadata.tables if name in names]
            count = "SELECT COUNT(*) FROM {}"
            return {name: connection.execute(count.format(f'"{name}"')).fetchone()[0] for name in known}
    except sqlite3.DatabaseError as error:
        raise CopyTrouble(f"The copy of the database is damaged: {error}") from None


def count_rows(session: Session) -> dict[str, int]:
    """Return how many rows each table has."""
    return {
        name: session.scalar(select(func.count()).select_from(table)) or 0
        for name, table in Base.metadata.tables.items()
    }


def check_dump(path: Path) -> None:
    """
    Read the table of contents of a dump.

    Raises:
        CopyTrouble: When it is none.
    """
    listed = _run([found("pg_restore"), "--list", str(path)], {})
    if b"TABLE DATA" not in listed:
        raise CopyTrouble("The copy of the database holds no tables.")


def load_dump(url: URL, path: Path, folder: Path) -> None:
    """Put a dump into a database without tables of ours; all of it or nothing."""
    with _login(url, folder) as (address, environment):
        options = ["--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction"]
        _run([found("pg_restore"), *options, f"--dbname={address}", str(path)], environment)


def found(program: str) -> str:
    """
    Return where a program of PostgreSQL's client is.

    Raises:
        CopyTrouble: When it is not installed.
    """
    path = shutil.which(program)
    if path is None:
        raise CopyTrouble(
            f"The program {program} is not installed here.", hint="On Debian: sudo apt install postgresql-client"
        )
    return path


def _dump(database: Database, target: Path, folder: Path, tell: Tell) -> dict[str, int]:
    with database.read() as session, _login(database.url, folder) as (address, environment):
        counts = count_rows(session)
        snapshot = session.scalar(text("SELECT pg_export_snapshot()"))
        size = session.scalar(text("SELECT pg_database_size(current_database())")) or 0
        options = ["--format=custom", "--no-owner", "--no-privileges", f"--snapshot={snapshot}"]
        options += [f"--exclude-schema={ASIDE}*", f"--file={target}", f"--dbname={address}"]
        with _watching(target, size, tell):
            _run([found("pg_dump"), *options], environment)
    check_dump(target)
    return counts


@contextmanager
def _login(url: URL, folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield where the server is, and the environment that holds a way to the password: no argument shows it."""
    _, given = url.get_dialect()().create_connect_args(url)
    values: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    password = values.pop("password", None)
    environment: dict[str, str] = {}
    path = folder / "pgpass"
    if password is not None:
        escaped = str(password).replace("\\", "\\\\").replace(":", "\\:")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"*:*:*:*:{escaped}\n")
        environment["PGPASSFILE"] = str(path)
    try:
        yield make_conninfo(**values), environment
    finally:
        path.unlink(missing_ok=True)


def _run(command: list[str], environment: Mapping[str, str]) -> bytes:
    done = subprocess.run(  # noqa: S603  (programs found by name, arguments of ours)
        command, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode != 0:
        words = " ".join(done.stderr.decode(errors="replace").split())[:500]
        raise CopyTrouble(f"{Path(command[0]).name} could not do it: {words}")
    return done.stdout


@contextmanager
def _watching(path: Path, expected: int, tell: Tell) -> Iterator[None]:
    """Tell how a file grows while the block runs."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(LOOK_SECONDS):
            size = path.stat().st_size
            tell(size, max(expected, size))

    watcher = threading.Thread(target=watch, name="progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
