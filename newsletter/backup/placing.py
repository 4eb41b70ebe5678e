"""
Lets restored files change places with those that stand, by renames: each step can be done again after a stop.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from newsletter.backup.manifest import CONFIG, FOLDERS, NEVER_MAIL, SQLITE
from newsletter.errors import Conflict
from newsletter.paths import Workspace
from subscribers.never_mail.file import sync_folder

SIDE_FILES = ("-wal", "-shm")


def place_files(workspace: Workspace, fresh: Path, aside: Path) -> None:
    """
    Put aside what stands, and what is fresh in its place; what is not fresh stays.

    The configuration goes last and is replaced at once, so that the folder is a workspace at every moment.

    Raises:
        Conflict: When a program still has the database open.
    """
    root = workspace.root
    if (fresh / SQLITE).exists():
        with _alone(workspace.database):
            _exchange(root, fresh, aside, SQLITE)
    aside.mkdir(mode=0o700, exist_ok=True)
    for name in (*FOLDERS, NEVER_MAIL):
        _exchange(root, fresh, aside, name)
    if (fresh / CONFIG).exists():
        if (root / CONFIG).exists() and not (aside / CONFIG).exists():
            os.link(root / CONFIG, aside / CONFIG)
        (fresh / CONFIG).replace(root / CONFIG)
    for folder in (root, aside):
        sync_folder(folder)
    if not any(aside.iterdir()):
        aside.rmdir()


def require_alone(database: Path) -> None:
    """
    Refuse while another program has a SQLite database open.

    Raises:
        Conflict: With what to stop.
    """
    with _alone(database):
        pass


def still_database(path: Path) -> None:
    """
    Bring a SQLite database into its one file.

    Raises:
        Conflict: When a program has it open.
    """
    with closing(sqlite3.connect(path, timeout=2, isolation_level=None)) as connection:
        _make_still(connection)


def _exchange(root: Path, fresh: Path, aside: Path, name: str) -> None:
    new, standing, kept = fresh / name, root / name, aside / name
    if not new.exists():
        return  # placed before, or not in the backup
    if standing.exists() or standing.is_symlink():
        aside.mkdir(mode=0o700, exist_ok=True)
        if kept.exists():
            raise Conflict(f"{standing} was made anew while a restore was half-way.", hint="Move it away by hand.")
        for suffix in SIDE_FILES if name == SQLITE else ():
            if (side := standing.with_name(name + suffix)).exists():
                side.rename(kept.with_name(name + suffix))
        standing.rename(kept)
    elif name == SQLITE:
        for suffix in SIDE_FILES:  # of a database that is gone: they would damage the one that comes
            standing.with_name(name + suffix).unlink(missing_ok=True)
    new.rename(standing)


@contextmanager
def _alone(database: Path) -> Iterator[None]:
    """
    Hold a SQLite database so that no other program uses it while the block runs; one that is damaged is not held.

    Raises:
        Conflict: When one does.
    """
    if not database.exists():
        yield
        return
    with closing(sqlite3.connect(database, timeout=2, isolation_level=None)) as connection:
        try:
            _make_still(connection)
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
                raise _in_use(database) from None
        yield


def _make_still(connection: sqlite3.Connection) -> None:
    """Leave the WAL, which can be done only while nobody else has the database open."""
    try:
        connection.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            name = connection.execute("PRAGMA database_list").fetchone()[2]
            raise _in_use(Path(name)) from None
        raise


def _in_use(database: Path) -> Conflict:
    return Conflict(
        f"Another program has {database} open; nothing was changed.",
        hint="Stop newsletter serve, work and every command that runs on it, then try again.",
    )
