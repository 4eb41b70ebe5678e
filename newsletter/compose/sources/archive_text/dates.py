"""
Dates and times as people write them -> what exactly they state; nothing is completed that was not written.

A year that is not there stays None and is never worked out from a weekday; an ambiguous 03/04/2019 is kept as written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, time

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
SEASONS = ("spring", "summer", "autumn", "winter", "christmas", "easter")

_MONTH = (
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December"
    r"|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept|Sep|Oct|Nov|Dec)\b\.?"
)
_WEEKDAY = (
    r"(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday|Mon|Tues|Tue|Weds|Wed|Thurs|Thur|Thu|Fri|Sat|Sun)"
)
_DAY = r"\d{1,2}(?:\s?(?:st|nd|rd|th))?\b"
_DASH = r"\s?(?:-|–|—|−|to|and|&|until)\s?"
# A year of two digits counts only where nothing but a closing mark follows: "5 Nov 20 volunteers came" has no year.
_YEAR = r"(?:\d{4}(?!\d)|['’]?\d{2}(?=[)\];.]?\s*$|[)\];]))"

_DATE = re.compile(
    rf"""(?<![\w£$€/.:-])(?:
      (?P<iso>\d{{4}}-\d{{2}}-\d{{2}})(?![\d-])
    | (?P<numeric>\d{{1,2}}(?P<mark>[/.])\d{{1,2}}(?P=mark)\d{{4}})(?![\d/])
    | (?:(?P<weekday>{_WEEKDAY})\b\.?,?\s(?:the\s)?)?
      (?P<day>{_DAY})(?:(?P<link>{_DASH})(?:{_WEEKDAY}\s)?(?P<day2>{_DAY}))?\s?(?:of\s)?(?P<month>{_MONTH})
      (?:,?\s(?P<year>{_YEAR}))?
    | (?:(?P<weekday_b>{_WEEKDAY})\b\.?,?\s)?
      (?P<month_b>{_MONTH})\s(?:the\s)?(?P<day_b>{_DAY})(?:(?P<link_b>{_DASH})(?P<day2_b>{_DAY}))?(?![\d-])
      (?:,?\s(?P<year_b>\d{{4}})(?!\d))?
    | (?P<first_month>{_MONTH}){_DASH}(?P<last_month>{_MONTH}),?\s(?P<year_r>\d{{4}})(?!\d)
    | (?P<month_m>{_MONTH}),?\s(?P<year_m>\d{{4}})(?!\d)
    | (?P<season>Spring|Summer|Autumn|Winter|Christmas|Easter),?\s(?P<year_s>\d{{4}})(?!\d)
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_BETWEEN_DAYS = re.compile(r"\s?(?:-|–|—|to|until)\s?", re.IGNORECASE)
_WEEKDAY_AFTER = re.compile(rf",?\s?\(?({_WEEKDAY})\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class StatedDate:
    """
    One date in a text, as far as it is stated.

    Attributes:
        at, end: Where its words stand in the text.
        last_day, last_month: The last day of a span of days.
        also: A second day of the same month that is no end of a span ("4 and 11 October").
        months: First and last month as YYYY-MM, where no day is stated.
        season: As written, for example ``spring 2019``.
        as_written: Set only for a numeric date whose order of day and month cannot be known.
    """

    at: int
    end: int
    day: int | None = None
    month: int | None = None
    year: int | None = None
    weekday: str | None = None
    last_day: int | None = None
    last_month: int | None = None
    also: int | None = None
    months: tuple[str, str] | None = None
    season: str | None = None
    as_written: str | None = None

    @property
    def full(self) -> date | None:
        """The date, when day, month and year are all stated."""
        if self.day is None or self.month is None or self.year is None:
            return None
        return date(self.year, self.month, self.day)

    @property
    def last(self) -> date | None:
        """The last day of a span of days with a year."""
        if self.last_day is None or self.year is None:
            return None
        return date(self.year, self.last_month or self.month or 1, self.last_day)

    @property
    def month_and_day(self) -> str | None:
        return None if self.day is None else f"{self.month:02d}-{self.day:02d}"


def find_dates(text: str, *, day_first: bool = False) -> list[StatedDate]:
    """
    List the dates of a text in reading order.

    Args:
        day_first: Whether 03/04/2019 is known to be in April; otherwise it is kept as written.
    """
    found: list[StatedDate] = []
    for stated in _each_date(text, day_first):
        if found and _joins(text, found[-1], stated):
            found[-1] = _span(found[-1], stated)
        else:
            found.append(stated)
    return found


def proves_day_first(text: str) -> bool:
    """Say whether a page writes a numeric date that can only be day first (31/12/2019), and none that cannot."""
    pairs = [(int(a), int(b)) for a, b in re.findall(r"(?<![\d/])(\d{1,2})/(\d{1,2})/\d{4}(?![\d/])", text)]
    return any(12 < a <= 31 and 1 <= b <= 12 for a, b in pairs) and not any(b > 12 for _, b in pairs)


def _each_date(text: str, day_first: bool) -> Iterator[StatedDate]:
    for match in _DATE.finditer(text):
        stated = _read(match, day_first)
        if stated is None:
            continue
        after = _WEEKDAY_AFTER.match(text, stated.end)
        if stated.day is not None and stated.weekday is None and after is not None and after[1][0].isupper():
            stated = replace(stated, weekday=_weekday(after[1]))
        yield stated


def _read(match: re.Match[str], day_first: bool) -> StatedDate | None:
    if match["iso"]:
        year, month, day = (int(part) for part in match["iso"].split("-"))
        return _checked(match, day=day, month=month, year=year)
    if match["numeric"]:
        return _numeric(match, day_first)
    if match["first_month"]:
        year = int(match["year_r"])
        months = f"{year}-{_month(match['first_month']):02d}", f"{year}-{_month(match['last_month']):02d}"
        return StatedDate(match.start(), match.end(), year=year, months=months)
    if match["month_m"]:
        year, month = int(match["year_m"]), _month(match["month_m"])
        if not match["month_m"][0].isupper():
            return None
        return StatedDate(match.start(), match.end(), year=year, months=(f"{year}-{month:02d}",) * 2)
    if match["season"]:
        season = f"{match['season'].lower()} {match['year_s']}"
        return StatedDate(match.start(), match.end(), year=int(match["year_s"]), season=season)
    return _in_words(match)


def _in_words(match: re.Match[str]) -> StatedDate | None:
    name = match["month"] or match["month_b"]
    if not name[0].isupper():  # "in 4 may be", "the 5 march on"
        return None
    day = match["day"] or match["day_b"]
    last = match["day2"] or match["day2_b"]
    year = match["year"] or match["year_b"]
    weekday = match["weekday"] or match["weekday_b"]
    stated = _checked(
        match,
        day=_number(day),
        month=_month(name),
        year=_year(year) if year else None,
        weekday=_weekday(weekday) if weekday else None,
        last_day=_number(last) if last else None,
    )
    link = (match["link"] or match["link_b"] or "").strip()
    if stated is None or stated.last_day is None or link not in {"and", "&"} or stated.last_day == _number(day) + 1:
        return stated
    return replace(stated, last_day=None, also=stated.last_day)


def _numeric(match: re.Match[str], day_first: bool) -> StatedDate | None:
    first, second, year = (int(part) for part in match["numeric"].split(match["mark"]))
    if match["mark"] == "." or day_first or first > 12 or first == second:
        return _checked(match, day=first, month=second, year=year)
    if second > 12:
        return _checked(match, day=second, month=first, year=year)
    return StatedDate(match.start(), match.end(), as_written=match["numeric"])


def _checked(
    match: re.Match[str],
    *,
    day: int,
    month: int,
    year: int | None,
    weekday: str | None = None,
    last_day: int | None = None,
) -> StatedDate | None:
    if not (_exists(day, month, year) and (last_day is None or _exists(last_day, month, year))):
        return None
    return StatedDate(match.start(), match.end(), day, month, year, weekday, last_day)


def _exists(day: int, month: int, year: int | None) -> bool:
    try:
        date(2000 if year is None else year, month, day)
    except ValueError:
        return False
    return True


def _joins(text: str, first: StatedDate, second: StatedDate) -> bool:
    """Say whether two dates are the ends of one span: "30 May to 2 June 2021"."""
    if first.day is None or second.day is None or first.last_day is not None or second.last_day is not None:
        return False
    if first.year is not None and first.year != second.year:
        return False
    if not _BETWEEN_DAYS.fullmatch(text, first.end, second.at):
        return False
    return (first.month or 0, first.day) < (second.month or 0, second.day)


def _span(first: StatedDate, second: StatedDate) -> StatedDate:
    return replace(first, end=second.end, year=second.year, last_day=second.day, last_month=second.month)


def _number(text: str) -> int:
    return int(re.sub(r"\D", "", text))


def _year(text: str) -> int:
    number = _number(text)
    return number if number > 99 else 2000 + number


def _month(name: str) -> int:
    return MONTHS.index(name[:3].lower()) + 1


def _weekday(name: str) -> str:
    return next(day for day in WEEKDAYS if day[:3].lower() == name[:3].lower())


_HALF = r"\s?(?:a\.?m\b\.?|p\.?m\b\.?)"
_HOURS = r"\s?(?:hrs|hours)\b"
_CLOCK = rf"(?:(?:12\s)?(?:noon|midday|midnight)|\d{{1,2}}(?:[:.]\d{{2}})?(?:{_HALF}|{_HOURS}|\s?h\b)?|\d{{4}}{_HOURS})"
_TIMES = re.compile(
    rf"(?<![\w£$€/:.,-])(?P<from>{_CLOCK})(?:\s?(?:-|–|—|−|to|until|till|and)\s?(?P<to>{_CLOCK}))?(?![\w%£:/]|[.,]\d)",
    re.IGNORECASE,
)
_CLOCK_PARTS = re.compile(
    r"(?P<word>(?:12\s)?(?:noon|midday|midnight))"
    r"|(?P<hour>\d{1,2}?)(?:(?P<mark>[:.])?(?P<minute>\d{2}))?\s?(?P<tail>a\.?m\.?|p\.?m\.?|hrs|hours|h)?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class StatedTimes:
    """A clock time, or a span of two, as stated; `at` and `end` are where the words stand."""

    at: int
    end: int
    starts: time
    ends: time | None = None


@dataclass(frozen=True, slots=True)
class _Clock:
    hour: int
    minute: int
    half: str  # "am", "pm", "24" (certainly of 24 hours) or "" (cannot be known yet)


def find_times(text: str) -> Iterator[StatedTimes]:
    """Yield the clock times of a text in reading order; "2 to 5" is no time, and "2.30" is not guessed to be pm."""
    for match in _TIMES.finditer(text):
        first = _clock(match["from"])
        last = _clock(match["to"]) if match["to"] else None
        if first is None:
            continue
        if last is None and match["to"]:
            continue
        stated = _settle(match, first, last)
        if stated is not None:
            yield stated


def _clock(text: str) -> _Clock | None:
    match = _CLOCK_PARTS.fullmatch(text)
    if match is None:
        return None
    if match["word"]:
        return _Clock(0 if "midnight" in match["word"].lower() else 12, 0, "24")
    hour, minute = int(match["hour"]), int(match["minute"] or 0)
    half = _half(match)
    if minute > 59 or hour > 23 or (half in {"am", "pm"} and not 1 <= hour <= 12):
        return None
    return _Clock(hour, minute, half)


def _half(match: re.Match[str]) -> str:
    tail = (match["tail"] or "").lower().replace(".", "")
    if tail in {"am", "pm"}:
        return tail
    written_in_24_hours = match["hour"].startswith("0") or len(match["hour"]) == 2
    if tail or (match["mark"] and written_in_24_hours):
        return "24"
    return ""


def _settle(match: re.Match[str], first: _Clock, last: _Clock | None) -> StatedTimes | None:
    """Give the first time the half of the day of the second ("2 to 5pm") where that leaves one possibility."""
    if last is None:
        starts = _time(first)
        plain = match["from"].isdigit() or re.fullmatch(r"\d{1,2}\.\d{2}", match["from"]) is not None
        return None if starts is None or plain else StatedTimes(match.start(), match.end(), starts)
    ends = _time(last)
    starts = _time(first) or (_earlier(first, ends) if ends and last.half in {"pm", "am", "24"} else None)
    if starts is None or ends is None:
        return None
    return StatedTimes(match.start(), match.end(), starts, ends if ends > starts else None)


def _earlier(clock: _Clock, ends: time) -> time | None:
    """Return the latest reading of *clock* that lies before *ends*: 2 to 5pm is 14:00, 11 to 1pm is 11:00."""
    readings = (_time(_Clock(clock.hour, clock.minute, half)) for half in ("pm", "am") if 1 <= clock.hour <= 12)
    return max((reading for reading in readings if reading and reading < ends), default=None)


def _time(clock: _Clock) -> time | None:
    if clock.half == "24":
        return time(clock.hour, clock.minute)
    if clock.half in {"am", "pm"}:
        return time(clock.hour % 12 + (12 if clock.half == "pm" else 0), clock.minute)
    return None
