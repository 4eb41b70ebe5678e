"""
What is stored about the people of some rows of an import: looked up at once, a handful of statements a chunk.

Whoever is suppressed or left the list stays out; nothing here writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from subscribers import suppression
from subscribers.attributes import Value
from subscribers.bulk import one_of
from subscribers.imports.diff import Difference, kept_out, of_change, of_newcomer
from subscribers.imports.incoming import PERSON_FIELDS, Incoming, Known, apply, compare, newcomer
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

LEFT_LIST = "left this list"


@dataclass(slots=True)
class Outcome:
    """What came of some rows; `kept_out` says by which reason the suppressed ones stay out."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    suppressed: int = 0
    kept_out: dict[str, int] = field(default_factory=dict)

    def keep_out(self, reason: str) -> None:
        self.suppressed += 1
        self.kept_out[reason] = self.kept_out.get(reason, 0) + 1


class Overlay(dict[str, Known]):
    """What earlier rows of a file would have made of the people who come up again."""

    def __init__(self, repeated: set[str]) -> None:
        super().__init__()
        self._repeated = repeated

    def keep(self, key: str, known: Known) -> None:
        if key in self._repeated:
            self[key] = known


def hash_addresses(rows: Sequence[Incoming], pepper: bytes) -> dict[str, bytes]:
    """Return the keyed hash of each row's address, by key."""
    return {key: address_hash(pepper, key) for key in {row.address.key for row in rows}}


@dataclass
class Chunk:
    """Some rows of an import with all that is stored about their people."""

    incoming: Sequence[Incoming]
    hashes: Mapping[str, bytes]
    known: dict[str, Known]
    suppressed: Mapping[str, str]

    @classmethod
    def load(
        cls, session: Session, incoming: Sequence[Incoming], hashes: Mapping[str, bytes], list_id: int, now: datetime
    ) -> Chunk:
        known = _load_known(session, [row.address.key for row in incoming], list_id)
        return cls(incoming, hashes, known, _suppressed(session, incoming, hashes, list_id, now))

    def why_out(self, row: Incoming) -> str | None:
        """Return why this person must not be brought back: what is stored about them, or the file itself."""
        key = row.address.key
        if key in self.suppressed:
            return self.suppressed[key]
        known = self.known.get(key)
        if known is not None and known.state == SubscriptionState.UNSUBSCRIBED:
            return LEFT_LIST
        return None if row.withdrawn is None else f"{row.withdrawn}, says the file"

    def rehearse(self, overlay: Overlay, outcome: Outcome) -> Iterator[Difference]:
        """Count without writing and yield what differs; *overlay* holds what earlier rows would have made."""
        for row in self.incoming:
            key = row.address.key
            known = overlay.get(key) or self.known.get(key)
            if (reason := self.why_out(row)) is not None:
                outcome.keep_out(reason)
                yield kept_out(row, reason)
            elif known is None:
                overlay.keep(key, newcomer(row))
                outcome.new += 1
                yield of_newcomer(row)
            elif (change := compare(row, known)).is_empty:
                outcome.unchanged += 1
            else:
                yield of_change(row, known, change)
                apply(change, known)
                overlay.keep(key, known)
                outcome.changed += 1


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
        .where(one_of(session, Subscriber.key, keys))
    ).all()
    by_id = {
        row[0]: Known(row[0], dict(zip(PERSON_FIELDS, row[2:6], strict=True)), row[6] and row[6].value)
        for row in people
    }
    if by_id:
        ids = list(by_id)
        for subscriber_id, tag in session.execute(
            select(Tag.subscriber_id, Tag.tag).where(one_of(session, Tag.subscriber_id, ids))
        ):
            by_id[subscriber_id].tags.add(tag)
        _load_values(session, by_id, ids)
    return {row[1]: by_id[row[0]] for row in people}


def _load_values(session: Session, by_id: Mapping[int, Known], ids: Sequence[int]) -> None:
    rows = session.execute(
        select(
            AttributeValue.subscriber_id,
            AttributeDefinition.name,
            AttributeValue.text,
            AttributeValue.number,
            AttributeValue.date,
        )
        .join(AttributeDefinition, AttributeDefinition.id == AttributeValue.definition_id)
        .where(one_of(session, AttributeValue.subscriber_id, ids))
        .order_by(AttributeValue.subscriber_id, AttributeValue.definition_id, AttributeValue.position)
    )
    for subscriber_id, name, text, number, day in rows:
        held = by_id[subscriber_id].attributes
        held[name] = (*held.get(name, ()), Value(text, number, day))


def _suppressed(
    session: Session, rows: Sequence[Incoming], hashes: Mapping[str, bytes], list_id: int, now: datetime
) -> dict[str, str]:
    """Return who is suppressed, by key, with the reason."""
    scope = or_(Suppression.list_id.is_(None), Suppression.list_id == list_id)
    wanted = select(Suppression.address_hash, Suppression.reason).where(
        suppression.active(now), scope, one_of(session, Suppression.address_hash, [hashes[r.address.key] for r in rows])
    )
    by_hash = {row[0]: row[1] for row in session.execute(wanted)}
    blocked = {
        row[0]: row[1]
        for row in session.execute(
            select(Suppression.domain, Suppression.reason).where(
                suppression.active(now), scope, Suppression.domain.is_not(None)
            )
        )
    }
    if not by_hash and not blocked:
        return {}

    def reason_of(row: Incoming) -> str | None:
        found: str | None = by_hash.get(hashes[row.address.key])
        domain = row.address.domain
        while found is None and blocked and domain:
            found = blocked.get(domain)
            domain = domain.partition(".")[2]
        return found

    return {row.address.key: reason for row in rows if (reason := reason_of(row)) is not None}
