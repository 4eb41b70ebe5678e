"""
Erase a person from everything that this workspace holds, but for a keyed hash that keeps them from coming back.

Under every address that they are known to have had. What cannot be erased by itself, since it is somebody's own words
or a file of theirs, is named to whoever erases. So is a complaint or request of theirs that is open: it is kept until
it is answered, and forgotten by closing it.

Source: UK GDPR art. 17(3)(b) and (e).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Select, cast, exists, func, or_, select, update
from sqlalchemy.orm import Session
from sqlalchemy.types import Text

from newsletter.app import App
from newsletter.asked.requests import rows_of
from newsletter.audit.log import Action
from newsletter.personal_data.erasing_files import forget_in_files, mention_of
from newsletter.send.notice_rows import cancel
from newsletter.send.owner import changed
from newsletter.send.returns import reply_name
from newsletter.tables import (
    ApiAnswer,
    Block,
    Delivery,
    DeliveryState,
    Issue,
    Notice,
    PersonRequest,
    Setting,
    Throttle,
    WebRequestKind,
)
from subscribers import leaving, people
from subscribers.addresses import Address, parse_address
from subscribers.bounces.records import reports_about
from subscribers.db import after_commit
from subscribers.errors import InvalidValue
from subscribers.tables import BounceEvent, ConsentEvent, ImportBatch, Segment, SignUp, Subscriber, Suppression
from subscribers.tokens import address_hash

ERASED = "(erased)"
_NOT_BEGUN = (DeliveryState.PENDING, DeliveryState.DEFERRED)


@dataclass(frozen=True, slots=True)
class Erased:
    """
    What was erased.

    Attributes:
        copies: Copies of issues that do not say any more whose they were.
        addresses: Every address that was found to be theirs.
        left: What still holds one of these, in words, and is for a person to change.
    """

    copies: int
    addresses: frozenset[str]
    left: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Known:
    """Under what a person is known: hashes of all their addresses, and the addresses that are still readable."""

    person: Subscriber | None
    hashes: frozenset[bytes]
    addresses: frozenset[str]
    reports: Sequence[int] = field(default=())


def erase_address(app: App, address: str, *, evidence: str, actor: str | None = None) -> Erased:
    """Erase whoever has an address, in a transaction of its own; see `erase_held`."""
    with app.database.write() as session:
        return erase_held(app, session, address, evidence=evidence, actor=actor)


def erase_held(app: App, session: Session, address: str, *, evidence: str, actor: str | None = None) -> Erased:
    """
    Erase whoever has an address in the caller's transaction, record it, and see to the files of the workspace after it.

    Somebody whose record is gone already, but of whom something is left, is erased by the address that is given.

    Args:
        evidence: How they asked; without name or address, for it stays.
        actor: Who does it, where that is not whoever runs the program.

    Raises:
        InvalidValue: When it is no address, or *evidence* names it.
        NotFound: When nothing is held under it.
    """
    parsed = parse_address(address)
    if parsed.key in evidence.casefold():
        raise InvalidValue("The evidence of an erasure must not hold the address that it erases.")
    digest = address_hash(app.keys.pepper, parsed.key)
    known = _known(session, parsed, digest)
    copies = _erase(session, known, evidence=evidence, at=app.now())
    left = (*_open_requests(session, known.hashes), *_left(session, known.addresses))
    app.audit.record(session, Action.PERSON_ERASED, "person", person=digest, actor=actor, copies=copies)
    after_commit(session, partial(_after, app, known.addresses))
    return Erased(copies, known.addresses, left)


def erase_person(session: Session, person: Subscriber, *, evidence: str, at: datetime) -> int:
    """
    Erase a person from the database alone; return how many copies of issues do not say any more whose they were.

    Args:
        evidence: How they asked; without name or address, for it stays.
    """
    known = _known(session, parse_address(person.address), person.address_hash)
    return _erase(session, known, evidence=evidence, at=at)


def _after(app: App, addresses: frozenset[str]) -> None:
    forget_in_files(app.workspace.outbox, addresses)
    app.database.drop_traces()


def _known(session: Session, parsed: Address, digest: bytes) -> _Known:
    person = session.scalar(select(Subscriber).where(Subscriber.key == parsed.key))
    hashes = {digest, *(people.hashes_of(session, person.id) if person is not None else ())}
    if person is not None:
        hashes |= set(session.scalars(select(Delivery.address_hash).where(Delivery.subscriber_id == person.id)))
        # An address that went over to somebody else is theirs now.
        others = select(Subscriber.address_hash).where(Subscriber.address_hash.in_(hashes), Subscriber.id != person.id)
        hashes -= set(session.scalars(others))
    if person is None and not _anything_of(session, parsed, digest):
        people.find(session, parsed.address)  # raises, with the nearest address
    addresses = {parsed.address, parsed.key, *([person.address] if person is not None else [])}
    for column, digests in ((Delivery.address, Delivery.address_hash), (Suppression.address, Suppression.address_hash)):
        addresses |= {text for text in session.scalars(select(column).where(digests.in_(hashes)).distinct()) if text}
    reports = [number for each in sorted(hashes) for number in reports_about(session, each)]
    return _Known(person, frozenset(hashes), frozenset(addresses), reports)


def _anything_of(session: Session, parsed: Address, digest: bytes) -> bool:
    columns = (
        Delivery.address_hash,
        ConsentEvent.address_hash,
        Suppression.address_hash,
        Notice.address_hash,
        SignUp.address_hash,
        PersonRequest.contact_hash,
    )
    if any(session.scalar(select(exists().where(column == digest))) for column in columns):
        return True
    return bool(reports_about(session, digest) or rows_of(session, {parsed.address, parsed.key}))


def _erase(session: Session, known: _Known, *, evidence: str, at: datetime) -> int:
    mine: ColumnElement[bool] = Delivery.address_hash.in_(known.hashes)
    if known.person is not None:
        mine = or_(mine, Delivery.subscriber_id == known.person.id)
    ended = {"state": DeliveryState.SUPPRESSED, "state_at": at, "reason": "erased", "retry_at": None}
    changed(session, update(Delivery).where(mine, Delivery.state.in_(_NOT_BEGUN)).values(ended))
    blank: dict[str, Any] = {"address": "", "slots": {}, "reply_text": None}
    copies = changed(session, update(Delivery).where(mine).values(blank))
    _forget_own_domains(session, mine, known)
    theirs = Notice.dedupe.in_([reply_name(number) for number in known.reports])
    cancel(session, or_(theirs, Notice.address_hash.in_(known.hashes)), reason="erased", now=at)
    changed(session, update(Notice).where(theirs).values(subject=""))
    changed(session, update(Notice).where(Notice.address_hash.in_(known.hashes)).values(domain="", reply_text=None))
    _forget_requests(session, known)
    leaving.erase(session, known.person, hashes=known.hashes, evidence=evidence, at=at)
    for address in known.addresses:
        _scrub(session, address, known.hashes)
    return copies


def _forget_own_domains(session: Session, mine: ColumnElement[bool], known: _Known) -> None:
    """A domain that nobody else is at tells who it was; one that others share stays for the report."""
    for domain in {address.rpartition("@")[2].casefold() for address in known.addresses}:
        others = select(exists().where(Subscriber.domain == domain, Subscriber.address_hash.not_in(known.hashes)))
        if not session.scalar(others):
            alone = update(Delivery).where(mine, Delivery.domain == domain)
            changed(session, alone.values(domain="", rate_key=None, remote_host=None))


def _forget_requests(session: Session, known: _Known) -> None:
    """Take away what was asked for under an address of theirs, unless it is a complaint or request that is open."""
    for request in rows_of(session, known.addresses):
        if request.kind is not WebRequestKind.REQUEST:
            session.delete(request)
    session.flush()
    over = PersonRequest.closed_at.is_not(None)
    mine = update(PersonRequest).where(over, PersonRequest.contact_hash.in_(known.hashes))
    changed(session, mine.values(contact="", words=""))


# Words of servers and of people that may repeat an address, beside the rows that are the person's own.
_WORDS = (
    Issue.reason,
    Suppression.evidence,
    Suppression.lifted_reason,
    BounceEvent.words,
    BounceEvent.undone_reason,
    ImportBatch.file_name,
    ImportBatch.evidence,
    PersonRequest.contact,
    PersonRequest.words,
    PersonRequest.outcome,
)


def _scrub(session: Session, address: str, hashes: frozenset[bytes]) -> None:
    pattern = mention_of(address)
    kept = set(session.scalars(_own_open(hashes)))
    for column in _WORDS:
        for row in session.scalars(select(column.class_).where(_holds(column, address))).all():
            if row not in kept:
                setattr(row, column.key, pattern.sub(ERASED, getattr(row, column.key)))
    for row in (*session.scalars(select(Setting)), *session.scalars(select(Throttle))):
        if (value := _without(pattern, row.value)) != row.value:
            row.value = value
    for answer in session.scalars(select(ApiAnswer).where(_holds(cast(ApiAnswer.document, Text), address))):
        answer.document = _without(pattern, answer.document)
    session.flush()
    lines = select(ConsentEvent.id, ConsentEvent.evidence).where(_holds(ConsentEvent.evidence, address))
    told = [line.id for line in session.execute(lines) if pattern.search(line.evidence)]
    changed(session, update(ConsentEvent).where(ConsentEvent.id.in_(told)).values(evidence=""))


def _own_open(hashes: frozenset[bytes]) -> Select[PersonRequest]:
    return (
        select(PersonRequest)
        .where(PersonRequest.closed_at.is_(None), PersonRequest.contact_hash.in_(hashes))
        .order_by(PersonRequest.id)
    )


def _open_requests(session: Session, hashes: frozenset[bytes]) -> list[str]:
    return [
        f"request {each.id} ({each.kind.value}), kept until it is answered: newsletter requests close {each.id}"
        for each in session.scalars(_own_open(hashes))
    ]


def _without(pattern: re.Pattern[str], value: Any) -> Any:
    if isinstance(value, str):
        return pattern.sub(ERASED, value)
    if isinstance(value, dict):
        return {name: _without(pattern, part) for name, part in value.items()}
    if isinstance(value, list):
        return [_without(pattern, part) for part in value]
    return value


def _holds(column: Any, address: str) -> ColumnElement[bool]:
    found: ColumnElement[bool] = func.lower(column).contains(address.lower(), autoescape=True)
    return found


def _left(session: Session, addresses: Iterable[str]) -> list[str]:
    """Return what people wrote that names the address: to change it is to change what it means."""
    found: set[str] = set()
    for address in addresses:
        for name in session.scalars(select(Segment.name).where(_holds(Segment.expression, address))):
            found.add(f"the segment {name}")
        rows = session.scalars(select(Issue.slug).join(Block).where(_holds(Block.audience, address)).distinct())
        found |= {f"a block of the issue {slug}" for slug in rows}
        text = or_(_holds(Issue.letter, address), _holds(cast(Issue.audience, Text), address))
        letters = select(Issue.slug).where(text)
        found |= {f"the letter or the audience of the issue {slug}" for slug in session.scalars(letters)}
    return sorted(found)
