"""A row of an import as a value: read, checked and typed, or refused with the reason in words; no database."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any, NamedTuple

from subscribers import people, suppression
from subscribers.addresses import Address, parse_address
from subscribers.attributes import Attribute, Value, read_date, read_values, split_several
from subscribers.csv_cells import plain_cell
from subscribers.errors import InvalidValue
from subscribers.imports import columns as fields
from subscribers.imports.columns import ColumnMap
from subscribers.imports.standing import check_consent, read_opt_out, read_status
from subscribers.imports.tabular import Row
from subscribers.naming import clean_person_name, clean_tag, clean_text

PERSON_FIELDS = ("name", "first_name", "language", "timezone")


class Incoming(NamedTuple):
    """
    What one row says about one person; empty cells are absent.

    `withdrawn` is a reason when the file says so, `evidence` what the row itself says of consent or leaving.
    """

    row: int
    address: Address
    person: Mapping[str, str]
    joined_at: datetime | None
    tags: frozenset[str]
    attributes: Mapping[str, tuple[Value, ...]]
    withdrawn: str | None = None
    evidence: str = ""

    def shown_by(self, evidence: str) -> str:
        """Return what shows this row's consent or leaving: the evidence of the file, and the row's own."""
        return f"{evidence}; {self.evidence}" if self.evidence else evidence


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


class RowReader:
    """
    Reads the rows of one file.

    What a cell was read as is remembered for a while: towns, roles, days and first names recur.
    """

    def __init__(self, mapping: ColumnMap, attributes: Mapping[str, Attribute]) -> None:
        place = mapping.fields.get
        self._address = mapping.fields[fields.ADDRESS]
        self._person = [place(name) for name in _PERSON_CELLS]
        self._joined, self._tags, self._status = place(fields.JOINED), place(fields.TAGS), place(fields.STATUS)
        self._evidence = place(fields.EVIDENCE)
        self._opt_outs, self._consents = mapping.opt_outs, tuple(mapping.consents.items())
        self._tells_standing = self._status is not None or bool(self._opt_outs or self._consents)
        self._read_person = _remembering(_person)
        self._read_joined, self._read_tags = _remembering(_joined), _remembering(_read_tags)
        self._read_status = _remembering(read_status)
        self._attributes = [
            (name, position, _remembering(partial(_values, attributes[name])))
            for name, position in mapping.attributes.items()
        ]

    def key_of(self, row: Row) -> str:
        """Return the key of a row's address; empty when it has none that can be used."""
        try:
            return _address(row.cells[self._address]).key
        except InvalidValue:
            return ""

    def _withdrawn(self, cells: Sequence[str]) -> str | None:
        """Return the reason why the row keeps somebody out; a row that only has no consent is refused."""
        status = self._status
        found = self._read_status(cells[status]) if status is not None and cells[status] else None
        if found is None and any(read_opt_out(cells[place]) for place in self._opt_outs):
            found = suppression.UNSUBSCRIBED
        if found is None:
            for column, place in self._consents:
                check_consent(column, cells[place])
        return found

    def read(self, row: Row) -> Incoming:
        """
        Read one row.

        Raises:
            InvalidValue: With what is wrong in it.
        """
        cells = row.cells
        joined, tags = self._joined, self._tags
        return Incoming(
            row.number,
            _address(cells[self._address]),
            self._read_person(*["" if place is None else cells[place] for place in self._person]),
            self._read_joined(cells[joined]) if joined is not None and cells[joined] else None,
            self._read_tags(cells[tags]) if tags is not None and cells[tags] else _NO_TAGS,
            {
                name: values
                for name, place, read in self._attributes
                if (text := cells[place]) and (values := read(text))
            },
            self._withdrawn(cells) if self._tells_standing else None,
            _read_evidence(cells[self._evidence]) if self._evidence is not None else "",
        )


_PERSON_CELLS = (fields.NAME, fields.FIRST_NAME, fields.LAST_NAME, fields.LANGUAGE, fields.TIMEZONE)
_LONGEST_EVIDENCE = 1000
_NO_TAGS: frozenset[str] = frozenset()
_remembering = lru_cache(maxsize=4096)


def _address(cell: str) -> Address:
    given = plain_cell(cell.strip())
    if not given:
        raise InvalidValue("the address is missing")
    if "<" in given and (found := re.fullmatch(r"[^<>]*<([^<>]+)>", given)):
        given = found.group(1)
    return parse_address(given)


def _person(*cells: str) -> Mapping[str, str]:
    name_cell, first, last, language, timezone = (plain_cell(cell.strip()) for cell in cells)
    name = clean_person_name(name_cell or f"{first} {last}")
    first_name = people.clean_first_name(first) if first else people.guess_first_name(name)
    found = {
        "name": name,
        "first_name": first_name,
        "language": people.check_language(language),
        "timezone": people.check_timezone(timezone),
    }
    return {key: value for key, value in found.items() if value}


def _values(attribute: Attribute, cell: str) -> tuple[Value, ...]:
    return read_values(attribute, plain_cell(cell.strip()))


def _read_tags(cell: str) -> frozenset[str]:
    return frozenset(clean_tag(part) for part in split_several(plain_cell(cell.strip())))


def _read_evidence(cell: str) -> str:
    return clean_text(plain_cell(cell.strip()))[:_LONGEST_EVIDENCE]


def _joined(cell: str) -> datetime | None:
    text = plain_cell(cell.strip())
    if not text:
        return None
    day = read_date(text) or read_date(text[:10])
    if day is None:
        raise InvalidValue(f"the day of joining must be a date such as 2026-11-02: '{text[:40]}'")
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)  # noon: the same day in every zone of Europe


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
