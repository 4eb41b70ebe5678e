"""What sending needs of the application, what it tells on its way, and what a run leaves behind: plain values."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from newsletter.audit.log import AuditLog
from newsletter.config.settings import Config
from newsletter.keys import Keys
from newsletter.paths import Workspace
from newsletter.tables import IssueState
from subscribers.db import Database

RATE_OVER_SECONDS = 20.0


class Parts(Protocol):
    """What sending needs of the application."""

    @property
    def database(self) -> Database: ...
    @property
    def config(self) -> Config: ...
    @property
    def keys(self) -> Keys: ...
    @property
    def workspace(self) -> Workspace: ...
    @property
    def audit(self) -> AuditLog: ...
    @property
    def template_folders(self) -> tuple[Path, ...]: ...
    @property
    def now(self) -> Callable[[], datetime]: ...


@dataclass(frozen=True, slots=True)
class Progress:
    """
    How far a run is.

    Attributes:
        deferred: Put off in this run; they are not waited for.
        rate: Copies done a second, of late.
        seconds_left: Until nothing is due, at that rate; null while it cannot be known.
    """

    planned: int
    done: int
    sent: int
    deferred: int
    rate: float
    seconds_left: float | None


class RecentRate:
    """How fast a run is of late, not since its start: a pause or a slow beginning is soon forgotten."""

    def __init__(self, now: float) -> None:
        self._seen: deque[tuple[float, int]] = deque([(now, 0)])

    def after(self, done: int, now: float) -> float:
        """Return how many were done a second over the last while; *done* is their number so far."""
        self._seen.append((now, done))
        while len(self._seen) > 2 and self._seen[1][0] <= now - RATE_OVER_SECONDS:
            self._seen.popleft()
        first_at, first_done = self._seen[0]
        return (done - first_done) / max(0.001, now - first_at)


@dataclass(frozen=True, slots=True)
class SendReport:
    """
    What a run left behind.

    Attributes:
        counts: The document of `issue status`.
        stopped: A signal or the caller ended it with copies still to do.
        goes_on_at: When the sending window opens, where that ended the run or kept it from beginning.
    """

    state: IssueState
    reason: str | None
    counts: dict[str, Any]
    seconds: float
    stopped: bool
    goes_on_at: datetime | None = None

    @property
    def deferred(self) -> int:
        return int(self.counts["deferred"])

    @property
    def failed(self) -> int:
        """Return how many have an end that is no delivery and no wish of the subscriber."""
        return sum(int(self.counts[name]) for name in ("bounced", "held", "expired", "uncertain"))

    @property
    def exit_code(self) -> int:
        """0: all have an outcome, or wait for their time. 4: some failed. 1: paused, stopped or cancelled."""
        if self.state in (IssueState.PAUSED, IssueState.CANCELLED):
            return 1
        if self.stopped and self.state is IssueState.SENDING:
            return 1
        if self.goes_on_at is not None:
            return 0
        return 4 if self.failed else 0
