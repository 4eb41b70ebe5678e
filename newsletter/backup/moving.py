"""
Moves everything from one database to another, from SQLite to PostgreSQL or back, and compares what arrived.

The far side is one transaction: schema, rows, sequences and the comparison, or nothing. The near side takes no writes
meanwhile, and sends nothing ever after; the far one is live only once that is committed. At no moment are both.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Integer,
    Table,
    Text,
    bindparam,
    cast,
    func,
    insert,
    inspect,
    select,
    text,
)
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import Session

from newsletter.audit.log import Action, AuditLog
from newsletter.backup.database_copy import count_rows
from newsletter.backup.restoring_postgresql import refuse_others
from newsletter.errors import Conflict, NewsletterError
from newsletter.migrations import make_private, upgrade_in
from newsletter.send.instance import declare_live, require_live, require_no_sender, set_moved
from subscribers.db import Base, Database

CHUNK = 2_000
Tell = Callable[[int], None]


class MoveFailed(NewsletterError):
    """What arrived is not what was sent; nothing of it was kept, and the old database is as it was."""

    code = "move_failed"


@dataclass(frozen=True, slots=True)
class Moved:
    """How many rows of each table were moved; each table's hash was the same on both sides."""

    counts: dict[str, int]


def count_all(database: Database) -> int:
    """Return how many rows there are in all, for a progress bar: each is written, and read back."""
    with database.read() as session:
        return sum(count_rows(session).values())


def move(near: Database, far_url: str, locks: Path, *, audit: AuditLog, now: datetime, tell: Tell) -> Moved:
    """
    Copy every table to an empty database, compare, and make that the live one.

    Raises:
        Conflict: When the far database is not empty, or the near one is in use.
        CopiedDatabase: When the near one is itself a copy.
        MoveFailed: When a value cannot be kept on the far side, or arrived changed.
        DatabaseUnavailable: When one of them cannot be reached.
    """
    make_private(far_url)
    with closing(Database(far_url)) as far:
        with near.write() as source:
            _hold(source, locks)
            with far.write() as target:
                _refuse_filled(target)
                upgrade_in(target.connection())
                counts = _copy_all(source.connection(), target.connection(), tell)
                set_moved(target, now=now)
            # The far side is committed, and sends nothing yet. First the near one stops being live.
            set_moved(source, now=now)
        with far.write() as target:
            declare_live(target, now)
            audit.record(target, Action.DATABASE_MOVED, "database", rows=sum(counts.values()))
    return Moved(counts)


def _hold(source: Session, locks: Path) -> None:
    """Let nobody write to the near database until the move is done."""
    require_live(source)
    require_no_sender(source, locks)
    if source.get_bind().dialect.name == "postgresql":
        refuse_others(source)
        names = ", ".join(f'"{name}"' for name in inspect(source.connection()).get_table_names())
        source.execute(text(f"LOCK TABLE {names} IN EXCLUSIVE MODE"))


def _refuse_filled(target: Session) -> None:
    names = inspect(target.connection()).get_table_names()
    if names:
        raise Conflict(
            f"The database to move to is not empty: it holds {sorted(names)[0]}.", hint="Make a new one and name that."
        )


def _copy_all(source: Connection, target: Connection, tell: Tell) -> dict[str, int]:
    counts: dict[str, int] = {}
    with _without_triggers(target):
        for table in Base.metadata.sorted_tables:
            sent = _copy_table(source, target, table, tell)
            _set_sequence(target, table)
            arrived = _read_table(target, table, tell)
            if sent != arrived:
                raise MoveFailed(
                    f"Table {table.name} arrived with {arrived[0]:,} rows, or other values, than the {sent[0]:,} sent."
                )
            counts[table.name] = sent[0]
    return counts


class _without_triggers:  # noqa: N801  (read as a word: with _without_triggers(...))
    """Copied rows are no changes: triggers of ours, and any others, wait until all is there."""

    def __init__(self, target: Connection) -> None:
        self._target = target
        self._made: list[str] = []

    def __enter__(self) -> None:
        if self._target.dialect.name == "postgresql":
            self._switch("DISABLE")
            return
        found = self._target.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")).all()
        for name, sql in found:
            self._made.append(sql)
            self._target.exec_driver_sql(f'DROP TRIGGER "{name}"')

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            return  # all is rolled back
        if self._target.dialect.name == "postgresql":
            self._switch("ENABLE")
        for sql in self._made:
            self._target.exec_driver_sql(sql)

    def _switch(self, word: str) -> None:
        for table in Base.metadata.sorted_tables:
            self._target.execute(text(f'ALTER TABLE "{table.name}" {word} TRIGGER USER'))


def _copy_table(source: Connection, target: Connection, table: Table, tell: Tell) -> tuple[int, str]:
    """Write the rows of a table and return how many there are, with the hash of all."""
    statement = _insert(target, table)
    count, digest = 0, hashlib.sha256()
    for rows in _chunks(source, table):
        try:
            target.execute(statement, [dict(zip(table.columns.keys(), row, strict=True)) for row in rows])
        except (DataError, IntegrityError, ValueError) as error:
            cause = getattr(error, "orig", None) or error
            words = " ".join(str(cause).split())[:300]
            raise MoveFailed(f"A row of {table.name} cannot be kept there: {words}") from None
        for row in rows:
            digest.update(_canonical(row))
        count += len(rows)
        tell(len(rows))
    return count, digest.hexdigest()


def _read_table(connection: Connection, table: Table, tell: Tell) -> tuple[int, str]:
    count, digest = 0, hashlib.sha256()
    for rows in _chunks(connection, table):
        for row in rows:
            digest.update(_canonical(row))
        count += len(rows)
        tell(len(rows))
    return count, digest.hexdigest()


def _chunks(connection: Connection, table: Table) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rows in the order of their keys, some thousands at a time: memory stays flat."""
    keys = list(table.primary_key.columns)
    columns = [cast(column, Text) if isinstance(column.type, JSON) else column for column in table.columns]
    statement = select(*columns).order_by(*(_by_code_points(connection, key) for key in keys))
    result = connection.execute(statement, execution_options={"yield_per": CHUNK})
    for part in result.partitions():
        yield [tuple(_plain(column, value) for column, value in zip(table.columns, row, strict=True)) for row in part]


def _by_code_points(connection: Connection, key: Column[Any]) -> Any:
    """SQLite sorts text by code points; PostgreSQL as people do, unless it is told."""
    is_text = hasattr(key.type, "collation") and key.type.python_type is str
    return key.collate("C") if is_text and connection.dialect.name == "postgresql" else key


def _plain(column: Column[Any], value: Any) -> Any:
    """JSON is carried as its text, so that a null of SQL and one of JSON stay two things."""
    return str(value) if isinstance(column.type, JSON) and value is not None else value


def _insert(target: Connection, table: Table) -> Any:
    values = {}
    for column in table.columns:
        given = bindparam(column.key, type_=Text if isinstance(column.type, JSON) else column.type)
        to_json = isinstance(column.type, JSON) and target.dialect.name == "postgresql"
        values[column.key] = cast(given, JSON) if to_json else given
    return insert(table).values(values)


def _canonical(row: Sequence[Any]) -> bytes:
    """Return what a row says, the same for the same values on either database."""
    return json.dumps([_said(value) for value in row], ensure_ascii=True).encode() + b"\n"


def _said(value: Any) -> Any:
    if isinstance(value, bytes | memoryview):
        return {"b": bytes(value).hex()}
    if isinstance(value, datetime | date):
        return {"t": value.isoformat()}
    return value


def _set_sequence(target: Connection, table: Table) -> None:
    """Let new rows get ids that were never given out; SQLite counts by itself."""
    keys = list(table.primary_key.columns)
    if target.dialect.name != "postgresql" or len(keys) != 1 or not isinstance(keys[0].type, Integer):
        return
    names = {"table": f'"{table.name}"', "column": keys[0].name}
    sequence = target.scalar(text("SELECT pg_get_serial_sequence(:table, :column)"), names)
    last = target.scalar(select(func.max(keys[0])))
    if sequence is not None and last is not None:
        target.execute(text("SELECT setval(:sequence, :last)"), {"sequence": sequence, "last": last})
