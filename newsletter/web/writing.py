"""
Writes of several requests in one commit: each alone would wait for the lock of SQLite, and for the disk, of its own.

Each is answered after the commit that holds it, and only for itself: where one of them fails, each is done alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

import anyio.to_thread
from sqlalchemy.orm import Session

from newsletter.app import App
from subscribers.errors import DatabaseUnavailable

MOST_TOGETHER = 50
Asked = TypeVar("Asked")
Done = TypeVar("Done")
Write = Callable[[Session, Sequence[Asked], datetime], Sequence[Done]]
Work = Callable[[Session, datetime], Any]


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Asked, Done]):
    asked: Asked
    answer: asyncio.Future[Done]


class Together(Generic[Asked, Done]):
    """
    Commits together what gathers while the commit before is made.

    Args:
        turn: Held by whoever writes in this process.
        write: Does several in a transaction that is not its own, and returns what came of each. It may be called
            again for one of them alone, after a rollback.
    """

    def __init__(self, app: App, turn: anyio.CapacityLimiter, write: Write[Asked, Done]) -> None:
        self._app, self._turn, self._write = app, turn, write
        self._waiting: list[_Waiting[Asked, Done]] = []
        self._running: asyncio.Task[None] | None = None

    async def do(self, asked: Asked) -> Done:
        """Return what came of it, once it is durable; a request that was given up before its turn is not done."""
        waiting: _Waiting[Asked, Done] = _Waiting(asked, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return await waiting.answer

    async def _run(self) -> None:
        while self._waiting:
            batch = [one for one in self._waiting[:MOST_TOGETHER] if not one.answer.done()]
            del self._waiting[:MOST_TOGETHER]
            if not batch:
                continue
            done = await anyio.to_thread.run_sync(self._commit, [one.asked for one in batch], limiter=self._turn)
            for one, what in zip(batch, done, strict=True):
                if one.answer.done():
                    continue
                if isinstance(what, _Failed):
                    one.answer.set_exception(what.error)
                else:
                    one.answer.set_result(what)

    def _commit(self, asked: Sequence[Asked]) -> Sequence[Done | _Failed]:
        try:
            with self._app.database.write() as session:
                return self._write(session, asked, self._app.now())
        except Exception as error:
            if len(asked) == 1 or isinstance(error, DatabaseUnavailable):
                return [_Failed(error)] * len(asked)
        return [one for alone in asked for one in self._commit([alone])]


@dataclass(frozen=True, slots=True)
class _Failed:
    error: Exception


def do_works(session: Session, works: Sequence[Work], now: datetime) -> list[Any]:
    """Do what is given as functions, one after the other."""
    return [work(session, now) for work in works]
