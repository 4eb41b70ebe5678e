"""
The consent ledger: append-only, who agreed to what, when, how, on which basis; the present state is its replay.

`Subscription` is only a copy of that replay: whoever changes it appends here in the same transaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from subscribers import suppression
from subscribers.errors import InvalidValue
from subscribers.tables import (
    Basis,
    ConsentAction,
    ConsentEvent,
    MailingList,
    Subscriber,
    Subscription,
    SubscriptionState,
    Suppression,
)

# From this day a charity may rely on the soft opt-in. Source: PECR reg. 22(3A), in force 5 February 2026.
SOFT_OPT_IN_SINCE = date(2026, 2, 5)


class LedgerLine(Protocol):
    """What `replay` reads of a line."""

    @property
    def action(self) -> ConsentAction: ...
    @property
    def basis(self) -> Basis: ...
    @property
    def at(self) -> datetime: ...
    @property
    def batch_id(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class ConsentState:
    """Where somebody stands on one list, since when, on which basis."""

    state: SubscriptionState
    basis: Basis
    since: datetime


def replay(events: Iterable[LedgerLine]) -> ConsentState | None:
    """
    Return the state that the ledger of one person and list leads to; None when nothing stands.

    An `undone` line with a batch takes back every line of that batch; one without takes back the last line that
    still stands. A repeated grant keeps the day since when somebody is subscribed.
    """
    standing: list[LedgerLine] = []
    for event in events:
        if event.action is not ConsentAction.UNDONE:
            standing.append(event)
        elif event.batch_id is not None:
            standing = [line for line in standing if line.batch_id != event.batch_id]
        elif standing:
            standing.pop()
    state: ConsentState | None = None
    for line in standing:
        state = _after(state, line)
    return state


_LEADS_TO = {
    ConsentAction.REQUESTED: SubscriptionState.PENDING,
    ConsentAction.GRANTED: SubscriptionState.SUBSCRIBED,
    ConsentAction.CONFIRMED: SubscriptionState.SUBSCRIBED,
    ConsentAction.WITHDRAWN: SubscriptionState.UNSUBSCRIBED,
}


def _after(before: ConsentState | None, line: LedgerLine) -> ConsentState:
    reached = _LEADS_TO[line.action]
    if reached is SubscriptionState.PENDING and before and before.state is SubscriptionState.SUBSCRIBED:
        return before  # somebody who is on the list asks again: nothing to confirm
    since = before.since if before and before.state is reached else line.at
    return ConsentState(reached, line.basis, since)


def check_basis(basis: Basis, *, evidence: str, charity_number: str = "", collected_on: date | None = None) -> None:
    """
    Refuse a lawful basis whose conditions are not shown.

    Raises:
        InvalidValue: Naming the condition that is missing.

    Source: PECR 2003 reg. 22 as amended by the Data (Use and Access) Act 2025 s. 114; ICO guidance of 28 April 2026.
    """
    if not evidence.strip():
        raise InvalidValue(
            "Nobody is put on a list without evidence.",
            hint="Say where it comes from: --evidence 'sign-up sheet of the meeting of 3 October, folder 12'",
        )
    if basis is not Basis.SOFT_OPT_IN:
        return
    if not charity_number.strip():
        raise InvalidValue(
            "Only a charity may rely on the soft opt-in, and organisation.charity_number is not set.",
            hint="Set it in config.toml, or use another basis: consent, corporate or service.",
        )
    if collected_on is None or collected_on < SOFT_OPT_IN_SINCE:
        raise InvalidValue(
            f"The soft opt-in covers only details given to the charity on or after {SOFT_OPT_IN_SINCE}.",
            hint="Say when they were given: --collected-at YYYY-MM-DD. Earlier ones need consent.",
        )


def grant(
    session: Session,
    subscriber: Subscriber,
    mailing_list: MailingList,
    *,
    basis: Basis,
    source: str,
    actor: str,
    evidence: str,
    at: datetime,
    wording: str | None = None,
    batch_id: int | None = None,
    action: ConsentAction = ConsentAction.GRANTED,
) -> ConsentEvent:
    """
    Put somebody on a list and write down why. *action* may also be REQUESTED (pending) or CONFIRMED.

    Raises:
        InvalidValue: Without evidence.
    """
    if not evidence.strip():
        check_basis(basis, evidence=evidence)
    return append(
        session,
        subscriber,
        mailing_list.id,
        action,
        basis=basis,
        source=source,
        actor=actor,
        evidence=evidence,
        at=at,
        wording=wording,
        batch_id=batch_id,
    )


def withdraw(
    session: Session,
    subscriber: Subscriber,
    mailing_list: MailingList | None,
    *,
    source: str,
    actor: str,
    evidence: str,
    at: datetime,
) -> tuple[ConsentEvent, ...]:
    """
    Take somebody off one list, or off all (None), and write it down; doing it twice changes nothing more.

    Off all lists also suppresses the address everywhere. Somebody who never was on the named list is written down
    as unsubscribed from it, so that no import puts them there.
    """
    if mailing_list is None:
        suppression.suppress(
            session,
            address=subscriber.address,
            address_hash=subscriber.address_hash,
            reason=suppression.UNSUBSCRIBED,
            evidence=evidence,
            at=at,
        )
    wanted = _to_withdraw(session, subscriber, mailing_list)
    return tuple(
        append(
            session,
            subscriber,
            list_id,
            ConsentAction.WITHDRAWN,
            basis=basis,
            source=source,
            actor=actor,
            evidence=evidence,
            at=at,
        )
        for list_id, basis in wanted
    )


def _to_withdraw(session: Session, subscriber: Subscriber, mailing_list: MailingList | None) -> list[tuple[int, Basis]]:
    statement = select(Subscription).where(Subscription.subscriber_id == subscriber.id).order_by(Subscription.list_id)
    if mailing_list is not None:
        statement = statement.where(Subscription.list_id == mailing_list.id)
    found = session.scalars(statement).all()
    if mailing_list is not None and not found:
        return [(mailing_list.id, Basis.CONSENT)]
    return [(s.list_id, s.basis) for s in found if s.state is not SubscriptionState.UNSUBSCRIBED]


def undo_withdrawal(
    session: Session,
    subscriber: Subscriber,
    mailing_list: MailingList | None,
    *,
    made_since: datetime,
    source: str,
    actor: str,
    evidence: str,
    at: datetime,
) -> tuple[ConsentEvent, ...]:
    """
    Take back the withdrawals that were made since a moment, on one list or on all (None).

    Older ones stand: whoever left a list last year stays off it. On all lists this also lifts the suppression that
    came with the withdrawal.
    """
    done = []
    for subscription in session.scalars(select(Subscription).where(Subscription.subscriber_id == subscriber.id)).all():
        if mailing_list is not None and subscription.list_id != mailing_list.id:
            continue
        if subscription.state is SubscriptionState.UNSUBSCRIBED and subscription.since >= made_since:
            done.append(
                append(
                    session,
                    subscriber,
                    subscription.list_id,
                    ConsentAction.UNDONE,
                    basis=subscription.basis,
                    source=source,
                    actor=actor,
                    evidence=evidence,
                    at=at,
                )
            )
    if mailing_list is None:
        _lift_own(session, subscriber, made_since=made_since, by=actor, why=evidence, at=at)
    return tuple(done)


def take_back(
    session: Session,
    subscriber: Subscriber,
    event_ids: Collection[int],
    *,
    source: str,
    actor: str,
    evidence: str,
    at: datetime,
) -> tuple[ConsentEvent, ...]:
    """
    Take back these very withdrawals, where nothing was written about the person and the list since.

    What anybody decided later stands, and so does every suppression.
    """
    done = []
    for event in session.scalars(
        select(ConsentEvent)
        .where(
            ConsentEvent.id.in_(event_ids),
            ConsentEvent.subscriber_id == subscriber.id,
            ConsentEvent.action == ConsentAction.WITHDRAWN,
        )
        .order_by(ConsentEvent.id)
    ).all():
        if event.id == _last_line(session, subscriber.id, event.list_id):
            done.append(
                append(
                    session,
                    subscriber,
                    event.list_id,
                    ConsentAction.UNDONE,
                    basis=event.basis,
                    source=source,
                    actor=actor,
                    evidence=evidence,
                    at=at,
                )
            )
    return tuple(done)


def _last_line(session: Session, subscriber_id: int, list_id: int) -> int | None:
    return session.scalar(
        select(func.max(ConsentEvent.id)).where(
            ConsentEvent.subscriber_id == subscriber_id, ConsentEvent.list_id == list_id
        )
    )


def _lift_own(
    session: Session, subscriber: Subscriber, *, made_since: datetime, by: str, why: str, at: datetime
) -> None:
    entries = session.scalars(
        select(Suppression).where(
            suppression.active(at),
            Suppression.address_hash == subscriber.address_hash,
            Suppression.list_id.is_(None),
            Suppression.reason == suppression.UNSUBSCRIBED,
            Suppression.since >= made_since,
        )
    ).all()
    for entry in entries:
        suppression.lift(session, entry, by=by, why=why, at=at)


def append(
    session: Session,
    subscriber: Subscriber,
    list_id: int,
    action: ConsentAction,
    *,
    basis: Basis,
    source: str,
    actor: str,
    evidence: str,
    at: datetime,
    wording: str | None = None,
    batch_id: int | None = None,
) -> ConsentEvent:
    """Write one line and bring `Subscription` to the replay of all of them."""
    event = ConsentEvent(
        subscriber_id=subscriber.id,
        address_hash=subscriber.address_hash,
        list_id=list_id,
        action=action,
        basis=basis,
        at=at,
        wording=wording,
        wording_hash=hash_wording(wording),
        source=source[:200],
        actor=actor[:200],
        evidence=evidence,
        batch_id=batch_id,
    )
    session.add(event)
    session.flush()
    settle(session, subscriber.id, list_id)
    return event


def settle(session: Session, subscriber_id: int, list_id: int) -> None:
    """Bring the stored state of one person and list to the replay of the ledger."""
    reached = replay(
        session.scalars(
            select(ConsentEvent)
            .where(ConsentEvent.subscriber_id == subscriber_id, ConsentEvent.list_id == list_id)
            .order_by(ConsentEvent.id)
        )
    )
    stored = session.get(Subscription, (subscriber_id, list_id))
    if reached is None:
        if stored is not None:
            session.delete(stored)
    elif stored is None:
        session.add(
            Subscription(
                subscriber_id=subscriber_id,
                list_id=list_id,
                state=reached.state,
                basis=reached.basis,
                since=reached.since,
            )
        )
    else:
        stored.state, stored.basis, stored.since = reached.state, reached.basis, reached.since
    session.flush()


def ledger(session: Session, subscriber_id: int) -> Sequence[tuple[ConsentEvent, str]]:
    """Return every line of one person with the name of its list, oldest first."""
    rows = session.execute(
        select(ConsentEvent, MailingList.name)
        .join(MailingList, MailingList.id == ConsentEvent.list_id)
        .where(ConsentEvent.subscriber_id == subscriber_id)
        .order_by(ConsentEvent.id)
    )
    return [(event, name) for event, name in rows]


def hash_wording(wording: str | None) -> str | None:
    return None if wording is None else hashlib.sha256(wording.encode()).hexdigest()
