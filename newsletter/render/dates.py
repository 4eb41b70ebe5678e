"""When an event is, in words and as a date tile, in the language of the issue; pure."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel.dates import format_date

from newsletter.compose.content import Event
from newsletter.compose.language import locale_of

LONG_DAY = "EEEE d MMMM y"


def long_day(day: date, language: str) -> str:
    return format_date(day, LONG_DAY, locale=locale_of(language))


def zone_of(name: str | None) -> ZoneInfo | None:
    """Return the zone, or none for a name that no database of zones holds: calendars carry names of their own."""
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def local_times(event: Event) -> tuple[datetime | None, datetime | None]:
    """Return start and end in the event's own zone."""
    zone = zone_of(event.timezone)
    if event.starts is None or zone is None:
        return event.starts, event.ends
    return event.starts.astimezone(zone), event.ends.astimezone(zone) if event.ends else None


def when(event: Event, language: str, words: dict[str, str]) -> str:
    """Return the day and time in words, with the zone: ``Thursday 12 November 2026, 14:00 to 17:00 GMT``."""
    if event.starts is None and event.starts_on is None:
        return words["date_to_follow"]
    if event.starts is None:
        return f"{_days(event, language, words)}, {words['all_day']}"
    start, end = local_times(event)
    assert start is not None
    zone = start.tzname() or ""
    if end is None:
        return f"{long_day(start, language)}, {start:%H:%M} {zone}".strip()
    if end.date() == start.date():
        return f"{long_day(start, language)}, {start:%H:%M} {words['to']} {end:%H:%M} {zone}".strip()
    first = f"{long_day(start, language)}, {start:%H:%M}"
    return f"{first} {words['to']} {long_day(end, language)}, {end:%H:%M} {end.tzname() or ''}".strip()


def tile(event: Event, language: str) -> dict[str, str] | None:
    """Return month, day and weekday for the block beside the event; none while the date is unknown."""
    start, end = local_times(event)
    first = start.date() if start else event.starts_on
    if first is None:
        return None
    last = end.date() if end else event.ends_on
    locale = locale_of(language)
    several = last is not None and first < last and (first.year, first.month) == (last.year, last.month)
    return {
        "month": format_date(first, "LLL", locale=locale),
        "day": f"{first.day}–{last.day}" if several and last else str(first.day),
        "several": "yes" if several else "",
        "weekday": format_date(first, "ccc", locale=locale),
    }


def _days(event: Event, language: str, words: dict[str, str]) -> str:
    first, last = event.starts_on, event.ends_on
    assert first is not None
    if last is None or last <= first:
        return long_day(first, language)
    return f"{long_day(first, language)} {words['to']} {long_day(last, language)}"
