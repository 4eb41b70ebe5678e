"""
Rates of one account or receiving domain, pure: how many messages may leave, and when, so that no window ever holds more
than its limit.

A minute is paced, one message after the other, so that receivers see a stream and not a burst; hours and days are
counted in slices. A window is taken a little longer than it is, so a message that leaves late cannot break it. Slots
that passed unused are gone: after a pause nothing is made up for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

MINUTE_SECONDS, MINUTE_MARGIN_SECONDS = 60.0, 1.5
HOUR_SECONDS, HOUR_SLICE_SECONDS = 3600, 60
DAY_SECONDS, DAY_SLICE_SECONDS = 86_400, 900
# Of the margin of a minute: a copy that leaves later than this after its slot takes another one;
LATE_SECONDS = 0.5
# and where two limits count, one may be met so much early, so that it need not wait for the next slot of the other.
EARLY_SECONDS = 0.8
# Copies counted by the hour or the day leave no later than this after they were counted.
COUNTED_LATE_SECONDS = 120
# Nobody takes slots further ahead: one beyond this was given before the clock was set back.
FURTHEST_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Messages a minute, an hour, a day; 0 is unlimited."""

    per_minute: int = 0
    per_hour: int = 0
    per_day: int = 0

    def __bool__(self) -> bool:
        return bool(self.per_minute or self.per_hour or self.per_day)


@dataclass(frozen=True, slots=True)
class Used:
    """What an account has used: when the next paced message may go, and messages by the start of their slice."""

    next_at: float = 0.0
    hour: Mapping[int, int] = field(default_factory=dict)
    day: Mapping[int, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"next_at": self.next_at, "hour": _text_keys(self.hour), "day": _text_keys(self.day)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any] | None) -> Used:
        if not stored:
            return cls()
        return cls(stored["next_at"], _number_keys(stored["hour"]), _number_keys(stored["day"]))


def permits(limits: Limits, used: Used, now: float, *, most: int, horizon_seconds: float) -> list[float]:
    """Return the times, each at most *horizon_seconds* away, at which the next messages may leave; none if none may."""
    room = most
    if limits.per_hour:
        room = min(room, limits.per_hour - _within(used.hour, now, HOUR_SECONDS, HOUR_SLICE_SECONDS))
    if limits.per_day:
        room = min(room, limits.per_day - _within(used.day, now, DAY_SECONDS, DAY_SLICE_SECONDS))
    if not limits.per_minute:
        return [now] * max(0, room)
    first = _next_slot(limits, used, now)
    times = (first + n * _pace(limits) for n in range(max(0, room)))
    return [t for t in times if t <= now + horizon_seconds]


def permits_among(limits: Limits, used: Used, now: float, offered: list[float]) -> list[float]:
    """Return which of the slots that another limit *offered*, in their order, this one allows as well."""
    if not limits.per_minute:
        return offered
    next_at, chosen = _next_slot(limits, used, now), []
    for time in offered:
        if time >= next_at - EARLY_SECONDS:
            chosen.append(time)
            next_at = max(time, next_at) + _pace(limits)
    return chosen


def use(limits: Limits, used: Used, now: float, times: list[float]) -> Used:
    """Return what is used once messages leave at *times*."""
    if not times:
        return used
    next_at = used.next_at
    if limits.per_minute:
        next_at = _next_slot(limits, used, now)
        for time in times:
            next_at = max(time, next_at) + _pace(limits)
    return Used(
        next_at,
        _add(used.hour, times, now, HOUR_SECONDS, HOUR_SLICE_SECONDS) if limits.per_hour else {},
        _add(used.day, times, now, DAY_SECONDS, DAY_SLICE_SECONDS) if limits.per_day else {},
    )


def take_slot(limits: Limits, used: Used, now: float, *, not_before: float) -> tuple[float, Used]:
    """Return the next slot at or after *not_before*, and what is used then: for a copy that missed the slot it had."""
    if not limits.per_minute:
        return not_before, used
    slot = max(not_before, _next_slot(limits, used, now))
    return slot, replace(used, next_at=slot + _pace(limits))


def is_lost(slot: float, now: float) -> bool:
    """Tell whether a slot is of no more use: it has passed, or the clock was set back since it was given."""
    return not now - LATE_SECONDS <= slot <= now + FURTHEST_SECONDS


def wait_seconds(limits: Limits, used: Used, now: float) -> float:
    """Return how long until one more message may leave; 0 if now."""
    waits = [0.0]
    if limits.per_minute:
        waits.append(_next_slot(limits, used, now) - now)
    if limits.per_hour:
        waits.append(_until_room(used.hour, limits.per_hour, now, HOUR_SECONDS, HOUR_SLICE_SECONDS))
    if limits.per_day:
        waits.append(_until_room(used.day, limits.per_day, now, DAY_SECONDS, DAY_SLICE_SECONDS))
    return max(waits)


def _next_slot(limits: Limits, used: Used, now: float) -> float:
    if used.next_at > now + FURTHEST_SECONDS:
        return now + _pace(limits)  # the last one left before now, whatever the clock said then
    return max(now, used.next_at)


def _pace(limits: Limits) -> float:
    return (MINUTE_SECONDS + MINUTE_MARGIN_SECONDS) / limits.per_minute


def _within(slices: Mapping[int, int], now: float, window: int, slice_seconds: int) -> int:
    return sum(count for start, count in slices.items() if _counts(start, now, window, slice_seconds))


def _add(slices: Mapping[int, int], times: list[float], now: float, window: int, slice_seconds: int) -> dict[int, int]:
    kept = {start: count for start, count in slices.items() if _counts(start, now, window, slice_seconds)}
    for time in times:
        start = int(time // slice_seconds) * slice_seconds
        kept[start] = kept.get(start, 0) + 1
    return kept


def _until_room(slices: Mapping[int, int], limit: int, now: float, window: int, slice_seconds: int) -> float:
    live = sorted(start for start in slices if _counts(start, now, window, slice_seconds))
    total = sum(slices[start] for start in live)
    for start in live:
        if total < limit:
            break
        total -= slices[start]
        if total < limit:
            return start + slice_seconds + COUNTED_LATE_SECONDS + window - now
    return 0.0


def _counts(start: int, now: float, window: int, slice_seconds: int) -> bool:
    """Tell whether a message of the slice that begins at *start* may have left within the window."""
    return start + slice_seconds + COUNTED_LATE_SECONDS > now - window


def _text_keys(slices: Mapping[int, int]) -> dict[str, int]:
    return {str(start): count for start, count in slices.items()}


def _number_keys(slices: Mapping[str, int]) -> dict[int, int]:
    return {int(start): count for start, count in slices.items()}
