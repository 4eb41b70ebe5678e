"""
Hand one mail to the intake so that no mail can block the others: not by its bytes, its size or the time it takes.

A mail that the intake fails on is set aside, never thrown away; only a database that is away ends the look.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from subscribers.bounces.event import MailKind
from subscribers.bounces.intake import Disposition, Taken
from subscribers.bounces.mailboxes.account import DAMAGED, TOO_LARGE, Tally
from subscribers.bounces.report import read_report
from subscribers.errors import DatabaseUnavailable

Take = Callable[[bytes], Taken]

SECONDS_A_MAIL = 60.0  # a mail takes milliseconds; a database that is busy with a send at most 15 s
BEGINNING_BYTES = 1_000_000


class Taker:
    """Takes mails one after the other, each in a thread that can be left behind."""

    def __init__(self, take: Take, say: Callable[[str], None], *, seconds: float = SECONDS_A_MAIL) -> None:
        self._take = take
        self._say = say
        self._seconds = seconds

    def take(self, raw: bytes, tally: Tally) -> Disposition | None:
        """
        Return what the mail was; None when the intake failed on it, and it stays where it is.

        Raises:
            DatabaseUnavailable: The mail is to be offered again.
        """
        answer: queue.SimpleQueue[Taken | Exception] = queue.SimpleQueue()
        threading.Thread(target=self._run, args=(raw, answer), daemon=True, name="take mail").start()
        try:
            taken = answer.get(timeout=self._seconds)
        except queue.Empty:
            self._set_aside(tally, DAMAGED, f"A mail took longer than {self._seconds:.0f} s and is left there.")
            return None
        if isinstance(taken, DatabaseUnavailable):
            raise taken
        if isinstance(taken, Exception):
            name = type(taken).__name__
            self._set_aside(tally, DAMAGED, f"A mail could not be read ({name}) and is left there.")
            return None
        tally.taken[taken.disposition] += 1
        return taken.disposition

    def takes_beginning(self, beginning: bytes, tally: Tally) -> bool:
        """
        Return whether the beginning of a large mail is enough: a report says all there.

        What a person wrote is not passed on without its end: it stays where it is, and that is told.
        """
        if read_report(beginning).kind is not MailKind.ORDINARY:
            return True
        self._set_aside(tally, TOO_LARGE, "A mail is too large to be passed on and is left there: look at it.")
        return False

    def _run(self, raw: bytes, answer: queue.SimpleQueue[Taken | Exception]) -> None:
        try:
            answer.put(self._take(raw))
        except Exception as error:  # whatever a mail does to the intake, the next one is taken
            answer.put(error)

    def _set_aside(self, tally: Tally, why: str, words: str) -> None:
        tally.left[why] += 1
        self._say(words)
