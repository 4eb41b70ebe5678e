"""
The one door for what comes back: a mail or a provider's events in, verdicts and their evidence on disk.

Each mail is one transaction, each batch of events too; the same mail or event again changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from subscribers.bounces.event import ProviderEvent


class Disposition(StrEnum):
    """What whoever reads a mailbox does with a mail: which folder it belongs in."""

    PROCESSED = "processed"
    AUTOREPLY = "autoreply"
    UNKNOWN = "unknown"
    REPLY = "reply"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of one mail or event. `words` is one line for a person, without any address."""

    report_id: int | None
    disposition: Disposition
    words: str


class Intake(Protocol):
    def take_mail(self, raw: bytes, *, way: str, envelope_to: str | None = None) -> Taken: ...

    def take_events(self, events: Sequence[ProviderEvent], *, way: str, raw: bytes) -> list[Taken]: ...
