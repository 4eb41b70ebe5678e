"""
Look into one mailbox again and again until told to stop; trouble is told when it begins, changes and ends.

What only a person can mend is tried seldom: a server locks an account that is knocked at all day.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

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


class Watch:
    """
    One mailbox that is watched.

    Args:
        guard: Yields whether nobody else is looking into it; held during a look.
        wait: Replaces the pause after trouble, for tests.
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
                pause = self.once()
                if pause is None:
                    self._mailbox.wait(self._poll_seconds, stopped)
                else:
                    stopped.wait(pause)
        finally:
            self._mailbox.close()

    def once(self) -> float | None:
        """Look, tell what came of it, and return the seconds to pause after trouble."""
        tally = Tally()
        try:
            with self._guard() as free:
                if free:
                    self._mailbox.look(tally)
        except (MailboxTrouble, DatabaseUnavailable) as error:
            self._mailbox.close()
            self._failures += 1
            self._tell(error.message + (f" {error.hint}" if error.hint else ""))
            return pause_after(self._failures, lasting=getattr(error, "lasting", False))
        finally:
            if tally:
                self._say(f"Mailbox {self._mailbox.account.name}: {tally.words}.")
        if self._trouble:
            self._say(f"Mailbox {self._mailbox.account.name} can be read again.")
        self._trouble, self._failures = "", 0
        return None

    def _tell(self, words: str) -> None:
        if words != self._trouble:
            self._trouble = words
            self._say(f"Mailbox {self._mailbox.account.name}: {words}")
