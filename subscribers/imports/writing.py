"""
The statements of an import: decide what the rows of a chunk change, write with one statement a table.

What a batch did to each person is written beside it, so that it can be undone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.orm import Session

from subscribers import bulk
from subscribers.attributes import Attribute, Value
from subscribers.bulk import Inserter
from subscribers.imports.incoming import PERSON_FIELDS, Change, Incoming, Known, compare, to_json
from subscribers.imports.lookup import Chunk, Outcome
from subscribers.imports.withdrawing import Withdrawer
from subscribers.people import new_token_ids
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

_SUBSCRIBER = (
    *("id", "token_id", "address", "key", "address_hash", "domain"),
    *PERSON_FIELDS,
    *("joined_at", "updated_at"),
)
_SUBSCRIPTION = ("subscriber_id", "list_id", "state", "basis", "since")
_EVENT = (
    *("subscriber_id", "address_hash", "list_id", "action", "basis", "at"),
    *("source", "actor", "evidence", "batch_id"),
)
_VALUE = ("subscriber_id", "definition_id", "position", "text", "number", "date")
_CHANGE = ("batch_id", "subscriber_id", "before", "after")


@dataclass
class Writer:
    """Writes the chunks of one batch; `meanwhile` is called where it waits for a server that stores one."""

    batch_id: int
    list_id: int
    basis: Basis
    evidence: str
    actor: str
    now: datetime
    source: str
    meanwhile: Callable[[], None] | None = None

    def write(
        self,
        session: Session,
        rows: Sequence[Incoming],
        hashes: Mapping[str, bytes],
        attributes: Mapping[str, Attribute],
    ) -> Outcome:
        """Write rows; an address that stands twice is taken up again once its first row is stored."""
        outcome = Outcome()
        waiting = rows
        while waiting:
            first: dict[str, Incoming] = {}
            again = [row for row in waiting if first.setdefault(row.address.key, row) is not row]
            self._write_once(session, list(first.values()), hashes, attributes, outcome)
            waiting = again
        return outcome

    def _write_once(
        self,
        session: Session,
        rows: Sequence[Incoming],
        hashes: Mapping[str, bytes],
        attributes: Mapping[str, Attribute],
        outcome: Outcome,
    ) -> None:
        chunk = Chunk.load(session, rows, hashes, self.list_id, self.now)
        added: list[Incoming] = []
        changed: list[tuple[Incoming, Known, Change]] = []
        withdrawn: list[Incoming] = []
        for row in rows:
            known = chunk.known.get(row.address.key)
            if (reason := chunk.why_out(row)) is not None:
                outcome.keep_out(reason)
                if row.withdrawn is not None:
                    withdrawn.append(row)
            elif known is None:
                added.append(row)
            elif (change := compare(row, known)).is_empty:
                outcome.unchanged += 1
            else:
                changed.append((row, known, change))
        self._withdrawer.write(session, withdrawn, hashes)
        self._add(session, added, chunk, attributes)
        self._change(session, changed, chunk, attributes)
        outcome.new += len(added)
        outcome.changed += len(changed)

    @cached_property
    def _withdrawer(self) -> Withdrawer:
        return Withdrawer(
            self.batch_id, self.list_id, self.basis, self.evidence, self.actor[:200], self.source, self.now
        )

    def _add(
        self, session: Session, rows: Sequence[Incoming], chunk: Chunk, attributes: Mapping[str, Attribute]
    ) -> None:
        if not rows:
            return
        people = list(zip(bulk.new_ids(session, Subscriber, len(rows)), rows, strict=True))
        tokens = new_token_ids(len(rows))
        made = (self._person(*one, token, chunk) for one, token in zip(people, tokens, strict=True))
        after = {"updated_at": self.now.isoformat()}
        with bulk.inserting(session) as into:
            into.insert(Subscriber, _SUBSCRIBER, made)
            self._put_on_list(into, [i for i, _ in people])
            into.insert(ImportChange, _CHANGE, ((self.batch_id, i, None, after) for i, _ in people))
            self._grant(into, people, chunk)
            self._store_tags(into, [(i, row.tags) for i, row in people if row.tags])
            self._store_values(into, [(i, row.attributes) for i, row in people], attributes)
            if self.meanwhile is not None and into.is_waiting:
                self.meanwhile()

    def _person(self, subscriber_id: int, row: Incoming, token: bytes, chunk: Chunk) -> tuple[Any, ...]:
        address, key, domain, _ = row.address
        told = row.person.get
        return (
            *(subscriber_id, token, address, key, chunk.hashes[key], domain),
            *(told("name"), told("first_name"), told("language"), told("timezone")),
            *(row.joined_at or self.now, self.now),
        )

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
        with bulk.inserting(session) as into:
            self._store_values(into, replaced, attributes)
            self._store_tags(into, [(i, change.tags) for i, _, _, change in people])
        self._subscribe(session, [(i, row) for i, row, _, change in people if change.subscribes], chunk)
        self._remember(session, [(i, dict(change.before), _after(change)) for i, _, _, change in people])

    def _subscribe(self, session: Session, people: Sequence[tuple[int, Incoming]], chunk: Chunk) -> None:
        """Put people who were known before on the list; a request that waits for its confirmation is granted."""
        if not people:
            return
        ids = [i for i, _ in people]
        here = (Subscription.list_id == self.list_id, bulk.one_of(session, Subscription.subscriber_id, ids))
        present = set(session.scalars(select(Subscription.subscriber_id).where(*here)))
        if present:
            session.execute(
                update(Subscription)
                .where(*here)
                .values(state=SubscriptionState.SUBSCRIBED, basis=self.basis, since=self.now),
                execution_options={"synchronize_session": False},
            )
        with bulk.inserting(session) as into:
            self._put_on_list(into, [i for i in ids if i not in present])
            self._grant(into, people, chunk)

    def _put_on_list(self, into: Inserter, ids: Sequence[int]) -> None:
        rows = ((i, self.list_id, SubscriptionState.SUBSCRIBED, self.basis, self.now) for i in ids)
        into.insert(Subscription, _SUBSCRIPTION, rows)

    def _grant(self, into: Inserter, people: Sequence[tuple[int, Incoming]], chunk: Chunk) -> None:
        actor = self.actor[:200]
        same = (self.list_id, ConsentAction.GRANTED, self.basis, self.now)
        lines = (
            (
                i,
                chunk.hashes[row.address.key],
                *same,
                f"{self.source}, row {row.row}",
                actor,
                row.shown_by(self.evidence),
                self.batch_id,
            )
            for i, row in people
        )
        into.insert(ConsentEvent, _EVENT, lines)

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
                    AttributeValue.definition_id == definition_id,
                    bulk.one_of(session, AttributeValue.subscriber_id, ids),
                ),
                execution_options={"synchronize_session": False},
            )

    def _store_values(
        self,
        into: Inserter,
        people: Sequence[tuple[int, Mapping[str, tuple[Value, ...]]]],
        attributes: Mapping[str, Attribute],
    ) -> None:
        ids = {name: attribute.id for name, attribute in attributes.items()}
        rows = (
            (subscriber_id, ids[name], position, value.text, value.number, value.day)
            for subscriber_id, values in people
            for name, several in values.items()
            for position, value in enumerate(several)
        )
        into.insert(AttributeValue, _VALUE, rows)

    def _store_tags(self, into: Inserter, people: Sequence[tuple[int, frozenset[str]]]) -> None:
        into.insert(Tag, ("subscriber_id", "tag"), ((i, tag) for i, tags in people for tag in sorted(tags)))

    def _remember(self, session: Session, people: Sequence[tuple[int, dict[str, Any], dict[str, Any]]]) -> None:
        """Write down what changed; somebody whom this batch touched before keeps the oldest `before`."""
        found = session.execute(
            select(ImportChange.subscriber_id, ImportChange.id).where(
                ImportChange.batch_id == self.batch_id,
                bulk.one_of(session, ImportChange.subscriber_id, [i for i, _, _ in people]),
            )
        )
        earlier: dict[int, int] = {row[0]: row[1] for row in found}
        fresh = [(self.batch_id, i, before, after) for i, before, after in people if i not in earlier]
        bulk.insert(session, ImportChange, _CHANGE, fresh)
        for subscriber_id, before, after in people:
            if subscriber_id in earlier:
                _merge_memory(session.get_one(ImportChange, earlier[subscriber_id]), before, after)


def _merge_memory(stored: ImportChange, before: dict[str, Any], after: dict[str, Any]) -> None:
    if stored.before is None:
        return  # the batch made this person: undoing takes the whole record away
    merged = {}
    for part in ("person", "attributes"):
        merged[part] = {**before.get(part, {}), **stored.before.get(part, {})}
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
