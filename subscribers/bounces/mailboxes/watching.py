"""
Look into one mailbox again and again until told to stop; trouble is told when it begins, changes and ends.

What only a person can mend is tried seldom: a server locks an account that is knocked at all day.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from subscribers.bounces.mailboxes.account import Mailbox, Stopped, Tally
from subscribers.errors import DatabaseUnavailable, MailboxTrouble

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 15.0, 900.0
FIRST_LASTING_PAUSE_SECONDS, LONGEST_LASTING_PAUSE_SECONDS = 300.0, 3600.0

Guard = Callable[[], AbstractContextManager[bool]]


def pause_after(failures: int, *, lasting: bool) -> float:
    """Return the seconds to wait after that many failures in a row."""
    first, longest = (
        (FIRST_LASTING_PAUSE_SECONDS, LONGEST_LASTING_PAUSE_SECONDS)
        if lasting
        else (FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
    )
    return float(min(longest, first * 2.0 ** min(max(0, failures - 1), 20)))


@dataclass(frozen=True, slots=True)
class Looked:
    """What one look gave. `trouble` is empty when it went well; then there is no pause before the next either."""

    tally: Tally
    trouble: str = ""
    pause_seconds: float = 0.0


class Watch:
    """
    One mailbox that is watched.

    Args:
        guard: Yields whether nobody else is looking into it; held during a look.
    """

    def __init__(self, mailbox: Mailbox, *, poll_seconds: float, guard: Guard, say: Callable[[str], None]) -> None:
        self._mailbox = mailbox
        self._poll_seconds = poll_seconds
        self._guard = guard
        self._say = say
        self._trouble = ""
        self._failures = 0

    def run(self, stopped: Stopped) -> None:
        try:
            while not stopped.is_set():
                looked = self.once(stopped)
                if looked.trouble:
                    stopped.wait(looked.pause_seconds)
                else:
                    self._mailbox.wait(self._poll_seconds, stopped)
        finally:
            self.close()

    def once(self, stopped: Stopped | None = None) -> Looked:
        """Look, and tell what came of it."""
        tally = Tally()
        try:
            with self._guard() as free:
                if not free:
                    return self._failed(tally, "another process is reading it.", lasting=False)
                self._mailbox.look(tally, stopped or threading.Event())
        except (MailboxTrouble, DatabaseUnavailable) as error:
            words = error.message + (f" {error.hint}" if error.hint else "")
            return self._failed(tally, words, lasting=getattr(error, "lasting", False))
        finally:
            if tally:
                self._tell(f"{tally.words}.")
        if self._trouble:
            self._tell("it can be read again.")
        self._trouble, self._failures = "", 0
        return Looked(tally)

    def close(self) -> None:
        self._mailbox.close()

    def _failed(self, tally: Tally, words: str, *, lasting: bool) -> Looked:
        self._mailbox.close()
        self._failures += 1
        if words != self._trouble:
            self._trouble = words
            self._tell(words)
        return Looked(tally, words, pause_after(self._failures, lasting=lasting))

    def _tell(self, words: str) -> None:
        self._say(f"Mailbox {self._mailbox.account.name}: {words}")
