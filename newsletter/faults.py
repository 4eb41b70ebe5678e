"""
What a fault of the program itself means for an issue: it is tried again, and after a few times left to a person.

It ends no worker: that one would be started again, trip over the same, and never come to the others.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from newsletter.app import App
from newsletter.audit.log import Action
from newsletter.send.control import PauseKind, pause
from newsletter.tables import Issue, IssueState

MOST_FAULTS = 3
logger = logging.getLogger("newsletter.worker")


def log_fault(what: str, error: Exception) -> None:
    """Write a fault into the log, where addresses are masked."""
    logger.critical("a fault with %s", what, exc_info=error)


def in_words(error: Exception) -> str:
    """Return what may be told of a fault anywhere: what an error says may name a member."""
    return f"a fault of this program ({type(error).__name__}); the log of the worker holds the rest."


@dataclass
class Faults:
    """The faults that one worker has met, by issue."""

    app: App
    say: Callable[[str], None]
    _met: Counter[int] = field(default_factory=Counter)

    def met(self, issue_id: int, slug: str, error: Exception) -> None:
        """Tell of a fault; an issue that has met several is paused, which `alerts.to` hears of."""
        log_fault(f"the issue {slug}", error)
        reason = f"It met {in_words(error)}"
        self.say(f"{slug}: {reason}")
        self._met[issue_id] += 1
        if self._met[issue_id] >= MOST_FAULTS:
            del self._met[issue_id]
            self._pause(issue_id, reason)

    def _pause(self, issue_id: int, reason: str) -> None:
        with self.app.database.write() as session:
            issue = session.get(Issue, issue_id, with_for_update=True)
            if issue is None or issue.state not in (IssueState.SCHEDULED, IssueState.SENDING):
                return  # a person was quicker
            if issue.state is IssueState.SENDING:
                pause(session, issue, reason, now=self.app.now(), kind=PauseKind.REFUSALS)
            else:
                issue.state, issue.reason = IssueState.PAUSED, reason
            self.app.audit.record(session, Action.SEND_PAUSED, f"issue {issue.slug}", kind="fault")
