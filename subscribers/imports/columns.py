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
from subscribers.imports.standing import is_not_on_list, status_word
from subscribers.imports.tabular import unknown_column
from subscribers.naming import LONGEST_NAME
from subscribers.tables import AttributeKind

ADDRESS, NAME, FIRST_NAME, LAST_NAME = "address", "name", "first_name", "last_name"
LANGUAGE, TIMEZONE, TAGS, JOINED, STATUS, IGNORE = "language", "timezone", "tags", "joined", "status", "ignore"
EVIDENCE, OPTED_OUT = "evidence", "opted_out"
FIELDS = (ADDRESS, NAME, FIRST_NAME, LAST_NAME, LANGUAGE, TIMEZONE, TAGS, JOINED, STATUS, OPTED_OUT, EVIDENCE, IGNORE)

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
    OPTED_OUT: (
        "opted out,opt out,optout,email opt out,email opted out,opted out of email,has opted out of email,"
        "unsubscribed,unsubscribed at,unsubscribed on,unsubscribed date,unsubscribe date,date unsubscribed,unsub time,"
        "unsubscribed from all email,do not email,do not contact,do not mail,do not allow emails,"
        "do not allow bulk emails,no email,no emails,no bulk emails,no bulk emails (user opt out),requests no email"
    ),
    EVIDENCE: "consent evidence,evidence of consent",
    IGNORE: "import row,import problem,id,uuid,subscriber id",
}
_BY_HEADING = {heading: name for name, headings in _HEADINGS.items() for heading in headings.split(",")}

# A no under one of these keeps a person out; a yes is an attribute as any other.
_CONSENT = frozenset(
    [
        *("consent", "email consent", "consent to email", "consent email", "marketing consent", "gdpr consent"),
        *("email marketing consent", "newsletter consent", "opt in", "opted in", "optin", "email opt in"),
        *("marketing opt in", "newsletter opt in", "subscribed", "newsletter", "email permission"),
        *("accepts marketing", "accepts email marketing", "accepts emails", "contact by email"),
    ]
)
# What a file that this program wrote is known by: its states are of people who may have left.
_OUR_EXPORT = frozenset(("address", "state", "lists", "tags"))
ATTRIBUTE = "attribute: "  # before the name of an attribute that is called as one of its columns
_OF_OUR_EXPORT = {"state": STATUS, "lists": IGNORE}

_LONGEST_PART = 40
_LONGEST_STATUS = 30
_MOST_SEEN = 2000


@dataclass
class Learner:
    """What kinds a column's values still allow, and whether they speak of subscriptions."""

    kinds: list[AttributeKind] = field(
        default_factory=lambda: [AttributeKind.NUMBER, AttributeKind.DATE, AttributeKind.YES_NO]
    )
    filled: bool = False
    separated: bool = False
    long_parts: bool = False
    tells_standing: bool = False
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
        if not self.tells_standing and len(text) < _LONGEST_STATUS:
            self.tells_standing = is_not_on_list(status_word(text))

    @property
    def kind(self) -> AttributeKind:
        if self.filled and self.kinds:
            return self.kinds[0]
        return AttributeKind.SEVERAL if self.separated and not self.long_parts else AttributeKind.TEXT


_READERS = {AttributeKind.NUMBER: read_number, AttributeKind.DATE: read_date, AttributeKind.YES_NO: read_yes_no}


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """
    What each column is: a field's name, or an attribute's; columns to be ignored are absent.

    `opt_outs` are the columns in which a yes says that somebody left; in `consents`, by heading, a no keeps them out.
    """

    fields: Mapping[str, int]
    attributes: Mapping[str, int]
    opt_outs: tuple[int, ...] = ()
    consents: Mapping[str, int] = field(default_factory=dict)

    def to_json(self, columns: Sequence[str]) -> dict[str, str]:
        named = {**self.fields, **self.attributes}
        leaving = {columns[position]: OPTED_OUT for position in self.opt_outs}
        return {**{columns[position]: name for name, position in named.items()}, **leaving}


def map_columns(columns: Sequence[str], said: Mapping[str, str] | None = None) -> ColumnMap:
    """
    Decide what each column is.

    Args:
        columns: The header.
        said: Column -> field, as the user wrote it; the rest is guessed.

    Raises:
        InvalidValue: When no column holds the address, two hold the same field, or a field cannot be.
    """
    wanted = {**_of_our_export(columns), **_said(columns, said or {})}
    fields: dict[str, int] = {}
    attributes: dict[str, int] = {}
    opt_outs: list[int] = []
    for position, column in enumerate(columns):
        target = wanted.get(column) or (_guess(column, set(wanted.values()) | set(fields)) if column else IGNORE)
        if target == IGNORE:
            continue
        if target == OPTED_OUT:
            opt_outs.append(position)
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
    consents = {
        columns[position]: position
        for name, position in attributes.items()
        if _heading(columns[position]) in _CONSENT and name == own_name(columns[position])
    }
    return ColumnMap(fields, attributes, tuple(opt_outs), consents)


def _of_our_export(columns: Sequence[str]) -> dict[str, str]:
    """Return what is known of the columns of a file that this program wrote."""
    if not {column.casefold() for column in columns} >= _OUR_EXPORT:
        return {}
    known = {column: _OF_OUR_EXPORT[key] for column in columns if (key := column.casefold()) in _OF_OUR_EXPORT}
    named = ((column, column.removeprefix(ATTRIBUTE)) for column in columns if column.startswith(ATTRIBUTE))
    return {**known, **{column: own_name(name) for column, name in named}}


def doubtful(columns: Sequence[str], said: Mapping[str, str] | None = None) -> dict[str, list[str]]:
    """
    Return the fields for which the headings of several columns could stand, and nobody said which does.

    The first would be taken: of two columns of addresses perhaps the wrong one.
    """
    wanted = {**_of_our_export(columns), **_said(columns, said or {})}
    found: dict[str, list[str]] = {}
    for column in columns:
        if column and column not in wanted and (name := field_of(column)) not in (None, IGNORE, OPTED_OUT):
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
    field_name = field_of(column)
    if field_name and (field_name in (IGNORE, OPTED_OUT) or field_name not in taken):
        return field_name
    return own_name(column)


def own_name(text: str) -> str:
    """Return the name of the attribute that a column becomes, which is never that of a field."""
    name = attribute_name(text)
    return f"field_{name}"[:LONGEST_NAME] if name in FIELDS else name


def field_of(column: str) -> str | None:
    """Return the field that a heading stands for; None when it is an attribute's."""
    return _BY_HEADING.get(_heading(column))


def may_be_of_anything(column: str) -> bool:
    """Tell whether a column of states may well be about something else than subscriptions."""
    return _heading(column) in ("status", "member status")


def _heading(column: str) -> str:
    return re.sub(r"[\s_./:-]+", " ", column.casefold()).strip()


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
