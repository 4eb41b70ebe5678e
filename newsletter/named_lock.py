"""
A lock by name that one process holds at a time: on this machine, and on PostgreSQL among all that share the database.

It ends with whoever holds it, however that dies.
"""

from __future__ import annotations

import fcntl
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text

from subscribers.db import Database

ADVISORY_CLASS = 0x4E4D  # another than that of senders


@contextmanager
def named_lock(database: Database, locks: Path, name: str) -> Iterator[bool]:
    """Yield whether the lock is ours; it never waits."""
    locks.mkdir(parents=True, exist_ok=True)
    file = os.open(locks / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        yield False
        return
    try:
        if database.is_sqlite:
            yield True
        else:
            with _advisory(database, name) as free:
                yield free
    finally:
        os.close(file)


@contextmanager
def _advisory(database: Database, name: str) -> Iterator[bool]:
    key = {"c": ADVISORY_CLASS, "i": zlib.crc32(name.encode()) - 2**31}
    with database.guarded(), database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        free = bool(connection.scalar(text("SELECT pg_try_advisory_lock(:c, :i)"), key))
        yield free
        if free:
            connection.execute(text("SELECT pg_advisory_unlock(:c, :i)"), key)
