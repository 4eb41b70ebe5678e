"""Which IANA zone an event's times are told in; the instant itself is never changed by the answer."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, tzinfo
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

_TAIL = re.compile(r"([A-Za-z_]+/[A-Za-z_+-]+(?:/[A-Za-z_+-]+)?)$")


def moment_of(event: Any, name: str) -> date | datetime | None:
    """Return a property's date or time; null when it is absent, given twice, or damaged."""
    from icalendar.error import BrokenCalendarProperty

    try:
        found = getattr(event.get(name), "dt", None)
    except BrokenCalendarProperty:
        return None
    return found if isinstance(found, date) else None


@lru_cache(maxsize=256)
def iana_zone(name: str | None) -> ZoneInfo | None:
    """
    Return the zone that a TZID means: an IANA name, a Windows name, or one with a maker's prefix before it.

    Source: Unicode CLDR windowsZones for the Windows names.
    """
    from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

    if not name:
        return None
    plain = name.strip().strip('"').strip("/")
    tail = _TAIL.search(plain)
    for candidate in (plain, WINDOWS_TO_OLSON.get(plain, ""), tail[1] if tail else ""):
        if candidate in available_timezones():
            return ZoneInfo(candidate)
    return None


def zone_of(moment: datetime, tzid: str | None, default: ZoneInfo) -> ZoneInfo:
    """
    Return the zone in which to tell *moment*.

    UTC and zones that exist only inside the calendar are told in *default*: nobody announces a meeting in UTC.
    """
    key = getattr(moment.tzinfo, "key", None) or tzid
    found = iana_zone(key)
    if found is None or found.key in ("UTC", "Etc/UTC", "GMT", "Etc/GMT", "Zulu"):
        return default
    return found


def in_zone(moment: datetime, tzid: str | None, default: ZoneInfo) -> datetime:
    """Return *moment* aware: a floating time is meant in the zone that its TZID names, else in *default*."""
    if moment.tzinfo is None:
        return moment.replace(tzinfo=iana_zone(tzid) or default)
    return moment


def as_moment(day: date | datetime, zone: tzinfo) -> datetime:
    """Return the instant at which a day begins, or the time itself, in UTC; for comparing and sorting only."""
    if isinstance(day, datetime):
        return (day if day.tzinfo else day.replace(tzinfo=zone)).astimezone(UTC)
    return datetime.combine(day, time(), zone).astimezone(UTC)
