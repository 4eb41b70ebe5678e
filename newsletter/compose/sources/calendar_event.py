"""One VEVENT, already a single occurrence, turned into an item."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from newsletter.compose.cleaning import canonical_url, clean_html, clean_line, clean_title, summary_of
from newsletter.compose.sources.calendar_zones import in_zone, moment_of, zone_of
from newsletter.compose.sources.feed import guid_for
from newsletter.compose.sources.item import SourceItem
from newsletter.compose.sources.markup import clean_alt

_URL = re.compile(r"""https?://[^\s<>"'\\]+[^\s<>"'\\.,;:!?)\]]""")
_BOOKING_HOST = re.compile(
    r"(?i)//(?:[\w-]+\.)*(?:eventbrite\.\w+|tickettailor\.com|ticketsource\.\w+|trybooking\.com|bookwhen\.com|"
    r"forms\.office\.com|forms\.gle|meetup\.com|lu\.ma|zoom\.us/(?:meeting|webinar)/register)"
)
_BOOKING_WORD = re.compile(r"(?i)\b(?:book(?:ing|ings)?|regist(?:er|ration)|tickets?|sign[ -]?up|rsvp|reserve)\b")
_MARKUP = re.compile(r"(?i)<(?:a|p|br|b|i|ul|ol|li|div|span|strong|em|html)\b[^>]*>")


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A component and where it belongs: `recurrence_id` is null for an event that does not repeat."""

    component: Any
    recurrence_id: str | None
    cancelled: bool = False


def recurrence_id_of(original: date | datetime, zone: ZoneInfo) -> str:
    """Return the name of an occurrence in its series: its original start, in UTC, so that no zone's spelling counts."""
    if isinstance(original, datetime):
        return in_zone(original, None, zone).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    return original.strftime("%Y%m%d")


def event_item(occurrence: Occurrence, default: ZoneInfo) -> SourceItem:
    """Return the item; DTSTART is present."""
    event = occurrence.component
    uid = clean_line(event.get("UID") or "", limit=500) or guid_for(event.get("SUMMARY"), event["DTSTART"].dt)
    raw = _text(event, "DESCRIPTION")
    markup = _text(event, "X-ALT-DESC") or (raw if _MARKUP.search(raw) else _as_html(raw))
    summary, truncated = summary_of(markup)
    url = canonical_url(_text(event, "URL"))
    image_url, image_alt = _image(event)
    created = moment_of(event, "CREATED")
    return SourceItem(
        guid=uid if occurrence.recurrence_id is None else f"{uid}/{occurrence.recurrence_id}",
        kind="event",
        title=clean_title(html.escape(_text(event, "SUMMARY"), quote=False)) or "(untitled event)",
        summary=summary,
        body_html=clean_html(markup),
        truncated=truncated,
        url=url,
        published=created.astimezone(UTC) if isinstance(created, datetime) and created.tzinfo else None,
        authors=_organiser(event),
        categories=_categories(event),
        image_url=image_url,
        image_alt=image_alt,
        place=clean_line(_text(event, "LOCATION"), limit=500) or None,
        booking_url=_booking_url(event, raw, url),
        uid=uid,
        recurrence_id=occurrence.recurrence_id,
        sequence=sequence_of(event),
        cancelled=occurrence.cancelled or _text(event, "STATUS").upper() == "CANCELLED",
        **_times(event, default),
    )


def sequence_of(event: Any) -> int:
    try:
        return max(0, min(int(event.get("SEQUENCE", 0)), 2**31 - 1))
    except (TypeError, ValueError):
        return 0


def ends_of(event: Any) -> date | datetime | None:
    """Return DTEND, or DTSTART and DURATION; null when the event states neither."""
    ends = moment_of(event, "DTEND")
    if ends is not None or "DURATION" not in event:
        return ends
    try:
        duration = event["DURATION"].dt
    except (ValueError, AttributeError):
        return None
    starts: date = event["DTSTART"].dt
    return starts + duration if isinstance(duration, timedelta) else None


def _times(event: Any, default: ZoneInfo) -> dict[str, Any]:
    starts, ends = event["DTSTART"].dt, ends_of(event)
    if not isinstance(starts, datetime):
        last = ends.date() if isinstance(ends, datetime) else ends
        # DTEND of a whole day is the day after the last (RFC 5545 3.6.1); some write the same day.
        inclusive = last - timedelta(days=1) if last is not None and last > starts else starts
        return {"starts_on": starts, "ends_on": inclusive, "timezone": default.key}
    tzid = event["DTSTART"].params.get("TZID")
    aware = in_zone(starts, tzid, default)
    zone = zone_of(aware, tzid, default)
    if not isinstance(ends, datetime) or ends == starts:
        ends = None  # neither a day nor the start itself says when it is over
    end_tzid = event["DTEND"].params.get("TZID") if "DTEND" in event else tzid
    return {
        "starts": aware.astimezone(zone),
        "ends": in_zone(ends, end_tzid, default).astimezone(zone) if ends else None,
        "timezone": zone.key,
    }


def _text(event: Any, name: str) -> str:
    value = event.get(name)
    return str((value[0] if value else "") if isinstance(value, list) else (value if value is not None else ""))


def _as_html(text: str) -> str:
    paragraphs = re.split(r"\n\s*\n", html.escape(text.strip(), quote=False))
    return "".join(f"<p>{p.replace(chr(10), '<br>')}</p>" for p in paragraphs if p.strip())


def _organiser(event: Any) -> tuple[str, ...]:
    organiser = event.get("ORGANIZER")
    name = clean_line(getattr(organiser, "params", {}).get("CN", "")) if organiser is not None else ""
    return (name,) if name and "@" not in name else ()


def _categories(event: Any) -> tuple[str, ...]:
    found = event.get("CATEGORIES")
    lists = found if isinstance(found, list) else [found] if found is not None else []
    names = [clean_line(str(name)) for group in lists for name in getattr(group, "cats", [group])]
    return tuple(dict.fromkeys(name for name in names if name))


def _image(event: Any) -> tuple[str | None, str | None]:
    for name in ("IMAGE", "ATTACH"):
        found = event.get(name)
        for value in found if isinstance(found, list) else [found] if found is not None else []:
            params = getattr(value, "params", {})
            if name == "IMAGE" or str(params.get("FMTTYPE", "")).startswith("image/"):
                url = canonical_url(str(value))
                if url:
                    return url, clean_alt(_described(params))
    return None, None


def _described(params: Any) -> str:
    """ALTREP is the address of another form of it (RFC 7986 6.1), yet some calendars put words there."""
    words = clean_line(str(params.get("ALTREP", "") or ""))
    return "" if re.match(r"[A-Za-z][\w+.-]*:\S", words) else words


def _booking_url(event: Any, description: str, url: str | None) -> str | None:
    """Return the link to book: one that leads to a booking service, or that the text before it offers for booking."""
    named = canonical_url(_text(event, "X-BOOKING-URL") or _text(event, "X-TICKETS-URL"))
    if named:
        return named
    text = html.unescape(description)
    for found in _URL.finditer(text):
        before = text[max(0, found.start() - 60) : found.start()].rpartition("\n")[2]
        path = found.group().partition("//")[2].partition("/")[2]
        if _BOOKING_HOST.search(found.group()) or _BOOKING_WORD.search(before) or _BOOKING_WORD.search(path):
            return canonical_url(found.group())
    return url if url and _BOOKING_HOST.search(url) else None
