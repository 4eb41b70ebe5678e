"""Days of the segment language, in the organisation's zone (pure)."""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from subscribers.segments.nodes import Relative


def today(now: datetime, timezone: str) -> date:
    """Return the day that it is in the organisation's zone."""
    return now.astimezone(ZoneInfo(timezone)).date()


def midnight(day: date, timezone: str) -> datetime:
    """Return the moment at which a day begins there, in UTC; the first and last days of the calendar are clamped."""
    if day <= date(1, 1, 2):
        return datetime.min.replace(tzinfo=UTC)
    if day >= date(9999, 12, 30):
        return datetime.max.replace(tzinfo=UTC)
    return datetime.combine(day, time(), ZoneInfo(timezone)).astimezone(UTC)


def next_day(day: date) -> date:
    return day + timedelta(days=1) if day < date.max else day


def bounds(node: Relative, day: date) -> tuple[date, date]:
    """Return the first and last day that ``in last 6 months`` or ``in next 2 weeks`` means; *day* is today."""
    other = _shift(day, node.count if node.direction == "next" else -node.count, node.unit)
    return (day, other) if node.direction == "next" else (other, day)


def _shift(day: date, count: int, unit: str) -> date:
    try:
        if unit in ("day", "week"):
            return day + timedelta(days=count * (7 if unit == "week" else 1))
        months = day.year * 12 + day.month - 1 + count * (12 if unit == "year" else 1)
        year, month = divmod(months, 12)
        return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
    except (ValueError, OverflowError, calendar.IllegalMonthError):
        return date.max if count > 0 else date.min
