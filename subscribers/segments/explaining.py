"""Why one person is in a segment or not, clause by clause, by the same SQL that selects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from subscribers import attributes, people
from subscribers.segments.nodes import And, Belongs, Named, Node, Not, Or
from subscribers.segments.predicates import Predicate
from subscribers.segments.sql import Translator
from subscribers.tables import MailingList, Subscriber, Subscription, SubscriptionState


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause as written, whether it holds, and what the person has there."""

    clause: str
    holds: bool
    value: Any


@dataclass(frozen=True, slots=True)
class Explanation:
    member: bool
    clauses: tuple[Clause, ...]


def explain(
    session: Session,
    node: Node,
    subscriber: Subscriber,
    *,
    now: datetime,
    timezone: str,
    predicates: Sequence[Predicate] = (),
) -> Explanation:
    """
    Tell why a person is in or out.

    Raises:
        SegmentError: When the expression does not fit the fields that exist.
    """
    translator = Translator(session, now, timezone, predicates)
    parts = list(_clauses(node))
    asked: list[ColumnElement[bool]] = [translator.condition(node), *(translator.condition(part) for part in parts)]
    answers: list[bool] = []
    for condition in asked:
        found = session.scalar(select(Subscriber.id).where(Subscriber.id == subscriber.id, condition))
        answers.append(found is not None)
    clauses = (
        Clause(part.place.clause, holds, _held(session, part, subscriber, timezone))
        for part, holds in zip(parts, answers[1:], strict=True)
    )
    return Explanation(answers[0], tuple(clauses))


def _clauses(node: Node) -> Iterator[Node]:
    """Yield the clauses in reading order; ``not`` stays with a single clause."""
    inner = node.node if isinstance(node, Not | Named) else None
    if isinstance(node, And | Or):
        for child in node.nodes:
            yield from _clauses(child)
    elif inner is not None and (isinstance(node, Named) or isinstance(inner, And | Or | Named | Not)):
        yield from _clauses(inner)
    else:
        yield node


def _held(session: Session, node: Node, subscriber: Subscriber, timezone: str) -> Any:
    leaf = node.node if isinstance(node, Not) else node
    word = leaf.word if isinstance(leaf, Belongs) else getattr(leaf, "name", "")
    if word == "tag":
        return people.tags_of(session, subscriber.id)
    if word in ("list", "consent"):
        return _subscriptions(session, subscriber, word)
    if word == "joined":
        return subscriber.joined_at.astimezone(ZoneInfo(timezone)).date()
    if word == "paused":
        return f"until {subscriber.paused_until}" if subscriber.paused_until else "no"
    if word in ("address", "name", "first_name", "language", "domain", "frequency", "discreet"):
        return getattr(subscriber, word)
    return attributes.values_of(session, [subscriber.id]).get(subscriber.id, {}).get(word)


def _subscriptions(session: Session, subscriber: Subscriber, word: str) -> list[str]:
    rows = session.execute(
        select(MailingList.name, Subscription.basis)
        .join(Subscription, Subscription.list_id == MailingList.id)
        .where(Subscription.subscriber_id == subscriber.id, Subscription.state == SubscriptionState.SUBSCRIBED)
        .order_by(MailingList.name)
    )
    found = [name if word == "list" else basis.value for name, basis in rows]
    return sorted(set(found))
