"""
Complaints and requests about somebody's own data: kept with the day by which each must be answered, until it is closed.

Whoever asks is answered by a person; this is only the list that lets none be forgotten. A request that came by letter
or telephone stands beside those of the site.

Source: Data Protection Act 2018 s. 164A (a complaint is acknowledged within 30 days, and answered without undue delay);
UK GDPR art. 12(3) (a month for access, correction and erasure).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta

from dateutil.relativedelta import relativedelta
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from newsletter.errors import Conflict, NotFound
from newsletter.tables import PersonRequest, PersonRequestKind
from subscribers.addresses import parse_address
from subscribers.errors import InvalidValue
from subscribers.naming import clean_text
from subscribers.suppression import is_erased
from subscribers.tokens import address_hash

ACKNOWLEDGED_WITHIN = timedelta(days=30)
ANSWERED_AFTER_THAT_WITHIN = timedelta(days=30)  # no law names the days of "without undue delay"
LONGEST_CONTACT, LONGEST_WORDS = 320, 4000


def due_on(kind: PersonRequestKind, received_at: datetime) -> date:
    """Return the day by which a request must be answered; a complaint first acknowledged."""
    if kind is PersonRequestKind.COMPLAINT:
        return (received_at + ACKNOWLEDGED_WITHIN).date()
    return (received_at + relativedelta(months=1)).date()


def receive(
    session: Session, kind: PersonRequestKind, *, contact: str, words: str, way: str, at: datetime, pepper: bytes
) -> PersonRequest:
    """
    Add a request to the list.

    Args:
        contact: How to reach whoever asks: an address, a telephone number, a postal address.
        way: How it came: ``site``, or in the operator's words.
    """
    contact = clean_text(contact)[:LONGEST_CONTACT]
    made = PersonRequest(
        kind=kind,
        received_at=at,
        due_on=due_on(kind, at),
        way=clean_text(way)[:100],
        contact=contact,
        contact_hash=_hash(contact, pepper),
        words=_clean_lines(words)[:LONGEST_WORDS],
    )
    session.add(made)
    session.flush()
    return made


def get(session: Session, number: int) -> PersonRequest:
    """
    Return a request by its number.

    Raises:
        NotFound: When there is none.
    """
    found = session.get(PersonRequest, number, with_for_update=True)
    if found is None:
        raise NotFound("request", str(number), hint="See them with: newsletter requests list")
    return found


def listed(session: Session, *, closed: bool = False) -> Sequence[PersonRequest]:
    """Return the open requests, what is due first before the rest; with *closed* the closed ones after them."""
    statement = select(PersonRequest).order_by(
        PersonRequest.closed_at.is_not(None), PersonRequest.due_on, PersonRequest.id
    )
    return session.scalars(statement if closed else statement.where(PersonRequest.closed_at.is_(None))).all()


def acknowledge(session: Session, request: PersonRequest, *, by: str, at: datetime) -> None:
    """
    Note that whoever asked was told that it has arrived.

    Raises:
        Conflict: When that was done before, or the request is closed.
    """
    _refuse_closed(request)
    if request.acknowledged_at is not None:
        raise Conflict(f"Request {request.id} was acknowledged on {request.acknowledged_at:%Y-%m-%d}.")
    request.acknowledged_at, request.acknowledged_by = at, by[:200]
    if request.kind is PersonRequestKind.COMPLAINT:
        request.due_on = (at + ANSWERED_AFTER_THAT_WITHIN).date()
    session.flush()


def close(session: Session, request: PersonRequest, *, outcome: str, by: str, at: datetime) -> None:
    """
    Note what came of it. Of somebody who was erased meanwhile it then holds neither words nor contact.

    Raises:
        InvalidValue: Without an outcome.
        Conflict: When it was closed before.
    """
    _refuse_closed(request)
    if not outcome.strip():
        raise InvalidValue("What came of a request must be said.", hint="Say it with --outcome TEXT.")
    request.closed_at, request.closed_by, request.outcome = at, by[:200], _clean_lines(outcome)
    if request.contact_hash is not None and is_erased(session, request.contact_hash, at):
        request.outcome = re.sub(re.escape(request.contact), "(erased)", request.outcome, flags=re.IGNORECASE)
        request.contact, request.words = "", ""
    session.flush()


def overdue(session: Session, today: date) -> Sequence[PersonRequest]:
    """Return the open requests whose day has passed."""
    return [request for request in listed(session) if request.due_on < today]


def count_over(session: Session, before: datetime) -> int:
    return session.scalar(select(func.count()).select_from(PersonRequest).where(PersonRequest.closed_at < before)) or 0


def find_over(session: Session, before: datetime, most: int) -> Sequence[int]:
    """Return requests that were closed before a moment."""
    return session.scalars(select(PersonRequest.id).where(PersonRequest.closed_at < before).limit(most)).all()


def forget(session: Session, ids: Sequence[int]) -> int:
    gone = session.scalars(delete(PersonRequest).where(PersonRequest.id.in_(ids)).returning(PersonRequest.id)).all()
    return len(gone)


def _refuse_closed(request: PersonRequest) -> None:
    if request.closed_at is not None:
        raise Conflict(f"Request {request.id} was closed on {request.closed_at:%Y-%m-%d} by {request.closed_by}.")


def _clean_lines(words: str) -> str:
    """Return words of several lines without what would steer a terminal, or what PostgreSQL does not store."""
    return "\n".join(clean_text(line) for line in words.strip().splitlines())


def _hash(contact: str, pepper: bytes) -> bytes | None:
    """Return the keyed hash of the address in it, by which an erasure or a request for access finds it; else None."""
    for word in contact.split():
        with suppress(InvalidValue):
            return address_hash(pepper, parse_address(word.strip("<>()[],;:'\"")).key)
    return None
