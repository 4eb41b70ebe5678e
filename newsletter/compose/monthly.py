"""
Months and when their digests are due, on the calendar of the organisation; pure.

An issue belongs to the month in which it was planned. Each month has one digest, and each issue is in one: an issue
that comes too late for that of its own month is in that of the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from newsletter.config.choices import Digest


def month_of(moment: datetime, zone: ZoneInfo) -> date:
    """Return the first day of the month that *moment* is in."""
    return moment.astimezone(zone).date().replace(day=1)


def month_after(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def named(month: date) -> str:
    """Return how a month is stored: `2026-11`."""
    return f"{month:%Y-%m}"


def slug_of(month: date) -> str:
    return f"digest-{named(month)}"


def due_at(month: date, rule: Digest, zone: ZoneInfo) -> datetime:
    """
    Return when the digest of a month goes out: on the rule's day of the month after.

    A time that the clock skips in spring is the one that as many minutes after its last tick show.
    """
    after = month_after(month)
    hours, _, minutes = rule.time.partition(":")
    return datetime(after.year, after.month, rule.day, int(hours), int(minutes), tzinfo=zone).astimezone(UTC)


def last_due(now: datetime, rule: Digest, zone: ZoneInfo) -> date:
    """Return the latest month whose digest is due by *now*."""
    first = month_of(now, zone)
    before = _month_before(first)
    return before if due_at(before, rule, zone) <= now else _month_before(before)


def assign(
    planned: Iterable[tuple[int, datetime]], taken: Set[date], last: date, zone: ZoneInfo
) -> dict[date, list[int]]:
    """
    Return which issues go into the digest of which month.

    Args:
        planned: Issues that no digest has yet, each with the moment at which it was planned.
        taken: Months that have a digest already.
        last: The latest month to make a digest of; what belongs to a later one waits.
    """
    found: dict[date, list[int]] = {}
    for issue_id, moment in planned:
        month = month_of(moment, zone)
        while month in taken:
            month = month_after(month)
        if month <= last:
            found.setdefault(month, []).append(issue_id)
    return dict(sorted(found.items()))


def _month_before(month: date) -> date:
    return date(month.year - (month.month == 1), (month.month - 2) % 12 + 1, 1)
