"""
Leaving a list by the link of a mail: what a request asks for, the write that does it, and what may follow at once.

Only a POST comes here. It is durable before it is answered, the same however often it is repeated, and done for good
also when the person, the list or the issue has been deleted since. The answer to a person's own POST carries a receipt:
by it alone, and for minutes, that very leaving is taken back or explained. What one page's buttons did, one after the
other or by a double click, is one leaving: the page's forms carry a random word that says which belong together.

Source: RFC 8058 3.1 and 3.2.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from subscribers import consent, one_time, people, suppression
from subscribers.errors import TokenInvalid
from subscribers.naming import clean_text
from subscribers.tables import (
    ConsentAction,
    ConsentEvent,
    LeavingReason,
    MailingList,
    OneTimeToken,
    Subscriber,
    Suppression,
    WhyLeft,
)
from subscribers.tokens import ALL_LISTS, UnsubscribeClaim
from subscribers.withdrawing import withdraw_many

ONE_CLICK_FIELD, ONE_CLICK_VALUE = "List-Unsubscribe", "One-Click"
ACTOR, EVIDENCE = "subscriber", "link in a mail, POST"
RECEIPT = "left"
RECEIPT_FOR = timedelta(minutes=15)
UNDO_SOURCE = "undo on the unsubscribe page"
MOST_UNDOS_A_DAY = 5  # whoever has the link could else make the ledger grow without end
LONGEST_WORDS = 500
NO_PAGE = ""
_PAGE = re.compile(r"[A-Za-z0-9_-]{43}")


class Scope(StrEnum):
    """What is left: the list that the mail came by, or every list."""

    LIST = "list"
    ALL = "all"


class Way(StrEnum):
    """How it was asked: by the mail program's own button, or by the page's."""

    ONE_CLICK = "one-click unsubscribe (RFC 8058)"
    PAGE = "unsubscribe page"


class Afterwards(StrEnum):
    """What the answer's receipt may be used for."""

    UNDO = "undo"
    EXPLAIN = "explain"


def read_request(fields: Mapping[str, object]) -> tuple[Scope, Way] | None:
    """Return what the fields of a POST ask for; None when they ask for nothing we know, and nothing may change."""
    if str(fields.get(ONE_CLICK_FIELD, "")).strip().lower() == ONE_CLICK_VALUE.lower():
        return Scope.LIST, Way.ONE_CLICK
    asked = str(fields.get("scope", ""))
    return (Scope(asked), Way.PAGE) if asked in set(Scope) else None


def new_page() -> str:
    """Return the word by which the forms of one page, and of its answers, are known to belong together."""
    return secrets.token_urlsafe(one_time.TOKEN_BYTES)


def page_of(fields: Mapping[str, object]) -> str:
    """Return the word of the page that a form was on; `NO_PAGE` for anything that is none of ours."""
    given = str(fields.get("page", ""))
    return given if _PAGE.fullmatch(given) else NO_PAGE


def leave(
    session: Session, claim: UnsubscribeClaim, scope: Scope, way: Way, *, page: str = NO_PAGE, now: datetime
) -> str:
    """
    Withdraw the consent that the token speaks for. Somebody or some list that is gone has nothing to withdraw.

    Args:
        page: Of the form: the receipt is also for what its other buttons have done, or the first press of this one.

    Returns:
        The receipt for a person's page; empty for a mail program, which shows nobody the answer. One is always
        returned, and is good for nothing where nothing was withdrawn: the page never tells whom it met.
    """
    subscriber = people.by_token(session, claim.subscriber_token_id, lock=True)
    everything = scope is Scope.ALL or claim.list_id == ALL_LISTS
    mailing_list = None if everything else session.get(MailingList, claim.list_id)
    if subscriber is None or (mailing_list is None and not everything):
        return "" if way is Way.ONE_CLICK else _worthless()
    before = _own_wishes(session, subscriber, now) if way is Way.PAGE else frozenset()
    lines = consent.withdraw(
        session, subscriber, mailing_list, source=way.value, actor=ACTOR, evidence=EVIDENCE, at=now
    )
    if way is Way.ONE_CLICK:
        return ""
    entries = sorted(_own_wishes(session, subscriber, now) - before)
    earlier = _done_before(session, subscriber, page, now)
    if not (lines or entries or earlier) or _undone_lately(session, subscriber, now) >= MOST_UNDOS_A_DAY:
        return _worthless()
    about = lines[0].id if lines else _last_left(session, subscriber)
    did = {
        "events": [*earlier.get("events", ()), *(line.id for line in lines)],
        "suppressions": [*earlier.get("suppressions", ()), *entries],
        "about": earlier.get("about", about),
        "page": _page_digest(page),
    }
    return one_time.mint(session, RECEIPT, now=now, lifetime=RECEIPT_FOR, subscriber_id=subscriber.id, payload=did)


def leave_together(session: Session, claims: Sequence[UnsubscribeClaim], now: datetime) -> list[None]:
    """Withdraw for many whose mail programs asked: as `leave` with the one-click way, for all of them at once."""
    by_list: dict[int, list[bytes]] = {}
    for claim in claims:
        if claim.list_id == ALL_LISTS:
            leave(session, claim, Scope.LIST, Way.ONE_CLICK, now=now)
        else:
            by_list.setdefault(claim.list_id, []).append(claim.subscriber_token_id)
    for list_id, people_leaving in sorted(by_list.items()):
        withdraw_many(
            session, list_id, people_leaving, source=Way.ONE_CLICK.value, actor=ACTOR, evidence=EVIDENCE, at=now
        )
    return [None] * len(claims)


def undo(session: Session, claim: UnsubscribeClaim, receipt: str, *, now: datetime) -> bool:
    """Take back what the POST of this receipt withdrew, and no more; false when the receipt is good for nothing."""
    subscriber = people.by_token(session, claim.subscriber_token_id, lock=True)
    again = one_time.PRESSED_AGAIN
    if subscriber is None or not _belongs(session, receipt, subscriber, now, again_within=again):
        return False
    token = one_time.spend(session, RECEIPT, receipt, now=now, again_within=again)
    if "undone" in token.payload:  # by the first press of a double click
        return bool(token.payload["undone"])
    events, entries = token.payload["events"], token.payload["suppressions"]
    evidence = "receipt of the answer to the POST that left"
    done = consent.take_back(session, subscriber, events, source=UNDO_SOURCE, actor=ACTOR, evidence=evidence, at=now)
    lifted = session.scalars(select(Suppression).where(Suppression.id.in_(entries), suppression.active(now))).all()
    for entry in lifted:
        suppression.lift(session, entry, by=ACTOR, why=UNDO_SOURCE, at=now)
    session.execute(delete(LeavingReason).where(LeavingReason.event_id.in_(events)))
    token.payload = {**token.payload, "undone": bool(done or lifted)}
    return bool(done or lifted)


def explain(
    session: Session, claim: UnsubscribeClaim, receipt: str, fields: Mapping[str, object], *, now: datetime
) -> bool:
    """Keep why somebody left, the last of several words; false without a good receipt, or when nothing was said."""
    subscriber = people.by_token(session, claim.subscriber_token_id, lock=True)
    asked, words = str(fields.get("why", "")), clean_text(str(fields.get("words", "")))[:LONGEST_WORDS]
    choice = WhyLeft(asked) if asked in set(WhyLeft) else None
    if subscriber is None or not (choice or words) or not _belongs(session, receipt, subscriber, now):
        return False
    event = one_time.look(session, RECEIPT, receipt, now=now).payload["about"]
    if event is None:
        return False
    session.execute(delete(LeavingReason).where(LeavingReason.event_id == event))
    session.add(LeavingReason(subscriber_id=subscriber.id, event_id=event, at=now, choice=choice, words=words))
    return True


def _worthless() -> str:
    return secrets.token_urlsafe(one_time.TOKEN_BYTES)


def _done_before(session: Session, subscriber: Subscriber, page: str, now: datetime) -> dict[str, Any]:
    """Return what the latest receipt that can be used says the same page has done; empty for nothing."""
    if page == NO_PAGE:
        return {}
    receipts = session.scalars(
        select(OneTimeToken)
        .where(
            OneTimeToken.subscriber_id == subscriber.id,
            OneTimeToken.purpose == RECEIPT,
            OneTimeToken.used_at.is_(None),
            OneTimeToken.expires_at > now,
        )
        .order_by(OneTimeToken.id.desc())
    )
    return next((one.payload for one in receipts if one.payload.get("page") == _page_digest(page)), {})


def _page_digest(page: str) -> str:
    """Return what is kept of a page's word: whoever reads the database cannot speak for the page."""
    return hashlib.sha256(page.encode()).hexdigest() if page != NO_PAGE else ""


def _belongs(
    session: Session,
    receipt: str,
    subscriber: Subscriber,
    now: datetime,
    *,
    again_within: timedelta = timedelta(0),
) -> bool:
    """Whether a receipt can be used now, and is of a leaving of this person."""
    try:
        found: OneTimeToken = one_time.look(session, RECEIPT, receipt, now=now, again_within=again_within)
    except TokenInvalid:
        return False
    return found.subscriber_id == subscriber.id


def _own_wishes(session: Session, subscriber: Subscriber, now: datetime) -> frozenset[int]:
    """Return the suppressions that the person made by leaving every list."""
    return frozenset(
        session.scalars(
            select(Suppression.id).where(
                suppression.active(now),
                Suppression.address_hash == subscriber.address_hash,
                Suppression.list_id.is_(None),
                Suppression.reason == suppression.UNSUBSCRIBED,
            )
        )
    )


def _last_left(session: Session, subscriber: Subscriber) -> int | None:
    return session.scalar(
        select(func.max(ConsentEvent.id)).where(
            ConsentEvent.subscriber_id == subscriber.id, ConsentEvent.action == ConsentAction.WITHDRAWN
        )
    )


def _undone_lately(session: Session, subscriber: Subscriber, now: datetime) -> int:
    undone = select(func.count(ConsentEvent.at.distinct())).where(
        ConsentEvent.subscriber_id == subscriber.id,
        ConsentEvent.action == ConsentAction.UNDONE,
        ConsentEvent.source == UNDO_SOURCE,
        ConsentEvent.at > now - timedelta(days=1),
    )
    return session.scalar(undone) or 0
