"""What becomes of somebody's deliveries when their record ends: none is sent any more, and the counts stay true."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from newsletter.tables import Delivery, DeliveryState, DigestEntry
from subscribers import leaving
from subscribers.tables import Subscriber

_NOT_BEGUN = (DeliveryState.PENDING, DeliveryState.DEFERRED)


def remove_person(session: Session, person: Subscriber, *, evidence: str, at: datetime) -> None:
    """Delete a record; lists that the person had left stay left."""
    stop_deliveries(session, person.id, reason="removed", at=at)
    leaving.remove(session, person, evidence=evidence, at=at)


def merge_people(session: Session, kept: Subscriber, gone: Subscriber, *, actor: str, at: datetime) -> None:
    """Join two records of one person, with their copies."""
    hand_over(session, gone.id, kept.id)
    hand_over_debts(session, gone.id, kept.id)
    leaving.merge(session, kept, gone, actor=actor, at=at)


def stop_deliveries(session: Session, subscriber_id: int, *, reason: str, at: datetime) -> None:
    """End copies that are not on their way; one that a worker holds is judged again at its intent."""
    session.execute(
        update(Delivery)
        .where(Delivery.subscriber_id == subscriber_id, Delivery.state.in_(_NOT_BEGUN))
        .values(state=DeliveryState.SUPPRESSED, state_at=at, reason=reason, retry_at=None),
        execution_options={"synchronize_session": False},
    )


def hand_over(session: Session, gone_id: int, kept_id: int) -> None:
    """Let the copies of a merged record belong to the kept one, save where it had its own of that issue."""
    own = select(Delivery.issue_id).where(Delivery.subscriber_id == kept_id)
    session.execute(
        update(Delivery)
        .where(Delivery.subscriber_id == gone_id, Delivery.issue_id.not_in(own))
        .values(subscriber_id=kept_id),
        execution_options={"synchronize_session": False},
    )


def hand_over_debts(session: Session, gone_id: int, kept_id: int) -> None:
    """
    Let the monthly digest owe the kept record what it owed the merged one.

    Nobody gets an issue both ways: what the kept record has a copy of is owed no more. To be called after `hand_over`.
    """
    owed = select(DigestEntry.issue_id).where(DigestEntry.subscriber_id == kept_id)
    session.execute(
        update(DigestEntry)
        .where(DigestEntry.subscriber_id == gone_id, DigestEntry.issue_id.not_in(owed))
        .values(subscriber_id=kept_id),
        execution_options={"synchronize_session": False},
    )
    had = select(Delivery.issue_id).where(Delivery.subscriber_id == kept_id)
    session.execute(
        delete(DigestEntry).where(DigestEntry.subscriber_id == kept_id, DigestEntry.issue_id.in_(had)),
        execution_options={"synchronize_session": False},
    )
