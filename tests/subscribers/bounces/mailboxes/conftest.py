"""A fake of the intake that keeps what it was given, mails to give it, and a memory that needs no database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from subscribers.bounces.intake import Disposition, Taken
from subscribers.bounces.mailboxes.account import Account, Tally
from subscribers.bounces.mailboxes.taking import Taker
from tests.peers.dovecot import PASSWORD, Dovecot

TARGETS = {
    Disposition.PROCESSED: "Processed",
    Disposition.DUPLICATE: "Processed",
    Disposition.AUTOREPLY: "Autoreply",
    Disposition.UNKNOWN: "Unknown",
    Disposition.REPLY: "Replies",
}


def mail(word: str, *, body: str = "Dear friend\n") -> bytes:
    """Return a mail whose subject tells the fake intake what to make of it."""
    return f"From: a@example.org\nTo: bounces@example.org\nSubject: {word}\n\n{body}".encode()


@dataclass
class FakeIntake:
    """
    Keeps each mail once. The first word of a subject is its disposition; `poison` raises, `slow` never ends.

    Attributes:
        fail: Raised instead, as long as it is set.
    """

    kept: list[bytes] = field(default_factory=list)
    offered: int = 0
    fail: Exception | None = None
    before: Callable[[bytes], None] | None = None

    def take(self, raw: bytes) -> Taken:
        self.offered += 1
        if self.fail is not None:
            raise self.fail
        if self.before is not None:
            self.before(raw)
        raw = raw.replace(b"\r\n", b"\n")
        word = raw.partition(b"Subject: ")[2].split()[0].decode()
        if word == "poison":
            raise RuntimeError("canary@example.org")
        if raw in self.kept:
            return Taken(1, Disposition.DUPLICATE, "taken before")
        self.kept.append(raw)
        return Taken(len(self.kept), Disposition(word), "fine")


@dataclass
class FakeMemory:
    values: dict[str, object] = field(default_factory=dict)
    saves: int = 0

    def load(self) -> dict[str, object]:
        return dict(self.values)

    def save(self, values: dict[str, object]) -> None:
        self.values = dict(values)
        self.saves += 1


@pytest.fixture
def intake() -> FakeIntake:
    return FakeIntake()


@pytest.fixture
def memory() -> FakeMemory:
    return FakeMemory()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def taker(intake: FakeIntake, said: list[str]) -> Taker:
    return Taker(intake.take, said.append, seconds=5)


@pytest.fixture
def user(dovecot: Dovecot) -> str:
    """A person of the test's own at Dovecot."""
    return dovecot.somebody()


@pytest.fixture
def account(dovecot: Dovecot, user: str) -> Callable[..., Account]:
    """Return a function that makes the settings of the person's mailbox."""

    def make(protocol: str, **other: Any) -> Account:
        port = dovecot.imap if protocol == "imap" else dovecot.pop3
        values = {"name": "bounces", "protocol": protocol, "host": "127.0.0.1", "port": port, "tls": "none"}
        return Account(**{**values, "username": user, "password": PASSWORD, "targets": TARGETS, **other})

    return make


@pytest.fixture
def look() -> Iterator[Callable[..., Tally]]:
    """Return a function that looks into a mailbox once and closes it at the end of the test."""
    opened: list[Any] = []

    def run(mailbox: Any) -> Tally:
        opened.append(mailbox)
        tally = Tally()
        mailbox.look(tally, threading.Event())
        return tally

    yield run
    for mailbox in opened:
        mailbox.close()
