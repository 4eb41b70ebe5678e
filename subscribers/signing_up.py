"""
Double opt-in: who was asked to confirm, and what a confirmation changes. Nothing is in the ledger before it.

Whoever confirms comes back from their own leaving, and from nothing else: a complaint, a bounce, an entry by hand or an
erasure is lifted by a person alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, exists, func, or_, select, update
from sqlalchemy.orm import Session

from subscribers import consent, people, suppression
from subscribers.addresses import Address, parse_address
from subscribers.errors import Conflict
from subscribers.tables import (
    Basis,
    ConsentAction,
    MailingList,
    SignUp,
    Subscriber,
    Subscription,
    SubscriptionState,
    Suppression,
)
from subscribers.tokens import address_hash

ACTOR = "subscriber"
TOLD_EVERY = timedelta(days=30)  # that somebody is on the list already, at the most
_DOTS_MEAN_NOTHING = ("gmail.com", "googlemail.com")


@dataclass(frozen=True, slots=True)
class Standing:
    """
    What is known of an address that was typed into the form.

    Attributes:
        on: The lists that mail reaches it by.
        barred: The lists that only a person can put it on again.
        barred_everywhere: Whether that is so for every list.
        discreet: The person asked for mail that does not show what it is about.
        mails: How often it was asked to confirm since it last did.
        written_at: When it was last written to because of the form.
        told_at: When it was last told that it is on the lists already.
    """

    on: frozenset[int] = frozenset()
    barred: frozenset[int] = frozenset()
    barred_everywhere: bool = False
    discreet: bool = False
    mails: int = 0
    written_at: datetime | None = None
    told_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was asked for, where and when, as the ledger keeps it; the wording is what the person saw."""

    wordings: Mapping[int, str]
    source: str
    asked: str
    asked_at: datetime
    confirmed: str
    language: str | None


def mailbox_key(address: Address) -> str:
    """Return what all spellings of one mailbox have in common: they share the limits of one address."""
    local, _, domain = address.key.rpartition("@")
    local = local.partition("+")[0] or local
    if domain in _DOTS_MEAN_NOTHING:
        local, domain = local.replace(".", "") or local, _DOTS_MEAN_NOTHING[0]
    return f"{local}@{domain}"


def standing(session: Session, address: Address, *, pepper: bytes, now: datetime) -> Standing:
    """Look up what is known of an address."""
    digest = address_hash(pepper, address.key)
    entries = suppression.of_address(session, address_hash=digest, domain=address.domain, now=now)
    barring = [entry for entry in entries if not _is_own_leaving(entry)]
    left = {entry.list_id for entry in entries if _is_own_leaving(entry)}
    person = session.scalar(select(Subscriber).where(Subscriber.key == address.key))
    on = set() if person is None or None in left else _subscribed(session, person) - left
    mailbox = select(
        func.coalesce(func.sum(SignUp.mails), 0), func.max(SignUp.mailed_at), func.max(SignUp.told_at)
    ).where(SignUp.mailbox_hash == address_hash(pepper, mailbox_key(address)))
    mails, mailed_at, told_at = session.execute(mailbox).one()
    return Standing(
        on=frozenset(number for number in on if number is not None),
        barred=frozenset(entry.list_id for entry in barring if entry.list_id is not None),
        barred_everywhere=any(entry.list_id is None for entry in barring),
        discreet=person is not None and person.discreet,
        mails=mails,
        written_at=max((moment for moment in (mailed_at, told_at) if moment), default=None),
        told_at=told_at,
    )


def note_mailed(session: Session, address: Address, *, pepper: bytes, now: datetime, until: datetime) -> SignUp:
    """Note that an address is asked to confirm until *until*."""
    row = _row(session, address, pepper, until)
    row.address, row.expires_at = address.address, max(row.expires_at, until)
    row.mails, row.mailed_at = row.mails + 1, now
    session.flush()
    return row


def note_told(session: Session, address: Address, *, pepper: bytes, now: datetime) -> None:
    """Note that an address was told that it is on the lists already."""
    _row(session, address, pepper, now).told_at = now
    session.flush()


def pending_address(session: Session, sign_up_id: int, *, now: datetime) -> str | None:
    """Return the address of a sign-up that can still be confirmed; None when it is over, or was erased."""
    row = session.get(SignUp, sign_up_id)
    return row.address if row is not None and row.expires_at > now else None


def confirm(
    session: Session,
    sign_up_id: int,
    list_ids: Collection[int],
    evidence: Evidence,
    *,
    pepper: bytes,
    now: datetime,
) -> tuple[str, ...]:
    """
    Put the person who confirmed on the lists, with what shows it; return the lists' names.

    Archived lists, and those that the person is barred from, are left out.

    Raises:
        Conflict: When no list is left, or the address was erased or is barred everywhere: a person must decide.
    """
    row = session.get_one(SignUp, sign_up_id)
    assert row.address is not None
    address = parse_address(row.address)
    known = standing(session, address, pepper=pepper, now=now)
    wanted = [] if known.barred_everywhere else _joinable(session, set(list_ids) - known.barred)
    if not wanted:
        raise Conflict("Nobody can be put on these lists by a confirmation now.")
    person = session.scalar(select(Subscriber).where(Subscriber.key == address.key))
    if person is None:
        person = people.add(session, pepper=pepper, address=address.address, language=evidence.language, at=now)
    _come_back(session, person, {one.id for one in wanted}, evidence.confirmed, now)
    for one in wanted:
        _write_down(session, person, one, evidence, now)
    answered = update(SignUp).where(SignUp.mailbox_hash == row.mailbox_hash)
    session.execute(answered.values(mails=0, mailed_at=None))
    return tuple(one.name for one in wanted)


def forget_address(session: Session, digest: bytes) -> None:
    """Delete what the form knows of an address that is erased; its links lead nowhere then."""
    session.execute(delete(SignUp).where(SignUp.address_hash == digest))


def any_over(session: Session, now: datetime) -> bool:
    """Return whether `forget_over` would change anything."""
    statement = select(exists().where(SignUp.expires_at <= now, or_(SignUp.address.is_not(None), _of_no_use(now))))
    return bool(session.scalar(statement))


def forget_over(session: Session, now: datetime) -> None:
    """Blank the addresses that did not confirm in time, and delete what no limit needs."""
    session.execute(update(SignUp).where(SignUp.expires_at <= now).values(address=None))
    session.execute(delete(SignUp).where(SignUp.expires_at <= now, _of_no_use(now)))


def _of_no_use(now: datetime) -> ColumnElement[bool]:
    told_long_ago = or_(SignUp.told_at.is_(None), SignUp.told_at <= now - TOLD_EVERY)
    return and_(SignUp.mails == 0, told_long_ago)


def _row(session: Session, address: Address, pepper: bytes, until: datetime) -> SignUp:
    digest = address_hash(pepper, address.key)
    found = session.scalar(select(SignUp).where(SignUp.address_hash == digest))
    if found is None:
        mailbox = address_hash(pepper, mailbox_key(address))
        found = SignUp(address_hash=digest, mailbox_hash=mailbox, mails=0, expires_at=until)
        session.add(found)
    return found


def _is_own_leaving(entry: Suppression) -> bool:
    return entry.reason == suppression.UNSUBSCRIBED and entry.domain is None


def _subscribed(session: Session, person: Subscriber) -> set[int]:
    statement = select(Subscription.list_id).where(
        Subscription.subscriber_id == person.id, Subscription.state == SubscriptionState.SUBSCRIBED
    )
    return set(session.scalars(statement))


def _joinable(session: Session, list_ids: Collection[int]) -> Sequence[MailingList]:
    statement = select(MailingList).where(MailingList.id.in_(list_ids), MailingList.archived_at.is_(None))
    return session.scalars(statement.order_by(MailingList.id)).all()


def _come_back(session: Session, person: Subscriber, wanted: set[int], why: str, now: datetime) -> None:
    """
    Lift the person's own leavings, as far as they concern these lists.

    One of every list hid the other lists that the person is still written down for: those are left for good, so that
    nobody is mailed by a list that they did not ask for now.
    """
    for entry in suppression.of_address(session, address_hash=person.address_hash, domain="", now=now):
        if not _is_own_leaving(entry) or entry.list_id not in (None, *wanted):
            continue
        if entry.list_id is None:
            _leave_others(session, person, wanted, entry, now)
        suppression.lift(session, entry, by=ACTOR, why=why, at=now)


def _leave_others(session: Session, person: Subscriber, wanted: set[int], entry: Suppression, now: datetime) -> None:
    others = select(MailingList).join(Subscription, Subscription.list_id == MailingList.id)
    others = others.where(
        Subscription.subscriber_id == person.id,
        Subscription.state != SubscriptionState.UNSUBSCRIBED,
        MailingList.id.not_in(wanted),
    )
    for other in session.scalars(others.order_by(MailingList.id)).all():
        consent.withdraw(
            session,
            person,
            other,
            source="sign-up",
            actor=ACTOR,
            evidence=f"unsubscribed from every list on {entry.since:%Y-%m-%d}, and has come back to others alone",
            at=now,
        )


def _write_down(session: Session, person: Subscriber, one: MailingList, evidence: Evidence, now: datetime) -> None:
    lines = (
        (ConsentAction.REQUESTED, evidence.asked, evidence.asked_at),
        (ConsentAction.CONFIRMED, evidence.confirmed, now),
    )
    for action, shown, at in lines:
        consent.grant(
            session,
            person,
            one,
            basis=Basis.CONSENT,
            source=evidence.source,
            actor=ACTOR,
            evidence=shown,
            at=at,
            wording=evidence.wordings.get(one.id),
            action=action,
        )
