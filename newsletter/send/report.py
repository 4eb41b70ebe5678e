"""What sending needs of the application, what it tells on its way, and what a run leaves behind: plain values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from newsletter.config import Config
from newsletter.keys import Keys
from newsletter.paths import Workspace
from newsletter.tables import IssueState
from subscribers.db import Database


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
    def template_folders(self) -> tuple[Path, ...]: ...
    @property
    def now(self) -> Callable[[], datetime]: ...


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is; `rate` is messages a second in this run, `seconds_left` null while it cannot be known."""

    planned: int
    done: int
    sent: int
    deferred: int
    rate: float
    seconds_left: float | None


@dataclass(frozen=True, slots=True)
class SendReport:
    """
    What a run left behind.

    Attributes:
        counts: The document of `issue status`.
        stopped: A signal or the caller ended it with copies still to do.
    """

    state: IssueState
    reason: str | None
    counts: dict[str, Any]
    seconds: float
    stopped: bool

    @property
    def deferred(self) -> int:
        return int(self.counts["deferred"])

    @property
    def failed(self) -> int:
        """Return how many have an end that is no delivery and no wish of the subscriber."""
        return sum(int(self.counts[name]) for name in ("bounced", "held", "expired", "uncertain"))

    @property
    def exit_code(self) -> int:
        """0: all have an outcome or wait for their next attempt. 4: some failed. 1: paused, stopped or cancelled."""
        if self.state in (IssueState.PAUSED, IssueState.CANCELLED):
            return 1
        if self.stopped and self.state is IssueState.SENDING:
            return 1
        return 4 if self.failed else 0
