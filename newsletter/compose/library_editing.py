"""
What the chair sets by hand on an item: checked, kept from being overwritten by sources, and gaps closed.

A field that is refused changes nothing at all: the whole command holds or none of it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from newsletter.compose.cleaning import canonical_url, clean_line, normal_title
from newsletter.compose.library import gaps
from newsletter.errors import InvalidValue
from newsletter.tables import Item, ItemKind, ItemState

_TIMES = ("starts_at", "ends_at", "starts_on", "ends_on", "timezone")
_ALIASES = {
    "date": "published", "alt": "image_alt", "credit": "image_credit", "start": "starts", "end": "ends",
    "location": "place", "author": "authors", "category": "categories", "booking": "booking_url", "image": "image_url",
}  # fmt: skip


def set_fields(item: Item, assignments: Mapping[str, str], *, zone: ZoneInfo, now: datetime) -> list[str]:
    """
    Set fields of an item as the chair wrote them; an empty value clears a field that may be empty.

    Args:
        zone: The organisation's; a time without a zone means it.

    Returns:
        The names of the fields that were set.

    Raises:
        InvalidValue: When a field is unknown or a value cannot be one; nothing is set then.
    """
    made: dict[str, Any] = {}
    names = [_field(name) for name in assignments]
    for name, value in zip(names, assignments.values(), strict=True):
        made |= _SETTERS[name](item, value.strip(), zone)
    _check_span({column: made.get(column, getattr(item, column)) for column in _TIMES})
    for column, value in made.items():
        setattr(item, column, value)
    if "title" in made:
        item.norm_title = normal_title(item.title)
    if "image_url" in made:
        item.picture_id = None
    item.set_by_hand = sorted({*item.set_by_hand, *made})
    item.missing = gaps(item)
    item.updated_at = now
    return names


def _field(name: str) -> str:
    plain = name.strip().lower().replace("-", "_")
    plain = _ALIASES.get(plain, plain)
    if plain not in _SETTERS:
        near = difflib.get_close_matches(plain, [*_SETTERS, *_ALIASES], n=1, cutoff=0.5)
        hint = f"Did you mean '{near[0]}'?" if near else f"Fields: {', '.join(_SETTERS)}."
        raise InvalidValue(f"An item has no field '{name}' that can be set.", hint=hint)
    return plain


def _title(_item: Item, value: str, _zone: ZoneInfo) -> dict[str, Any]:
    if not clean_line(value):
        raise InvalidValue("A title cannot be empty.")
    return {"title": clean_line(value)}


def _summary(_item: Item, value: str, _zone: ZoneInfo) -> dict[str, Any]:
    return {"summary": clean_line(value, limit=2000), "truncated": False}


def _link(column: str) -> Callable[[Item, str, ZoneInfo], dict[str, Any]]:
    def set_link(_item: Item, value: str, _zone: ZoneInfo) -> dict[str, Any]:
        url = canonical_url(value)
        if value and url is None:
            raise InvalidValue(f"'{value}' is no web address.", hint="Write it whole: https://example.org/page")
        return {column: url}

    return set_link


def _words(column: str) -> Callable[[Item, str, ZoneInfo], dict[str, Any]]:
    return lambda _item, value, _zone: {column: clean_line(value, limit=500) or None}


def _list(column: str) -> Callable[[Item, str, ZoneInfo], dict[str, Any]]:
    return lambda _item, value, _zone: {column: [w for w in (clean_line(p) for p in value.split(",")) if w]}


def _published(_item: Item, value: str, zone: ZoneInfo) -> dict[str, Any]:
    moment = _moment(value, zone) if value else None
    is_time = isinstance(moment, datetime)
    return {"published_at": moment if is_time else None, "published_on": None if is_time else moment}


def _starts(item: Item, value: str, zone: ZoneInfo) -> dict[str, Any]:
    _only_events(item, "starts")
    times: dict[str, Any]
    moment = _moment(value, _zone_of(item, zone))
    if isinstance(moment, datetime):
        keeps = item.ends_at is not None and item.ends_at > moment
        times = {"starts_at": moment, "ends_at": item.ends_at if keeps else None, "starts_on": None, "ends_on": None}
    else:
        last = item.ends_on if item.ends_on is not None and item.ends_on > moment else moment
        times = {"starts_at": None, "ends_at": None, "starts_on": moment, "ends_on": last}
    return {**times, "timezone": item.timezone or zone.key}


def _ends(item: Item, value: str, zone: ZoneInfo) -> dict[str, Any]:
    _only_events(item, "ends")
    if not value:
        return {"ends_at": None, "ends_on": None}
    moment = _moment(value, _zone_of(item, zone))
    is_time = isinstance(moment, datetime)
    return {"ends_at": moment if is_time else None, "ends_on": None if is_time else moment}


def _year(item: Item, value: str, zone: ZoneInfo) -> dict[str, Any]:
    """Complete what the source stated: its day, with the year that the chair knows."""
    _only_events(item, "year")
    stated = item.stated
    if not stated.get("day"):
        raise InvalidValue(f"Item {item.id} states no day that a year could complete.", hint="Set starts instead.")
    if not (value.isascii() and value.isdigit() and len(value) == 4):
        raise InvalidValue(f"'{value}' is no year.", hint="Write four digits, such as 2026.")
    day = _stated_day(stated["day"], int(value))
    weekday = stated.get("weekday", "")
    if weekday and day.strftime("%A").lower() != weekday.lower():
        fitting = [str(y) for y in range(int(value) - 6, int(value) + 7) if _falls_on(stated["day"], y, weekday)]
        raise InvalidValue(
            f"{day:%-d %B %Y} is a {day:%A}, but the source states a {weekday}.",
            hint=f"Years that fit: {', '.join(fitting)}." if fitting else "",
        )
    own = _zone_of(item, zone)
    if not stated.get("from"):
        return {"starts_at": None, "ends_at": None, "starts_on": day, "ends_on": day, "timezone": own.key}
    starts = datetime.combine(day, time.fromisoformat(stated["from"]), own)
    ends = datetime.combine(day, time.fromisoformat(stated["to"]), own) if stated.get("to") else None
    return {"starts_at": starts, "ends_at": ends, "starts_on": None, "ends_on": None, "timezone": own.key}


def _timezone(item: Item, value: str, _zone: ZoneInfo) -> dict[str, Any]:
    """Tell the event in another zone; its clock time stays, as that is what its organiser announced."""
    _only_events(item, "timezone")
    if value not in available_timezones():
        near = difflib.get_close_matches(value, sorted(available_timezones()), n=1)
        raise InvalidValue(f"'{value}' is no time zone.", hint=f"Did you mean {near[0]}?" if near else "")
    new, old = ZoneInfo(value), _zone_of(item, ZoneInfo("UTC"))
    made: dict[str, Any] = {"timezone": value}
    for column in ("starts_at", "ends_at"):
        moment: datetime | None = getattr(item, column)
        if moment is not None:
            made[column] = moment.astimezone(old).replace(tzinfo=new)
    return made


def _choice(column: str, enum: type[ItemKind] | type[ItemState]) -> Callable[[Item, str, ZoneInfo], dict[str, Any]]:
    def set_choice(_item: Item, value: str, _zone: ZoneInfo) -> dict[str, Any]:
        try:
            return {column: enum(value.lower())}
        except ValueError:
            raise InvalidValue(f"'{value}' is no {column}.", hint=f"One of: {', '.join(enum)}.") from None

    return set_choice


_SETTERS: dict[str, Callable[[Item, str, ZoneInfo], dict[str, Any]]] = {
    "title": _title,
    "summary": _summary,
    "url": _link("url"),
    "published": _published,
    "year": _year,
    "starts": _starts,
    "ends": _ends,
    "timezone": _timezone,
    "place": _words("place"),
    "booking_url": _link("booking_url"),
    "image_url": _link("image_url"),
    "image_alt": _words("image_alt"),
    "image_credit": _words("image_credit"),
    "authors": _list("authors"),
    "categories": _list("categories"),
    "kind": _choice("kind", ItemKind),
    "state": _choice("state", ItemState),
}


def _moment(value: str, zone: ZoneInfo) -> datetime | date:
    try:
        if len(value) <= 10:
            return date.fromisoformat(value)
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise InvalidValue(
            f"'{value}' is no ISO 8601 date or time.", hint="Write 2026-12-03, or 2026-12-03T14:00."
        ) from None
    return moment.replace(tzinfo=zone) if moment.tzinfo is None else moment


def _check_span(times: Mapping[str, Any]) -> None:
    starts, ends = times["starts_at"] or times["starts_on"], times["ends_at"] or times["ends_on"]
    if ends is None:
        return
    if isinstance(starts, datetime) != isinstance(ends, datetime):
        raise InvalidValue("Start and end are a day and a time.", hint="Set both as days, or both as times.")
    if starts is not None and ends < starts:
        raise InvalidValue(f"The event would end ({ends}) before it starts ({starts}).")


def _only_events(item: Item, field: str) -> None:
    if item.kind is not ItemKind.EVENT:
        raise InvalidValue(
            f"Item {item.id} is a {item.kind.value}; only an event has '{field}'.", hint="Set kind=event first."
        )


def _zone_of(item: Item, zone: ZoneInfo) -> ZoneInfo:
    return ZoneInfo(item.timezone) if item.timezone else zone


def _stated_day(month_day: str, year: int) -> date:
    try:
        return date.fromisoformat(f"{year:04}-{month_day}")
    except ValueError:
        raise InvalidValue(f"There is no {month_day} in {year}.") from None


def _falls_on(month_day: str, year: int, weekday: str) -> bool:
    try:
        return date.fromisoformat(f"{year:04}-{month_day}").strftime("%A").lower() == weekday.lower()
    except ValueError:
        return False
