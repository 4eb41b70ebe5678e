"""
The outbox: mail that is no issue, put there in the transaction that asked for it, so that both are one commit.

`RULES` is published: for each kind how long it is tried, whether a suppression stops it, and whether one that may or
may not have arrived is sent again. What leaves is seen to by `courier`; here nothing is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, literal, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from newsletter.errors import InvalidValue
from newsletter.render.personal import one_line
from newsletter.tables import DeliveryState, Notice, NoticeKind
from subscribers.addresses import parse_address
from subscribers.suppression import UNSUBSCRIBED, active
from subscribers.tables import Suppression
from subscribers.tokens import address_hash


@dataclass(frozen=True, slots=True)
class Rule:
    """
    What holds for one kind of notice.

    Attributes:
        lifetime: Tried for so long, then expired.
        heeds_suppression: A suppression for every list stops it, at the outbox and again before its dot.
        repeats_doubtful: Sent again, with the same bytes, when it may or may not have arrived.
    """

    lifetime: timedelta
    heeds_suppression: bool = False
    repeats_doubtful: bool = False


RULES: Mapping[NoticeKind, Rule] = MappingProxyType(
    {
        # To whom the operator names, while the operator waits for the answer: never later, as a surprise.
        NoticeKind.TEST: Rule(timedelta(minutes=15)),
        # The person asked just now and can ask again.
        NoticeKind.CONFIRMATION: Rule(timedelta(hours=24), heeds_suppression=True),
        NoticeKind.LINK: Rule(timedelta(hours=24), heeds_suppression=True),
        # To operators, who must hear of trouble; an address of theirs that bounces is told by `doctor` instead.
        NoticeKind.ALERT: Rule(timedelta(hours=72), repeats_doubtful=True),
        # A person's words to the chair must never be lost.
        NoticeKind.REPLY: Rule(timedelta(hours=120), repeats_doubtful=True),
    }
)
# Somebody who unsubscribed may still ask for a link. Every other reason stops it, also one that an import brought.
PASSING_REASONS = (UNSUBSCRIBED,)
HEEDING = tuple(kind for kind, rule in RULES.items() if rule.heeds_suppression)
REPEATED = tuple(kind for kind, rule in RULES.items() if rule.repeats_doubtful)


def enqueue(
    session: Session,
    *,
    kind: NoticeKind,
    to: str,
    subject: str,
    message: bytes,
    message_id: str,
    now: datetime,
    pepper: bytes,
    dedupe: str | None = None,
    expires_at: datetime | None = None,
) -> Notice | None:
    """
    Put a finished message into the outbox, in the caller's transaction.

    Args:
        message: The bytes that every attempt sends, signed where mail is signed.
        message_id: As in the message, without its angle brackets.
        dedupe: Names the cause; while a notice has this name, no second one of that name is taken.
        expires_at: None for the lifetime of its kind.

    Returns:
        The notice, or None when its suppression rule or its dedupe says no.

    Raises:
        InvalidValue: When *to* cannot be mailed.
    """
    address = parse_address(to)
    if not address.ascii_local:
        raise InvalidValue(f"A notice cannot go to '{to}': only plain ASCII addresses can be mailed.")
    digest, rule = address_hash(pepper, address.key), RULES[kind]
    if rule.heeds_suppression and session.scalar(select(stopped(now, literal(digest), literal(address.domain)))):
        return None
    if dedupe is not None and session.scalar(select(exists().where(Notice.dedupe == dedupe))):
        return None
    notice = Notice(
        kind=kind,
        address=address.address,
        address_hash=digest,
        domain=address.domain,
        subject=one_line(subject),
        message=message,
        message_id=message_id,
        dedupe=dedupe,
        created_at=now,
        expires_at=expires_at or now + rule.lifetime,
        state=DeliveryState.PENDING,
        state_at=now,
        attempt=0,
    )
    session.flush()  # what the caller has pending fails as the caller's
    try:
        with session.begin_nested():
            session.add(notice)
    except IntegrityError:
        if dedupe is None:
            raise
        return None  # another process told the same cause meanwhile
    return notice


def stopped(now: Any, digest: Any, domain: Any) -> ColumnElement[bool]:
    """
    Return the predicate that a suppression stops a notice of a kind that heeds them.

    An entry for one list does not: a link or a confirmation is about all of a person's lists, or about another one.
    """
    everywhere = and_(active(now), Suppression.list_id.is_(None))
    by_address = exists().where(
        everywhere, Suppression.address_hash == digest, Suppression.reason.not_in(PASSING_REASONS)
    )
    below = domain.like("%." + Suppression.domain)
    by_domain = exists().where(everywhere, Suppression.domain.is_not(None), or_(Suppression.domain == domain, below))
    return or_(by_address, by_domain)
