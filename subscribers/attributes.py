"""
Attributes of people: typed, declared in the configuration or learnt at import; one place reads their values.

A value that does not fit its attribute's kind is refused, never stored as something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from subscribers.errors import Conflict, InvalidValue, NotFound
from subscribers.naming import LONGEST_NAME, clean_text, nearest
from subscribers.tables import AttributeDefinition, AttributeKind, AttributeValue, Subscriber

# Words of the segment language and names of built-in fields: an attribute that is called so gets a prefix.
RESERVED = frozenset(
    [
        "address",
        "all",
        "and",
        "any",
        "between",
        "bounced",
        "consent",
        "contains",
        "discreet",
        "domain",
        "ends",
        "false",
        "frequency",
        "id",
        "in",
        "is",
        "issue",
        "joined",
        "language",
        "last",
        "list",
        "missing",
        "name",
        "next",
        "no",
        "not",
        "or",
        "paused",
        "segment",
        "sent",
        "set",
        "starts",
        "tag",
        "tags",
        "true",
        "with",
        "yes",
    ]
)
LONGEST_VALUE = 1000
MOST_VALUE_BYTES = 2500  # PostgreSQL indexes no more than 2704
LARGEST_NUMBER = 1e15
TRUE_WORDS = frozenset(("yes", "y", "true", "ja", "on"))
FALSE_WORDS = frozenset(("no", "n", "false", "nein", "off"))
_NAME = re.compile(r"[a-z][a-z0-9_]*")
# No leading zeros: telephone numbers and codes are text.
_NUMBER = re.compile(r"[+-]?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,10})?")
_ISO_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:[T ]00:00(?::00)?)?")
_UK_DATE = re.compile(r"(\d{1,2})[/.](\d{1,2})[/.](\d{4})")


@dataclass(frozen=True, slots=True)
class Value:
    """One stored value: exactly one of the three is set."""

    text: str | None = None
    number: float | None = None
    day: date | None = None

    @property
    def plain(self) -> str | float | date:
        found = self.text if self.text is not None else self.number if self.number is not None else self.day
        assert found is not None
        return found


@dataclass(frozen=True, slots=True)
class Attribute:
    """A definition as a value; `id` is None while it is only planned by a dry run."""

    id: int | None
    name: str
    kind: AttributeKind
    choices: tuple[str, ...] = ()


def attribute_name(text: str) -> str:
    """Return the name under which a column is known: ``Postcode area`` becomes ``postcode_area``."""
    name = re.sub(r"[^a-z0-9]+", "_", text.casefold()).strip("_")
    if not name or not name[0].isalpha() or name in RESERVED:
        name = f"field_{name}".rstrip("_")
    return name[:LONGEST_NAME].rstrip("_")


def check_attribute_name(name: str) -> str:
    """
    Return *name* when an attribute can be called so.

    Raises:
        InvalidValue: With a name that would do.
    """
    if len(name) <= LONGEST_NAME and _NAME.fullmatch(name) and name not in RESERVED:
        return name
    raise InvalidValue(
        f"'{name}' cannot name an attribute: small letters, digits and '_', and no word of the segment language.",
        hint=f"For example: {attribute_name(name)}",
    )


def read_number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None


def read_date(text: str) -> date | None:
    """Read 2026-11-02 or 02/11/2026 (day first, as in Britain); None when it is no such date."""
    if found := _ISO_DATE.fullmatch(text):
        year, month, day = (int(part) for part in found.groups())
    elif found := _UK_DATE.fullmatch(text):
        day, month, year = (int(part) for part in found.groups())
    else:
        return None
    try:
        return date(year, month, day)
    except ValueError:
        return None


def read_yes_no(text: str) -> bool | None:
    word = text.casefold()
    return True if word in TRUE_WORDS else False if word in FALSE_WORDS else None


def split_several(text: str) -> list[str]:
    """Return the parts of a cell that holds several values, separated by ';' or '|', else by ','."""
    separator = next((s for s in (";", "|") if s in text), ",")
    return list(dict.fromkeys(part for raw in text.split(separator) if (part := clean_text(raw))))


def read_values(attribute: Attribute, text: str) -> tuple[Value, ...]:
    """
    Read a cell for an attribute; an empty cell holds no value.

    Raises:
        InvalidValue: When it does not fit the attribute's kind.
    """
    if attribute.kind is AttributeKind.TEXT:
        cell = _fitting(attribute, clean_text(text))
        return (Value(text=cell),) if cell else ()
    cell = clean_text(text)
    if not cell:
        return ()
    if attribute.kind is AttributeKind.SEVERAL:
        parts = split_several(cell)
        return tuple(Value(text=_choice(attribute, part)) for part in parts)
    return (_single(attribute, cell),)


def _single(attribute: Attribute, cell: str) -> Value:
    if attribute.kind is AttributeKind.NUMBER and (number := read_number(cell)) is not None:
        return Value(number=number)
    if attribute.kind is AttributeKind.DATE and (day := read_date(cell)) is not None:
        return Value(day=day)
    if attribute.kind is AttributeKind.YES_NO and (answer := read_yes_no(cell)) is not None:
        return Value(number=float(answer))
    if attribute.kind is AttributeKind.CHOICE:
        return Value(text=_choice(attribute, cell))
    expected = {
        AttributeKind.NUMBER: "a number such as 12 or 3.5",
        AttributeKind.DATE: "a date such as 2026-11-02 or 02/11/2026",
        AttributeKind.YES_NO: "yes or no",
    }[attribute.kind]
    raise InvalidValue(f"{attribute.name} must be {expected}: '{cell[:80]}'")


def _fitting(attribute: Attribute, cell: str) -> str:
    if len(cell) > LONGEST_VALUE:
        raise InvalidValue(f"{attribute.name} has {len(cell)} characters; {LONGEST_VALUE} is the most.")
    if len(cell) * 4 > MOST_VALUE_BYTES and (size := len(cell.encode())) > MOST_VALUE_BYTES:
        raise InvalidValue(f"{attribute.name} takes {size} bytes; {MOST_VALUE_BYTES} is the most.")
    return cell


def _choice(attribute: Attribute, cell: str) -> str:
    if not attribute.choices:
        return _fitting(attribute, cell)
    for choice in attribute.choices:
        if choice.casefold() == cell.casefold():
            return choice
    raise InvalidValue(f"{attribute.name} must be one of {', '.join(attribute.choices)}: '{cell[:80]}'")


def read_plain(attribute: Attribute, value: str | float | bool | Sequence[str] | None) -> tuple[Value, ...]:
    """
    Read a value as JSON holds it, which `plain_value` wrote: the parts of a list are taken as they are.

    Raises:
        InvalidValue: When it does not fit the attribute's kind.
    """
    kind = attribute.kind
    if value is None:
        return ()
    if isinstance(value, str) and kind not in (AttributeKind.NUMBER, AttributeKind.YES_NO):
        return read_values(attribute, value)
    if isinstance(value, bool):
        if kind is AttributeKind.YES_NO:
            return (Value(number=float(value)),)
    elif isinstance(value, int | float):
        if kind is AttributeKind.NUMBER and abs(value) < LARGEST_NUMBER:
            return (Value(number=float(value)),)
    elif not isinstance(value, str) and kind is AttributeKind.SEVERAL:
        parts = dict.fromkeys(part for raw in value if (part := clean_text(raw)))
        return tuple(Value(text=_choice(attribute, part)) for part in parts)
    raise InvalidValue(f"{attribute.name} must be of the kind {kind.value}.")


def definitions(session: Session) -> dict[str, Attribute]:
    """Return every defined attribute by name."""
    rows = session.execute(
        select(
            AttributeDefinition.id, AttributeDefinition.name, AttributeDefinition.kind, AttributeDefinition.choices
        ).order_by(AttributeDefinition.name)
    )
    return {name: Attribute(id, name, kind, tuple(choices or ())) for id, name, kind, choices in rows}


def get(session: Session, name: str) -> Attribute:
    """
    Return one attribute.

    Raises:
        NotFound: With the nearest known name.
    """
    known = definitions(session)
    if name not in known:
        raise NotFound("attribute", name, hint=nearest(name, known))
    return known[name]


def declare(session: Session, name: str, kind: AttributeKind, choices: Iterable[str] = ()) -> Attribute:
    """
    Make an attribute, or bring its choices up to date.

    Raises:
        InvalidValue: When the name cannot be used.
        Conflict: When it holds values of another kind.
    """
    check_attribute_name(name)
    wanted = list(choices) or None
    found = session.scalar(select(AttributeDefinition).where(AttributeDefinition.name == name))
    if found is None:
        found = AttributeDefinition(name=name, kind=kind, choices=wanted)
        session.add(found)
    elif found.kind is not kind:
        used = session.scalar(select(AttributeValue.subscriber_id).where(AttributeValue.definition_id == found.id))
        textual = {AttributeKind.TEXT, AttributeKind.CHOICE, AttributeKind.SEVERAL}
        if used is not None and not {found.kind, kind} <= textual:
            raise Conflict(
                f"The attribute '{name}' holds values of the kind {found.kind.value}, not {kind.value}.",
                hint="Give the new one another name, or leave its kind as it is.",
            )
        found.kind, found.choices = kind, wanted
    elif found.choices != wanted:
        found.choices = wanted
    session.flush()
    return Attribute(found.id, found.name, found.kind, tuple(found.choices or ()))


def values_of(session: Session, subscriber_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Return the attributes of some people: text, number, date, bool, or a list for one of several values."""
    rows = session.execute(
        select(
            AttributeValue.subscriber_id,
            AttributeDefinition.name,
            AttributeDefinition.kind,
            AttributeValue.text,
            AttributeValue.number,
            AttributeValue.date,
        )
        .join(AttributeDefinition, AttributeDefinition.id == AttributeValue.definition_id)
        .where(AttributeValue.subscriber_id.in_(subscriber_ids))
        .order_by(AttributeValue.subscriber_id, AttributeDefinition.name, AttributeValue.position)
    )
    found: dict[int, dict[str, Any]] = {}
    for subscriber_id, name, kind, text, number, day in rows:
        held = found.setdefault(subscriber_id, {})
        if kind is AttributeKind.SEVERAL:
            held.setdefault(name, []).append(text)
        else:
            held[name] = plain_value(kind, Value(text, number, day))
    return found


def plain_value(kind: AttributeKind, value: Value) -> Any:
    """Return a stored value as people and JSON see it."""
    if kind is AttributeKind.YES_NO:
        return bool(value.number)
    if value.number is not None:
        return int(value.number) if value.number.is_integer() else value.number
    return value.plain


def store(session: Session, subscriber: Subscriber, attribute: Attribute, values: Sequence[Value]) -> None:
    """Replace the values of one attribute of one person."""
    assert attribute.id is not None
    session.execute(
        delete(AttributeValue).where(
            AttributeValue.subscriber_id == subscriber.id, AttributeValue.definition_id == attribute.id
        )
    )
    session.add_all(
        AttributeValue(
            subscriber_id=subscriber.id,
            definition_id=attribute.id,
            position=position,
            text=value.text,
            number=value.number,
            date=value.day,
        )
        for position, value in enumerate(values)
    )
    session.flush()
