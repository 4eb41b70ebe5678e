"""
Take rows in hand: so many as the limits of account and receiving domain let leave soon, of no provider that refuses us.

Everything is decided in one transaction under the locks of the limits, so that several processes together keep them.
Rows under a limit are asked for by its name, then the others: a claim never looks through rows that may not go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy.engine import Connection

from newsletter.send.breaker import TRIAL_WAIT, Breaker
from newsletter.send.receivers import DomainLimit, provider_of
from newsletter.send.statements import Prepared, Statements
from newsletter.send.throttle import Limits, Used, permits, permits_among, take_slot, use, wait_seconds
from newsletter.send.throttles import begin_trial, locked_use, open_breakers, store_use
from newsletter.tables import DeliveryState as S
from newsletter.tables import IssueState

HORIZON_SECONDS = 2.0
SHORTEST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.05, 0.5
LOOK_AT_BREAKERS_SECONDS = 0.5
# Rows of a provider that refuses us are set aside so many at a time: other processes wait for no more.
PARKED_ROWS, PARKED_ROUNDS = 250, 4
UNTIMED = 0.0


class Claimed(NamedTuple):
    """A row in hand: all that its copy is made of, beside the variant. `rate_key` names its limit, if it has one."""

    id: int
    variant_id: int
    list_id: int
    address: str
    domain: str
    token_id: bytes
    slots: dict[str, str]
    date: datetime
    message_id: str
    attempt: int
    rate_key: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    What a relay asks for.

    Attributes:
        domains: The limits that rows of the issue are under, sorted as `DomainLimits.names`.
        lead_seconds: How long before its slot a copy is begun, so that its dot is ready in time.
    """

    issue_id: int
    most: int
    account: str = ""
    limits: Limits = field(default_factory=Limits)
    domains: tuple[DomainLimit, ...] = ()
    lead_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Claim:
    """
    What a claim gave.

    Attributes:
        not_before: The slot of each row, in seconds since the epoch; empty when no row has one.
        parked: How many were set aside because their provider refuses us.
        wait_seconds: How long until more may be had of what is due; None when nothing is held back by a limit.
        account_spent: It is the account's own limit that holds everything back.
        refusing: The providers that refuse us.
    """

    state: IssueState
    rows: Sequence[Claimed] = ()
    suppressed: int = 0
    not_before: Sequence[float] = ()
    parked: int = 0
    wait_seconds: float | None = None
    account_spent: bool = False
    refusing: tuple[Breaker, ...] = ()


@dataclass(slots=True)
class _Basket:
    """What one claim has gathered so far; `offered` are the account's slots that are left."""

    offered: list[float]
    rows: list[Claimed] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    suppressed: int = 0
    parked: int = 0
    waits: list[float] = field(default_factory=list)


class Claims:
    """
    The claims of one worker; each is made in a transaction of the journal.

    Args:
        owner: Id of the worker.
        in_hand: What it has in hand already; a row of these is given to nobody a second time.
    """

    def __init__(
        self,
        sql: Statements,
        *,
        owner: int,
        lease: timedelta,
        clock: Callable[[], datetime],
        in_hand: Set[int] = frozenset(),
    ) -> None:
        self._sql, self._owner, self._lease, self._clock = sql, owner, lease, clock
        self._has = in_hand
        self.refusing: tuple[Breaker, ...] = ()
        self._by_domain: dict[str, Breaker] = {}
        self._looked_at: datetime | None = None

    def claim(self, connection: Connection, wanted: Wanted) -> Claim:
        """Take up to `wanted.most` rows in hand."""
        cursor, now = connection.connection.cursor(), self._clock()
        self._execute(cursor, self._sql.issue_state, issue=wanted.issue_id)
        state = IssueState(self._one(cursor))
        if state is not IssueState.SENDING:
            return Claim(state)
        self._look_at_breakers(connection, now)
        if not wanted.limits:
            basket = self._fill(connection, cursor, wanted, [UNTIMED] * wanted.most, now)
        else:
            name, moment = f"account:{wanted.account}", now.timestamp()
            used, horizon = locked_use(connection, name), HORIZON_SECONDS + wanted.lead_seconds
            offered = permits(wanted.limits, used, moment, most=wanted.most, horizon_seconds=horizon)
            if not offered:
                wait = max(SHORTEST_WAIT_SECONDS, wait_seconds(wanted.limits, used, moment))
                due = self._is_due(cursor, wanted, now)
                return Claim(state, wait_seconds=wait if due else None, account_spent=due, refusing=self.refusing)
            basket = self._fill(connection, cursor, wanted, offered, now)
            if basket.times:
                store_use(connection, name, use(wanted.limits, used, moment, sorted(basket.times)))
            if not wanted.limits.per_minute:
                basket.times = [UNTIMED if time == moment else time for time in basket.times]
        return Claim(
            state,
            basket.rows,
            basket.suppressed,
            basket.times if any(basket.times) else (),
            basket.parked,
            min(basket.waits, default=None),
            refusing=self.refusing,
        )

    def slot(self, connection: Connection, wanted: Wanted, key: str | None) -> float:
        """Return a new slot for a copy that missed the one it had."""
        moment = slot = self._clock().timestamp()
        rates = [(f"account:{wanted.account}", wanted.limits)]
        rates += [(f"domain:{each.name}", each.rate) for each in wanted.domains if each.name == key]
        paced = [(name, limits, locked_use(connection, name)) for name, limits in rates if limits.per_minute]
        for _, limits, used in paced:
            slot, _ = take_slot(limits, used, moment, not_before=slot)
        for name, limits, used in paced:
            store_use(connection, name, take_slot(limits, used, moment, not_before=slot)[1])
        return slot

    def forget_breakers(self) -> None:
        """Look at the breakers again with the next claim: one has changed."""
        self._looked_at = None

    # -- one limit after the other

    def _fill(
        self, connection: Connection, cursor: Any, wanted: Wanted, offered: list[float], now: datetime
    ) -> _Basket:
        basket = _Basket(offered)
        for limit in wanted.domains:
            self._fill_limited(basket, connection, cursor, wanted, limit, now)
        if basket.offered:
            self._take_into(basket, connection, cursor, wanted, None, list(basket.offered), now)
        return basket

    def _fill_limited(
        self, basket: _Basket, connection: Connection, cursor: Any, wanted: Wanted, limit: DomainLimit, now: datetime
    ) -> None:
        name, moment = f"domain:{limit.name}", now.timestamp()
        # On SQLite the transaction itself keeps others out.
        used = locked_use(connection, name) if limit.rate or not self._sql.is_sqlite else Used()
        in_hand = self._in_hand(cursor, limit.name) if limit.connections else 0
        slots = self._slots(wanted, limit, used, basket.offered, in_hand, now)
        taken = self._take_into(basket, connection, cursor, wanted, limit.name, slots, now) if slots else []
        if taken and limit.rate:
            used = use(limit.rate, used, moment, taken)
            store_use(connection, name, used)
        if len(taken) == len(slots) and self._is_due_under(cursor, wanted.issue_id, limit.name, now):
            wait = wait_seconds(limit.rate, used, moment) or LONGEST_WAIT_SECONDS
            basket.waits.append(max(SHORTEST_WAIT_SECONDS, wait))

    def _slots(
        self, wanted: Wanted, limit: DomainLimit, used: Used, offered: list[float], in_hand: int, now: datetime
    ) -> list[float]:
        """Return the slots that rows of one limit may take of those that the account offers."""
        # Half at most, so that a limit with much to do leaves room for the rows after it.
        room = min(len(offered), max(1, wanted.most // 2))
        if limit.connections:
            room = min(room, limit.connections - in_hand)
        if room <= 0:
            return []
        moment, horizon = now.timestamp(), HORIZON_SECONDS + wanted.lead_seconds
        if wanted.limits.per_minute:
            return permits_among(limit.rate, used, moment, offered)[:room]
        if limit.rate:
            return permits(limit.rate, used, moment, most=room, horizon_seconds=horizon)
        return offered[:room]

    def _take_into(
        self,
        basket: _Basket,
        connection: Connection,
        cursor: Any,
        wanted: Wanted,
        key: str | None,
        slots: list[float],
        now: datetime,
    ) -> list[float]:
        """Take rows under a limit, or under none, for *slots*; return the slots that were used."""
        ids, parked = self._pick(connection, cursor, wanted.issue_id, key, len(slots), now)
        basket.parked += parked
        if not ids:
            return []
        suppressed, rows = self._take(cursor, ids, key, now)
        used = slots[: len(rows)]
        basket.suppressed += suppressed
        basket.rows += rows
        basket.times += used
        if wanted.limits.per_minute:
            gone = set(used)
            basket.offered = [slot for slot in basket.offered if slot not in gone]
        else:
            basket.offered = basket.offered[len(used) :]
        return used

    # -- rows

    def _pick(
        self, connection: Connection, cursor: Any, issue_id: int, key: str | None, most: int, now: datetime
    ) -> tuple[list[int], int]:
        """Return the rows that may be taken, and how many were set aside for their provider."""
        if not self.refusing:
            return self._candidates(cursor, issue_id, key, most, now), 0
        going: list[int] = []
        parked = 0
        for _ in range(PARKED_ROUNDS):
            ids = self._candidates(cursor, issue_id, key, max(most, PARKED_ROWS), now)
            going, waiting = self._sorted_by_provider(connection, cursor, ids, most, now)
            for until, some in waiting.items():
                values = {"now": self._sql.moment(now), "again": self._sql.moment(until)}
                parked += self._execute(cursor, self._sql.park, ids=self._sql.id_list(some), **values)
            if not waiting or len(going) >= most:
                break
        return going, parked

    def _sorted_by_provider(
        self, connection: Connection, cursor: Any, ids: list[int], most: int, now: datetime
    ) -> tuple[list[int], dict[datetime, list[int]]]:
        """Return the rows that may go, and by the time until which they wait those that may not."""
        self._execute(cursor, self._sql.domains, ids=self._sql.id_list(ids))
        domains = dict(cursor.fetchall())
        going: list[int] = []
        waiting: dict[datetime, list[int]] = {}
        tried: set[str] = set()
        for row in ids:
            if len(going) == most:
                break
            breaker = self._breaker_of(domains[row])
            if breaker is None:
                going.append(row)
            elif breaker.until is not None and breaker.until > now:
                waiting.setdefault(breaker.until, []).append(row)
            elif breaker.provider not in tried and begin_trial(connection, breaker.provider, row, now):
                going.append(row)
                tried.add(breaker.provider)
            else:
                tried.add(breaker.provider)
                waiting.setdefault(now + TRIAL_WAIT, []).append(row)
        return going, waiting

    def _candidates(self, cursor: Any, issue_id: int, key: str | None, most: int, now: datetime) -> list[int]:
        ids: list[int] = []
        for state in (S.DEFERRED, S.PENDING):
            if len(ids) < most:
                statement = self._sql.candidates[state, key is not None]
                values = {"issue": issue_id, "now": self._sql.moment(now), "most": most - len(ids), "key": key}
                self._execute(cursor, statement, **values)
                ids += self._sql.read_ids(cursor.fetchone())
        return ids

    def _take(self, cursor: Any, ids: list[int], key: str | None, now: datetime) -> tuple[int, list[Claimed]]:
        values = {**self._sql.at(now), "worker": self._owner, "ids": self._sql.id_list(ids)}
        suppressed = self._execute(cursor, self._sql.suppress, **values)
        self._execute(cursor, self._sql.claim, lease=self._sql.moment(now + self._lease), **values)
        self._execute(cursor, self._sql.claimed, **values)
        found = (Claimed._make((*row, key)) for row in self._sql.read_claimed(cursor.fetchall()))
        return suppressed, [row for row in found if row.id not in self._has]

    def _is_due(self, cursor: Any, wanted: Wanted, now: datetime) -> bool:
        keys = [None, *(limit.name for limit in wanted.domains)]
        return any(self._is_due_under(cursor, wanted.issue_id, key, now) for key in keys)

    def _is_due_under(self, cursor: Any, issue_id: int, key: str | None, now: datetime) -> bool:
        return bool(self._candidates(cursor, issue_id, key, 1, now))

    def _in_hand(self, cursor: Any, key: str) -> int:
        self._execute(cursor, self._sql.in_hand, key=key)
        return int(self._one(cursor))

    # -- breakers

    def _look_at_breakers(self, connection: Connection, now: datetime) -> None:
        recently = timedelta(seconds=LOOK_AT_BREAKERS_SECONDS)
        if self._looked_at is not None and timedelta() <= now - self._looked_at < recently:
            return
        self._looked_at, self.refusing = now, open_breakers(connection)
        self._by_domain = {domain: breaker for breaker in self.refusing for domain in breaker.domains}
        self._by_domain |= {breaker.provider: breaker for breaker in self.refusing}

    def _breaker_of(self, domain: str) -> Breaker | None:
        return self._by_domain.get(domain) or self._by_domain.get(provider_of(domain))

    def _one(self, cursor: Any) -> Any:
        return cursor.fetchone()[0]

    def _execute(self, cursor: Any, statement: Prepared, **values: Any) -> int:
        cursor.execute(statement.text, statement.values(**values))
        return int(cursor.rowcount)
