"""
Writes of several requests in one commit: on SQLite each alone would wait for the lock, and for the disk, of its own.

Each is answered after the commit that holds it, and only for itself: what one of them cannot do leaves the others as
they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import anyio.to_thread
from sqlalchemy.orm import Session

from newsletter.app import App
from subscribers.errors import DatabaseUnavailable

MOST_TOGETHER = 50
T = TypeVar("T")
Work = Callable[[Session, datetime], T]


@dataclass(frozen=True, slots=True)
class _Asked:
    work: Work[Any]
    answer: asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class _Done:
    value: Any = None
    error: Exception | None = None


class Together:
    """
    Commits together what gathers while the commit before is made.

    Args:
        turn: Held by whoever writes in this process.
    """

    def __init__(self, app: App, turn: anyio.CapacityLimiter) -> None:
        self._app, self._turn = app, turn
        self._asked: list[_Asked] = []
        self._running: asyncio.Task[None] | None = None

    async def do(self, work: Work[T]) -> T:
        """Return what *work* returns, once it is durable; a request that was given up before its turn is not done."""
        asked = _Asked(work, asyncio.get_running_loop().create_future())
        self._asked.append(asked)
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        found: T = await asked.answer
        return found

    async def _run(self) -> None:
        while self._asked:
            batch = [asked for asked in self._asked[:MOST_TOGETHER] if not asked.answer.done()]
            del self._asked[:MOST_TOGETHER]
            if batch:
                await self._commit(batch)

    async def _commit(self, batch: list[_Asked]) -> None:
        try:
            done = await anyio.to_thread.run_sync(self._write, [asked.work for asked in batch], limiter=self._turn)
        except Exception as error:  # the whole of it failed: nothing of any of them is kept
            done = [_Done(error=error)] * len(batch)
        for asked, one in zip(batch, done, strict=True):
            if asked.answer.done():
                continue
            if one.error is not None:
                asked.answer.set_exception(one.error)
            else:
                asked.answer.set_result(one.value)

    def _write(self, works: list[Work[Any]]) -> list[_Done]:
        with self._app.database.write() as session:
            now = self._app.now()
            if len(works) == 1:
                return [_Done(works[0](session, now))]
            return [_alone(session, work, now) for work in works]


def _alone(session: Session, work: Work[Any], now: datetime) -> _Done:
    """Do one of several; where it fails, what it has changed is taken back and nothing else."""
    try:
        with session.begin_nested():
            return _Done(work(session, now))
    except DatabaseUnavailable:
        raise
    except Exception as error:
        return _Done(error=error)
