"""
Events as iCalendar: one as a file that a calendar takes in, and again when it has changed; all coming ones as a feed.

The UID stays the same for ever and the sequence number never falls, so a second download replaces the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from icalendar import Calendar
from icalendar import Event as CalendarEvent

from newsletter.render.fragments import safe_link
from newsletter.tables import Item, ItemState

REFRESH_HOURS = 6
PRODUCT = "-//network-newsletter//events//EN"


def calendar_file(item: Item, *, host: str, fallback_timezone: str) -> bytes | None:
    """
    Return the file of one event, or None when its day is not known.

    An occurrence of a repeating event gets a UID of its own: with the series' UID it would overwrite the series in
    the calendar of somebody who subscribed to that.

    Source: RFC 5545 3.6.1, 3.6.5 and 3.8; RFC 5546 3.2.1 (METHOD:PUBLISH).
    """
    event = _event(item, host, fallback_timezone)
    return bytes(_calendar([item], [event]).to_ical()) if event else None


def calendar_feed(items: Sequence[Item], *, host: str, fallback_timezone: str, name: str) -> bytes:
    """
    Return what a calendar subscribes to. Each event is the same as in its own file; one without a day is left out.

    Source: RFC 7986 5.1 and 5.7 (NAME, REFRESH-INTERVAL); X-PUBLISHED-TTL is what Outlook reads.
    """
    events = [event for item in items if (event := _event(item, host, fallback_timezone))]
    calendar = _calendar(items, events)
    for label in ("name", "x-wr-calname"):
        calendar.add(label, name)
    calendar.add("refresh-interval", timedelta(hours=REFRESH_HOURS), parameters={"VALUE": "DURATION"})
    calendar.add("x-published-ttl", f"PT{REFRESH_HOURS}H")
    return bytes(calendar.to_ical())


def _event(item: Item, host: str, fallback_timezone: str) -> CalendarEvent | None:
    event = CalendarEvent()
    if not _set_times(event, item, ZoneInfo(item.timezone or fallback_timezone)):
        return None
    event.add("uid", f"event-{item.id}@{host}")
    event.add("sequence", sequence_number(item.sequence, item.first_seen_at, item.updated_at))
    event.add("dtstamp", item.updated_at)
    event.add("last-modified", item.updated_at)
    event.add("summary", item.title)
    for name, value in (
        ("description", item.summary),
        ("location", item.place),
        ("url", safe_link(item.booking_url) or safe_link(item.url)),
    ):
        if value:
            event.add(name, value)
    event.add("status", "CANCELLED" if item.state is ItemState.CANCELLED else "CONFIRMED")
    return event


def _calendar(items: Sequence[Item], events: Sequence[CalendarEvent]) -> Calendar:
    calendar = Calendar()
    calendar.add("prodid", PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    for event in events:
        calendar.add_component(event)
    years = [item.starts_at.year for item in items if item.starts_at]
    if years:
        calendar.add_missing_timezones(first_date=date(min(years) - 1, 1, 1), last_date=date(max(years) + 2, 1, 1))
    return calendar


def sequence_number(stated: int, first_seen: datetime, updated: datetime) -> int:
    """
    Return a number that rises with each change.

    Many sources never count their changes, and a change by hand has no number at all; so the seconds until the last
    change are added to what the source states.
    """
    return stated + max(0, int((updated - first_seen).total_seconds()))


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
