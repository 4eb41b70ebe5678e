"""
How much one token may ask, and how often one network may be wrong; counted in this process, by a clock handed in.

A valid token is never refused for what others of its network did. What is remembered has a bound.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field

REQUESTS_PER_MINUTE = 600
FAILURES_PER_MINUTE = 20
MOST_REMEMBERED = 10_000
MINUTE, HOUR = 60, 3600


@dataclass(frozen=True, slots=True)
class Allowance:
    """
    What is left after one more.

    Attributes:
        left: Whole requests that may follow at once.
        wait_seconds: 0 when this one is allowed; else when the next one is.
    """

    left: int
    wait_seconds: int


@dataclass
class Bucket:
    """A token bucket for each key: *most* at once, and as many in *seconds*."""

    most: int
    seconds: int = MINUTE
    _held: OrderedDict[Hashable, tuple[float, float]] = field(default_factory=OrderedDict)

    def is_empty(self, key: Hashable, now: float) -> bool:
        """Whether `take` would refuse *key* at *now*; nothing is taken."""
        return self._level(key, now) < 1

    def _level(self, key: Hashable, now: float) -> float:
        level, since = self._held.get(key, (float(self.most), now))
        return min(float(self.most), level + max(0.0, now - since) * self.most / self.seconds)

    def take(self, key: Hashable, now: float) -> Allowance:
        """Take one for *key* at *now*, in seconds of a clock that only goes on."""
        rate, level = self.most / self.seconds, self._level(key, now)
        self._held.pop(key, None)
        allowed = level >= 1
        level -= allowed
        self._held[key] = (level, now)
        while len(self._held) > MOST_REMEMBERED:
            self._held.popitem(last=False)
        return Allowance(int(level), 0 if allowed else max(1, math.ceil((1 - level) / rate)))
