"""
When sending may happen: days and hours on the clock of the organisation's zone. Pure.

The clock on the wall decides, also on the two nights a year on which it jumps.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from newsletter.config.settings import SendWindow

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Window:
    """Open on *days* from *start* to before *end*, minutes of the day."""

    days: tuple[str, ...]
    start: int
    end: int
    zone: ZoneInfo

    @classmethod
    def of(cls, settings: SendWindow | None, zone: ZoneInfo) -> Window | None:
        """Return the configured window; None when sending may always happen."""
        if settings is None:
            return None
        return cls(settings.days or DAYS, _minutes(settings.start), _minutes(settings.end), zone)

    def is_open(self, now: datetime) -> bool:
        """Tell whether a copy may be taken in hand at *now*."""
        local = now.astimezone(self.zone)
        return DAYS[local.weekday()] in self.days and self.start <= local.hour * 60 + local.minute < self.end

    def opens_at(self, now: datetime) -> datetime:
        """Return when sending may go on: *now* while the window is open, else its next opening, in UTC."""
        if self.is_open(now):
            return now
        today = now.astimezone(self.zone).date()
        # A week holds every weekday; one more, for an opening that a jump of the clock swallows whole.
        days = [today + n * DAY for n in range(16)]
        return min(m for day in days for m in self._openings(day) if m > now and self.is_open(m))

    def _openings(self, day: date) -> list[datetime]:
        """Return when the window opens on a day: twice where the clock passes the start twice."""
        start = datetime.combine(day, time(self.start // 60, self.start % 60), self.zone)
        found = [start.astimezone(UTC), start.replace(fold=1).astimezone(UTC)]
        if found[0].astimezone(self.zone).time() != start.time():
            # The clock leaps over the start: the window opens when it has leapt.
            while self.is_open(found[0] - MINUTE):
                found[0] -= MINUTE
        return found


def _minutes(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)
