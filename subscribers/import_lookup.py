"""
What is stored about the people of some rows of an import: looked up at once, a handful of statements a chunk.

Whoever is suppressed or left the list stays out; nothing here writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from subscribers import suppression
from subscribers.attributes import Value
from subscribers.incoming import PERSON_FIELDS, Incoming, Known, apply, compare, newcomer
from subscribers.tables import (
    AttributeDefinition,
    AttributeValue,
    Subscriber,
    Subscription,
    SubscriptionState,
    Suppression,
    Tag,
)
from subscribers.tokens import address_hash


@dataclass(slots=True)
class Outcome:
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    suppressed: int = 0


@dataclass
class Chunk:
    """Some rows of an import with all that is stored about their people."""

    incoming: Sequence[Incoming]
    hashes: Mapping[str, bytes]
    known: dict[str, Known]
    suppressed: frozenset[str]

    @classmethod
    def load(cls, session: Session, incoming: Sequence[Incoming], list_id: int, pepper: bytes, now: datetime) -> Chunk:
        hashes = {row.address.key: address_hash(pepper, row.address.key) for row in incoming}
        domains = {row.address.key: row.address.domain for row in incoming}
        known = _load_known(session, list(hashes), list_id)
        return cls(incoming, hashes, known, _suppressed(session, hashes, domains, list_id, now))

    def stays_out(self, row: Incoming) -> bool:
        """Tell whether this person must not be brought back, or the file itself says that they left."""
        known = self.known.get(row.address.key)
        left = known is not None and known.state == SubscriptionState.UNSUBSCRIBED
        return left or row.withdrawn is not None or row.address.key in self.suppressed

    def rehearse(self, overlay: dict[str, Known]) -> Outcome:
        """Count without writing; *overlay* holds what earlier rows of the file would have made."""
        outcome = Outcome()
        for row in self.incoming:
            key = row.address.key
            known = overlay.get(key) or self.known.get(key)
            if self.stays_out(row):
                outcome.suppressed += 1
            elif known is None:
                overlay[key] = newcomer(row)
                outcome.new += 1
            elif (change := compare(row, known)).is_empty:
                outcome.unchanged += 1
            else:
                apply(change, known)
                overlay[key] = known
                outcome.changed += 1
        return outcome


def _load_known(session: Session, keys: Sequence[str], list_id: int) -> dict[str, Known]:
    people = session.execute(
        select(
            Subscriber.id,
            Subscriber.key,
            Subscriber.name,
            Subscriber.first_name,
            Subscriber.language,
            Subscriber.timezone,
            Subscription.state,
        )
        .outerjoin(Subscription, (Subscription.subscriber_id == Subscriber.id) & (Subscription.list_id == list_id))
        .where(Subscriber.key.in_(keys))
    ).all()
    by_id = {
        row[0]: Known(row[0], dict(zip(PERSON_FIELDS, row[2:6], strict=True)), row[6] and row[6].value)
        for row in people
    }
    if by_id:
        for subscriber_id, tag in session.execute(
            select(Tag.subscriber_id, Tag.tag).where(Tag.subscriber_id.in_(by_id))
        ):
            by_id[subscriber_id].tags.add(tag)
        _load_values(session, by_id)
    return {row[1]: by_id[row[0]] for row in people}


def _load_values(session: Session, by_id: Mapping[int, Known]) -> None:
    rows = session.execute(
        select(
            AttributeValue.subscriber_id,
            AttributeDefinition.name,
            AttributeValue.text,
            AttributeValue.number,
            AttributeValue.date,
        )
        .join(AttributeDefinition, AttributeDefinition.id == AttributeValue.definition_id)
        .where(AttributeValue.subscriber_id.in_(by_id))
        .order_by(AttributeValue.subscriber_id, AttributeValue.definition_id, AttributeValue.position)
    )
    for subscriber_id, name, text, number, day in rows:
        held = by_id[subscriber_id].attributes
        held[name] = (*held.get(name, ()), Value(text, number, day))


def _suppressed(
    session: Session, hashes: Mapping[str, bytes], domains: Mapping[str, str], list_id: int, now: datetime
) -> frozenset[str]:
    scope = or_(Suppression.list_id.is_(None), Suppression.list_id == list_id)
    by_hash = set(
        session.scalars(
            select(Suppression.address_hash).where(
                suppression.active(now), scope, Suppression.address_hash.in_(list(hashes.values()))
            )
        )
    )
    blocked = set(
        session.scalars(
            select(Suppression.domain).where(suppression.active(now), scope, Suppression.domain.is_not(None))
        )
    )

    def is_blocked(domain: str) -> bool:
        parts = domain.split(".")
        return any(".".join(parts[n:]) in blocked for n in range(len(parts)))

    return frozenset(
        key for key, digest in hashes.items() if digest in by_hash or (blocked and is_blocked(domains[key]))
    )
