"""
What the list forgets in time: sign-ups that nobody confirmed, what shows a consent that is long over, old reports.

What is due is looked for without the lock of a writer; a `forget_` then judges again what it is handed, some at a time.
The ledger's lines themselves stay for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, exists, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from subscribers import consent
from subscribers.tables import (
    BounceEvent,
    BounceReport,
    ConsentAction,
    ConsentEvent,
    ImportBatch,
    ImportChange,
    Subscriber,
    Subscription,
    SubscriptionState,
)

SOURCE = "retention"


def _unconfirmed(before: datetime) -> ColumnElement[bool]:
    return and_(Subscription.state == SubscriptionState.PENDING, Subscription.since < before)


def count_unconfirmed(session: Session, before: datetime) -> int:
    return session.scalar(select(func.count()).select_from(Subscription).where(_unconfirmed(before))) or 0


def find_unconfirmed(session: Session, before: datetime, most: int) -> Sequence[int]:
    """Return people with a request to join that nobody confirmed."""
    return session.scalars(select(Subscription.subscriber_id).where(_unconfirmed(before)).distinct().limit(most)).all()


def forget_unconfirmed(session: Session, people: Sequence[int], before: datetime, *, actor: str, at: datetime) -> int:
    """
    Take back requests to join that nobody confirmed; return how many.

    A record that was made by the request and for nothing else goes as a whole.
    """
    found = session.scalars(
        select(Subscription).where(Subscription.subscriber_id.in_(people), _unconfirmed(before)).with_for_update()
    ).all()
    for subscription in found:
        person = session.get(Subscriber, subscription.subscriber_id)
        if person is None:  # went with an earlier request
            continue
        if _is_only_a_request(session, person, before):
            session.delete(person)
            session.flush()
            continue
        consent.append(
            session,
            person,
            subscription.list_id,
            ConsentAction.UNDONE,
            basis=subscription.basis,
            source=SOURCE,
            actor=actor,
            evidence=f"not confirmed since {subscription.since:%Y-%m-%d}",
            at=at,
        )
    return len(found)


def _is_only_a_request(session: Session, person: Subscriber, before: datetime) -> bool:
    lines = session.execute(
        select(ConsentEvent.action, ConsentEvent.at).where(ConsentEvent.subscriber_id == person.id)
    ).all()
    asked = [at for action, at in lines if action is ConsentAction.REQUESTED]
    return bool(asked) and len(asked) == len(lines) and max(asked) < before and person.joined_at >= min(asked)


def _old_changes(before: datetime) -> ColumnElement[bool]:
    ended = func.coalesce(ImportBatch.finished_at, ImportBatch.started_at)
    return ImportChange.batch_id.in_(select(ImportBatch.id).where(ended < before))


def count_changes(session: Session, before: datetime) -> int:
    return session.scalar(select(func.count()).select_from(ImportChange).where(_old_changes(before))) or 0


def find_changes(session: Session, before: datetime, most: int) -> Sequence[int]:
    """Return what imports that ended before a moment changed in people, with the values of before."""
    return session.scalars(select(ImportChange.id).where(_old_changes(before)).limit(most)).all()


def forget_changes(session: Session, ids: Sequence[int], *, at: datetime) -> int:
    """Delete these, and mark their batches: an undo that lacks some of them would take back a part."""
    chosen = ImportChange.id.in_(ids)
    batches = select(ImportChange.batch_id).where(chosen).distinct()
    marked = update(ImportBatch).where(ImportBatch.id.in_(batches), ImportBatch.forgotten_at.is_(None))
    session.execute(marked.values(forgotten_at=at), execution_options={"synchronize_session": False})
    return len(session.scalars(delete(ImportChange).where(chosen).returning(ImportChange.id)).all())


def _over(before: datetime, later: ColumnElement[bool] | None) -> ColumnElement[bool]:
    """Return the condition that a line's subscription ended before a moment, and that words are left in the line."""
    newer = aliased(ConsentEvent)
    same = or_(
        and_(newer.subscriber_id.is_not(None), newer.subscriber_id == ConsentEvent.subscriber_id),
        newer.address_hash == ConsentEvent.address_hash,
    )
    touched_since = exists().where(same, newer.list_id == ConsentEvent.list_id, newer.at >= before)
    here = and_(Subscription.subscriber_id == ConsentEvent.subscriber_id, Subscription.list_id == ConsentEvent.list_id)
    lives = exists().where(here, Subscription.state != SubscriptionState.UNSUBSCRIBED)
    conditions = [
        ConsentEvent.at < before,
        or_(ConsentEvent.evidence != "", ConsentEvent.wording.is_not(None)),
        ~lives,
        ~touched_since,
    ]
    if later is not None:
        conditions.append(or_(ConsentEvent.subscriber_id.is_not(None), ~later))
    return and_(*conditions)


def count_evidence(session: Session, before: datetime, *, later: ColumnElement[bool] | None = None) -> int:
    return session.scalar(select(func.count()).select_from(ConsentEvent).where(_over(before, later))) or 0


def find_evidence(
    session: Session, before: datetime, most: int, *, later: ColumnElement[bool] | None = None
) -> Sequence[int]:
    """
    Return lines of subscriptions that ended before a moment and still say what shows the consent.

    Args:
        later: Where a record is gone its end is in no line: the condition over `ConsentEvent` that it was later.
    """
    return session.scalars(select(ConsentEvent.id).where(_over(before, later)).limit(most)).all()


def forget_evidence(
    session: Session, lines: Sequence[int], before: datetime, *, later: ColumnElement[bool] | None = None
) -> int:
    """Blank evidence and wording of lines; return how many."""
    due = session.scalars(select(ConsentEvent.id).where(ConsentEvent.id.in_(lines), _over(before, later))).all()
    _change(session, update(ConsentEvent).where(ConsentEvent.id.in_(due)).values(evidence="", wording=None))
    return len(due)


_PERSONAL = or_(
    BounceEvent.address.is_not(None),
    BounceEvent.address_hash.is_not(None),
    BounceEvent.marked_hash.is_not(None),
    BounceEvent.words != "",
)
_SENT_BY = or_(
    BounceReport.sender.is_not(None), BounceReport.sender_hash.is_not(None), BounceReport.subject.is_not(None)
)


def _old_reports(before: datetime) -> Select[int]:
    names_somebody = exists().where(BounceEvent.report_id == BounceReport.id, _PERSONAL)
    return select(BounceReport.id).where(BounceReport.received_at < before, or_(_SENT_BY, names_somebody))


def count_reports(session: Session, before: datetime) -> int:
    return session.scalar(select(func.count()).select_from(_old_reports(before).subquery())) or 0


def find_reports(session: Session, before: datetime, most: int) -> Sequence[int]:
    """Return what came back before a moment and still names somebody."""
    return session.scalars(_old_reports(before).limit(most)).all()


def forget_reports(session: Session, reports: Sequence[int]) -> int:
    """Take the people out of what came back; verdicts and codes stay for the sums. Return how many reports."""
    nobody: dict[str, Any] = {"address": None, "address_hash": None, "marked_hash": None, "words": ""}
    _change(session, update(BounceEvent).where(BounceEvent.report_id.in_(reports)).values(nobody))
    blank: dict[str, Any] = {"sender": None, "sender_hash": None, "subject": None}
    _change(session, update(BounceReport).where(BounceReport.id.in_(reports)).values(blank))
    return len(reports)


def _change(session: Session, statement: Any) -> None:
    session.execute(statement, execution_options={"synchronize_session": False})
