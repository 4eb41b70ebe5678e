"""
Rows in hand that no connection has begun yet. A row whose slot lies ahead never keeps another one from going.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from newsletter.send.claims import Claimed
from newsletter.send.throttle import is_lost

Slotted = tuple[Claimed, float]


class Pool:
    """
    Rows with a slot by its time, the others in the order in which they came.

    Args:
        clock: Seconds since the epoch; asked only for rows with a slot.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.untimed: deque[Claimed] = deque()
        self._timed: list[tuple[float, int, Claimed]] = []

    def __len__(self) -> int:
        return len(self.untimed) + len(self._timed)

    def add(self, rows: Sequence[Claimed], slots: Sequence[float]) -> None:
        """Add claimed rows; *slots* is empty when none of them has one, and 0 for one that has none."""
        if not slots:
            self.untimed.extend(rows)
            return
        for row, slot in zip(rows, slots, strict=True):
            if slot:
                heapq.heappush(self._timed, (slot, row.id, row))
            else:
                self.untimed.append(row)

    def put_first(self, row: Claimed, slot: float) -> None:
        """Put back a row that was taken but not begun."""
        if slot:
            heapq.heappush(self._timed, (slot, row.id, row))
        else:
            self.untimed.appendleft(row)

    def take(self, lead_seconds: float) -> Slotted | None:
        """Return a row that may be begun now, *lead_seconds* before its slot; None when there is none."""
        if self._timed and self.seconds_until_next(lead_seconds) == 0:
            slot, _, row = heapq.heappop(self._timed)
            return row, slot
        return (self.untimed.popleft(), 0.0) if self.untimed else None

    def seconds_until_next(self, lead_seconds: float) -> float | None:
        """Return how long until the next row with a slot may be begun; None when there is no such row."""
        if not self._timed:
            return None
        slot, now = self._timed[0][0], self._clock()
        # Whoever takes a row whose slot is lost gets another one for it.
        return 0.0 if is_lost(slot, now) else max(0.0, slot - lead_seconds - now)

    def empty(self) -> Iterator[Claimed]:
        """Take everything out."""
        rows = [*self.untimed, *(row for _, _, row in self._timed)]
        self.untimed.clear()
        self._timed.clear()
        return iter(rows)
