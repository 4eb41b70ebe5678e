"""Trouble is told when it begins, changes and ends; what only a person can mend is tried seldom."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from subscribers.bounces.intake import Disposition
from subscribers.bounces.mailboxes.account import Account, Tally
from subscribers.bounces.mailboxes.taking import Taker
from subscribers.bounces.mailboxes.watching import Watch, pause_after
from subscribers.errors import DatabaseUnavailable, MailboxTrouble

from .conftest import FakeIntake, mail


class Scripted:
    """A mailbox whose looks end as a test says."""

    account = Account("bounces")

    def __init__(self, *ends: Exception | int) -> None:
        self.ends = list(ends)
        self.looks = 0
        self.waits: list[float] = []

    def look(self, tally: Tally, _stopped: threading.Event) -> None:
        end = self.ends[min(self.looks, len(self.ends) - 1)]
        self.looks += 1
        if isinstance(end, Exception):
            raise end
        tally.taken[Disposition.PROCESSED] += end

    def wait(self, seconds: float, stopped: threading.Event) -> None:
        self.waits.append(seconds)

    def close(self) -> None: ...


@contextmanager
def free() -> Iterator[bool]:
    yield True


@contextmanager
def taken() -> Iterator[bool]:
    yield False


def test_the_same_trouble_is_told_once_and_its_end_too(said: list[str]) -> None:
    away = MailboxTrouble("It is away.")
    watch = Watch(Scripted(away, away, away, 0, 2), poll_seconds=60, guard=free, say=said.append)
    for _ in range(5):
        watch.once()
    assert said == [
        "Mailbox bounces: It is away.",
        "Mailbox bounces: it can be read again.",
        "Mailbox bounces: 2 processed.",
    ]


def test_other_trouble_is_told_anew(said: list[str]) -> None:
    ends = (MailboxTrouble("It is away."), DatabaseUnavailable("The database is locked.", hint="Wait."))
    watch = Watch(Scripted(*ends), poll_seconds=60, guard=free, say=said.append)
    watch.once()
    watch.once()
    assert said == ["Mailbox bounces: It is away.", "Mailbox bounces: The database is locked. Wait."]


def test_pauses_grow_and_a_wrong_password_is_tried_seldom() -> None:
    assert [pause_after(n, lasting=False) for n in (1, 2, 3, 99)] == [15, 30, 60, 900]
    assert [pause_after(n, lasting=True) for n in (1, 2, 99)] == [300, 600, 3600]


def test_a_mailbox_that_another_process_reads_is_left_alone(said: list[str]) -> None:
    mailbox = Scripted(1)
    looked = Watch(mailbox, poll_seconds=60, guard=taken, say=said.append).once()
    assert (mailbox.looks, looked.trouble) == (0, "another process is reading it.")


def test_it_runs_until_it_is_stopped(said: list[str]) -> None:
    mailbox, stop = Scripted(0), threading.Event()
    thread = threading.Thread(target=Watch(mailbox, poll_seconds=7, guard=free, say=said.append).run, args=(stop,))
    thread.start()
    time.sleep(0.05)
    stop.set()
    thread.join(5)
    assert not thread.is_alive()
    assert mailbox.waits[0] == 7


def test_a_mail_that_takes_for_ever_is_left_behind(intake: FakeIntake, said: list[str]) -> None:
    """The time of one mail is bounded, so that it cannot hold up the others."""
    intake.before = lambda _raw: time.sleep(1)
    taker, tally = Taker(intake.take, said.append, seconds=0.05), Tally()
    assert taker.take(mail("processed"), tally) is None
    assert tally.left == {"could not be read": 1}
    assert "took longer" in said[0]
    time.sleep(1)


def test_a_database_that_is_away_is_no_fault_of_the_mail(intake: FakeIntake, said: list[str]) -> None:
    intake.fail = DatabaseUnavailable("away")
    with pytest.raises(DatabaseUnavailable):
        Taker(intake.take, said.append).take(mail("processed"), Tally())
    assert said == []
