"""Bank holidays of England and Wales, by their rules; extra days that a government proclaims are not known here."""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache

from dateutil.easter import easter


def holiday_name(day: date) -> str:
    """Return the holiday's name, or nothing."""
    return _holidays(day.year).get(day, "")


@lru_cache(maxsize=8)
def _holidays(year: int) -> dict[date, str]:
    sunday = easter(year)
    found = {
        sunday - timedelta(days=2): "Good Friday",
        sunday + timedelta(days=1): "Easter Monday",
        _monday_from(date(year, 5, 1)): "Early May",
        _monday_from(date(year, 5, 25)): "Spring",
        _monday_from(date(year, 8, 25)): "Summer",
    }
    fixed = {date(year, 1, 1): "New Year", date(year, 12, 25): "Christmas", date(year, 12, 26): "Boxing Day"}
    found |= fixed
    for first, name in fixed.items():  # one that falls on a weekend moves to the next free weekday
        day = first
        while day.weekday() > 4 or (day != first and day in found):
            day += timedelta(days=1)
        found[day] = name
    return found


def _monday_from(first: date) -> date:
    return first + timedelta(days=-first.weekday() % 7)
