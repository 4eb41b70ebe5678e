"""
The statements on what came back: kept once, read as the history of an address, and forgotten in time.

`serialise` makes intakes take turns, so that two processes never count the same copy twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, func, or_, select, text, update
from sqlalchemy.orm import Session, aliased

from subscribers.addresses import parse_address
from subscribers.bounces.event import Once, Reason
from subscribers.bounces.mail import Mail
from subscribers.bounces.policy import Fact, Rule, Sign
from subscribers.errors import InvalidValue
from subscribers.suppression import HARD_BOUNCE, SOFT_BOUNCES
from subscribers.tables import BounceEvent, BounceReport, ConsentEvent, Suppression
from subscribers.tokens import address_hash

OWN_ACT = "subscriber"  # the actor of the ledger's lines that people write themselves
UNDONE = "bounces undo: "  # how the reason begins of a suppression that was lifted because its grounds were wrong
USED = "token"  # the way of a row that remembers a used token: nothing came back, and no event is about it
TOKENS_FOR = timedelta(days=1)  # longer than any signature over a token holds
_LOCK_NUMBER = 7_263_542_003  # any constant: the intakes of one PostgreSQL database take turns on it
_NO_FAULT = (Reason.SUPPRESSED, Reason.UNDEFINED)
_IDENTITY = ("from", "to", "subject", "date", "message-id")


def serialise(session: Session) -> None:
    """Wait for other intakes until this transaction ends; on SQLite every writer does so already."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK_NUMBER})


def mail_digest(raw: bytes, mail: Mail, mark: int | None) -> bytes:
    """Return what identifies a mail whichever way it comes: its words, not the trace of its way."""
    raw = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    body = raw.partition(b"\n\n")[2] or raw
    identity = "\0".join(mail.header(name) for name in _IDENTITY)
    found = hashlib.sha256(f"{mark}\0{identity}\0".encode("utf-8", "replace"))
    found.update(body.rstrip())
    return found.digest()


def event_key(way: str, event_id: str) -> bytes:
    """Return what identifies an event of a provider."""
    return hashlib.sha256(f"{way}\0{event_id}".encode("utf-8", "replace")).digest()


def report_of(session: Session, digest: bytes) -> int | None:
    """Return the report that has this digest."""
    return session.scalar(select(BounceReport.id).where(BounceReport.digest == digest))


def event_of(session: Session, key: bytes) -> BounceEvent | None:
    """Return the event that has this key."""
    return session.scalar(select(BounceEvent).where(BounceEvent.event_key == key))


def use_token(session: Session, once: Once, *, now: datetime) -> bool:
    """
    Note a token with its body, where every process of the site sees it; false when it came with another body before.

    The very same post again passes, so that a provider that missed our answer can repeat itself.
    """
    session.execute(
        delete(BounceReport).where(BounceReport.way == USED, BounceReport.received_at < now - TOKENS_FOR),
        execution_options={"synchronize_session": False},
    )
    seen = session.scalar(select(BounceReport).where(BounceReport.digest == once.token))
    if seen is None:
        session.add(BounceReport(way=USED, received_at=now, digest=once.token, raw=once.body, size=0))
        session.flush()
        return True
    return seen.raw == once.body


def hash_of(pepper: bytes, address: str) -> bytes | None:
    """Return the keyed hash of an address that a report names; None when it is none."""
    try:
        return address_hash(pepper, parse_address(address).key)
    except InvalidValue:
        return None


def history(session: Session, digest: bytes) -> list[Fact]:
    """
    Return what is known of one address, for the policy.

    What people did themselves proves that mail arrived, and a suppression that was lifted by hand starts afresh.
    """
    reports = session.execute(
        select(BounceEvent.delivery_id, BounceEvent.sign, BounceEvent.at, BounceEvent.at_once).where(
            BounceEvent.marked_hash == digest, BounceEvent.sign != Sign.NONE, BounceEvent.undone_at.is_(None)
        )
    )
    facts = [Fact(*row) for row in reports]
    acts = session.scalars(
        select(ConsentEvent.at).where(ConsentEvent.address_hash == digest, ConsentEvent.actor == OWN_ACT)
    )
    lifted = session.scalars(
        select(Suppression.lifted_at).where(
            Suppression.address_hash == digest,
            Suppression.reason.in_((HARD_BOUNCE, SOFT_BOUNCES)),
            Suppression.lifted_at.is_not(None),
            Suppression.lifted_reason.not_like(f"{UNDONE}%"),
        )
    )
    return facts + [Fact(None, Sign.PROOF, at) for at in (*acts, *lifted) if at is not None]


def same_copy(session: Session, event: BounceEvent) -> Sequence[BounceEvent]:
    """Return the other events that count about the same copy and address."""
    return session.scalars(
        select(BounceEvent)
        .where(
            BounceEvent.delivery_id == event.delivery_id,
            BounceEvent.marked_hash == event.marked_hash,
            BounceEvent.sign.in_((Sign.HARD, Sign.SOFT)),
            BounceEvent.undone_at.is_(None),
            BounceEvent.id != event.id,
        )
        .order_by(BounceEvent.id)
    ).all()


def never_counted(session: Session, *, since: datetime) -> dict[Reason, int]:
    """
    Return how many marked reports never counted since a moment, by reason.

    Without those that show no refusal of ours: what a provider did not try, and what nobody gave a reason for.
    """
    rows = session.execute(
        select(BounceEvent.reason, func.count())
        .where(BounceEvent.at >= since, BounceEvent.rule == Rule.NEVER_COUNTS, BounceEvent.reason.not_in(_NO_FAULT))
        .group_by(BounceEvent.reason)
        .order_by(func.count().desc(), BounceEvent.reason)
    )
    return {reason: number for reason, number in rows if reason is not None}


def anything_waits(session: Session) -> bool:
    """Return whether a person's mail waits to be passed on."""
    return bool(session.scalar(select(exists().where(BounceEvent.rule == Rule.WAITING))))


def _old(before: datetime) -> tuple[ColumnElement[bool], ...]:
    waiting = select(BounceEvent.report_id).where(BounceEvent.rule == Rule.WAITING)
    return BounceReport.raw.is_not(None), BounceReport.received_at < before, BounceReport.id.not_in(waiting)


def old_raw(session: Session, *, before: datetime) -> bool:
    """Return whether a mail is there that is older than it is kept."""
    return bool(session.scalar(select(exists().where(*_old(before)))))


def count_old_raw(session: Session, *, before: datetime) -> int:
    """Return how many mails are older than they are kept."""
    return session.scalar(select(func.count()).select_from(BounceReport).where(*_old(before))) or 0


def find_old_raw(session: Session, *, before: datetime, most: int) -> Sequence[int]:
    """Return mails that are older than they are kept."""
    return session.scalars(select(BounceReport.id).where(*_old(before)).limit(most)).all()


def forget_raw(session: Session, reports: Sequence[int]) -> int:
    """Drop mails as they came; what was made of them stays. Return how many."""
    session.execute(
        update(BounceReport).where(BounceReport.id.in_(reports)).values(raw=None),
        execution_options={"synchronize_session": False},
    )
    return len(reports)


def _is_about(digest: bytes) -> ColumnElement[bool]:
    return or_(BounceEvent.address_hash == digest, BounceEvent.marked_hash == digest)


def reports_about(session: Session, digest: bytes) -> list[int]:
    """Return the reports about or from one person."""
    named = session.scalars(select(BounceEvent.report_id).where(_is_about(digest)))
    written = session.scalars(select(BounceReport.id).where(BounceReport.sender_hash == digest))
    return sorted({*named, *written})


def forget_person(session: Session, digest: bytes) -> int:
    """
    Drop every mail about or by one person, and the words and addresses in what was made of them; return how many.

    The hash, the codes and the counts stay, so that statistics and suppressions hold.
    """
    about = _is_about(digest)
    written = session.scalars(select(BounceReport.id).where(BounceReport.sender_hash == digest)).all()
    reports = reports_about(session, digest)
    for statement in (
        update(BounceReport).where(BounceReport.id.in_(reports)).values(raw=None, sender=None, subject=None),
        update(BounceEvent).where(about).values(address=None, domain="", words="", undone_reason=None),
        update(BounceEvent).where(BounceEvent.report_id.in_(written)).values(words="", undone_reason=None),
    ):
        session.execute(statement, execution_options={"synchronize_session": False})
    return len(reports)


def held_about(session: Session, digest: bytes) -> list[dict[str, Any]]:
    """
    Return what is held of what came back about or from one person: part of the answer to a request for access.

    A mail that is about others as well is not shown, since it is theirs too.
    """
    others = aliased(BounceEvent)
    alone = ~exists().where(others.report_id == BounceEvent.report_id, others.id != BounceEvent.id)
    rows = session.execute(
        select(BounceEvent, BounceReport, alone)
        .join(BounceReport, BounceReport.id == BounceEvent.report_id)
        .where(
            or_(
                BounceEvent.address_hash == digest,
                BounceEvent.marked_hash == digest,
                BounceReport.sender_hash == digest,
            )
        )
        .order_by(BounceEvent.id)
    )
    return [
        {
            "at": event.at,
            "kind": event.kind.value,
            "verdict": event.klass.value,
            "reason": event.reason.value if event.reason else None,
            "status": event.status or None,
            "rule": event.rule.value,
            "words": event.words,
            "undone": event.undone_at,
            "way": report.way,
            "mail": report.raw.decode("utf-8", "replace") if report.raw and is_alone else None,
        }
        for event, report, is_alone in rows
    ]
