"""What becomes of somebody's deliveries when their record ends: none is sent any more, and the counts stay true."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from newsletter.send.notice_rows import cancel
from newsletter.send.returns import reply_name
from newsletter.tables import Delivery, DeliveryState, Notice
from subscribers import leaving
from subscribers.bounces.records import forget_person, reports_about
from subscribers.tables import Subscriber

_NOT_BEGUN = (DeliveryState.PENDING, DeliveryState.DEFERRED)


def remove_person(session: Session, person: Subscriber, *, evidence: str, at: datetime) -> None:
    """Delete a record; lists that the person had left stay left."""
    stop_deliveries(session, person.id, reason="removed", at=at)
    leaving.remove(session, person, evidence=evidence, at=at)


def merge_people(session: Session, kept: Subscriber, gone: Subscriber, *, actor: str, at: datetime) -> None:
    """Join two records of one person, with their copies."""
    hand_over(session, gone.id, kept.id)
    leaving.merge(session, kept, gone, actor=actor, at=at)


def stop_deliveries(session: Session, subscriber_id: int, *, reason: str, at: datetime) -> None:
    """End copies that are not on their way; one that a worker holds is judged again at its intent."""
    session.execute(
        update(Delivery)
        .where(Delivery.subscriber_id == subscriber_id, Delivery.state.in_(_NOT_BEGUN))
        .values(state=DeliveryState.SUPPRESSED, state_at=at, reason=reason, retry_at=None),
        execution_options={"synchronize_session": False},
    )


def forget_address(session: Session, subscriber_id: int) -> int:
    """
    Blank address, name and replies of the person's copies, and all mail that came back about them, under any address.

    The rows stay for the counts. Return how many copies.
    """
    copies = session.execute(select(Delivery.id, Delivery.address_hash).where(Delivery.subscriber_id == subscriber_id))
    hashes = [row.address_hash for row in copies]
    session.execute(
        update(Delivery).where(Delivery.subscriber_id == subscriber_id).values(address="", slots={}, reply_text=None),
        execution_options={"synchronize_session": False},
    )
    for digest in set(hashes):
        forget_person(session, digest)
    return len(hashes)


def forget_replies(session: Session, person: Subscriber, *, at: datetime) -> None:
    """End what a person wrote and still waits to be passed on, and forget what the subjects of the rest say."""
    copies = session.scalars(select(Delivery.address_hash).where(Delivery.subscriber_id == person.id))
    for digest in {person.address_hash, *copies}:
        theirs = Notice.dedupe.in_([reply_name(number) for number in reports_about(session, digest)])
        cancel(session, theirs, reason="erased", now=at)
        session.execute(
            update(Notice).where(theirs).values(subject=""), execution_options={"synchronize_session": False}
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
