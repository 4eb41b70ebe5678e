"""Writes of several requests in one commit."""

from __future__ import annotations

import asyncio
import threading

import anyio
import pytest
from sqlalchemy import select

from newsletter.app import App
from newsletter.tables import Setting
from newsletter.web.writing import Together, do_works


def note(name: str):
    def work(session, _now):
        session.add(Setting(name=name, value=1))
        session.flush()
        return name

    return work


def names(app: App) -> set[str]:
    with app.database.read() as session:
        return set(session.scalars(select(Setting.name)))


async def test_what_gathers_during_a_commit_is_one_commit(app: App) -> None:
    held, sizes = threading.Event(), []

    def write(session, works, now):
        sizes.append(len(works))
        held.wait(10)
        return do_works(session, works, now)

    together = Together(app, anyio.CapacityLimiter(1), write)
    first = asyncio.create_task(together.do(note("first")))
    while not sizes:  # noqa: ASYNC110  (a thread counts)
        await asyncio.sleep(0.001)
    others = [asyncio.create_task(together.do(note(f"other {n}"))) for n in range(5)]
    await asyncio.sleep(0)
    held.set()
    assert [await one for one in (first, *others)] == ["first", *(f"other {n}" for n in range(5))]
    assert sizes == [1, 5]
    assert {"first", "other 0", "other 4"} <= names(app)


async def test_one_that_fails_fails_alone(app: App) -> None:
    def broken(session, _now):
        session.add(Setting(name="half", value=1))
        session.flush()
        raise ValueError("no")

    together = Together(app, anyio.CapacityLimiter(1), do_works)
    works = [note("a"), broken, note("b")]
    done = await asyncio.gather(*(together.do(work) for work in works), return_exceptions=True)
    assert (done[0], done[2]) == ("a", "b")
    assert isinstance(done[1], ValueError)
    assert names(app) >= {"a", "b"}
    assert "half" not in names(app)


async def test_who_gave_up_before_the_turn_is_not_done(app: App) -> None:
    turn = anyio.CapacityLimiter(1)
    together = Together(app, turn, do_works)
    await turn.acquire()
    waiting = asyncio.create_task(together.do(note("early")))
    late = asyncio.create_task(together.do(note("late")))
    await asyncio.sleep(0.01)
    late.cancel()
    with pytest.raises(asyncio.CancelledError):
        await late
    after = asyncio.create_task(together.do(note("after")))
    await asyncio.sleep(0.01)
    after.cancel()
    turn.release()
    assert await waiting == "early"
    await asyncio.sleep(0.05)
    assert "after" not in names(app)
