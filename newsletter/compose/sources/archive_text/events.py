"""
Day, time and place of an event, as far as its post states them, and what is missing for the chair to fill in.

A time becomes aware in the organisation's zone only when day, month, year and time are all stated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from zoneinfo import ZoneInfo

from newsletter.compose.sources.archive_text.dates import WEEKDAYS, StatedDate, StatedTimes, find_times
from newsletter.compose.sources.archive_text.phrases import one_of

LONGEST_PLACE = 120
NEAR = 400  # characters after the day in which its time and place are looked for
BEFORE_DAY = 80
SENTENCE = 200
BESIDE_DAY = 60  # characters between a day and "in Leeds"


@dataclass(frozen=True, slots=True)
class EventFacts:
    """What is known; `stated` holds the words' meaning even where it does not make a whole date."""

    starts: datetime | None = None
    ends: datetime | None = None
    starts_on: date | None = None
    ends_on: date | None = None
    place: str | None = None
    stated: dict[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    problem: str | None = None


_LABEL = re.compile(
    r"^(?P<label>venue|location|where|place|address|time|times|when|date|dates)\s?:\s?(?P<value>.+)$", re.IGNORECASE
)
_PLACE_LABELS = ("venue", "location", "where", "place", "address")
_WORDS = (
    r"(?:[A-Z0-9][\w.&’'/-]*(?:,?\s(?:[A-Z0-9][\w.&’'/-]*|of|the|and|&|on|in|at|de|upon|under|le|next|to|for)){0,14})"
)
# "at the Guildhall", "at our warehouse on Mill Lane"; "in" names a place only close behind the day, else a region.
_PLACE = re.compile(
    r"\b(?:(?P<in>in)|[Aa]t|@|(?:[Cc]ome(?:\salong)?|invited)\sto|(?:[Pp]op|[Dd]rop)\sin\s?to)\s"
    r"(?!\d{1,2}(?:[.:]\d\d\b|(?:[.:]\d\d)?\s?[ap]\.?m\b))"  # "at 7pm at the Town Hall"
    rf"(?P<place>(?:(?:our|the|your)\s(?:(?:[a-z]{{3,12}}\s){{1,3}}(?:on|in|at)\s(?:the\s)?)?)?{_WORDS})"
)
_PLACE_AFTER_TIME = re.compile(
    rf"(?:[ap]\.?m\.?|hrs|noon|\d{{4}}|\d[.:]\d\d),\s(?P<place>(?:the\s)?(?=[A-Z]|\d+[a-z]?\s[A-Z]){_WORDS})(?=\.?$|[.!?]\s)"
)
_TRAILING_SMALL = re.compile(r"(?:,|\s(?:of|the|and|&|on|in|at|de|upon|under|le|next|to|for))+$")
_MONTH_OR_DAY = (
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December"
    r"|Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)\b"
)
_NO_PLACE = re.compile(
    rf"(?:(?:our|the|your)\s)?(?:{_MONTH_OR_DAY}|(?:Spring|Summer|Autumn|Winter|Christmas|Easter)\b)"
)
_PLACE_ENDS = re.compile(
    one_of(
        rf"""
        \s(?:on|from|for|to|at|and|in)\s(?:the\s)?(?:\d|{_MONTH_OR_DAY})
        ,\s(?:\d{{1,2}}(?:[.:]\d\d)?\s?(?:am|pm|-|–|to)|{_MONTH_OR_DAY})
        \s\d{{1,2}}(?:[.:]\d\d)?\s?(?:am|pm)\b
        \.\s
        [.!?]$
        """
    )
)
_ONLINE = re.compile(
    r"\b(?:[Oo]nline,?|[Vv]ia|[Oo]n|[Oo]ver)\s(?:via\s|on\s)?\(?(?:via\s|on\s)?"
    r"(?P<tool>Zoom|Microsoft Teams|Teams|Google Meet|Webex|YouTube)\b"
)
_ABBREVIATIONS = ("St.", "Rd.", "Ave.", "Dr.", "Ct.")


def labelled_facts(paragraphs: list[str]) -> dict[str, str]:
    """Read lines such as "Venue: Town Hall", lower-case label first."""
    facts: dict[str, str] = {}
    for paragraph in paragraphs:
        match = _LABEL.match(paragraph[:300])
        if match:
            facts.setdefault(match["label"].lower(), match["value"].strip())
    return facts


def event_facts(
    title: str,
    paragraphs: list[str],
    *,
    day: StatedDate | None,
    text_dates: list[StatedDate],
    timezone: str,
    truncated: bool,
) -> EventFacts:
    """Gather what a call for an event states about *day*, the date found to be its own."""
    text = " ".join(paragraphs)
    labels = labelled_facts(paragraphs)
    day, after = _completed(day, text_dates)
    times = _times(title, text, after, labels)
    place, cut_place = _place(text, after, labels, truncated=truncated)
    if place is None and cut_place is None and _PLACE_AFTER_TIME.search(title):
        place = next((name for name, _ in _named_places(title)), None)
    stated = _stated(day, times)
    if cut_place:
        stated["place"] = cut_place
    facts = EventFacts(
        place=place, stated=stated, missing=_missing(day, times, place), problem=_contradiction(title, day)
    )
    return _dated(facts, day, times, timezone)


def _completed(day: StatedDate | None, text_dates: list[StatedDate]) -> tuple[StatedDate | None, int]:
    """Add weekday and year from another place that states the same day; also say where the text goes on after it."""
    if day is None or day.day is None:
        return day, day.at if day in text_dates else 0
    same = [stated for stated in text_dates if stated.month_and_day == day.month_and_day]
    for stated in same:
        if day.year is not None and stated.year not in {None, day.year}:
            continue
        day = replace(
            day,
            weekday=day.weekday or stated.weekday,
            year=day.year or stated.year,
            last_day=day.last_day or stated.last_day,
            last_month=day.last_month or stated.last_month,
        )
    return day, same[0].at if same else 0


def _times(title: str, text: str, after: int, labels: dict[str, str]) -> StatedTimes | None:
    """Look where a time is surest to be the event's: labelled, in the title, after the day, just before it."""
    labelled = (labels.get(label, "") for label in ("time", "times", "when"))
    places = (*labelled, title, text[after : after + NEAR], text[max(0, after - BEFORE_DAY) : after])
    found = [list(find_times(words)) for words in places]
    spans = [times for place in found for times in place if times.ends]
    return next(iter(spans), None) or next((times for place in found for times in place), None)


def _stated(day: StatedDate | None, times: StatedTimes | None) -> dict[str, str]:
    stated: dict[str, str] = {}
    if day is not None:
        if day.month_and_day is not None:
            stated["day"] = day.month_and_day
        if day.as_written is not None:
            stated["as_written"] = day.as_written
        if day.last_day is not None:
            stated["last_day"] = f"{day.last_month or day.month:02d}-{day.last_day:02d}"
        if day.also is not None:
            stated["also"] = f"{day.month:02d}-{day.also:02d}"
        if day.weekday:
            stated["weekday"] = day.weekday
        if day.full is not None:
            stated["date"] = day.full.isoformat()
    if times is not None:
        stated["from"] = times.starts.strftime("%H:%M")
        if times.ends is not None:
            stated["to"] = times.ends.strftime("%H:%M")
    return stated


def _missing(day: StatedDate | None, times: StatedTimes | None, place: str | None) -> tuple[str, ...]:
    gaps = {
        "date": day is None or day.day is None,
        "year": day is not None and day.day is not None and day.year is None,
        "time": times is None,
        "place": place is None,
    }
    return tuple(name for name, is_missing in gaps.items() if is_missing)


def _dated(facts: EventFacts, day: StatedDate | None, times: StatedTimes | None, timezone: str) -> EventFacts:
    if day is None or day.full is None:
        return facts
    last = day.last if day.last is not None and day.last > day.full else day.full
    if times is None:
        return replace(facts, starts_on=day.full, ends_on=last)
    zone = ZoneInfo(timezone)
    starts = datetime.combine(day.full, times.starts, zone)
    ends = datetime.combine(last, times.ends, zone) if times.ends is not None else None
    return replace(facts, starts=starts, ends=ends)


def _contradiction(title: str, day: StatedDate | None) -> str | None:
    """A weekday that is not that of its date is for the chair to settle; the date is kept as it is stated."""
    if day is None or day.full is None or day.weekday is None:
        return None
    actual = WEEKDAYS[day.full.weekday()]
    if actual == day.weekday:
        return None
    return (
        f"{title!r} says {day.weekday} {day.full.isoformat()}, which is a {actual}: check the day with the organiser."
    )


def _place(text: str, after: int, labels: dict[str, str], *, truncated: bool) -> tuple[str | None, str | None]:
    """
    Find the place: on a line of its own, named after the day, or before it in the same sentence.

    Returns:
        The place, and separately one that the page cut in the middle, of which it is not known how it goes on.
    """
    for label in _PLACE_LABELS:
        value = labels.get(label)
        if value and not next(iter(find_times(value)), None):
            return value.rstrip("."), None
    near = text[after : after + NEAR]
    for place, whole in _named_places(near):
        cut = truncated and whole and after + NEAR >= len(text)
        return (None, place) if cut else (place, None)
    sentence = re.split(r"[.!?]\s", text[max(0, after - SENTENCE) : after])[-1]
    for place, _ in _named_places(sentence):
        return place, None
    online = _ONLINE.search(text[:2000])
    return (f"Online ({online['tool']})", None) if online else (None, None)


def _named_places(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the names of places, each with whether it runs to the very end of the text."""
    for match in (*_PLACE_AFTER_TIME.finditer(text), *_PLACE.finditer(text)):
        words = match["place"]
        region = match.re is _PLACE and match["in"] and match.start() > BESIDE_DAY
        if region or _NO_PLACE.match(words):
            continue
        end = _PLACE_ENDS.search(words)
        while end is not None and words[: end.start() + 1].endswith(_ABBREVIATIONS):
            end = _PLACE_ENDS.search(words, end.end())
        place = _TRAILING_SMALL.sub("", words[: end.start()] if end else words).strip(" .,")
        place = re.sub(r"^(?:the |our (?=[A-Z]))", "", place)
        if 3 <= len(place) <= LONGEST_PLACE:
            yield place, end is None and match.end() == len(text)
