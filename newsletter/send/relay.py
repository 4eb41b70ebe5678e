"""
One relay while an issue goes out: the rows in hand for it, its share of the work, and whether it is there at all.

A relay that is away charges nobody: what was in hand goes back, and goes by another one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from newsletter.config.settings import SmtpAccount
from newsletter.errors import NewsletterError
from newsletter.send.claims import Claimed
from newsletter.send.copies import Copy, Deliver
from newsletter.send.lane import Lane
from newsletter.send.pool import Pool
from newsletter.send.results import Results
from newsletter.send.session import Conversation, RelayRefused
from newsletter.send.throttle import Limits

DOWN_AFTER_SECONDS = 3.0
# A relay that settles nothing for so long is not waited for by others that share the work with it.
STALLED_AFTER_SECONDS = 5.0
# Where the relay takes long over an envelope, a copy is begun so much before its slot, at most.
LONGEST_LEAD_SECONDS = 20.0


class Maker(Protocol):
    """Who makes copies: each when it is asked for, or ahead."""

    def hand_in(self, rows: Sequence[Claimed], slots: Sequence[float], deliver: Deliver) -> None: ...

    def make(self, row: Claimed, not_before: float = 0.0) -> Copy: ...

    def keep(self, copy: Copy) -> None: ...


class Run(Protocol):
    """What a relay needs of the run that it is part of."""

    maker: Maker
    results: Results
    local_hostname: str

    @property
    def ending(self) -> bool: ...

    def composing(self, delivery: int) -> None: ...

    async def sleep(self, seconds: float) -> None: ...

    async def new_slot(self, relay: Relay, row: Claimed) -> float: ...

    def most_on_a_connection(self, key: str) -> int: ...


class Relay:
    """
    One account: rows in hand, open conversations, and its health.

    Args:
        reserve: Rows to have in hand beside one for each connection: more where copies are made ahead.
    """

    def __init__(self, account: SmtpAccount, run: Run, *, reserve: int = 0) -> None:
        self.account = account
        self.limits = Limits(account.per_minute, account.per_hour, account.per_day)
        self.pool = Pool(lambda: run.results.now().timestamp())
        self.arrived = asyncio.Event()
        self.wanted = asyncio.Event()
        self.open: set[Conversation] = set()
        self.in_hand = self.on_the_way = 0
        self.claimed = 0.0
        self.lead_seconds = 0.0
        self.feels_limits = False
        self.spent_until = 0.0
        self.was_out = False
        self.down: RelayRefused | None = None
        self._run, self._enough = run, account.connections + reserve
        self._failing_since: float | None = None
        self._settled, self._settled_seen, self._settled_at = 0, 0, time.monotonic()

    @property
    def share(self) -> float:
        """Return how much it was given in relation to its weight."""
        return self.claimed / self.account.weight

    @property
    def is_hungry(self) -> bool:
        """Tell whether it has fewer rows without a slot than connections, and than is held in reserve."""
        return len(self.pool.untimed) + self.on_the_way <= self._enough

    def takes_part(self) -> bool:
        """Tell whether others should wait for it to take its share: it is there, may send, and gets on."""
        now = time.monotonic()
        if self._settled != self._settled_seen or not self.in_hand:
            self._settled_seen, self._settled_at = self._settled, now
        stalled = now - self._settled_at > STALLED_AFTER_SECONDS
        self.was_out = self.was_out or stalled
        return self.down is None and self.spent_until <= now and not stalled

    def rejoin(self, share: float) -> None:
        """Take part again after having been out: with its weight from now on, and not with what it missed."""
        self.was_out = False
        self.claimed = max(self.claimed, share * self.account.weight)

    def give(self, rows: Sequence[Claimed], slots: Sequence[float]) -> None:
        """Take claimed rows in hand; they can be begun once their copies are made, where that is done ahead."""
        self.in_hand += len(rows)
        self.claimed += len(rows)
        self.on_the_way += len(rows)
        self._run.maker.hand_in(rows, slots, self._have)

    def _have(self, rows: Sequence[Claimed], slots: Sequence[float]) -> None:
        self.pool.add(rows, slots)
        self.on_the_way -= len(rows)
        self.arrived.set()

    async def all_arrived(self) -> None:
        """Wait until every row that was given can be begun, or put back."""
        while self.on_the_way:
            self.arrived.clear()
            await self.arrived.wait()

    def settle(self) -> None:
        """Count a row as no longer in hand; the journal has been told what came of it."""
        self.in_hand -= 1
        self._settled += 1
        if not self.in_hand or self.feels_limits:
            self.wanted.set()

    def put_back_all(self) -> None:
        """Hand everything not begun back to the database."""
        for row in self.pool.empty():
            self._run.results.journal.release(row.id)
            self.claimed -= 1
            self.settle()

    async def next_copy(self) -> Copy | None:
        """Return the next copy when its time has come; None when this relay has no more to do."""
        while not self._run.ending and self.down is None:
            copy = self.ready_copy()
            if copy is not None:
                return copy
            self.arrived.clear()
            if self._run.ending or self.down is not None:
                return None
            if not self.pool:
                self.wanted.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(self.pool.seconds_until_next(self.lead_seconds)):
                    await self.arrived.wait()
        return None

    def ready_copy(self) -> Copy | None:
        """Return a composed copy that may leave now, without waiting."""
        results, maker = self._run.results, self._run.maker
        while self.pool and not self._run.ending and self.down is None:
            taken = self.pool.take(self.lead_seconds)
            if taken is None:
                return None
            row, not_before = taken
            if self.is_hungry:
                self.wanted.set()
            if results.providers.refusing and (until := results.providers.refused_until(row.domain)):
                results.parked(row, until)
                self.settle()
                continue
            self._run.composing(row.id)
            try:
                return maker.make(row, not_before)
            except NewsletterError as error:
                results.held(row, error.code, error.message)
            except Exception as error:
                results.held(row, "error", f"{type(error).__name__}: {error}")
            finally:
                self._run.composing(0)
            self.settle()
        return None

    def return_copy(self, copy: Copy) -> None:
        """Put a copy that was composed but not begun back to the front."""
        self._run.maker.keep(copy)
        self.pool.put_first(copy.row, copy.not_before)
        self.arrived.set()

    def release(self, copy: Copy) -> None:
        """Hand a copy whose dot has not been asked for back to the database; nobody is charged."""
        self._run.results.journal.release(copy.row.id)
        self.settle()

    def needs_lead(self, seconds: float) -> None:
        """Begin copies so long before their slots from now on: one missed its slot."""
        self.lead_seconds = min(LONGEST_LEAD_SECONDS, max(self.lead_seconds, seconds))

    def works(self) -> None:
        self._failing_since = None

    async def failed(self, error: RelayRefused, backoff_seconds: float) -> None:
        """Note that a connection could not be had or used; declare the relay down when none has worked for a while."""
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        if error.lasting or (not self.open and now - self._failing_since >= DOWN_AFTER_SECONDS):
            self.down = error
            self.arrived.set()
            self.wanted.set()
            return
        await self._run.sleep(backoff_seconds)

    async def carry(self) -> None:
        """Run all lanes of this relay until it has no more to do or is down."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self.account.connections):
                group.create_task(Lane(self, self._run).work())
