"""What is remembered of mails that stay where they are, so that none is read at each look and none forgotten."""

from __future__ import annotations

from collections.abc import Collection

from subscribers.bounces.intake import Disposition
from subscribers.bounces.mailboxes.account import Memory

MOST_TRIES = 3  # of a mail that the intake failed on; then it waits for a person


class Aside:
    """
    By the name that the mailbox gives a mail: what it was, or how often it was tried in vain.

    Names hold for one generation of a mailbox (UIDVALIDITY); those of another mean nothing.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._generation = ""
        self._known: dict[str, int | str] = {}
        self._saved: dict[str, object] = {}

    def open(self, generation: str, present: Collection[str]) -> None:
        """Read what is remembered of the mails that are still there."""
        self._saved = self._memory.load()
        self._generation = generation
        known = self._saved.get("mails") if self._saved.get("generation") == generation else None
        self._known = {k: v for k, v in known.items() if k in present} if isinstance(known, dict) else {}

    def holds(self, name: str) -> bool:
        """Whether a mail is left to a person."""
        tries = self._known.get(name, 0)
        return isinstance(tries, int) and tries >= MOST_TRIES

    def result(self, name: str) -> Disposition | None:
        """Return what a mail was that has been taken."""
        found = self._known.get(name)
        return Disposition(found) if isinstance(found, str) else None

    def tried(self, name: str) -> None:
        """Note that a mail could not be taken."""
        tries = self._known.get(name, 0)
        self._known[name] = tries + 1 if isinstance(tries, int) else 1

    def put(self, name: str) -> None:
        """Leave a mail to a person at once."""
        self._known[name] = MOST_TRIES

    def took(self, name: str, disposition: Disposition) -> None:
        """Note that a mail was taken and stays where it is for now."""
        self._known[name] = disposition.value

    def save(self) -> None:
        """Keep it, when there is anything new to keep."""
        values: dict[str, object] = {"generation": self._generation, "mails": dict(self._known)}
        if values != self._saved and (self._known or self._saved):
            self._memory.save(values)
            self._saved = values
