"""
Which column means what: guessed from usual headings, said by the user, and kinds learnt from the values.

A column that claims consent is never believed: it becomes an attribute like any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from subscribers.attributes import (
    attribute_name,
    check_attribute_name,
    read_date,
    read_number,
    read_yes_no,
    split_several,
)
from subscribers.errors import InvalidValue
from subscribers.imports.tabular import unknown_column
from subscribers.naming import LONGEST_NAME
from subscribers.tables import AttributeKind

ADDRESS, NAME, FIRST_NAME, LAST_NAME = "address", "name", "first_name", "last_name"
LANGUAGE, TIMEZONE, TAGS, JOINED, STATUS, IGNORE = "language", "timezone", "tags", "joined", "status", "ignore"
EVIDENCE = "evidence"
FIELDS = (ADDRESS, NAME, FIRST_NAME, LAST_NAME, LANGUAGE, TIMEZONE, TAGS, JOINED, STATUS, EVIDENCE, IGNORE)

_HEADINGS = {
    ADDRESS: "address,email,e mail,mail,email address,e mail address,mail address,emailaddress,e mail 1 value",
    NAME: "name,full name,fullname,contact,contact name,display name",
    FIRST_NAME: "first name,firstname,given name,forename,christian name,first",
    LAST_NAME: "last name,lastname,surname,family name,last",
    LANGUAGE: "language,lang,locale,preferred language",
    TIMEZONE: "timezone,time zone,tz",
    TAGS: "tags,tag,labels,groups",
    JOINED: "joined,date joined,joined at,joined on,member since,subscribed at,optin time,confirm time,created at",
    STATUS: "status,subscription status,email status,member status,subscriber status",
    EVIDENCE: "consent evidence,evidence of consent",
    IGNORE: "import row,import problem,id,uuid,subscriber id",
}
_BY_HEADING = {heading: name for name, headings in _HEADINGS.items() for heading in headings.split(",")}

UNSUBSCRIBED_WORDS = frozenset(("unsubscribed", "opted out", "opt out", "blocklisted", "blacklisted", "disabled"))
BOUNCED_WORDS = frozenset(("bounced", "cleaned", "hard bounce", "hard bounced", "undeliverable"))
COMPLAINED_WORDS = frozenset(("complained", "complaint", "spam", "abuse"))
WITHDRAWN_WORDS = UNSUBSCRIBED_WORDS | BOUNCED_WORDS | COMPLAINED_WORDS

_LONGEST_PART = 40
_LONGEST_STATUS = 30
_MOST_SEEN = 2000


@dataclass
class Learner:
    """What kinds a column's values still allow, and whether they speak of a withdrawn subscription."""

    kinds: list[AttributeKind] = field(
        default_factory=lambda: [AttributeKind.NUMBER, AttributeKind.DATE, AttributeKind.YES_NO]
    )
    filled: bool = False
    separated: bool = False
    long_parts: bool = False
    withdrawn: bool = False
    seen: set[str] = field(default_factory=set)

    def see(self, cell: str) -> None:
        """Take one more value into account; those in `seen` need not be shown again."""
        if len(self.seen) < _MOST_SEEN:
            self.seen.add(cell)
        text = cell.strip()
        if not text:
            return
        self.filled = True
        if self.kinds:
            self.kinds = [kind for kind in self.kinds if _READERS[kind](text) is not None]
        if not self.long_parts and (";" in text or "|" in text):
            self.separated = True
            self.long_parts = any(len(part) > _LONGEST_PART for part in split_several(text))
        if not self.withdrawn and len(text) < _LONGEST_STATUS:
            self.withdrawn = status_word(text) in WITHDRAWN_WORDS

    @property
    def kind(self) -> AttributeKind:
        if self.filled and self.kinds:
            return self.kinds[0]
        return AttributeKind.SEVERAL if self.separated and not self.long_parts else AttributeKind.TEXT


_READERS = {AttributeKind.NUMBER: read_number, AttributeKind.DATE: read_date, AttributeKind.YES_NO: read_yes_no}


def status_word(text: str) -> str:
    return re.sub(r"[\s_-]+", " ", text.strip().casefold())


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """What each column is: a field's name, or ``attribute:NAME``; columns to be ignored are absent."""

    fields: Mapping[str, int]
    attributes: Mapping[str, int]

    def to_json(self, columns: Sequence[str]) -> dict[str, str]:
        named = {**self.fields, **self.attributes}
        return {columns[position]: name for name, position in named.items()}


def map_columns(columns: Sequence[str], said: Mapping[str, str] | None = None) -> ColumnMap:
    """
    Decide what each column is.

    Args:
        columns: The header.
        said: Column -> field, as the user wrote it; the rest is guessed.

    Raises:
        InvalidValue: When no column holds the address, two hold the same field, or a field cannot be.
    """
    wanted = _said(columns, said or {})
    fields: dict[str, int] = {}
    attributes: dict[str, int] = {}
    for position, column in enumerate(columns):
        target = wanted.get(column) or (_guess(column, set(wanted.values()) | set(fields)) if column else IGNORE)
        if target == IGNORE:
            continue
        place = fields if target in FIELDS else attributes
        if target in place:
            raise InvalidValue(
                f"The columns '{columns[place[target]]}' and '{column}' both mean {target}.",
                hint=f"Say which one counts: --map '{column}=ignore'",
            )
        place[target] = position
    if ADDRESS not in fields:
        shown = ", ".join(column for column in columns if column)
        raise InvalidValue(
            f"No column of the file holds the address. Its columns: {shown}.", hint="Say which: --map COLUMN=address"
        )
    return ColumnMap(fields, attributes)


def doubtful(columns: Sequence[str], said: Mapping[str, str] | None = None) -> dict[str, list[str]]:
    """
    Return the fields for which the headings of several columns could stand, and nobody said which does.

    The first would be taken: of two columns of addresses perhaps the wrong one.
    """
    wanted = _said(columns, said or {})
    found: dict[str, list[str]] = {}
    for column in columns:
        if column and column not in wanted and (name := _field_of(column)) not in (None, IGNORE):
            found.setdefault(str(name), []).append(column)
    settled = set(wanted.values())
    return {name: several for name, several in found.items() if len(several) > 1 and name not in settled}


def _said(columns: Sequence[str], said: Mapping[str, str]) -> dict[str, str]:
    by_heading = {column.casefold(): column for column in columns}
    wanted: dict[str, str] = {}
    for heading, target in said.items():
        column = by_heading.get(" ".join(heading.split()).casefold())
        if not column:
            raise unknown_column(heading, columns)
        name = target.strip().casefold().replace(" ", "_")
        wanted[column] = name if name in FIELDS else check_attribute_name(name)
    return wanted


def _guess(column: str, taken: Iterable[str]) -> str:
    field_name = _field_of(column)
    if field_name and (field_name == IGNORE or field_name not in taken):
        return field_name
    return own_name(column)


def own_name(text: str) -> str:
    """Return the name of the attribute that a column becomes, which is never that of a field."""
    name = attribute_name(text)
    return f"field_{name}"[:LONGEST_NAME] if name in FIELDS else name


def _field_of(column: str) -> str | None:
    return _BY_HEADING.get(re.sub(r"[\s_./:-]+", " ", column.casefold()).strip())


def parse_mapping(pairs: Iterable[str]) -> dict[str, str]:
    """
    Read ``COLUMN=FIELD`` pairs.

    Raises:
        InvalidValue: When one is no pair.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        column, equals, target = pair.rpartition("=")
        if not equals or not column.strip() or not target.strip():
            raise InvalidValue(
                f"'{pair}' does not say which column is which field.",
                hint=f"Write COLUMN=FIELD; fields: {', '.join(FIELDS)}, or an attribute's name.",
            )
        found[column.strip()] = target.strip()
    return found
