"""
An event as an iCalendar file that a calendar takes in, and takes in again when the event has changed.

The UID stays the same for ever and the sequence number never falls, so a second download replaces the first.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from icalendar import Calendar
from icalendar import Event as CalendarEvent

from newsletter.tables import Item, ItemState

PRODUCT = "-//network-newsletter//events//EN"


def calendar_file(item: Item, *, host: str, fallback_timezone: str) -> bytes | None:
    """
    Return the file of one event, or None when its day is not known.

    An occurrence of a repeating event gets a UID of its own: with the series' UID it would overwrite the series in
    the calendar of somebody who subscribed to that.

    Source: RFC 5545 3.6.1, 3.6.5 and 3.8; RFC 5546 3.2.1 (METHOD:PUBLISH).
    """
    event = CalendarEvent()
    if not _set_times(event, item, ZoneInfo(item.timezone or fallback_timezone)):
        return None
    event.add("uid", f"event-{item.id}@{host}")
    event.add("sequence", sequence_number(item.sequence, item.first_seen_at, item.updated_at))
    event.add("dtstamp", item.updated_at)
    event.add("last-modified", item.updated_at)
    event.add("summary", item.title)
    for name, value in (("description", item.summary), ("location", item.place), ("url", item.booking_url or item.url)):
        if value:
            event.add(name, value)
    event.add("status", "CANCELLED" if item.state is ItemState.CANCELLED else "CONFIRMED")
    calendar = Calendar()
    calendar.add("prodid", PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    calendar.add_component(event)
    if item.starts_at:
        year = item.starts_at.year
        calendar.add_missing_timezones(first_date=date(year - 1, 1, 1), last_date=date(year + 2, 1, 1))
    return bytes(calendar.to_ical())


def sequence_number(stated: int, first_seen: datetime, updated: datetime) -> int:
    """
    Return a number that rises with each change.

    Many sources never count their changes, and a change by hand has no number at all; so the minutes until the last
    change are added to what the source states.
    """
    return stated + max(0, int((updated - first_seen).total_seconds() // 60))


def _set_times(event: CalendarEvent, item: Item, zone: ZoneInfo) -> bool:
    if item.starts_at is not None:
        event.add("dtstart", item.starts_at.astimezone(zone))
        if item.ends_at is not None and item.ends_at > item.starts_at:
            event.add("dtend", item.ends_at.astimezone(zone))
        return True
    if item.starts_on is not None:
        last = max(item.ends_on or item.starts_on, item.starts_on)
        event.add("dtstart", item.starts_on)
        event.add("dtend", last + timedelta(days=1))  # the day after: DTEND is exclusive
        return True
    return False
