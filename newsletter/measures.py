"""
What the metrics say of the work, read from the database when somebody looks: it is the one place that all processes,
also those on other machines, share.

Labels are states, classes and slugs of the newest issues; never a person, an address or a domain.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from newsletter.heartbeat import last_beat
from newsletter.tables import Delivery, DeliveryState, Issue, IssueState, Notice, WebRequest
from subscribers.tables import BounceEvent, ConsentAction, ConsentEvent

MOST_ISSUES = 5  # each look reads an index entry for every copy of them
_UNSENT = (DeliveryState.PENDING, DeliveryState.CLAIMED, DeliveryState.INTENT, DeliveryState.DEFERRED)


@dataclass(frozen=True, slots=True)
class Family:
    """One measure: its name, what it means, the names of its labels, and a value for each set of these."""

    name: str
    meaning: str
    values: Sequence[tuple[tuple[str, ...], float]]
    labels: tuple[str, ...] = ()


def measure(session: Session, now: datetime) -> Iterator[Family]:
    """Yield what there is to say at this moment."""
    yield _deliveries(session)
    yield _issues(session)
    yield from _queue(session, "notices", "in the outbox", Notice.state.in_(_UNSENT), Notice.created_at, now)
    yield from _queue(session, "web_requests", "asked on the site", WebRequest.done_at.is_(None), WebRequest.at, now)
    yield _returned(session)
    withdrawn = session.scalar(select(func.count()).where(ConsentEvent.action == ConsentAction.WITHDRAWN)) or 0
    yield _one("withdrawals", "Lines of the ledger by which somebody left a list.", withdrawn)
    beaten = last_beat(session)
    if beaten is not None:
        yield _one("worker_heartbeat_age_seconds", "Since a worker was last there.", _age(beaten, now))


def _deliveries(session: Session) -> Family:
    newest = select(Issue.id).where(Issue.planned_at.is_not(None)).order_by(Issue.planned_at.desc()).limit(MOST_ISSUES)
    rows = session.execute(
        select(Issue.slug, Delivery.state, func.count())
        .join(Delivery, Delivery.issue_id == Issue.id)
        .where(Issue.id.in_(newest))
        .group_by(Issue.slug, Delivery.state)
    )
    values: list[tuple[tuple[str, ...], float]] = [((slug, state.value), count) for slug, state, count in rows]
    return Family("deliveries", f"Copies of the {MOST_ISSUES} newest issues.", values, ("issue", "state"))


def _issues(session: Session) -> Family:
    counts = dict.fromkeys(IssueState, 0)
    for state, count in session.execute(select(Issue.state, func.count()).group_by(Issue.state)):
        counts[state] = count
    return Family("issues", "Issues.", [((state.value,), count) for state, count in counts.items()], ("state",))


def _returned(session: Session) -> Family:
    rows = session.execute(
        select(BounceEvent.kind, BounceEvent.klass, func.count()).group_by(BounceEvent.kind, BounceEvent.klass)
    )
    values: list[tuple[tuple[str, ...], float]] = [((kind.value, klass.value), count) for kind, klass, count in rows]
    return Family("returned", "What came back.", values, ("kind", "class"))


def _queue(
    session: Session, name: str, words: str, waits: ColumnElement[bool], since: Any, now: datetime
) -> Iterator[Family]:
    count, oldest = session.execute(select(func.count(), func.min(since)).where(waits)).one()
    yield _one(f"{name}_waiting", f"What waits of what is {words}.", count)
    yield _one(f"{name}_oldest_seconds", "Age of the oldest of these.", _age(oldest, now) if oldest else 0.0)


def _one(name: str, meaning: str, value: float) -> Family:
    return Family(name, meaning, [((), value)])


def _age(moment: datetime, now: datetime) -> float:
    return max(0.0, (now - moment).total_seconds())
