"""
Days and times that a person types: ISO 8601; a time without a zone means the organisation's. And when an event is over.

No clock in here.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from newsletter.errors import InvalidValue


def parse_moment(text: str, zone: ZoneInfo) -> datetime:
    """
    Return the aware UTC time that *text* states.

    Raises:
        InvalidValue: When it is no ISO 8601 time, or a time that the clock of *zone* skips in spring.
    """
    try:
        stated = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InvalidValue(f"'{text}' is no time.", hint="Write it like 2026-11-25T09:30.") from None
    if len(text.strip()) <= len("2026-11-25"):
        raise InvalidValue(f"'{text}' is a day without a time.", hint=f"Write it like {text.strip()}T09:30.")
    if stated.tzinfo is not None:
        return stated.astimezone(UTC)
    moment = stated.replace(tzinfo=zone).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) != stated:
        raise InvalidValue(
            f"{text} does not exist in {zone.key}: the clock goes forward then.",
            hint="Choose an hour earlier or later, or write the zone: +00:00.",
        )
    return moment


def parse_start(text: str, zone: ZoneInfo) -> datetime:
    """Return the first moment of the day, or the time, that *text* states."""
    return _day_or_moment(text, zone, after_days=0)


def parse_end(text: str, zone: ZoneInfo) -> datetime:
    """Return the moment after the day, or the time, that *text* states: `--until 2026-11-30` holds all of that day."""
    return _day_or_moment(text, zone, after_days=1)


def first_moment(day: date, zone: ZoneInfo) -> datetime:
    """Return midnight at the start of *day* in *zone*, as UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def is_over(
    moment: datetime,
    *,
    starts: datetime | None,
    ends: datetime | None,
    starts_on: date | None,
    ends_on: date | None,
    zone: ZoneInfo,
) -> bool:
    """
    Say whether an event is over for somebody who reads of it at *moment*; one without a date never is.

    An event of one day is over once it has begun; one of several days when its last day or time is past.
    """
    if starts is not None:
        if starts.tzinfo is None:
            return False
        last = ends if ends is not None and ends.tzinfo is not None else starts
        several = last.astimezone(zone).date() > starts.astimezone(zone).date()
        return (last if several else starts) < moment
    if starts_on is not None:
        return max(ends_on or starts_on, starts_on) < moment.astimezone(zone).date()
    return False


def _day_or_moment(text: str, zone: ZoneInfo, *, after_days: int) -> datetime:
    try:
        day = date.fromisoformat(text.strip())
    except ValueError:
        return parse_moment(text, zone)
    return first_moment(day + timedelta(days=after_days), zone)
