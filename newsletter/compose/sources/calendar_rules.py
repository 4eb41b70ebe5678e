"""Whether a repetition rule can be walked in bounded time; a rule that cannot is refused before it is expanded."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

MAX_STEPS = 40_000  # a rule is walked from its first day on: daily for a century
_TOO_OFTEN = re.compile(r"(?i)FREQ=(?:SECONDLY|MINUTELY|HOURLY)")
_BY_CLOCK = re.compile(r"(?i)BY(?:SECOND|MINUTE|HOUR)=")
_ENDS = re.compile(r"(?i);?\b(?:UNTIL|COUNT)=[^;]*")
_CYCLE = 400  # years after which days of the month and of the week fall together again
_LAST_START = 9_700  # dateutil walks to the year 9999


def check_rule(rule: Any, starts: datetime, end: datetime) -> None:
    """
    Refuse a rule that repeats more often than daily, reaches back too far, or never falls due.

    dateutil looks for the next day of a rule such as "30 February" until the year 9999, which takes seconds. So the
    rule is first tried from the same day of the calendar near that year, where the same search is soon over.

    Raises:
        ValueError: With the reason.
    """
    from dateutil.rrule import rrulestr

    written = rule.to_ical().decode()
    if _TOO_OFTEN.search(written) or _BY_CLOCK.search(written):
        raise ValueError(f"it repeats more often than daily: {written}")
    if "FREQ=DAILY" in written.upper() and (end - starts).days > MAX_STEPS:
        raise ValueError(f"it repeats daily since {starts.year}: {written}")
    late = starts.year + (_LAST_START - starts.year) // _CYCLE * _CYCLE
    tried = rrulestr(_ENDS.sub("", written).lstrip(";"), dtstart=starts.replace(year=late, tzinfo=None))
    if next(iter(tried), None) is None:
        raise ValueError(f"its rule never falls due: {written}")
