"""
How far has been sent, kept twice: in the database, and in a small file beside it that no restored copy turns back.

Each commit that lets dots leave raises the number in the database, and the file follows before the first of them does.
A SQLite database whose number is behind the file was put back from an older copy: even in its old place, under its
old name, it would send again what was sent since. On PostgreSQL there is no such file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.orm import Session

from newsletter.tables import Setting
from subscribers.db import Database

SETTING = "sent-mark"
SUFFIX = "-sent"
BYTES = 8
# One statement without the toolkit, since it runs with every commit; the column holds JSON, so the number is text.
RAISE = (
    f"UPDATE settings SET value = CAST(CAST(value AS INTEGER) + 1 AS TEXT) WHERE name = '{SETTING}' "  # noqa: S608 (a constant)
    "RETURNING CAST(value AS INTEGER)"
)


class SentMark:
    """The file beside a SQLite database, open while its worker lives; beside another database there is none."""

    def __init__(self, path: Path | None) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600) if path else None
        self._number = 0

    @classmethod
    @contextmanager
    def beside(cls, database: Database) -> Iterator[SentMark]:
        with database.read() as session:
            path = mark_path(session.connection())
        mark = cls(path)
        try:
            yield mark
        finally:
            if mark._file is not None:
                os.close(mark._file)

    def raise_to(self, number: int) -> None:
        """Follow the database; another worker may have gone further already."""
        if self._file is None or number <= self._number:
            return
        if number > int.from_bytes(os.pread(self._file, BYTES, 0), "little"):
            os.pwrite(self._file, number.to_bytes(BYTES, "little"), 0)
        self._number = number


def prepare(session: Session) -> None:
    """Begin to count in a database that has not done so yet."""
    if session.get_bind().dialect.name == "sqlite":
        session.execute(insert(Setting).values(name=SETTING, value=0).on_conflict_do_nothing())


def is_behind(session: Session) -> bool:
    """Tell whether more was sent from this database than it knows of."""
    path = mark_path(session.connection())
    return path is not None and _read(path) > _stored(session)


def catch_up(session: Session) -> None:
    """Go on from the file's number: a person has said that this is the live database."""
    path = mark_path(session.connection())
    if path is not None:
        session.merge(Setting(name=SETTING, value=max(_read(path), _stored(session))))
        session.flush()


def mark_path(connection: Any) -> Path | None:
    """Return the file of a SQLite database, beside the one that a link points to; None where there is none."""
    if connection.dialect.name != "sqlite":
        return None
    name = connection.execute(text("SELECT file FROM pragma_database_list WHERE name = 'main'")).scalar()
    return Path(f"{name}{SUFFIX}") if name else None


def _stored(session: Session) -> int:
    setting = session.get(Setting, SETTING)
    return int(setting.value) if setting is not None else 0


def _read(path: Path) -> int:
    try:
        return int.from_bytes(path.read_bytes()[:BYTES], "little")
    except OSError:
        return 0
