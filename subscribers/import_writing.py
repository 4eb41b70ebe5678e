"""
The statements of an import: decide what the rows of a chunk change, write with one statement a table.

What a batch did to each person is written beside it, so that it can be undone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.orm import Session

from subscribers import suppression
from subscribers.attributes import Attribute, Value
from subscribers.db import Base
from subscribers.import_lookup import Chunk, Outcome
from subscribers.incoming import (
    PERSON_FIELDS,
    Change,
    Incoming,
    Known,
    compare,
    to_json,
)
from subscribers.people import new_token_id
from subscribers.tables import (
    AttributeValue,
    Basis,
    ConsentAction,
    ConsentEvent,
    ImportChange,
    Subscriber,
    Subscription,
    SubscriptionState,
    Tag,
)


@dataclass
class Writer:
    """Writes the chunks of one batch."""

    batch_id: int
    list_id: int
    basis: Basis
    evidence: str
    actor: str
    pepper: bytes
    now: datetime
    source: str = ""

    def write(self, session: Session, rows: Sequence[Incoming], attributes: Mapping[str, Attribute]) -> Outcome:
        """Write rows; an address that stands twice is taken up again once its first row is stored."""
        outcome = Outcome()
        waiting = list(rows)
        while waiting:
            first: dict[str, Incoming] = {}
            again = []
            for row in waiting:
                if first.setdefault(row.address.key, row) is not row:
                    again.append(row)
            self._write_once(session, list(first.values()), attributes, outcome)
            waiting = again
        return outcome

    def _write_once(
        self, session: Session, rows: Sequence[Incoming], attributes: Mapping[str, Attribute], outcome: Outcome
    ) -> None:
        chunk = Chunk.load(session, rows, self.list_id, self.pepper, self.now)
        added: list[Incoming] = []
        changed: list[tuple[Incoming, Known, Change]] = []
        for row in rows:
            known = chunk.known.get(row.address.key)
            if chunk.stays_out(row):
                outcome.suppressed += 1
                self._keep_withdrawn(session, row, chunk)
            elif known is None:
                added.append(row)
            elif (change := compare(row, known)).is_empty:
                outcome.unchanged += 1
            else:
                changed.append((row, known, change))
        self._add(session, added, chunk, attributes)
        self._change(session, changed, chunk, attributes)
        outcome.new += len(added)
        outcome.changed += len(changed)

    def _keep_withdrawn(self, session: Session, row: Incoming, chunk: Chunk) -> None:
        """Whom the file calls unsubscribed, bounced or complaining is never mailed by us either."""
        if row.withdrawn is not None:
            suppression.suppress(
                session,
                address=row.address.address,
                address_hash=chunk.hashes[row.address.key],
                reason=row.withdrawn,
                evidence=f"{self.source}, row {row.row}",
                at=self.now,
            )

    def _add(
        self, session: Session, rows: Sequence[Incoming], chunk: Chunk, attributes: Mapping[str, Attribute]
    ) -> None:
        if not rows:
            return
        _insert(session, Subscriber, [self._person(row, chunk) for row in rows])
        found = session.execute(
            select(Subscriber.key, Subscriber.id).where(Subscriber.key.in_([row.address.key for row in rows]))
        )
        ids: dict[str, int] = {row[0]: row[1] for row in found}
        people = [(ids[row.address.key], row) for row in rows]
        self._subscribe(session, people, chunk)
        self._store_values(session, [(i, row.attributes) for i, row in people], attributes)
        self._store_tags(session, [(i, row.tags) for i, row in people])
        stamp = self.now.isoformat()
        self._remember(session, [(i, None, {"updated_at": stamp}) for i, _ in people])

    def _person(self, row: Incoming, chunk: Chunk) -> dict[str, Any]:
        return {
            "token_id": new_token_id(),
            "address": row.address.address,
            "key": row.address.key,
            "address_hash": chunk.hashes[row.address.key],
            "domain": row.address.domain,
            **{name: row.person.get(name) for name in PERSON_FIELDS},
            "joined_at": row.joined_at or self.now,
            "updated_at": self.now,
        }

    def _change(
        self,
        session: Session,
        rows: Sequence[tuple[Incoming, Known, Change]],
        chunk: Chunk,
        attributes: Mapping[str, Attribute],
    ) -> None:
        if not rows:
            return
        ids = {row.address.key: known.id for row, known, _ in rows if known.id is not None}
        people = [(ids[row.address.key], row, known, change) for row, known, change in rows]
        session.connection().execute(
            update(Subscriber.__table__)  # type: ignore[arg-type]
            .where(Subscriber.id == bindparam("person"))
            .values({name: bindparam(f"new_{name}") for name in (*PERSON_FIELDS, "updated_at")}),
            [{"person": i, "new_updated_at": self.now, **_new_fields(known, change)} for i, _, known, change in people],
        )
        replaced = [(i, change.attributes) for i, _, _, change in people if change.attributes]
        self._drop_values(session, replaced, attributes)
        self._store_values(session, replaced, attributes)
        self._store_tags(session, [(i, change.tags) for i, _, _, change in people])
        self._subscribe(session, [(i, row) for i, row, _, change in people if change.subscribes], chunk)
        self._remember(session, [(i, dict(change.before), _after(change)) for i, _, _, change in people])

    def _subscribe(self, session: Session, people: Sequence[tuple[int, Incoming]], chunk: Chunk) -> None:
        if not people:
            return
        pending = select(Subscription.subscriber_id).where(
            Subscription.list_id == self.list_id, Subscription.subscriber_id.in_([i for i, _ in people])
        )
        present = set(session.scalars(pending))
        if present:
            session.execute(
                update(Subscription)
                .where(Subscription.list_id == self.list_id, Subscription.subscriber_id.in_(present))
                .values(state=SubscriptionState.SUBSCRIBED, basis=self.basis, since=self.now),
                execution_options={"synchronize_session": False},
            )
        fresh = [self._subscription(i) for i, _ in people if i not in present]
        if fresh:
            _insert(session, Subscription, fresh)
        _insert(session, ConsentEvent, [self._event(i, row, chunk) for i, row in people])

    def _subscription(self, subscriber_id: int) -> dict[str, Any]:
        return {
            "subscriber_id": subscriber_id,
            "list_id": self.list_id,
            "state": SubscriptionState.SUBSCRIBED,
            "basis": self.basis,
            "since": self.now,
        }

    def _event(self, subscriber_id: int, row: Incoming, chunk: Chunk) -> dict[str, Any]:
        return {
            "subscriber_id": subscriber_id,
            "address_hash": chunk.hashes[row.address.key],
            "list_id": self.list_id,
            "action": ConsentAction.GRANTED,
            "basis": self.basis,
            "at": self.now,
            "source": f"{self.source}, row {row.row}",
            "actor": self.actor[:200],
            "evidence": self.evidence,
            "batch_id": self.batch_id,
        }

    def _drop_values(
        self,
        session: Session,
        people: Sequence[tuple[int, Mapping[str, tuple[Value, ...]]]],
        attributes: Mapping[str, Attribute],
    ) -> None:
        by_definition: dict[int | None, list[int]] = defaultdict(list)
        for subscriber_id, values in people:
            for name in values:
                by_definition[attributes[name].id].append(subscriber_id)
        for definition_id, ids in by_definition.items():
            session.execute(
                delete(AttributeValue).where(
                    AttributeValue.definition_id == definition_id, AttributeValue.subscriber_id.in_(ids)
                ),
                execution_options={"synchronize_session": False},
            )

    def _store_values(
        self,
        session: Session,
        people: Sequence[tuple[int, Mapping[str, tuple[Value, ...]]]],
        attributes: Mapping[str, Attribute],
    ) -> None:
        rows = [
            {
                "subscriber_id": subscriber_id,
                "definition_id": attributes[name].id,
                "position": position,
                "text": value.text,
                "number": value.number,
                "date": value.day,
            }
            for subscriber_id, values in people
            for name, several in values.items()
            for position, value in enumerate(several)
        ]
        if rows:
            _insert(session, AttributeValue, rows)

    def _store_tags(self, session: Session, people: Sequence[tuple[int, frozenset[str]]]) -> None:
        rows = [{"subscriber_id": i, "tag": tag} for i, tags in people for tag in sorted(tags)]
        if rows:
            _insert(session, Tag, rows)

    def _remember(self, session: Session, people: Sequence[tuple[int, dict[str, Any] | None, dict[str, Any]]]) -> None:
        """Write down what this batch did; somebody whom it touched before keeps the oldest `before`."""
        found = session.execute(
            select(ImportChange.subscriber_id, ImportChange.id).where(
                ImportChange.batch_id == self.batch_id, ImportChange.subscriber_id.in_([i for i, _, _ in people])
            )
        )
        earlier: dict[int, int] = {row[0]: row[1] for row in found}
        fresh = [
            {"batch_id": self.batch_id, "subscriber_id": i, "before": before, "after": after}
            for i, before, after in people
            if i not in earlier
        ]
        if fresh:
            _insert(session, ImportChange, fresh)
        for subscriber_id, before, after in people:
            if subscriber_id in earlier:
                _merge_memory(session.get_one(ImportChange, earlier[subscriber_id]), before, after)


def _insert(session: Session, table: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert through Core: the ORM would send rows with and without a value in separate statements."""
    session.connection().execute(table.__table__.insert(), rows)  # type: ignore[attr-defined]


def _merge_memory(stored: ImportChange, before: dict[str, Any] | None, after: dict[str, Any]) -> None:
    if stored.before is None:
        return  # the batch made this person: undoing takes the whole record away
    merged = {}
    for part in ("person", "attributes"):
        merged[part] = {**(before or {}).get(part, {}), **stored.before.get(part, {})}
    stored.before = {**stored.before, **merged}
    stored.after = {
        **stored.after,
        **after,
        "person": {**stored.after.get("person", {}), **after.get("person", {})},
        "attributes": {**stored.after.get("attributes", {}), **after.get("attributes", {})},
        "tags": sorted({*stored.after.get("tags", []), *after.get("tags", [])}),
        "subscribed": stored.after.get("subscribed", False) or after.get("subscribed", False),
    }


def _new_fields(known: Known, change: Change) -> dict[str, str | None]:
    return {f"new_{name}": change.person.get(name, known.person.get(name)) for name in PERSON_FIELDS}


def _after(change: Change) -> dict[str, Any]:
    return {
        "person": dict(change.person),
        "attributes": {name: to_json(values) for name, values in change.attributes.items()},
        "tags": sorted(change.tags),
        "subscribed": change.subscribes,
    }
