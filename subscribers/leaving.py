"""
Records that end: merged into another, removed, or erased; the wish not to be mailed always outlives the record.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Update, case, or_, select, update
from sqlalchemy.orm import Session

from subscribers import consent, people, signing_up, suppression
from subscribers.bounces import records
from subscribers.errors import InvalidValue
from subscribers.never_mail import changes as never_mail
from subscribers.tables import (
    AttributeValue,
    Basis,
    ConsentAction,
    ConsentEvent,
    Frequency,
    LeavingReason,
    PreferenceChange,
    Subscriber,
    Subscription,
    SubscriptionState,
    Suppression,
    Tag,
)


def erase(
    session: Session, subscriber: Subscriber | None, *, hashes: Iterable[bytes] = (), evidence: str, at: datetime
) -> list[Suppression]:
    """
    Delete a person at their request and keep only keyed hashes, so that no spreadsheet brings them back.

    The ledger's lines stay with the hash, without what people wrote there; readable addresses and words go from every
    suppression too, and every mail that came back about or from the person goes as a whole.

    Args:
        subscriber: None when the record is gone already.
        hashes: Of other addresses that the person is known to have had.
    """
    digests = {*hashes, *([subscriber.address_hash] if subscriber is not None else ())}
    lines: ColumnElement[bool] = ConsentEvent.address_hash.in_(digests)
    if subscriber is not None:
        lines = or_(lines, ConsentEvent.subscriber_id == subscriber.id)
    _update(session, update(ConsentEvent).where(lines).values(evidence=""))
    if subscriber is not None:
        session.delete(subscriber)
        session.flush()
    for digest in digests:
        records.forget_person(session, digest)
        signing_up.forget_address(session, digest)
    wordless = case((Suppression.lifted_reason.is_(None), None), else_="")
    blank = {"address": None, "evidence": "", "lifted_reason": wordless}
    _update(session, update(Suppression).where(Suppression.address_hash.in_(digests)).values(blank))
    session.expire_all()
    return [
        suppression.suppress(session, address_hash=digest, reason=suppression.ERASED, evidence=evidence, at=at)
        for digest in sorted(digests)
    ]


def _update(session: Session, statement: Update) -> None:
    session.execute(statement, execution_options={"synchronize_session": False})


def remove(session: Session, subscriber: Subscriber, *, evidence: str, at: datetime) -> None:
    """Delete a record; a list that the person had left stays left, by hash."""
    left = session.scalars(
        select(Subscription).where(
            Subscription.subscriber_id == subscriber.id, Subscription.state == SubscriptionState.UNSUBSCRIBED
        )
    ).all()
    for subscription in left:
        suppression.suppress(
            session,
            address=subscriber.address,
            address_hash=subscriber.address_hash,
            list_id=subscription.list_id,
            reason=suppression.UNSUBSCRIBED,
            evidence=f"unsubscribed on {subscription.since:%Y-%m-%d}; record removed: {evidence}",
            at=at,
        )
    session.delete(subscriber)
    session.flush()


def merge(session: Session, kept: Subscriber, gone: Subscriber, *, actor: str, at: datetime) -> None:
    """
    Join two records of one person; the stricter consent of the two holds on each list.

    Whoever left a list under either address has left it; the kept record's values win, the other fills gaps.

    Raises:
        InvalidValue: When both are the same record.
    """
    if kept.id == gone.id:
        raise InvalidValue(f"{kept.address} cannot be merged with itself.")
    wanted = _stricter(session, kept, gone)
    for name in ("name", "first_name", "language", "timezone"):
        if getattr(kept, name) is None:
            setattr(kept, name, getattr(gone, name))
    kept.joined_at = min(kept.joined_at, gone.joined_at)
    # Whoever asked for discreet mail, or to be left alone, asked for it as a person, whichever record held it.
    kept.discreet = kept.discreet or gone.discreet
    kept.paused_until = max((day for day in (kept.paused_until, gone.paused_until) if day), default=None)
    if gone.frequency is Frequency.MONTHLY:
        kept.frequency = Frequency.MONTHLY
    _take_values(session, kept, gone)
    _take_wishes(session, kept, gone, at)
    for theirs in (ConsentEvent, LeavingReason, PreferenceChange):
        session.execute(
            update(theirs).where(theirs.subscriber_id == gone.id).values(subscriber_id=kept.id),
            execution_options={"synchronize_session": False},
        )
    session.expire_all()
    former = gone.address
    never_mail.note_merge(session, kept, gone, at=at)
    session.delete(gone)
    session.flush()
    for one in wanted:
        _settle(session, kept, one, former=former, actor=actor, at=at)
    people.touch(session, kept, at=at)


_STRICTNESS = (SubscriptionState.SUBSCRIBED, SubscriptionState.PENDING, SubscriptionState.UNSUBSCRIBED)


@dataclass(frozen=True, slots=True)
class _Wanted:
    list_id: int
    state: SubscriptionState
    basis: Basis


def _stricter(session: Session, one: Subscriber, other: Subscriber) -> list[_Wanted]:
    found: dict[int, _Wanted] = {}
    rows = session.execute(
        select(Subscription.list_id, Subscription.state, Subscription.basis)
        .where(Subscription.subscriber_id.in_((one.id, other.id)))
        .order_by(Subscription.list_id)
    )
    for row in rows:
        wanted = _Wanted(*row)
        before = found.get(wanted.list_id)
        if before is None or _STRICTNESS.index(wanted.state) > _STRICTNESS.index(before.state):
            found[wanted.list_id] = wanted
    return list(found.values())


def _settle(
    session: Session,
    kept: Subscriber,
    wanted: _Wanted,
    *,
    former: str,
    actor: str,
    at: datetime,
) -> None:
    """Write a line when the joined ledger would not lead to the stricter state by itself."""
    list_id, state = wanted.list_id, wanted.state
    consent.settle(session, kept.id, list_id)
    reached = session.get(Subscription, (kept.id, list_id))
    if reached is not None and reached.state is state:
        return
    action = {
        SubscriptionState.SUBSCRIBED: ConsentAction.GRANTED,
        SubscriptionState.PENDING: ConsentAction.REQUESTED,
        SubscriptionState.UNSUBSCRIBED: ConsentAction.WITHDRAWN,
    }[state]
    if state is SubscriptionState.PENDING:  # a request alone does not take a subscription back
        consent.append(
            session,
            kept,
            list_id,
            ConsentAction.WITHDRAWN,
            basis=wanted.basis,
            source="merge",
            actor=actor,
            evidence=f"merged with {former}: one of the two was not confirmed",
            at=at,
        )
    consent.append(
        session,
        kept,
        list_id,
        action,
        basis=wanted.basis,
        source="merge",
        actor=actor,
        evidence=f"merged with {former}",
        at=at,
    )


def _take_values(session: Session, kept: Subscriber, gone: Subscriber) -> None:
    own = set(session.scalars(select(AttributeValue.definition_id).where(AttributeValue.subscriber_id == kept.id)))
    for value in session.scalars(select(AttributeValue).where(AttributeValue.subscriber_id == gone.id)).all():
        if value.definition_id not in own:
            session.add(
                AttributeValue(
                    subscriber_id=kept.id,
                    definition_id=value.definition_id,
                    position=value.position,
                    text=value.text,
                    number=value.number,
                    date=value.date,
                )
            )
    tags = set(people.tags_of(session, kept.id))
    session.add_all(Tag(subscriber_id=kept.id, tag=tag) for tag in people.tags_of(session, gone.id) if tag not in tags)
    session.flush()


def _take_wishes(session: Session, kept: Subscriber, gone: Subscriber, at: datetime) -> None:
    for entry in suppression.of_address(session, address_hash=gone.address_hash, domain="", now=at):
        if entry.reason in suppression.OWN_WISH:
            suppression.suppress(
                session,
                address=kept.address,
                address_hash=kept.address_hash,
                list_id=entry.list_id,
                reason=entry.reason,
                evidence=f"merged with {gone.address}: {entry.evidence}",
                at=at,
                expires_at=entry.expires_at,
            )
