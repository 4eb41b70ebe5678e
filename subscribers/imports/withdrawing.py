"""
Whom an imported file calls unsubscribed, bounced or complaining: suppressed everywhere, and taken off the list.

Each gets a suppression and a line of the ledger with file and row as evidence. A second import of the same adds none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from subscribers import bulk, suppression
from subscribers.imports.incoming import Incoming
from subscribers.tables import (
    Basis,
    ConsentAction,
    ConsentEvent,
    ImportSuppression,
    Subscriber,
    Subscription,
    SubscriptionState,
    Suppression,
)

_SUPPRESSION = ("id", "address_hash", "address", "reason", "since", "evidence")
_EVENT = (
    *("subscriber_id", "address_hash", "list_id", "action", "basis", "at"),
    *("source", "actor", "evidence", "batch_id"),
)


@dataclass(frozen=True, slots=True)
class Withdrawer:
    """Writes what the rows of one batch say of leaving."""

    batch_id: int
    list_id: int
    basis: Basis
    evidence: str
    actor: str
    source: str
    now: datetime

    def write(self, session: Session, rows: Sequence[Incoming], hashes: Mapping[str, bytes]) -> None:
        """Write down *rows*, of which no two have one address."""
        if not rows:
            return
        digests = [hashes[row.address.key] for row in rows]
        people: dict[bytes, int] = {
            row[0]: row[1]
            for row in session.execute(
                select(Subscriber.address_hash, Subscriber.id).where(
                    bulk.one_of(session, Subscriber.address_hash, digests)
                )
            )
        }
        on_list = self._on_list(session, list(people.values()))
        fresh = self._suppress(session, rows, hashes)
        left = [
            (people.get(digest), row, digest)
            for row, digest in zip(rows, digests, strict=True)
            if people.get(digest) in on_list or digest in fresh
        ]
        bulk.insert(session, ConsentEvent, _EVENT, [self._event(*one) for one in left])
        if on_list:
            session.execute(
                update(Subscription)
                .where(
                    Subscription.list_id == self.list_id,
                    bulk.one_of(session, Subscription.subscriber_id, sorted(on_list)),
                )
                .values(state=SubscriptionState.UNSUBSCRIBED, since=self.now),
                execution_options={"synchronize_session": False},
            )

    def _on_list(self, session: Session, ids: Sequence[int]) -> set[int]:
        if not ids:
            return set()
        found = session.scalars(
            select(Subscription.subscriber_id).where(
                Subscription.list_id == self.list_id,
                Subscription.state != SubscriptionState.UNSUBSCRIBED,
                bulk.one_of(session, Subscription.subscriber_id, ids),
            )
        )
        return set(found)

    def _suppress(self, session: Session, rows: Sequence[Incoming], hashes: Mapping[str, bytes]) -> set[bytes]:
        """
        Suppress those who are not yet for that reason; return the hashes of the new entries.

        Whoever was erased is suppressed for ever already: of them nothing is written down again.
        """
        there = session.execute(
            select(Suppression.address_hash, Suppression.reason).where(
                suppression.active(self.now),
                Suppression.list_id.is_(None),
                Suppression.expires_at.is_(None),
                bulk.one_of(session, Suppression.address_hash, [hashes[row.address.key] for row in rows]),
            )
        )
        known = {(row[0], row[1]) for row in there}
        fresh = [
            row
            for row in rows
            if known.isdisjoint(
                ((hashes[row.address.key], row.withdrawn), (hashes[row.address.key], suppression.ERASED))
            )
        ]
        ids = bulk.new_ids(session, Suppression, len(fresh))
        entries = [self._entry(i, row, hashes[row.address.key]) for i, row in zip(ids, fresh, strict=True)]
        bulk.insert(session, Suppression, _SUPPRESSION, entries)
        bulk.insert(session, ImportSuppression, ("batch_id", "suppression_id"), [(self.batch_id, i) for i in ids])
        return {hashes[row.address.key] for row in fresh}

    def _entry(self, entry_id: int, row: Incoming, digest: bytes) -> tuple[Any, ...]:
        evidence = f"{self.source}, row {row.row}: {row.shown_by(self.evidence)}"
        return entry_id, digest, row.address.address, row.withdrawn, self.now, evidence

    def _event(self, subscriber_id: int | None, row: Incoming, digest: bytes) -> tuple[Any, ...]:
        return (
            *(subscriber_id, digest, self.list_id, ConsentAction.WITHDRAWN, self.basis, self.now),
            *(
                f"{self.source}, row {row.row}",
                self.actor,
                f"{row.withdrawn}: {row.shown_by(self.evidence)}",
                self.batch_id,
            ),
        )
