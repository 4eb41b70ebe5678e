"""
Keep rows in hand at each relay, as its weight, its limits and the hours allow; end the run when there is nothing left.

A relay that is down or has spent its rate is nobody's to wait for: the others take over, and when it is back it takes
its share from then on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from typing import Protocol

from newsletter.send.claims import Claim, Claimed, Wanted
from newsletter.send.control import PauseKind
from newsletter.send.journal import Journal
from newsletter.send.receivers import DomainLimit
from newsletter.send.relay import Relay
from newsletter.send.results import Results
from newsletter.tables import DeliveryState, IssueState

CLAIM_ROWS = 50
LOOK_AGAIN_SECONDS = 0.5
OTHERS_FIRST_SECONDS = 0.02
DOWN_RELAY_RETRY_SECONDS = 30.0


class FedRun(Protocol):
    """What feeding needs of the run."""

    results: Results

    @property
    def ending(self) -> bool: ...

    def end(self) -> None: ...

    def end_outside_window(self) -> bool: ...

    def ending_on_failure(self) -> AbstractContextManager[None]: ...

    def pause(self, reason: str, kind: PauseKind) -> None: ...

    async def sleep(self, seconds: float) -> None: ...


class Feeding:
    """
    See the module.

    Args:
        domains: The limits that rows of the issue are under.
    """

    def __init__(
        self, journal: Journal, issue_id: int, relays: Sequence[Relay], domains: Sequence[DomainLimit], run: FedRun
    ) -> None:
        self._journal, self._issue_id, self._relays, self._run = journal, issue_id, relays, run
        self._domains = tuple(domains)
        self._heaviest = max(relay.account.weight for relay in relays)
        self.suppressed_at_claim = 0

    async def serve(self, relay: Relay) -> None:
        """Feed one relay and run its lanes; when it is down, try it again while others go on, else pause."""
        while not self._run.ending:
            # The feeder ends by itself, never cancelled in a claim: rows that arrive late are put back like others.
            feeder = asyncio.create_task(self._feed(relay))
            try:
                await relay.carry()
            except BaseException:
                self._run.end()
                raise
            finally:
                relay.wanted.set()
                await feeder
            if relay.down is None or self._run.ending:
                return
            await relay.all_arrived()
            relay.put_back_all()
            relay.was_out = True
            if relay.down.configuration or all(other.down for other in self._relays):
                kind = PauseKind.REFUSALS if relay.down.lasting else PauseKind.RELAY
                self._run.pause(_words(relay), kind)
                return
            await self._run.sleep(DOWN_RELAY_RETRY_SECONDS)
            relay.down = None

    async def new_slot(self, relay: Relay, row: Claimed) -> float:
        """Return another slot for a copy that missed its own."""
        return await self._journal.slot(self._wanted(relay, 1), row.rate_key)

    async def _feed(self, relay: Relay) -> None:
        """Keep rows in hand, a few more than there are connections."""
        with self._run.ending_on_failure():
            while not self._run.ending and relay.down is None:
                await self._feed_once(relay)

    async def _feed_once(self, relay: Relay) -> None:
        if not relay.is_hungry:
            relay.wanted.clear()
            await relay.wanted.wait()
        elif self._run.end_outside_window():
            return
        elif len(self._relays) > 1 and self._others_first(relay):
            await self._run.sleep(OTHERS_FIRST_SECONDS)
        else:
            await self._take(relay, await self._journal.claim(self._wanted(relay, self._rows(relay))))

    def _wanted(self, relay: Relay, most: int) -> Wanted:
        return Wanted(self._issue_id, most, relay.account.name, relay.limits, self._domains, relay.lead_seconds)

    def _rows(self, relay: Relay) -> int:
        """Return how many rows a claim asks for: by weight; few where an hour's rate counts from the claim on."""
        rows = max(1, CLAIM_ROWS * relay.account.weight // self._heaviest)
        return min(rows, relay.account.connections) if relay.limits else rows

    def _others_first(self, relay: Relay) -> bool:
        """Tell whether another relay that can go on is behind by more than a claim."""
        others = [other.share for other in self._relays if other is not relay and other.takes_part()]
        if relay.was_out:
            relay.rejoin(min(others, default=relay.share))
        return min(others, default=relay.share) + CLAIM_ROWS / self._heaviest < relay.share

    async def _take(self, relay: Relay, claim: Claim) -> None:
        self.suppressed_at_claim += claim.suppressed
        self._run.results.counts[DeliveryState.DEFERRED] += claim.parked
        self._run.results.providers.learn(claim.refusing)
        relay.feels_limits = claim.wait_seconds is not None and not claim.account_spent
        if claim.state is not IssueState.SENDING:
            self._run.end()
        elif claim.rows:
            relay.give(claim.rows, claim.not_before)
        elif claim.wait_seconds is not None:
            if claim.account_spent:
                relay.spent_until, relay.was_out = time.monotonic() + claim.wait_seconds, True
            await self._until_wanted(relay, claim.wait_seconds)
        elif not claim.suppressed and not claim.parked:
            if any(other.in_hand for other in self._relays):
                await self._until_wanted(relay, LOOK_AGAIN_SECONDS)
            else:
                self._run.end()

    async def _until_wanted(self, relay: Relay, seconds: float) -> None:
        relay.wanted.clear()
        if not self._run.ending:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(seconds, LOOK_AGAIN_SECONDS)):
                    await relay.wanted.wait()


def _words(relay: Relay) -> str:
    assert relay.down is not None
    return f"{relay.down.message} {relay.down.hint}".strip()
