"""A row of an import as a value: read, checked and typed, or refused with the reason in words; no database."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from subscribers import columns as fields
from subscribers import people, suppression
from subscribers.addresses import Address, parse_address
from subscribers.attributes import Attribute, Value, read_date, read_values, split_several
from subscribers.columns import ColumnMap
from subscribers.csv_cells import plain_cell
from subscribers.errors import InvalidValue
from subscribers.naming import clean_person_name, clean_tag
from subscribers.tabular import Row

PERSON_FIELDS = ("name", "first_name", "language", "timezone")


@dataclass(frozen=True, slots=True)
class Incoming:
    """What one row says about one person; empty cells are absent. `withdrawn` is a reason when the file says so."""

    row: int
    address: Address
    person: Mapping[str, str]
    joined_at: datetime | None
    tags: frozenset[str]
    attributes: Mapping[str, tuple[Value, ...]]
    withdrawn: str | None = None


@dataclass(slots=True)
class Known:
    """What is stored about one person, as far as an import can change it. `id` is None for one only planned."""

    id: int | None
    person: dict[str, str | None]
    state: str | None
    tags: set[str] = field(default_factory=set)
    attributes: dict[str, tuple[Value, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """What a row changes about somebody known: the new values, and the old ones for an undo."""

    person: Mapping[str, str]
    tags: frozenset[str]
    attributes: Mapping[str, tuple[Value, ...]]
    subscribes: bool
    before: Mapping[str, Any]

    @property
    def is_empty(self) -> bool:
        return not (self.person or self.tags or self.attributes or self.subscribes)


def read_row(row: Row, mapping: ColumnMap, attributes: Mapping[str, Attribute]) -> Incoming:
    """
    Read one row.

    Raises:
        InvalidValue: With what is wrong in it.
    """
    cells = row.cells

    def cell(name: str) -> str:
        position = mapping.fields.get(name)
        return "" if position is None else plain_cell(cells[position].strip())

    given = cell(fields.ADDRESS)
    if not given:
        raise InvalidValue("the address is missing")
    if "<" in given and (found := re.fullmatch(r"[^<>]*<([^<>]+)>", given)):
        given = found.group(1)
    values = {}
    for name, position in mapping.attributes.items():
        if (text := cells[position]) and (read := read_values(attributes[name], plain_cell(text.strip()))):
            values[name] = read
    tags = cell(fields.TAGS)
    return Incoming(
        row.number,
        parse_address(given),
        _person(cell),
        _joined(cell(fields.JOINED)),
        frozenset(clean_tag(part) for part in split_several(tags)) if tags else frozenset(),
        values,
        _withdrawn(cell(fields.STATUS)),
    )


def _person(cell: Any) -> dict[str, str]:
    first, last = cell(fields.FIRST_NAME), cell(fields.LAST_NAME)
    name = clean_person_name(cell(fields.NAME) or f"{first} {last}")
    first_name = people.clean_first_name(first) if first else people.guess_first_name(name)
    found = {
        "name": name,
        "first_name": first_name,
        "language": people.check_language(cell(fields.LANGUAGE)),
        "timezone": people.check_timezone(cell(fields.TIMEZONE)),
    }
    return {key: value for key, value in found.items() if value}


def _joined(text: str) -> datetime | None:
    if not text:
        return None
    day = read_date(text) or read_date(text[:10])
    if day is None:
        raise InvalidValue(f"the day of joining must be a date such as 2026-11-02: '{text[:40]}'")
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)  # noon: the same day in every zone of Europe


def _withdrawn(text: str) -> str | None:
    word = fields.status_word(text)
    if word in fields.UNSUBSCRIBED_WORDS:
        return suppression.UNSUBSCRIBED
    if word in fields.BOUNCED_WORDS:
        return suppression.HARD_BOUNCE
    return suppression.COMPLAINT if word in fields.COMPLAINED_WORDS else None


def compare(incoming: Incoming, known: Known) -> Change:
    """Return what the row changes; an empty cell never erases what is stored."""
    person = {key: value for key, value in incoming.person.items() if known.person.get(key) != value}
    if known.person.get("first_name") and "name" not in person:
        person.pop("first_name", None)  # a guess from the same full name does not overrule what was set
    tags = frozenset(incoming.tags - known.tags)
    attributes = {
        name: values for name, values in incoming.attributes.items() if known.attributes.get(name, ()) != values
    }
    before = {
        "person": {key: known.person.get(key) for key in person},
        "attributes": {name: to_json(known.attributes.get(name, ())) for name in attributes},
        "state": known.state,
    }
    return Change(person, tags, attributes, known.state != "subscribed", before)


def apply(change: Change, known: Known) -> None:
    """Bring what is known to what the row made of it."""
    known.person.update(change.person)
    known.tags |= change.tags
    known.attributes.update(change.attributes)
    known.state = "subscribed"


def newcomer(incoming: Incoming) -> Known:
    return Known(None, dict(incoming.person), "subscribed", set(incoming.tags), dict(incoming.attributes))


def to_json(values: tuple[Value, ...]) -> list[Any]:
    return [v.text if v.text is not None else v.number if v.number is not None else str(v.day) for v in values]
