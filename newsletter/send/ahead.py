"""
Copies made ahead of the lanes, by a few threads: where they are signed, making one takes longer than sending it.

A signature lets go of the interpreter while it is worked out, so threads use all cores and the event loop goes on.
Every row that is handed in comes back, with its copy or without; a lane takes what is ready and waits for nothing.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue

from newsletter.send.claims import Claimed
from newsletter.send.copies import Copy, CopyMaker, Deliver

MOST_THREADS = 4  # more are no faster: what is not the signature itself holds the interpreter
CHUNK_ROWS = 5
_Work = tuple[Sequence[Claimed], Sequence[float], Deliver]


def threads_for_signing(*, cautious: bool) -> int:
    """Return how many to use; one alone where a sender crashed on a copy, so that it is known on which."""
    return 1 if cautious else min(MOST_THREADS, os.cpu_count() or 1)


class CopiesAhead:
    """
    See the module.

    Args:
        most: Copies to hold; beyond them the oldest is given up. No more are wanted than rows are in hand.
        composing: Told by each thread which row it makes now (0: none), and the thread's number from 1 on.
    """

    def __init__(self, maker: CopyMaker, composing: Callable[[int, int], None], *, threads: int, most: int) -> None:
        self._maker, self._composing, self._most = maker, composing, most
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._made: dict[int, tuple[Claimed, Copy | Exception]] = {}
        self._threads = [
            threading.Thread(target=self._work, args=(number,), name=f"copies-{number}", daemon=True)
            for number in range(1, threads + 1)
        ]
        for thread in self._threads:
            thread.start()

    def hand_in(self, rows: Sequence[Claimed], slots: Sequence[float], deliver: Deliver) -> None:
        """Have copies made; *deliver* is called in the event loop with a few rows at a time, as they are ready."""
        for start in range(0, len(rows), CHUNK_ROWS):
            end = start + CHUNK_ROWS
            self._queue.put((rows[start:end], slots[start:end], deliver))

    def make(self, row: Claimed, not_before: float = 0.0) -> Copy:
        """Return the copy that is ready, or raise what making it raised; one that is not ready is made here."""
        made_for, made = self._made.pop(row.id, (None, None))
        if made is None or made_for is not row:  # put back since, and claimed again
            return self._maker.make(row, not_before)
        if isinstance(made, Exception):
            raise made
        made.not_before = not_before
        return made

    def keep(self, copy: Copy) -> None:
        """Take back a copy that was not begun."""
        self._made[copy.row.id] = (copy.row, copy)

    async def close(self) -> None:
        """End the threads. What they did not come to is delivered as it is, for whoever puts the rows back."""
        waiting: list[_Work] = []
        with suppress(Empty):
            while (work := self._queue.get_nowait()) is not None:
                waiting.append(work)
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)
        for rows, slots, deliver in waiting:
            deliver(rows, slots)

    def _work(self, number: int) -> None:
        while (work := self._queue.get()) is not None:
            for row in work[0]:
                self._composing(row.id, number)
                self._made[row.id] = (row, self._attempt(row))
            self._composing(0, number)
            self._loop.call_soon_threadsafe(self._hand_over, work)

    def _attempt(self, row: Claimed) -> Copy | Exception:
        try:
            return self._maker.make(row)
        except Exception as error:
            return error

    def _hand_over(self, work: _Work) -> None:
        while len(self._made) > self._most:
            del self._made[next(iter(self._made))]
        rows, slots, deliver = work
        deliver(rows, slots)
