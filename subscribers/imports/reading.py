"""
The rows of an import before the database is asked: a first pass that learns what they hold, then chunks of them, read.

Nothing here keeps the file's rows; of a file of any size only what the columns hold is known, and a chunk at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from subscribers.attributes import Attribute
from subscribers.errors import InvalidValue
from subscribers.imports import columns as fields
from subscribers.imports.columns import ColumnMap, Learner, map_columns
from subscribers.imports.incoming import Incoming, RowReader
from subscribers.imports.lookup import hash_addresses
from subscribers.imports.tabular import Row
from subscribers.tables import AttributeKind


class Source(Protocol):
    """A file as rows under a header: `Table`, or the export of another program read as one."""

    @property
    def path(self) -> Path: ...
    @property
    def sha256(self) -> str: ...
    @property
    def columns(self) -> tuple[str, ...]: ...
    def rows(self) -> Iterator[Row]: ...


@dataclass(frozen=True, slots=True)
class Survey:
    """What a first pass over the file found."""

    rows: int
    mapping: ColumnMap
    kinds: Mapping[str, AttributeKind]


def look_through(table: Source, said: Mapping[str, str] | None, known: Mapping[str, Attribute]) -> Survey:
    """Learn the kinds of new attributes and count rows, in one pass without keeping any."""
    mapping = map_columns(table.columns, said)
    learners = {name: Learner() for name in mapping.attributes if name not in known}
    status = Learner()
    watched = [(mapping.attributes[name], learner) for name, learner in learners.items()]
    if fields.STATUS in mapping.fields:
        watched.append((mapping.fields[fields.STATUS], status))
    rows = 0
    for row in table.rows():
        rows += 1
        if not row.problem:
            for position, learner in watched:
                if (cell := row.cells[position]) not in learner.seen:
                    learner.see(cell)
    mapping = _without_plain_status(table.columns, mapping, status, said)
    kinds = {name: learner.kind for name, learner in learners.items()}
    for name in mapping.attributes:
        if name not in known and name not in kinds:
            kinds[name] = status.kind
    return Survey(rows, mapping, kinds)


def _without_plain_status(
    columns: Sequence[str], mapping: ColumnMap, status: Learner, said: Mapping[str, str] | None
) -> ColumnMap:
    """A column headed "status" that never speaks of subscriptions ("volunteer", "trustee") is an attribute."""
    asked_for = fields.STATUS in {target.casefold() for target in (said or {}).values()}
    place = mapping.fields.get(fields.STATUS)
    if place is None or status.tells_standing or asked_for or not fields.may_be_of_anything(columns[place]):
        return mapping
    rest = {name: position for name, position in mapping.fields.items() if name != fields.STATUS}
    return replace(mapping, fields=rest, attributes={**mapping.attributes, "status": place})


@dataclass(frozen=True, slots=True)
class Prepared:
    """Some rows, read: all that is done with them before the database is asked."""

    rows: int
    good: Sequence[Incoming]
    refused: Sequence[tuple[Row, str]]
    hashes: Mapping[str, bytes]


def prepare(rows: Sequence[Row], reader: RowReader, pepper: bytes) -> Prepared:
    good, refused = [], []
    for row in rows:
        if row.problem:
            refused.append((row, row.problem))
            continue
        try:
            good.append(reader.read(row))
        except InvalidValue as error:
            refused.append((row, error.message))
    return Prepared(len(rows), good, refused, hash_addresses(good, pepper))


def repeated_addresses(table: Source, reader: RowReader) -> set[str]:
    """Return the addresses that stand in more than one row; of the others a number each is kept meanwhile."""
    seen: set[int] = set()
    repeated = set()
    for row in table.rows():
        if not row.problem and (key := reader.key_of(row)):
            number = hash(key)
            if number in seen:
                repeated.add(key)
            seen.add(number)
    return repeated
