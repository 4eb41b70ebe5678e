"""What came back, for people to look at: lines, one line with all its evidence, and counts. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from subscribers.bounces.event import BounceClass, ReportKind
from subscribers.bounces.policy import RULES, Rule, Sign
from subscribers.errors import NotFound
from subscribers.tables import BounceEvent, BounceReport, Suppression

UNMATCHED = (Rule.NO_MARK, Rule.OLD_MARK, Rule.MARKS_DISAGREE, Rule.OTHER_ADDRESS, Rule.UNREAD)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines: each that is given must hold."""

    issue_id: int | None = None
    address_hash: bytes | None = None
    kind: ReportKind | None = None
    unmatched: bool = False
    since: datetime | None = None


def lines(session: Session, wanted: Wanted, *, limit: int | None = None, offset: int = 0) -> list[dict[str, Any]]:
    """Return the lines, newest first."""
    statement = (
        _narrowed(select(BounceEvent, BounceReport), wanted)
        .join(BounceReport, BounceReport.id == BounceEvent.report_id)
        .order_by(BounceEvent.id.desc())
        .limit(limit)
        .offset(offset)
    )
    return [_line(event, report) for event, report in session.execute(statement)]


def one(session: Session, event_id: int) -> tuple[dict[str, Any], bytes | None]:
    """
    Return one line with its evidence, and the mail or the payload as it came, where that is still kept.

    Raises:
        NotFound: When there is none.
    """
    event = session.get(BounceEvent, event_id)
    if event is None:
        raise NotFound("report", str(event_id), hint="See them with: newsletter bounces list")
    report = session.get_one(BounceReport, event.report_id)
    made = session.scalars(select(Suppression).where(Suppression.id.in_(event.suppression_ids))).all()
    siblings = session.scalars(
        select(BounceEvent.id)
        .where(BounceEvent.report_id == report.id, BounceEvent.id != event.id)
        .order_by(BounceEvent.id)
        .limit(50)
    ).all()
    document = {
        **_line(event, report),
        "meaning": RULES[event.rule],
        "words": event.words,
        "from": report.sender,
        "subject": report.subject,
        "way": report.way,
        "received": report.received_at,
        "bytes": report.size,
        "suppressed": [{"reason": entry.reason, "lifted": entry.lifted_at} for entry in made],
        "unsubscribed": bool(event.consent_event_ids),
        "undone_by": event.undone_by,
        "undone_reason": event.undone_reason,
        "others": list(siblings),
    }
    return document, report.raw


def counts(session: Session, wanted: Wanted, *, most: int = 20) -> dict[str, Any]:
    """Return how much came back: by kind, and of what failed by reason, by class and by domain."""
    failed = and_(BounceEvent.kind == ReportKind.BOUNCE, BounceEvent.rule.not_in(UNMATCHED))

    def by(column: Any, *, only_failed: bool, limit: int | None = None) -> Sequence[tuple[Any, int]]:
        statement = _narrowed(select(column, func.count()), wanted).group_by(column)
        if only_failed:
            statement = statement.where(failed)
        rows = session.execute(statement.order_by(func.count().desc(), column).limit(limit))
        return [(value, number) for value, number in rows]

    return {
        "kinds": {kind.value: number for kind, number in by(BounceEvent.kind, only_failed=False)},
        "classes": {
            klass.value: number
            for klass, number in by(BounceEvent.klass, only_failed=True)
            if klass is not BounceClass.NONE
        },
        "reasons": {
            (reason.value if reason else "unknown"): n for reason, n in by(BounceEvent.reason, only_failed=True)
        },
        "domains": {domain or "unknown": n for domain, n in by(BounceEvent.domain, only_failed=True, limit=most)},
        "rules": {rule.value: number for rule, number in by(BounceEvent.rule, only_failed=False)},
    }


def _narrowed(statement: Any, wanted: Wanted) -> Any:
    if wanted.issue_id is not None:
        statement = statement.where(BounceEvent.issue_id == wanted.issue_id)
    if wanted.address_hash is not None:
        statement = statement.where(
            (BounceEvent.address_hash == wanted.address_hash) | (BounceEvent.marked_hash == wanted.address_hash)
        )
    if wanted.kind is not None:
        statement = statement.where(BounceEvent.kind == wanted.kind)
    if wanted.unmatched:
        statement = statement.where(BounceEvent.rule.in_(UNMATCHED))
    if wanted.since is not None:
        statement = statement.where(BounceEvent.at >= wanted.since)
    return statement


def _line(event: BounceEvent, report: BounceReport) -> dict[str, Any]:
    return {
        "id": event.id,
        "at": event.at,
        "kind": event.kind.value,
        "address": event.address,
        "class": event.klass.value,
        "counts": event.sign in (Sign.HARD, Sign.SOFT) and event.undone_at is None,
        "status": event.status or None,
        "reason": event.reason.value if event.reason else None,
        "rule": event.rule.value,
        "score": round(event.score, 2),
        "delivery": event.delivery_id,
        "issue_id": event.issue_id,
        "way": report.way,
        "undone": event.undone_at,
    }
