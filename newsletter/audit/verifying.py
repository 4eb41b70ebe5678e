"""
Walk the chain of the audit log and name what is wrong with it; pure but for the entries that it is handed.

An entry whose code does not fit its content was changed, or put there without the key. One that fits, and does not
follow the entry before it, shows that something between was taken out, or that the order was changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from newsletter.audit.anchor import Held
from newsletter.audit.log import BEFORE_THE_FIRST, code_of
from newsletter.tables import AuditEntry

MOST_NAMED = 50


class Kind(StrEnum):
    CHANGED = "changed"
    INSERTED = "inserted"
    MISSING = "missing"
    OUT_OF_PLACE = "out of place"
    CUT_OFF = "cut off"
    REPLACED = "replaced"


_WORDS = {
    Kind.CHANGED: "Entry {0} was changed: its code does not fit what it says.",
    Kind.INSERTED: "Entry {0} was put in: its code does not fit, and the next entry follows the one before it.",
    Kind.MISSING: "{0} missing.",
    Kind.OUT_OF_PLACE: "Entry {0} does not follow the one before it: one was taken out, or the order was changed.",
    Kind.REPLACED: "Entry {0} is not the one that the workspace remembers: the log was cut off before, and went on.",
    Kind.CUT_OFF: "{0} missing at the end: the workspace remembers a longer log.",
}


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing that is wrong: what, and with which entries."""

    kind: Kind
    first: int
    last: int

    @property
    def words(self) -> str:
        which = f"Entry {self.first} is" if self.first == self.last else f"Entries {self.first} to {self.last} are"
        return _WORDS[self.kind].format(which if self.kind in (Kind.MISSING, Kind.CUT_OFF) else self.first)


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What a walk found.

    Attributes:
        count: How many entries there are.
        flaws: The first of them, in the order of the log; `more` says how many others there are.
        end: The last entry, for the anchor.
    """

    count: int
    flaws: tuple[Flaw, ...]
    more: int
    end: Held

    @property
    def is_whole(self) -> bool:
        return not self.flaws


def verify(entries: Iterable[AuditEntry], key: bytes, anchor: Held | None) -> Verdict:
    """Walk the whole chain, from the first entry to the last."""
    walk = _Walk(key, anchor)
    found: list[Flaw] = []
    total = 0
    for flaw in walk.flaws(entries):
        total += 1
        if len(found) < MOST_NAMED:
            found.append(flaw)
    return Verdict(walk.count, tuple(found), total - len(found), Held(walk.number, walk.code))


class _Walk:
    """Where the walk is: the last entry looked at, and one whose code did not fit, until its place is known."""

    def __init__(self, key: bytes, anchor: Held | None) -> None:
        self._key, self._anchor = key, anchor
        self.count, self.number, self.code = 0, 0, BEFORE_THE_FIRST
        self._sound = BEFORE_THE_FIRST  # the code of the last entry whose code fits
        self._doubtful: int | None = None
        self._flawed = False
        self._anchored = anchor is None or anchor.number == 0

    def flaws(self, entries: Iterable[AuditEntry]) -> Iterator[Flaw]:
        for entry in entries:
            for flaw in self._look_at(entry):
                self._flawed = True
                yield flaw
        if self._doubtful is not None:
            yield Flaw(Kind.CHANGED, self._doubtful, self._doubtful)
        if not self._anchored and self._anchor is not None:
            yield Flaw(Kind.CUT_OFF, min(self.number + 1, self._anchor.number), self._anchor.number)

    def _look_at(self, entry: AuditEntry) -> Iterator[Flaw]:
        gap, previous = entry.number > self.number + 1, bytes(entry.previous)
        if self._doubtful is not None:
            put_in = previous == self._sound != self.code
            yield Flaw(Kind.INSERTED if put_in else Kind.CHANGED, self._doubtful, self._doubtful)
            in_place = previous in (self.code, self._sound)
        else:
            in_place = previous == self.code
        if gap:
            yield Flaw(Kind.MISSING, self.number + 1, entry.number - 1)
        self._doubtful = None
        if code_of(self._key, entry) != bytes(entry.code):
            self._doubtful = entry.number
        elif not in_place and not gap:
            yield Flaw(Kind.OUT_OF_PLACE, entry.number, entry.number)
        if self._doubtful is None:
            self._sound = bytes(entry.code)
        self.count, self.number, self.code = self.count + 1, entry.number, bytes(entry.code)
        if self._anchor is not None and entry.number == self._anchor.number:
            self._anchored = True
            if bytes(entry.code) != self._anchor.code and self._doubtful is None and not self._flawed:
                yield Flaw(Kind.REPLACED, entry.number, entry.number)
