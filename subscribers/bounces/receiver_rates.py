"""How much the receiver takes: connections at a time and messages a minute, of one peer and in all; pure."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """0 means no limit of messages."""

    connections: int = 20
    connections_per_peer: int = 5
    per_minute: int = 1200
    per_minute_per_peer: int = 120


class Rates:
    """
    What came in the last minute; times are seconds of any clock that only goes on.

    Peers are named by whoever asks; those of this machine are named "" and have no limit of their own.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._open: Counter[str] = Counter()
        self._messages: deque[tuple[float, str]] = deque()
        self._by_peer: Counter[str] = Counter()

    def connect(self, peer: str) -> bool:
        """Count a connection, unless there are too many already."""
        limits = self._limits
        if self._open.total() >= limits.connections:
            return False
        if peer and self._open[peer] >= limits.connections_per_peer:
            return False
        self._open[peer] += 1
        return True

    def leave(self, peer: str) -> None:
        self._open[peer] -= 1
        if self._open[peer] <= 0:
            del self._open[peer]

    def message(self, peer: str, now: float) -> bool:
        """Count a message, unless there were too many within the last minute."""
        self._forget(now - MINUTE)
        limits = self._limits
        if limits.per_minute and len(self._messages) >= limits.per_minute:
            return False
        if peer and limits.per_minute_per_peer and self._by_peer[peer] >= limits.per_minute_per_peer:
            return False
        self._messages.append((now, peer))
        self._by_peer[peer] += 1
        return True

    def _forget(self, before: float) -> None:
        while self._messages and self._messages[0][0] <= before:
            peer = self._messages.popleft()[1]
            self._by_peer[peer] -= 1
            if self._by_peer[peer] <= 0:
                del self._by_peer[peer]
