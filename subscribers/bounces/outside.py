"""
What this package needs of the application that mails, which it does not know: its copies, and a way to its people.

The composition root hands in one object that does this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy.orm import Session

from subscribers.bounces.event import Reason


class MarkedCopy(Protocol):
    """The copy that a mark names, and whom it went to. `address` is blank after an erasure; `date` is its age."""

    @property
    def id(self) -> int: ...
    @property
    def issue_id(self) -> int: ...
    @property
    def subscriber_id(self) -> int | None: ...
    @property
    def list_id(self) -> int: ...
    @property
    def address(self) -> str: ...
    @property
    def address_hash(self) -> bytes: ...
    @property
    def date(self) -> datetime: ...


@dataclass(frozen=True, slots=True)
class Letter:
    """
    A mail that a person wrote to the machine.

    Attributes:
        report_id: The report that it is filed as; it is passed on once, and forgotten with it.
        sender: The address to answer, one line; empty when the mail names none that can be mailed.
        text: The first readable text, plain.
        note: What the chair must know about it, in one sentence; empty when nothing.
    """

    report_id: int
    raw: bytes
    sender: str
    sender_name: str
    subject: str
    text: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A copy that was refused in our own session, at last; `gave_up` when it was put off until it was too late."""

    delivery_id: int
    reply: str
    status: str
    gave_up: bool
    at: datetime


class Application(Protocol):
    """What the composition root hands in. Nothing here commits."""

    def find(
        self,
        session: Session,
        *,
        delivery_id: int | None = None,
        message_id: str | None = None,
        remote_id: str | None = None,
    ) -> MarkedCopy | None:
        """Return the copy that a mark names."""

    def accepted(self, session: Session, delivery_id: int, *, at: datetime) -> None:
        """A mail server had the copy."""

    def returned(self, session: Session, delivery_id: int, *, status: str, words: str, at: datetime) -> None:
        """The copy did not arrive, and will not."""

    def new_refusals(self, session: Session, *, most: int) -> Sequence[Refusal]:
        """Return refusals met while sending that no event tells of yet."""

    def pass_on(self, session: Session, letter: Letter, *, now: datetime) -> bool:
        """Hand a person's mail to the chair; false when today's limit is reached."""

    def alert(self, session: Session, *, reasons: dict[Reason, int], now: datetime) -> None:
        """Tell the chair that many copies are refused for a cause of ours; said once a day."""
