"""
Many rows into a table, and many values into a question, by the quickest way that each database has.

A value is stored as any other statement would store it: the columns' own types say what it becomes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    JSON,
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
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from subscribers.db import Base

Encoder = Callable[[Any], Any]
_REMEMBERED = 4096
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def insert(session: Session, table: type[Base], columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """
    Insert *rows*, each with a value for each of *columns*.

    Raises:
        sqlalchemy.exc.DBAPIError: As any statement.
    """
    if not rows:
        return
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        _copy(connection, _table(table), columns, rows)
        return
    encoders = [_encoder(_table(table), name, connection.dialect) for name in columns]
    named = ", ".join(f'"{name}"' for name in columns)
    places = ", ".join("?" * len(columns))
    statement = f'INSERT INTO "{table.__tablename__}" ({named}) VALUES ({places})'  # noqa: S608  (names of our own)
    connection.exec_driver_sql(statement, _encoded(encoders, rows))


def new_ids(session: Session, table: type[Base], number: int) -> Sequence[int]:
    """
    Return ids that the next rows of a table may have; the transaction must write already.

    Whoever names ids when inserting need not read them back.
    """
    key = _table(table).c.id
    if session.connection().dialect.name != "postgresql":
        last = session.scalar(select(func.max(key))) or 0
        return range(last + 1, last + 1 + number)
    sequence = func.pg_get_serial_sequence(table.__tablename__, key.name)
    return session.scalars(select(func.nextval(sequence)).select_from(func.generate_series(1, number))).all()


def one_of(session: Session, column: Any, values: Sequence[Any]) -> ColumnElement[bool]:
    """Return the condition that *column*, of text or whole numbers, is one of many values: one parameter in all."""
    kind = column.type
    if session.connection().dialect.name == "postgresql":
        found: ColumnElement[bool] = column == any_(bindparam(None, list(values), ARRAY(kind), unique=True))
        return found
    if isinstance(kind, LargeBinary):
        listed: ColumnElement[bool] = column.in_(list(values))
        return listed
    assert isinstance(kind, String | Integer), kind
    told = func.json_each(json.dumps(list(values), ensure_ascii=False)).table_valued("value")
    inside: ColumnElement[bool] = column.in_(select(told.c.value))
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


def _encoded(encoders: Sequence[Encoder | None], rows: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    if not any(encoders):
        return rows if isinstance(rows, list) else list(map(tuple, rows))
    columns = zip(*rows, strict=True)
    return list(zip(*(_column(encode, values) for encode, values in zip(encoders, columns, strict=True)), strict=True))


def _column(encode: Encoder | None, values: Sequence[Any]) -> Sequence[Any]:
    if encode is None:
        return values
    first = values[0]
    if first is values[-1] and all(value is first for value in values):
        return [encode(first)] * len(values)
    return list(map(encode, values))


def _copy(connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write rows by ``COPY``, in its text format."""
    written = []
    for name, values in zip(columns, zip(*rows, strict=True), strict=True):
        encode = _encoder(table, name, connection.dialect)
        written.append(_copied(_column(encode, values)))
    text = "\n".join(map("\t".join, zip(*written, strict=True)))
    named = ", ".join(f'"{name}"' for name in columns)
    statement = f'COPY "{table.name}" ({named}) FROM STDIN'
    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write(f"{text}\n")
    except connection.dialect.loaded_dbapi.Error as error:
        raise DBAPIError.instance(statement, None, error, connection.dialect.loaded_dbapi.Error) from error


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
