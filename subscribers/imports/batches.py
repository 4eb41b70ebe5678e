"""
Import batches: listed, shown, undone; an undo takes back only what nobody changed since, and says what it leaves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from subscribers import attributes as attribute_store
from subscribers import bulk, consent, suppression
from subscribers.attributes import Attribute, Value
from subscribers.errors import Conflict, NotFound
from subscribers.imports.incoming import to_json
from subscribers.tables import (
    AttributeValue,
    ConsentAction,
    ConsentEvent,
    ImportBatch,
    ImportChange,
    ImportSuppression,
    MailingList,
    Subscriber,
    Suppression,
    Tag,
)

_AT_ONCE = 2_000
_Changed = tuple[ImportChange, Subscriber]
_EVENT = ("address_hash", "list_id", "action", "basis", "at", "source", "actor", "evidence", "batch_id")


@dataclass
class UndoResult:
    """
    How many records went, how many got their old values back, and who was left as they are, with the reason.

    `lifted` counts suppressions that the batch made and that nothing else has shown since.
    """

    removed: int = 0
    restored: int = 0
    lifted: int = 0
    kept: list[tuple[str, str]] = field(default_factory=list)


def get(session: Session, batch_id: int) -> ImportBatch:
    """
    Return one batch.

    Raises:
        NotFound: When there is none.
    """
    found = session.get(ImportBatch, batch_id)
    if found is None:
        raise NotFound("import", str(batch_id), hint="See them with: newsletter imports list")
    return found


def all_batches(session: Session) -> Sequence[tuple[ImportBatch, str]]:
    """Return every batch with the name of its list, newest first."""
    rows = session.execute(
        select(ImportBatch, MailingList.name)
        .join(MailingList, MailingList.id == ImportBatch.list_id)
        .order_by(ImportBatch.id.desc())
    )
    return [(batch, name) for batch, name in rows]


def state(batch: ImportBatch) -> str:
    if batch.undone_at is not None:
        return "undone"
    return "finished" if batch.finished_at is not None else "unfinished"


def undo(session: Session, batch: ImportBatch, *, actor: str, why: str, at: datetime) -> UndoResult:
    """
    Take a batch back.

    Somebody whom the batch made is removed, unless edited, unsubscribed or put on another list since. Somebody whom
    it changed gets back each value that still is as the batch left it. Whom the file called unsubscribed or bounced
    is suppressed no longer, unless something else showed it since. The ledger keeps every line.

    Raises:
        Conflict: When it was undone before, or what it changed is forgotten.
    """
    if batch.undone_at is not None:
        raise Conflict(f"Import {batch.id} was undone on {batch.undone_at:%Y-%m-%d}; there is nothing left to undo.")
    if batch.forgotten_at is not None:
        raise Conflict(
            f"What import {batch.id} changed was forgotten on {batch.forgotten_at:%Y-%m-%d}; it cannot be undone.",
            hint="Forgetting it in time is set by retention.import_months.",
        )
    definitions = attribute_store.definitions(session)
    result = UndoResult()
    for changes in _changes(session, batch.id):
        made = [(change, subscriber) for change, subscriber in changes if change.before is None]
        kept = _remove_untouched(session, batch, made, result, actor=actor, why=why, at=at)
        for change, subscriber in changes:
            if change.before is None and subscriber.id not in kept:
                continue
            taken_back = _withdraw_grant(session, batch, subscriber, actor=actor, why=why, at=at)
            if change.before is None:
                result.kept.append((subscriber.address, kept[subscriber.id]))
            else:
                _undo_changed(session, change, change.before, subscriber, definitions, result, taken_back, at)
    _lift_suppressions(session, batch, result, actor=actor, why=why, at=at)
    batch.undone_at = at
    session.flush()
    return result


def later_readers(session: Session, batch: ImportBatch) -> list[int]:
    """
    Return the later imports onto the same list in which people came up unchanged: perhaps those of this batch.

    Who they were is not kept, so that an undo takes them away; importing those files again brings them back.
    """
    later = session.scalars(
        select(ImportBatch)
        .where(ImportBatch.list_id == batch.list_id, ImportBatch.id > batch.id, ImportBatch.undone_at.is_(None))
        .order_by(ImportBatch.id)
    )
    return [other.id for other in later if other.counts.get("unchanged")]


def _lift_suppressions(
    session: Session, batch: ImportBatch, result: UndoResult, *, actor: str, why: str, at: datetime
) -> None:
    made = session.scalars(
        select(Suppression)
        .join(ImportSuppression, ImportSuppression.suppression_id == Suppression.id)
        .where(ImportSuppression.batch_id == batch.id, suppression.active(at))
        .execution_options(yield_per=_AT_ONCE)
    )
    for entry in made.all():
        suppression.lift(session, entry, by=actor, why=f"undo of import {batch.id}: {why}", at=at)
        result.lifted += 1
    withdrawn = session.scalars(
        select(ConsentEvent.subscriber_id).where(
            ConsentEvent.batch_id == batch.id,
            ConsentEvent.action == ConsentAction.WITHDRAWN,
            ConsentEvent.subscriber_id.is_not(None),
        )
    ).all()
    for subscriber_id in withdrawn:
        subscriber = session.get(Subscriber, subscriber_id)
        if subscriber is not None and _withdraw_grant(session, batch, subscriber, actor=actor, why=why, at=at):
            result.restored += 1


def _changes(session: Session, batch_id: int) -> Iterator[Sequence[_Changed]]:
    """Yield what a batch did to people who are still there, some hundreds at a time."""
    last = 0
    while True:
        rows = session.execute(
            select(ImportChange, Subscriber)
            .join(Subscriber, Subscriber.id == ImportChange.subscriber_id)
            .where(ImportChange.batch_id == batch_id, ImportChange.id > last)
            .order_by(ImportChange.id)
            .limit(_AT_ONCE)
        ).all()
        if not rows:
            return
        last = rows[-1][0].id
        yield [(change, subscriber) for change, subscriber in rows]


def _withdraw_grant(
    session: Session, batch: ImportBatch, subscriber: Subscriber, *, actor: str, why: str, at: datetime
) -> bool:
    """Take back what the batch wrote into the ledger about one person; False when it wrote nothing."""
    granted = session.scalars(
        select(ConsentEvent)
        .where(ConsentEvent.subscriber_id == subscriber.id, ConsentEvent.batch_id == batch.id)
        .order_by(ConsentEvent.id)
    ).first()
    if granted is None:
        return False
    consent.append(
        session,
        subscriber,
        batch.list_id,
        ConsentAction.UNDONE,
        basis=granted.basis,
        source=f"undo of import {batch.id}",
        actor=actor,
        evidence=why,
        at=at,
        batch_id=batch.id,
    )
    return True


def _remove_untouched(
    session: Session,
    batch: ImportBatch,
    made: Sequence[_Changed],
    result: UndoResult,
    *,
    actor: str,
    why: str,
    at: datetime,
) -> dict[int, str]:
    """Remove whom the batch made and nobody touched since; return the others, by id, with the reason."""
    touched = _touched_since(session, batch, made)
    gone = [subscriber for _, subscriber in made if subscriber.id not in touched]
    same = (
        batch.list_id,
        ConsentAction.UNDONE,
        batch.basis,
        at,
        f"undo of import {batch.id}",
        actor[:200],
        why,
        batch.id,
    )
    bulk.insert(session, ConsentEvent, _EVENT, [(subscriber.address_hash, *same) for subscriber in gone])
    session.execute(
        delete(Subscriber).where(bulk.one_of(session, Subscriber.id, [subscriber.id for subscriber in gone])),
        execution_options={"synchronize_session": False},
    )
    result.removed += len(gone)
    return touched


def _touched_since(session: Session, batch: ImportBatch, made: Sequence[_Changed]) -> dict[int, str]:
    ids = [subscriber.id for _, subscriber in made]
    if not ids:
        return {}
    other = or_(ConsentEvent.batch_id.is_(None), ConsentEvent.batch_id != batch.id)
    decided = session.scalars(
        select(ConsentEvent.subscriber_id).where(bulk.one_of(session, ConsentEvent.subscriber_id, ids), other)
    )
    found = {number: "subscribed or unsubscribed since" for number in decided if number is not None}
    for change, subscriber in made:
        if subscriber.updated_at.isoformat() != change.after.get("updated_at"):
            found[subscriber.id] = "edited since"
    return found


def _undo_changed(
    session: Session,
    change: ImportChange,
    before: Mapping[str, Any],
    subscriber: Subscriber,
    definitions: Mapping[str, Attribute],
    result: UndoResult,
    taken_back: bool,
    at: datetime,
) -> None:
    kept = []
    for name, old in before.get("person", {}).items():
        if getattr(subscriber, name) == change.after["person"].get(name):
            setattr(subscriber, name, old)
        else:
            kept.append(name)
    for name, old in before.get("attributes", {}).items():
        if not _restore_values(session, subscriber, definitions.get(name), old, change.after["attributes"][name]):
            kept.append(name)
    session.execute(
        delete(Tag).where(Tag.subscriber_id == subscriber.id, Tag.tag.in_(change.after.get("tags", []))),
        execution_options={"synchronize_session": False},
    )
    subscriber.updated_at = at
    session.flush()
    if kept:
        result.kept.append((subscriber.address, f"changed since: {', '.join(kept)}"))
    elif taken_back or change.after:
        result.restored += 1


def _restore_values(
    session: Session, subscriber: Subscriber, attribute: Attribute | None, old: list[Any], written: list[Any]
) -> bool:
    if attribute is None:
        return False
    present = session.execute(
        select(AttributeValue.text, AttributeValue.number, AttributeValue.date)
        .where(AttributeValue.subscriber_id == subscriber.id, AttributeValue.definition_id == attribute.id)
        .order_by(AttributeValue.position)
    ).all()
    if to_json(tuple(Value(*row) for row in present)) != written:
        return False
    attribute_store.store(session, subscriber, attribute, [_value(attribute, value) for value in old])
    return True


def _value(attribute: Attribute, stored: Any) -> Value:
    if isinstance(stored, int | float):
        return Value(number=float(stored))
    if attribute.kind.value == "date":
        return Value(day=date.fromisoformat(stored))
    return Value(text=stored)
