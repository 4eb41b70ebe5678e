"""
A token bucket, pure: so many at once, refilled evenly over an hour.

A clock that is set back refills nothing and takes nothing away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FULL_AFTER_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Bucket:
    """How many may still come, and when that was so; null counts as never used."""

    level: float
    at: float

    def to_json(self) -> dict[str, float]:
        return {"level": round(self.level, 3), "at": round(self.at, 3)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any] | None) -> Bucket | None:
        return cls(float(stored["level"]), float(stored["at"])) if stored else None


def take(bucket: Bucket | None, per_hour: int, now: float) -> tuple[bool, Bucket]:
    """Return whether one more may come, and the bucket after it."""
    level = filled(bucket, per_hour, now)
    return (True, Bucket(level - 1, now)) if level >= 1 else (False, Bucket(level, now))


def filled(bucket: Bucket | None, per_hour: int, now: float) -> float:
    """Return how many may come now."""
    if bucket is None:
        return float(per_hour)
    gained = max(0.0, now - bucket.at) / FULL_AFTER_SECONDS * per_hour
    return min(float(per_hour), bucket.level + gained)
