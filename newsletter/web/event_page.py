"""An event as its page shows it, and as machines read it (schema.org); pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from markupsafe import Markup

from newsletter.render.dates import zone_of
from newsletter.render.fragments import safe_link
from newsletter.tables import Item, ItemState


@dataclass(frozen=True, slots=True)
class ShownEvent:
    """
    What the page of an event shows; times are local to it.

    Attributes:
        first: The day it begins; null while that is not known.
        last: The day it ends, where that is another one.
        hours: Such as ``14:00-16:00 GMT``; empty for whole days.
    """

    title: str
    first: date | None
    last: date | None
    hours: str
    place: str
    lines: tuple[str, ...]
    url: str
    booking_url: str
    is_cancelled: bool


def shown_event(item: Item, fallback: ZoneInfo) -> ShownEvent:
    start, end = _local(item, fallback)
    first = start.date() if start else item.starts_on
    last = end.date() if end else item.ends_on
    hours = ""
    if start:
        until = f"–{end:%H:%M}" if end else ""
        hours = f"{start:%H:%M}{until} {start.tzname() or ''}".strip()
    return ShownEvent(
        title=item.title,
        first=first,
        last=last if first and last and last > first else None,
        hours=hours,
        place=item.place or "",
        lines=tuple(line.strip() for line in item.summary.split("\n") if line.strip()),
        url=safe_link(item.url),
        booking_url=safe_link(item.booking_url),
        is_cancelled=item.state is ItemState.CANCELLED,
    )


def structured_data(item: Item, fallback: ZoneInfo, *, organisation: str, page_url: str) -> Markup | None:
    """
    Return the event as JSON-LD, safe inside a `script` element; None while its day is not known.

    A block of data is no script: nothing of it runs, and the policy of the page need not allow it.

    Source: https://schema.org/Event; HTML 4.12.1 (data blocks) and 4.12.1.3 (what may not stand in one).
    """
    start, end = _local(item, fallback)
    begins, ends = start or item.starts_on, end or item.ends_on
    if begins is None:
        return None
    cancelled = item.state is ItemState.CANCELLED
    data: dict[str, object] = {
        "@context": "https://schema.org",
        "@type": "Event",
        "name": item.title,
        "startDate": begins.isoformat(),
        "eventStatus": f"https://schema.org/{'EventCancelled' if cancelled else 'EventScheduled'}",
        "organizer": {"@type": "Organization", "name": organisation},
        "url": safe_link(item.url) or page_url,
    }
    if ends is not None:
        data["endDate"] = ends.isoformat()
    if item.place:
        data["location"] = {"@type": "Place", "name": item.place, "address": item.place}
    if item.summary:
        data["description"] = item.summary
    text = json.dumps(data, ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704  # no character that ends a script element is left in it


def _local(item: Item, fallback: ZoneInfo) -> tuple[datetime | None, datetime | None]:
    zone = zone_of(item.timezone) or fallback
    return (
        item.starts_at.astimezone(zone) if item.starts_at else None,
        item.ends_at.astimezone(zone) if item.ends_at and item.starts_at else None,
    )
