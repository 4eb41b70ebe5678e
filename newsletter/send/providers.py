"""
What this process knows of the providers that refuse us, between two looks at the database.

A refusal counts here at once, so that no other connection runs into it; the database tells the other processes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Protocol

from newsletter.send.breaker import Breaker
from newsletter.send.claims import Claimed
from newsletter.send.receivers import provider_of
from newsletter.send.replies import SmtpReply
from newsletter.send.throttles import Refusal


class BreakerStore(Protocol):
    """Where breakers are kept: the journal."""

    def refuse(self, provider: str, delivery_id: int, domain: str, reply: SmtpReply) -> asyncio.Future[Refusal]: ...

    def close_breaker(self, provider: str) -> asyncio.Future[None]: ...


class Providers:
    """
    The breakers that are not closed.

    Args:
        on_refusal: Called when a refusal is stored.
    """

    def __init__(
        self, store: BreakerStore, clock: Callable[[], datetime], on_refusal: Callable[[Refusal], None]
    ) -> None:
        self._store, self._clock, self._on_refusal = store, clock, on_refusal
        self.refusing: dict[str, Breaker] = {}
        self._by_domain: dict[str, Breaker] = {}
        self._noted: dict[str, Breaker] = {}
        self._under_way: set[asyncio.Future[Any]] = set()

    def learn(self, breakers: Sequence[Breaker]) -> None:
        """Take over what the database says; what is on its way there counts beside it."""
        if breakers or self.refusing or self._noted:
            self.refusing = {breaker.provider: breaker for breaker in breakers} | self._noted
            self._by_domain = {domain: b for b in self.refusing.values() for domain in (b.provider, *b.domains)}

    def refused_until(self, domain: str) -> datetime | None:
        """Return until when a receiving domain is left alone; None when it may be tried."""
        breaker = self._breaker_of(domain)
        return breaker.until if breaker and breaker.until and breaker.until > self._clock() else None

    def refused(self, row: Claimed, reply: SmtpReply) -> None:
        """Open the breaker of a row's provider; the row's outcome was handed over before."""
        provider = provider_of(row.domain, reply)
        before = self.refusing.get(provider, Breaker(provider))
        self._noted[provider] = before.refused(row.id, row.domain, reply, self._clock())
        self.learn(list(self.refusing.values()))
        future = self._store.refuse(provider, row.id, row.domain, reply)
        self._under_way.add(future)
        future.add_done_callback(lambda done: self._stored(provider, done))

    def accepted(self, domain: str) -> None:
        """Close the breaker of a provider that took its trial."""
        breaker = self._breaker_of(domain)
        if breaker is not None and breaker.is_half_open(self._clock()):
            self.learn([b for b in self.refusing.values() if b is not breaker])
            future = self._store.close_breaker(breaker.provider)
            self._under_way.add(future)
            future.add_done_callback(self._done)

    async def settled(self) -> None:
        """Wait until all that was noted here is stored."""
        while self._under_way:
            await asyncio.wait(self._under_way)
            await asyncio.sleep(0)  # the callbacks of those that are done run now

    def _breaker_of(self, domain: str) -> Breaker | None:
        return self._by_domain.get(domain) or self._by_domain.get(provider_of(domain))

    def _stored(self, provider: str, done: asyncio.Future[Refusal]) -> None:
        self._done(done)
        self._noted.pop(provider, None)
        if not done.cancelled() and done.exception() is None:
            refusal = done.result()
            self.learn([*(b for b in self.refusing.values() if b.provider != provider), refusal.breaker])
            self._on_refusal(refusal)

    def _done(self, done: asyncio.Future[Any]) -> None:
        """A failure of the database is told by the next intent, which it refuses as well."""
        self._under_way.discard(done)
        if not done.cancelled():
            done.exception()
