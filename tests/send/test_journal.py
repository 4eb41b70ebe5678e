"""The journal's answers: a dot is granted only to the one worker whose own intent the database has just taken."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from newsletter.app import App
from newsletter.send import journal as journal_module
from newsletter.send import sent_mark
from newsletter.send.claims import Wanted
from newsletter.send.journal import Granted, Journal, Outcome
from newsletter.send.owner import Owner
from newsletter.send.permission import NOW_DISCREET, PAUSED
from newsletter.send.states import TRANSITIONS
from newsletter.tables import Delivery, Issue, IssueState
from newsletter.tables import DeliveryState as S
from subscribers.errors import DatabaseUnavailable
from subscribers.tables import Subscriber
from tests.peers.fixtures import wait_until

LEASE = timedelta(minutes=15)


@pytest.fixture
def frozen(sending_app: Callable[..., App], plan_issue: Callable[..., int]) -> tuple[App, int]:
    app = sending_app(1)
    return app, plan_issue(app, 4)


def with_journal(app: App, use: Callable[[Journal], Coroutine[Any, Any, Any]], worker: int = 1) -> Any:
    async def run() -> Any:
        journal = Journal(app.database, owner=worker, pepper=app.keys.pepper, lease=LEASE, clock=app.now)
        try:
            return await use(journal)
        finally:
            await journal.close()

    return asyncio.run(run())


def change(app: App, delivery: int, **values: Any) -> None:
    with app.database.write() as session:
        session.execute(update(Delivery).where(Delivery.id == delivery).values(**values))


def state_of(app: App, delivery: int) -> Delivery:
    with app.database.read() as session:
        return session.get_one(Delivery, delivery)


async def claim(journal: Journal, issue: int) -> list[int]:
    return [row.id for row in (await journal.claim(Wanted(issue, 50))).rows]


def test_an_intent_of_another_worker_is_never_taken_for_ones_own(frozen: tuple[App, int]) -> None:
    """A worker stopped beyond its lease wakes while another has the same copy on the wire."""
    app, issue = frozen

    async def wake(journal: Journal) -> list[Granted]:
        ids = await claim(journal, issue)
        change(app, ids[1], state=S.INTENT, owner=2)
        return list(await asyncio.gather(*(journal.intend(n) for n in ids)))

    assert with_journal(app, wake) == [Granted.YES, Granted.LOST, Granted.YES, Granted.YES]
    assert state_of(app, 2).owner == 2


def test_the_last_outcome_waits_for_no_intent(frozen: tuple[App, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing else in hand no intent will come that could carry it."""
    monkeypatch.setattr(journal_module, "OUTCOMES_WAIT_SECONDS", 3600)
    app, issue = frozen

    async def send_all(journal: Journal) -> None:
        ids = await claim(journal, issue)
        await asyncio.gather(*(journal.intend(n) for n in ids))
        for n in ids:
            journal.record(Outcome(n, S.SENT, 1))
        await asyncio.to_thread(wait_until, lambda: state_of(app, ids[-1]).state is S.SENT, "the outcome waits")

    with_journal(app, send_all)


def test_one_row_is_granted_once_however_often_it_is_asked_for(frozen: tuple[App, int]) -> None:
    app, issue = frozen

    async def ask_again(journal: Journal) -> list[Granted]:
        ids = await claim(journal, issue)
        together = list(await asyncio.gather(journal.intend(ids[0]), journal.intend(ids[0])))
        return [*together, await journal.intend(ids[0])]

    assert with_journal(app, ask_again) == [Granted.YES, Granted.LOST, Granted.LOST]


def test_a_row_in_hand_is_not_given_out_again_by_a_later_claim(frozen: tuple[App, int]) -> None:
    """Put back by another worker while this one was stopped, it is free, and still in this one's hand."""
    app, issue = frozen

    async def wake(journal: Journal) -> tuple[list[int], list[int], list[int]]:
        first = await claim(journal, issue)
        change(app, first[2], state=S.PENDING, attempt=0)
        again = await claim(journal, issue)
        journal.record(Outcome(first[2], S.PENDING, 0))
        return first, again, await claim(journal, issue)

    first, again, settled = with_journal(app, wake)
    assert (again, settled) == ([], [first[2]])


def test_what_a_person_chose_meanwhile_is_asked_at_the_intent(frozen: tuple[App, int]) -> None:
    """Between claim and dot: a pause, and discreet mail, stop the copy; a pause that is over does not."""
    app, issue = frozen
    today = app.now().date()

    def choose(person: int, **chosen: Any) -> None:
        with app.database.write() as session:
            session.execute(update(Subscriber).where(Subscriber.id == person).values(**chosen))

    async def wake(journal: Journal) -> list[Granted]:
        ids = await claim(journal, issue)
        choose(1, paused_until=today + timedelta(days=2))
        choose(2, discreet=True)
        choose(3, paused_until=today)
        return list(await asyncio.gather(*(journal.intend(n) for n in ids)))

    assert with_journal(app, wake) == [Granted.SUPPRESSED, Granted.SUPPRESSED, Granted.YES, Granted.YES]
    assert [state_of(app, n).reason for n in (1, 2)] == [PAUSED, NOW_DISCREET]


def test_a_lost_lease_puts_the_row_back_uncharged(frozen: tuple[App, int]) -> None:
    app, issue = frozen

    async def wake(journal: Journal) -> tuple[Granted, list[int]]:
        ids = await claim(journal, issue)
        change(app, ids[0], lease_until=app.now() - timedelta(seconds=1))
        return await journal.intend(ids[0]), await claim(journal, issue)

    assert with_journal(app, wake) == (Granted.LOST, [1])
    assert state_of(app, 1).attempt == 1


def test_a_slow_worker_renews_its_leases_and_takes_nothing_from_itself(frozen: tuple[App, int]) -> None:
    app, issue = frozen
    with Owner(app.database, app.workspace.locks, app.now) as owner:
        with_journal(app, lambda journal: claim(journal, issue), worker=owner.id)
        late = app.now() - timedelta(minutes=1)
        change(app, 1, lease_until=late)
        change(app, 2, lease_until=late, state=S.INTENT, state_at=late)
        with app.database.write() as session:
            assert owner.recover(session, dot_timeout=timedelta(seconds=1)).put_back == 0
            assert owner.renew(session, issue, lease=LEASE) == 1
    assert (state_of(app, 1).state, state_of(app, 2).state) == (S.CLAIMED, S.INTENT)
    assert state_of(app, 1).lease_until > app.now()


@pytest.mark.parametrize("trouble", ["mark unopenable", "mark unwritable", "no connection"])
def test_a_journal_that_cannot_go_on_refuses_in_words_and_never_leaves_anybody_waiting(
    frozen: tuple[App, int], monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    app, issue = frozen
    with app.database.write() as session:
        sent_mark.prepare(session)
    if trouble == "mark unopenable":
        Path(f"{app.workspace.database}{sent_mark.SUFFIX}").mkdir()
    elif trouble == "mark unwritable":

        def full(*_: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(sent_mark.os, "pwrite", full)
    else:

        def refuse() -> None:
            raise OperationalError("connect", None, Exception("sorry, too many clients already"))

        monkeypatch.setattr(app.database.engine, "connect", refuse)

    async def begin(journal: Journal) -> None:
        await claim(journal, issue)
        await journal.intend(1)

    async def send(journal: Journal) -> list[str]:
        told = []
        async with asyncio.timeout(5):
            for _ in range(2):
                with pytest.raises(DatabaseUnavailable) as caught:
                    await begin(journal)
                told.append(caught.value.message)
        return told

    told = with_journal(app, send)
    assert told[0] == told[1]
    assert {"mark unopenable": "-sent", "mark unwritable": "No space", "no connection": "no more connections"}[
        trouble
    ] in told[0]


@pytest.mark.parametrize("state", [S.DEFERRED, S.PENDING, S.SENT])
def test_what_comes_back_after_its_issue_was_cancelled_is_cancelled_unless_it_left(
    frozen: tuple[App, int], state: S
) -> None:
    app, issue = frozen

    async def come_back(journal: Journal) -> None:
        ids = await claim(journal, issue)
        await journal.intend(ids[0])
        with app.database.write() as session:
            session.execute(update(Issue).where(Issue.id == issue).values(state=IssueState.CANCELLED))
        journal.record(Outcome(ids[0], state, 1, retry_at=app.now() if state is S.DEFERRED else None))
        journal.release(ids[1])

    with_journal(app, come_back)
    assert state_of(app, 1).state is (S.SENT if state is S.SENT else S.CANCELLED)
    assert state_of(app, 2).state is S.CANCELLED


def test_an_outcome_is_stored_only_over_edges_of_the_table(frozen: tuple[App, int]) -> None:
    app, _ = frozen
    outcomes = (S.SENT, S.BOUNCED, S.DEFERRED, S.HELD, S.EXPIRED, S.PENDING, S.UNCERTAIN)

    def record(outcome: S) -> None:
        async def hand_over(journal: Journal) -> None:
            journal.record(Outcome(1, outcome, 1))

        with_journal(app, hand_over)

    for before in S:
        for outcome in outcomes:
            change(app, 1, state=before, owner=1)
            record(outcome)
            after = state_of(app, 1).state
            assert after is before or (before, after) in TRANSITIONS, (before, after)
