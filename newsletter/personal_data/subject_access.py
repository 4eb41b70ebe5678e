"""
The answer to a request for access: everything held about one person, as a document or as a page to read.

Somebody whose record is gone is answered too, by the keyed hash of the address that they give.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session

from newsletter.app import App
from newsletter.asked.requests import rows_of
from newsletter.audit.log import Wanted, entries
from newsletter.tables import Delivery, Issue, Notice, PersonRequest
from subscribers import exporting, people
from subscribers.addresses import Address, parse_address
from subscribers.tables import (
    ConsentEvent,
    ImportBatch,
    ImportChange,
    MailingList,
    OneTimeToken,
    SignUp,
    Subscriber,
)
from subscribers.tokens import address_hash

_KINDS_WITHOUT_RECORD = (
    "ledger",
    "suppressions",
    "returned_mail",
    "deliveries",
    "notices",
    "sign_ups",
    "requests",
    "data_requests",
)


def held_about(app: App, session: Session, address: str) -> dict[str, Any]:
    """
    Return all that is held about whoever has this address.

    Raises:
        InvalidValue: When it is no address.
        NotFound: When nothing is held under it, with the nearest known address.
    """
    parsed = parse_address(address)
    digest = address_hash(app.keys.pepper, parsed.key)
    person = people.find_or_none(session, address)
    if person is None:
        held = {**_without_record(app, session, parsed, digest), **_sent_to(session, None, {digest})}
        if not any(held[name] for name in _KINDS_WITHOUT_RECORD):
            people.find(session, parsed.address)  # raises, with the nearest address
        return held
    hashes = {digest, *people.hashes_of(session, person.id)}
    hashes |= set(session.scalars(select(Delivery.address_hash).where(Delivery.subscriber_id == person.id)))
    record = exporting.everything_about(session, person, now=app.now())
    return {
        **record,
        **_sent_to(session, person, hashes),
        "imports": _imports(session, person.id),
        "links": _links(session, person.id),
        "requests": _requests(session, {parsed.key, person.address}),
    }


def _without_record(app: App, session: Session, parsed: Address, digest: bytes) -> dict[str, Any]:
    lines = session.execute(
        select(ConsentEvent, MailingList.name)
        .join(MailingList, MailingList.id == ConsentEvent.list_id)
        .where(ConsentEvent.address_hash == digest)
        .order_by(ConsentEvent.id)
    )
    return {
        "address": parsed.address,
        "state": "no record",
        "ledger": [exporting.ledger_line(event, name) for event, name in lines],
        "suppressions": exporting.suppressions_of(session, [digest], domain=parsed.domain, now=app.now()),
        "returned_mail": exporting.returned_mail_of(session, [digest]),
        "requests": _requests(session, {parsed.key, parsed.address}),
    }


def _sent_to(session: Session, person: Subscriber | None, hashes: Iterable[bytes]) -> dict[str, Any]:
    digests = sorted(hashes)
    mine: ColumnElement[bool] = Delivery.address_hash.in_(digests)
    if person is not None:
        mine = or_(mine, Delivery.subscriber_id == person.id)
    copies = session.execute(
        select(Issue.slug, Delivery).join(Issue, Issue.id == Delivery.issue_id).where(mine).order_by(Delivery.id)
    )
    notices = session.scalars(select(Notice).where(Notice.address_hash.in_(digests)).order_by(Notice.id))
    found, _ = entries(session, Wanted(persons=digests))
    return {
        "deliveries": [
            {
                "issue": slug,
                "address": copy.address or None,
                "state": copy.state.value,
                "at": copy.state_at,
                "date": copy.date,
                "reply": copy.reply_text,
                "reason": copy.reason,
                "personal": dict(copy.slots),
            }
            for slug, copy in copies
        ],
        "notices": [
            {"kind": each.kind.value, "at": each.created_at, "state": each.state.value, "reply": each.reply_text}
            for each in notices
        ],
        "sign_ups": _sign_ups(session, digests),
        "data_requests": _data_requests(session, digests),
        "audit": [
            {"at": entry.at, "action": entry.action, "actor": entry.actor, "subject": entry.subject}
            for entry in reversed(found)
        ],
    }


def _imports(session: Session, subscriber_id: int) -> list[dict[str, Any]]:
    rows = session.execute(
        select(ImportBatch, ImportChange)
        .join(ImportChange, ImportChange.batch_id == ImportBatch.id)
        .where(ImportChange.subscriber_id == subscriber_id)
        .order_by(ImportBatch.id)
    )
    return [
        {
            "import": batch.id,
            "file": batch.file_name,
            "at": batch.started_at,
            "actor": batch.actor,
            "before": change.before,
            "after": change.after,
        }
        for batch, change in rows
    ]


def _links(session: Session, subscriber_id: int) -> list[dict[str, Any]]:
    rows = session.scalars(
        select(OneTimeToken).where(OneTimeToken.subscriber_id == subscriber_id).order_by(OneTimeToken.id)
    )
    return [
        {
            "purpose": row.purpose,
            "made": row.created_at,
            "over": row.expires_at,
            "used": row.used_at,
            "holds": row.payload,
        }
        for row in rows
    ]


def _requests(session: Session, addresses: Iterable[str]) -> list[dict[str, Any]]:
    """Return what was asked for on the site under these addresses and waits for its answer."""
    return [{"kind": each.kind.value, "at": each.at, "fields": each.fields} for each in rows_of(session, addresses)]


def _sign_ups(session: Session, digests: Iterable[bytes]) -> list[dict[str, Any]]:
    """Return how often one of their addresses was asked to confirm, and until when it still can be."""
    asked = select(SignUp).where(SignUp.address_hash.in_(list(digests))).order_by(SignUp.id)
    return [
        {"address": each.address, "mails": each.mails, "mailed": each.mailed_at, "over": each.expires_at}
        for each in session.scalars(asked)
    ]


def _data_requests(session: Session, digests: Iterable[bytes]) -> list[dict[str, Any]]:
    """Return complaints and requests about their data that were made under one of their addresses."""
    asked = select(PersonRequest).where(PersonRequest.contact_hash.in_(list(digests))).order_by(PersonRequest.id)
    return [
        {"kind": each.kind.value, "at": each.received_at, "words": each.words, "outcome": each.outcome}
        for each in session.scalars(asked)
    ]


def as_json(held: dict[str, Any]) -> str:
    return json.dumps(held, default=str, ensure_ascii=False, indent=2)
