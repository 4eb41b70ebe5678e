"""
Read iCalendar: each occurrence within the window is an item of its own, named by UID and RECURRENCE-ID.

One bad event never costs the others, and no rule can keep the machine busy: what does not repeat is read first,
repetition is expanded only within the window, series by series, and rules that never fall due, go back too far or
repeat more often than daily are left out.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from newsletter.compose.cleaning import clean_line
from newsletter.compose.sources.calendar_event import Occurrence, ends_of, event_item, recurrence_id_of, sequence_of
from newsletter.compose.sources.calendar_rules import check_rule
from newsletter.compose.sources.calendar_zones import as_moment, iana_zone, moment_of
from newsletter.compose.sources.item import Reading, SourceItem
from newsletter.compose.sources.xml_guard import MAX_ITEMS, decode
from newsletter.errors import SourceError

ACCEPT = "text/calendar, */*;q=0.5"
BEHIND, AHEAD = timedelta(days=30), timedelta(days=400)
MAX_OCCURRENCES_A_SERIES = 500
SECONDS_FOR_SERIES = 5.0
_EVENT = re.compile(r"(?ims)^BEGIN:VEVENT[ \t]*\r?$.*?^END:VEVENT[ \t]*\r?$")
_ZONE = re.compile(r"(?ims)^BEGIN:VTIMEZONE[ \t]*\r?$.*?^END:VTIMEZONE[ \t]*\r?$")
_TOO_OFTEN = re.compile(r"(?i)FREQ=(?:SECONDLY|MINUTELY|HOURLY)")
_PREFIXED_ZONE = re.compile(r"""(?i)(\bTZID[=:])"?(/[^":;\n]+)"?""")
_HEADER = re.compile(r"(?im)^(X-WR-TIMEZONE|METHOD)(?:;[^:\r\n]*)?:(.+?)[ \t]*\r?$")
_parsing = threading.Lock()  # icalendar remembers a calendar's own zones for the whole process


@dataclass(frozen=True, slots=True)
class Window:
    """From when to when occurrences are wanted."""

    start: datetime
    end: datetime

    @classmethod
    def around(cls, now: datetime, *, behind: timedelta = BEHIND, ahead: timedelta = AHEAD) -> Window:
        return cls(now - behind, now + ahead)

    def holds(self, starts: datetime, ends: datetime) -> bool:
        return starts <= self.end and max(ends, starts) >= self.start


@dataclass(slots=True)
class _Trouble:
    """What went wrong so far; `incomplete` when an event may be missing that the calendar holds."""

    problems: list[str] = field(default_factory=list)
    incomplete: bool = False

    def lost(self, problem: str) -> None:
        self.problems.append(problem)
        self.incomplete = True


def read_calendar(
    body: bytes,
    *,
    timezone: str,
    now: datetime,
    content_type: str = "",
    cut: bool = False,
    window: Window | None = None,
) -> Reading:
    """
    Return the occurrences of a calendar, those to come first.

    Args:
        timezone: The organisation's zone, in which floating times are meant and UTC is told.
        cut: The body is only the beginning of the calendar.

    Raises:
        SourceError: When it is no calendar.
    """
    text = _plain_lines(decode(body, content_type))
    if "BEGIN:VCALENDAR" not in text.upper():
        raise SourceError("It is no calendar: there is no BEGIN:VCALENDAR.", hint="Give the address of an .ics file.")
    headers = {name.upper(): value for name, value in _HEADER.findall(text.partition("BEGIN:VEVENT")[0])}
    zone = iana_zone(headers.get("X-WR-TIMEZONE")) or ZoneInfo(timezone)
    trouble = _Trouble()
    if cut or "END:VCALENDAR" not in text.upper():
        trouble.lost("The calendar ends early; the whole events before its end were read.")
    window = window or Window.around(now)
    occurrences = _occurrences(_components(text, trouble), window, zone, trouble)
    all_cancelled = headers.get("METHOD", "").upper() == "CANCEL"
    items = [_item(o, zone, trouble, all_cancelled=all_cancelled) for o in occurrences]
    kept = _in_order([item for item in items if item is not None], now, zone)
    if len(kept) > MAX_ITEMS:
        trouble.lost(f"Only {MAX_ITEMS} occurrences were kept, the next ones first; the calendar holds {len(kept)}.")
    return Reading(tuple(kept[:MAX_ITEMS]), tuple(dict.fromkeys(trouble.problems)), complete=not trouble.incomplete)


def _plain_lines(text: str) -> str:
    """Normalise line ends (a lone CR is one too), and zones named with a maker's prefix to their IANA name."""

    def plain_name(found: re.Match[str]) -> str:
        zone = iana_zone(found[2])
        return f"{found[1]}{zone.key}" if zone else found[0]

    return _PREFIXED_ZONE.sub(plain_name, text.replace("\r\n", "\n").replace("\r", "\n"))


def _components(text: str, trouble: _Trouble) -> list[Any]:
    """Return the events, each parsed so that a broken one is named and the others stay."""
    from icalendar import Calendar
    from icalendar.timezone import tzp

    zones = "\n".join(z for z in _ZONE.findall(text) if not _TOO_OFTEN.search(z))
    blocks = _EVENT.findall(text)

    def parse(events: str) -> list[Any]:
        whole = f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//reader//\n{zones}\n{events}\nEND:VCALENDAR\n"
        return list(Calendar.from_ical(whole).walk("VEVENT"))

    with _parsing:
        tzp.use_zoneinfo()
        try:
            return parse("\n".join(blocks))
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError):
            return [event for block in blocks for event in _parse_one(parse, block, trouble)]


def _parse_one(parse: Any, block: str, trouble: _Trouble) -> list[Any]:
    try:
        found: list[Any] = parse(block)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        trouble.lost(f"The event '{_named(block)}' cannot be read ({clean_line(error, limit=120)}); it was left out.")
        return []
    return found


def _named(block: str) -> str:
    found = re.search(r"(?im)^SUMMARY[^:\n]*:(.*)$", block) or re.search(r"(?im)^UID[^:\n]*:(.*)$", block)
    return clean_line(found[1], limit=80) if found else "without a name"


def _occurrences(events: list[Any], window: Window, zone: ZoneInfo, trouble: _Trouble) -> Iterator[Occurrence]:
    deadline = time.monotonic() + SECONDS_FOR_SERIES
    for number, series in enumerate(sorted(_by_series(events, zone, trouble), key=_repeats)):
        if _repeats(series) and time.monotonic() > deadline:
            trouble.lost(f"The calendar is too large to expand: only {number} of its events were read.")
            return
        try:
            yield from _expand(series, window, zone, trouble)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, IndexError, ZeroDivisionError) as error:
            name = clean_line(series[0].get("SUMMARY", "without a name"), limit=80)
            trouble.lost(f"The event '{name}' cannot be read ({clean_line(error, limit=120)}); it was left out.")


def _by_series(events: list[Any], zone: ZoneInfo, trouble: _Trouble) -> list[list[Any]]:
    """
    Return the events grouped by UID, of each name only the newest by SEQUENCE; private ones are no news.

    An event without a start is a problem of that event alone.
    """
    newest: dict[tuple[str, str], Any] = {}
    for event in events:
        if str(event.get("CLASS", "PUBLIC")).upper() in ("PRIVATE", "CONFIDENTIAL"):
            continue
        name = clean_line(event.get("SUMMARY") or event.get("UID") or "without a name", limit=80)
        if moment_of(event, "DTSTART") is None:
            trouble.problems.append(f"The event '{name}' has no start that can be read; it was left out.")
            continue
        uid = str(event.get("UID") or f"\x00{len(newest)}")
        original = moment_of(event, "RECURRENCE-ID")
        key = uid, recurrence_id_of(original, zone) if original is not None else ""
        if key not in newest or _age(event) >= _age(newest[key]):
            newest[key] = event
    series: dict[str, list[Any]] = {}
    for (uid, _original), event in newest.items():
        series.setdefault(uid, []).append(event)
    return list(series.values())


def _age(event: Any) -> tuple[int, datetime]:
    changed = moment_of(event, "LAST-MODIFIED") or moment_of(event, "DTSTAMP")
    known = changed if isinstance(changed, datetime) and changed.tzinfo else datetime.min.replace(tzinfo=UTC)
    return sequence_of(event), known


def _expand(series: list[Any], window: Window, zone: ZoneInfo, trouble: _Trouble) -> Iterator[Occurrence]:
    if not _repeats(series):
        for event in series:
            original = moment_of(event, "RECURRENCE-ID")
            if window.holds(*_span(event, zone)):
                yield Occurrence(event, recurrence_id_of(original, zone) if original is not None else None)
        return
    master = next(event for event in series if "RECURRENCE-ID" not in event)
    rules = master.get("RRULE")
    for rule in rules if isinstance(rules, list) else [rules] if rules is not None else []:
        check_rule(rule, as_moment(master["DTSTART"].dt, zone), window.end)
    yield from _expand_rule(series, window, zone, trouble)


def _repeats(series: list[Any]) -> bool:
    return any("RECURRENCE-ID" not in event and ("RRULE" in event or "RDATE" in event) for event in series)


def _expand_rule(series: list[Any], window: Window, zone: ZoneInfo, trouble: _Trouble) -> Iterator[Occurrence]:
    import recurring_ical_events
    from icalendar import Calendar

    calendar = Calendar()
    for event in series:
        calendar.add_component(event)
    master = next(event for event in series if "RECURRENCE-ID" not in event)
    series_cancelled = str(master.get("STATUS", "")).upper() == "CANCELLED"
    found = recurring_ical_events.of(calendar).between(window.start, window.end)
    if len(found) > MAX_OCCURRENCES_A_SERIES:
        name = clean_line(master.get("SUMMARY", ""), limit=80)
        trouble.lost(f"'{name}' has {len(found)} occurrences; the first {MAX_OCCURRENCES_A_SERIES} were read.")
    for event in sorted(found, key=lambda e: as_moment(e["DTSTART"].dt, zone))[:MAX_OCCURRENCES_A_SERIES]:
        original = moment_of(event, "RECURRENCE-ID") or event["DTSTART"].dt
        yield Occurrence(event, recurrence_id_of(original, zone), cancelled=series_cancelled)


def _span(event: Any, zone: ZoneInfo) -> tuple[datetime, datetime]:
    starts: date = event["DTSTART"].dt
    ends = ends_of(event)
    return as_moment(starts, zone), as_moment(ends if ends is not None else starts, zone)


def _item(occurrence: Occurrence, zone: ZoneInfo, trouble: _Trouble, *, all_cancelled: bool) -> SourceItem | None:
    if all_cancelled:
        occurrence = Occurrence(occurrence.component, occurrence.recurrence_id, cancelled=True)
    try:
        return event_item(occurrence, zone)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        name = clean_line(occurrence.component.get("SUMMARY", "without a name"), limit=80)
        trouble.lost(f"The event '{name}' cannot be read ({clean_line(error, limit=120)}); it was left out.")
        return None


def _in_order(items: list[SourceItem], now: datetime, zone: ZoneInfo) -> list[SourceItem]:
    """Those to come by date, then those that are over, the latest first: a cap cuts what matters least."""

    def starts(item: SourceItem) -> datetime:
        moment = item.starts or item.starts_on
        assert moment is not None
        return as_moment(moment, zone)

    named = {item.guid: item for item in items}.values()
    ahead = sorted((i for i in named if starts(i) >= now), key=lambda i: (starts(i), i.guid))
    over = sorted((i for i in named if starts(i) < now), key=lambda i: (starts(i), i.guid), reverse=True)
    return [*ahead, *over]
