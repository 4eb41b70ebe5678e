"""
Take back what was made of a report that was wrong: its suppression, its withdrawal, and what it added to a score.

A person's own later wish stands. What is not touched is said, so that nobody believes it undone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from subscribers import consent, suppression
from subscribers.bounces import records
from subscribers.bounces.policy import Rule, Sign, decide
from subscribers.bounces.verdicts import Patiences
from subscribers.errors import Conflict, InvalidValue, NotFound
from subscribers.tables import (
    BounceEvent,
    ConsentAction,
    ConsentEvent,
    MailingList,
    Subscriber,
    Subscription,
    SubscriptionState,
    Suppression,
)

_SCORED = (suppression.HARD_BOUNCE, suppression.SOFT_BOUNCES)


@dataclass(frozen=True, slots=True)
class Undone:
    """What was taken back, and what was not touched, each in words for a person."""

    events: tuple[int, ...]
    done: tuple[str, ...]
    untouched: tuple[str, ...]


def undo(session: Session, event_id: int, *, by: str, reason: str, patiences: Patiences, now: datetime) -> Undone:
    """
    Undo an event, and every other report that counts about the same copy.

    Raises:
        NotFound: When there is no such event.
        Conflict: When it was undone before, when it did nothing, or when the person asked to leave by their own mail
            or token.
        InvalidValue: Without a reason.
    """
    records.serialise(session)
    event = session.get(BounceEvent, event_id)
    if event is None:
        raise NotFound("report", str(event_id), hint="See them with: newsletter bounces list")
    if not reason.strip():
        raise InvalidValue("Undoing a report needs a reason.", hint="Say why with --reason TEXT.")
    if event.undone_at is not None:
        raise Conflict(f"Report {event_id} was undone on {event.undone_at:%Y-%m-%d} by {event.undone_by}.")
    if event.sign is Sign.NONE and not event.suppression_ids and not event.consent_event_ids:
        raise Conflict(f"Report {event_id} touched nobody ({event.rule.value}): there is nothing to undo.")
    if event.rule is Rule.UNSUBSCRIBED and event.event_key is None:
        raise Conflict(
            f"Report {event_id} is the person's own wish to leave, which no report undoes.",
            hint="Only they can come back: by signing up, or where they ask for it: newsletter subscribers subscribe",
        )
    counted = event.sign in (Sign.HARD, Sign.SOFT)
    events = [event, *(records.same_copy(session, event) if counted else ())]
    for each in events:
        each.undone_at, each.undone_by, each.undone_reason = now, by, reason.strip()
    session.flush()
    done, untouched = _take_back(session, events, by=by, reason=reason.strip(), now=now)
    done += _reconsider(session, event, by=by, reason=reason.strip(), patiences=patiences, now=now)
    untouched += _left(session, event, now)
    if counted or event.sign is Sign.PROOF:
        done.insert(0, "It counts no more.")
    return Undone(tuple(each.id for each in events), tuple(done), tuple(untouched))


def _take_back(
    session: Session, events: Sequence[BounceEvent], *, by: str, reason: str, now: datetime
) -> tuple[list[str], list[str]]:
    done: list[str] = []
    untouched: list[str] = []
    for entry_id in [number for event in events for number in event.suppression_ids]:
        entry = session.get(Suppression, entry_id)
        if entry is None or entry.lifted_at is not None:
            untouched.append("A suppression that it made was lifted before.")
            continue
        suppression.lift(session, entry, by=by, why=f"{records.UNDONE}{reason}", at=now)
        done.append(f"Suppression lifted: {entry.reason}.")
    for line_id in [number for event in events for number in event.consent_event_ids]:
        told, is_done = _restore(session, line_id, by=by, reason=reason, now=now)
        (done if is_done else untouched).append(told)
    return done, untouched


def _restore(session: Session, line_id: int, *, by: str, reason: str, now: datetime) -> tuple[str, bool]:
    """Take back one withdrawal, if nothing was written about that list since."""
    line = session.get_one(ConsentEvent, line_id)
    name = session.get_one(MailingList, line.list_id).name
    subscriber = session.get(Subscriber, line.subscriber_id) if line.subscriber_id is not None else None
    if subscriber is None:
        return f"The person is no longer there to be put back on {name}.", False
    newest = session.scalar(
        select(ConsentEvent.id)
        .where(ConsentEvent.subscriber_id == subscriber.id, ConsentEvent.list_id == line.list_id)
        .order_by(ConsentEvent.id.desc())
        .limit(1)
    )
    if newest != line.id:
        return f"The subscription to {name} was changed since, and stays as it is.", False
    consent.append(
        session,
        subscriber,
        line.list_id,
        ConsentAction.UNDONE,
        basis=line.basis,
        source="bounces undo",
        actor=by,
        evidence=reason,
        at=now,
    )
    back = session.get(Subscription, (subscriber.id, line.list_id))
    if back is None or back.state is not SubscriptionState.SUBSCRIBED:
        return f"No consent is written down for {name}, so the person is not put back on it.", False
    return f"Back on the list {name}.", True


def _reconsider(
    session: Session, event: BounceEvent, *, by: str, reason: str, patiences: Patiences, now: datetime
) -> list[str]:
    """Lift a suppression that other reports made, where what is left would not make it."""
    if event.marked_hash is None or event.list_id is None:
        return []
    patience = patiences.of(session, event.list_id)
    rule = decide(records.history(session, event.marked_hash), patience, now=now).rule
    wanted = (
        {Rule.AT_ONCE: _SCORED, Rule.TWO_HARD: _SCORED, Rule.SCORE: (suppression.SOFT_BOUNCES,)}.get(rule, ())
        if rule
        else ()
    )
    made = session.scalars(
        select(BounceEvent.suppression_ids).where(BounceEvent.marked_hash == event.marked_hash)
    ).all()
    done = []
    for entry in session.scalars(
        select(Suppression).where(
            suppression.active(now),
            Suppression.id.in_([number for numbers in made for number in numbers]),
            Suppression.reason.in_(_SCORED),
        )
    ).all():
        if entry.reason not in wanted:
            suppression.lift(session, entry, by=by, why=f"{records.UNDONE}{reason}", at=now)
            done.append(f"Suppression lifted, since it rested on this report too: {entry.reason}.")
    return done


def _left(session: Session, event: BounceEvent, now: datetime) -> list[str]:
    told = []
    if event.delivery_id is not None and event.sign in (Sign.HARD, Sign.SOFT):
        told.append("The copy keeps its state; nothing is sent again.")
    if event.marked_hash is not None:
        rest = suppression.of_address(session, address_hash=event.marked_hash, domain="", now=now)
        told += [f"The address stays suppressed: {entry.reason}, since {entry.since:%Y-%m-%d}." for entry in rest]
    return told
