"""
What limits and breakers have stored: one row of `throttles` each, shared by all processes that send.

A row is locked from reading to storing. Whoever locks several does it in one order: the account, the receiving domains
as their limits are sorted, the breakers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.engine import Connection

from newsletter.send.breaker import REFUSED_COPY_WAITS, Breaker
from newsletter.send.replies import SmtpReply
from newsletter.send.throttle import Used
from newsletter.tables import Delivery, Throttle
from newsletter.tables import DeliveryState as S

BREAKER = "breaker:"
SIGN_UP_BREAKER = "sign-up:breaker"
REFUSED_FOR_ITSELF = "its provider takes other copies but not this one"


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a refusal by policy led to: the breaker, how many providers refuse us now, and whether the copy is held."""

    breaker: Breaker
    refusing: int
    held: bool


def locked_use(connection: Connection, name: str) -> Used:
    """Return what a limit has used; nobody else changes it until the transaction ends."""
    return Used.from_json(locked_value(connection, name))


def store_use(connection: Connection, name: str, used: Used) -> None:
    store_value(connection, name, used.to_json())


def open_breakers(connection: Connection) -> tuple[Breaker, ...]:
    """Return the breakers that are not closed."""
    statement = select(Throttle.name, Throttle.value).where(Throttle.name.startswith(BREAKER)).order_by(Throttle.name)
    found = (Breaker.from_json(name.removeprefix(BREAKER), value) for name, value in connection.execute(statement))
    return tuple(breaker for breaker in found if breaker.until is not None)


def refuse(
    connection: Connection, provider: str, *, worker: int, delivery: int, domain: str, reply: SmtpReply, now: datetime
) -> Refusal:
    """Note that a provider refused a deferred delivery by policy; the delivery waits longer than the breaker."""
    breaker = _locked_breaker(connection, provider).refused(delivery, domain, reply, now)
    assert breaker.until is not None
    held = breaker.refuses_only(delivery)
    _store_breaker(connection, breaker)
    values: dict[str, Any] = {"state_at": now, "retry_at": breaker.until + REFUSED_COPY_WAITS}
    if held:
        values = {"state": S.HELD, "state_at": now, "retry_at": None, "reason": REFUSED_FOR_ITSELF}
    mine = (Delivery.id == delivery, Delivery.owner == worker, Delivery.state == S.DEFERRED)
    held = connection.execute(update(Delivery).where(*mine).values(values)).rowcount > 0 and held
    return Refusal(breaker, len(open_breakers(connection)), held)


def begin_trial(connection: Connection, provider: str, delivery: int, now: datetime) -> bool:
    """Return whether a delivery may go although its provider refused us: as the only one that is under way."""
    breaker = _locked_breaker(connection, provider)
    if breaker.until is None:
        return True
    if not breaker.is_half_open(now) or _is_under_way(connection, breaker.trial):
        return False
    _store_breaker(connection, replace(breaker, trial=delivery))
    return True


def close_breaker(connection: Connection, provider: str, now: datetime) -> None:
    """Note that a provider took a copy while its breaker was half open."""
    breaker = _locked_breaker(connection, provider)
    if breaker.is_half_open(now):
        _store_breaker(connection, breaker.closed())


def put_on_trial(connection: Connection, now: datetime) -> None:
    """Let the next copy to each provider that refuses us be a trial: a person has mended the cause."""
    for breaker in open_breakers(connection):
        _store_breaker(connection, _locked_breaker(connection, breaker.provider).on_trial(now))


def _is_under_way(connection: Connection, delivery: int | None) -> bool:
    """A row in hand ends by its worker or by recovery, so a trial is never forgotten."""
    state = connection.scalar(select(Delivery.state).where(Delivery.id == delivery)) if delivery else None
    return state in (S.CLAIMED, S.INTENT)


def _locked_breaker(connection: Connection, provider: str) -> Breaker:
    return Breaker.from_json(provider, locked_value(connection, BREAKER + provider))


def _store_breaker(connection: Connection, breaker: Breaker) -> None:
    store_value(connection, BREAKER + breaker.provider, breaker.to_json())


def locked_value(connection: Connection, name: str) -> Any:
    """Return what is stored under *name*, empty when nothing is; nobody else changes it until the transaction ends."""
    if connection.dialect.name == "postgresql":  # only a row that is there can be locked
        empty = postgresql_insert(Throttle).values(name=name, value={})
        connection.execute(empty.on_conflict_do_nothing())
    return connection.scalar(select(Throttle.value).where(Throttle.name == name).with_for_update())


def store_value(connection: Connection, name: str, value: Any) -> None:
    """Store what a limit, or somebody's turn, is to remember."""
    stored = connection.execute(update(Throttle).where(Throttle.name == name).values(value=value))
    if not stored.rowcount:
        connection.execute(insert(Throttle).values(name=name, value=value))
