"""
Many rows into a table, and many values into a question, by the quickest way that each database has.

A value is stored as any other statement would store it: the columns' own types say what it becomes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    ColumnElement,
    Connection,
    Dialect,
    Integer,
    LargeBinary,
    String,
    Table,
    any_,
    bindparam,
    func,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from subscribers.db import Base

Encoder = Callable[[Any], Any]
_REMEMBERED = 4096
_COPIED_ROWS = 2_500  # so that the server has something to do while the rest is made
_SWITCH_SECONDS = 0.0002  # the thread that feeds the server wants little, but at once
_CACHE_KIB = 48 * 1024
_LOG_PAGES = 65_536  # 256 MB of the write-ahead log
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class Inserter:
    """
    Inserts rows, each with a value for each named column.

    On PostgreSQL the server stores the last rows while the next are made: what goes wrong shows when the block ends,
    and until then nothing else may use the connection.
    """

    def __init__(self, connection: Connection, thread: Executor | None) -> None:
        self._connection, self._thread = connection, thread
        self._under_way: list[Future[None]] = []

    def insert(self, table: type[Base], columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Insert rows; those that are only made when asked for are made while the server stores the ones before."""
        encoders = [_encoder(_table(table), name, self._connection.dialect) for name in columns]
        named = ", ".join(f'"{name}"' for name in columns)
        if self._thread is not None:
            statement = f'COPY "{table.__tablename__}" ({named}) FROM STDIN'
            waiting = iter(rows)
            while some := list(islice(waiting, _COPIED_ROWS)):
                text = _copy_text(encoders, some)
                self._under_way.append(self._thread.submit(_copy, self._connection, statement, text))
            return
        places = ", ".join("?" * len(columns))
        statement = f'INSERT INTO "{table.__tablename__}" ({named}) VALUES ({places})'  # noqa: S608  (names of our own)
        if encoded := _encoded(encoders, list(rows)):
            self._connection.exec_driver_sql(statement, encoded)

    @property
    def is_waiting(self) -> bool:
        """Whether a server still stores rows, so that there is time for something else."""
        return any(not copying.done() for copying in self._under_way)

    def finish(self) -> None:
        """Wait until all is stored."""
        for copying in self._under_way:
            copying.result()


@contextmanager
def inserting(session: Session) -> Iterator[Inserter]:
    """
    Yield what inserts rows; at the end of the block all of them are stored.

    Raises:
        sqlalchemy.exc.DBAPIError: As any statement.
    """
    connection = session.connection()
    if connection.dialect.name != "postgresql":
        yield Inserter(connection, None)
        return
    usual = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        with ThreadPoolExecutor(1, "copy") as thread:
            inserter = Inserter(connection, thread)
            yield inserter
            inserter.finish()
    finally:
        sys.setswitchinterval(usual)


def make_room(session: Session) -> None:
    """
    Let this connection to SQLite hold the pages of a large transaction in memory.

    Random keys touch a page of each index for nearly every row: with the usual 2 MB each is written several times over
    before the commit (8.2 GB instead of 2.4 for 300,000 people). For the same reason the log is copied into the
    database after some of such transactions, not after each: the pages that several of them touch are copied once.
    """
    connection = session.connection()
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"PRAGMA cache_size=-{_CACHE_KIB}")
        connection.exec_driver_sql(f"PRAGMA wal_autocheckpoint={_LOG_PAGES}")


def insert(session: Session, table: type[Base], columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Insert the rows of one table."""
    if rows:
        with inserting(session) as into:
            into.insert(table, columns, rows)


def new_ids(session: Session, table: type[Base], number: int) -> Sequence[int]:
    """
    Return ids that the next rows of a table may have; the transaction must write already.

    Whoever names ids when inserting need not read them back.
    """
    key = _table(table).c.id
    if session.connection().dialect.name != "postgresql":
        last = session.scalar(select(func.max(key))) or 0
        return range(last + 1, last + 1 + number)
    sequence = session.scalar(select(func.pg_get_serial_sequence(table.__tablename__, key.name)))
    drawn = select(func.array_agg(func.nextval(sequence), type_=ARRAY(BigInteger)))
    return session.scalar(drawn.select_from(func.generate_series(1, number))) or ()


def one_of(session: Session, column: Any, values: Sequence[Any]) -> ColumnElement[bool]:
    """Return the condition that *column*, of text or whole numbers, is one of many values: one parameter in all."""
    kind = column.type
    if session.connection().dialect.name == "postgresql":
        if isinstance(kind, LargeBinary) and len(set(map(len, values))) == 1:
            return _one_of_even(column, values)
        found: ColumnElement[bool] = column == any_(bindparam(None, list(values), ARRAY(kind), unique=True))
        return found
    if isinstance(kind, LargeBinary):
        listed: ColumnElement[bool] = column.in_(list(values))
        return listed
    assert isinstance(kind, String | Integer), kind
    told = func.json_each(json.dumps(list(values), ensure_ascii=False)).table_valued("value")
    inside: ColumnElement[bool] = column.in_(select(told.c.value))
    return inside


def _one_of_even(column: Any, values: Sequence[bytes]) -> ColumnElement[bool]:
    """The same of hashes, which are of one length: as one value that the server cuts; an array is slow to hand over."""
    length = len(values[0])
    number = func.generate_series(0, len(values) - 1).column_valued("number")
    cut = func.substr(literal(b"".join(values), LargeBinary()), number * length + 1, length)
    inside: ColumnElement[bool] = column.in_(select(cut))
    return inside


def _table(table: type[Base]) -> Table:
    found = table.__table__
    assert isinstance(found, Table)
    return found


def _encoder(table: Table, name: str, dialect: Dialect) -> Encoder | None:
    """Return what makes a column's value one that the driver takes; None where it takes it as it is."""
    kind = table.c[name].type
    if isinstance(kind, LargeBinary):
        return None
    if isinstance(kind, JSON):
        return json.dumps
    encode = kind.dialect_impl(dialect).bind_processor(dialect)
    return None if encode is None else lru_cache(_REMEMBERED)(encode)


def _encoded(encoders: Sequence[Encoder | None], rows: Sequence[Sequence[Any]]) -> list[Any]:
    if not any(encoders) or not rows:
        return list(rows)
    columns = zip(*rows, strict=True)
    return list(zip(*(_column(encode, values) for encode, values in zip(encoders, columns, strict=True)), strict=True))


def _column(encode: Encoder | None, values: Sequence[Any]) -> Sequence[Any]:
    if encode is None:
        return values
    first = values[0]
    if first is values[-1] and all(value is first for value in values):
        return [encode(first)] * len(values)
    return list(map(encode, values))


def _copy(connection: Connection, statement: str, text: str) -> None:
    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write(text)
    except connection.dialect.loaded_dbapi.Error as error:
        raise DBAPIError.instance(statement, None, error, connection.dialect.loaded_dbapi.Error) from error


def _copy_text(encoders: Sequence[Encoder | None], rows: Sequence[Sequence[Any]]) -> str:
    """Return rows in the text format of ``COPY``."""
    columns = zip(*rows, strict=True)
    written = [_copied(_column(encode, values)) for encode, values in zip(encoders, columns, strict=True)]
    return "\n".join(map("\t".join, zip(*written, strict=True))) + "\n"


def _copied(values: Sequence[Any]) -> Sequence[str]:
    """Return a column in COPY's text format."""
    first = next((value for value in values if value is not None), None)
    if first is None:
        return ["\\N"] * len(values)
    if values[0] is values[-1] and all(value is first for value in values):
        return [_cell(first)] * len(values)
    if isinstance(first, str):
        plain = "".join(value for value in values if value is not None)
        if not any(sign in plain for sign in "\\\t\n\r"):
            return ["\\N" if value is None else value for value in values]
    return list(map(_cell, values))


def _cell(value: Any) -> str:
    if value is None:
        return "\\N"
    if isinstance(value, str):
        return value.translate(_ESCAPES)
    if isinstance(value, bytes):
        return "\\\\x" + value.hex()
    return "t" if value is True else "f" if value is False else str(value)
