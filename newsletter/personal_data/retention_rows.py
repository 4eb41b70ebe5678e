"""
The statements of retention over the application's own tables and files: copies, notices, requests, error files.

The copies of an issue go only after their counts are kept, and an issue that is not over keeps all of its copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, exists, func, or_, select, tuple_
from sqlalchemy.orm import Session

from newsletter.app import App
from newsletter.send.notice_rows import ENDS
from newsletter.send.owner import changed
from newsletter.send.status import state_counts
from newsletter.send.totals import document
from newsletter.tables import (
    AuditEntry,
    Delivery,
    DeliveryState,
    DigestEntry,
    Issue,
    IssueState,
    IssueTotals,
    Notice,
    WebRequest,
    WebRequestKind,
)
from subscribers.tables import ConsentEvent, OneTimeToken

ERROR_FILES = "import-*-errors.csv"
_OVER = (IssueState.SENT, IssueState.CANCELLED)
_IN_HAND = (DeliveryState.CLAIMED, DeliveryState.INTENT)


def _old_issues(before: datetime) -> Any:
    return select(Issue.id).where(Issue.state.in_(_OVER), Issue.planned_at.is_not(None), Issue.finished_at < before)


def count_copies(session: Session, before: datetime) -> int:
    """Return how many copies belong to issues that ended before a moment."""
    old = Delivery.issue_id.in_(_old_issues(before))
    return session.scalar(select(func.count()).select_from(Delivery).where(old)) or 0


def keep_totals(app: App, before: datetime) -> None:
    """
    Keep the counts of each issue whose copies are due.

    They are summed without the lock of a writer; then it is looked whether they still are what they were.
    """
    with app.database.read() as session:
        ids = session.scalars(_old_issues(before).where(~exists().where(IssueTotals.issue_id == Issue.id))).all()
    for issue_id in ids:
        with app.database.read() as session:
            issue = session.get_one(Issue, issue_id)
            counts = state_counts(session, issue_id)
            found = document(session, issue, zone=app.config.organisation.zone)
        if any(counts[state] for state in _IN_HAND):
            continue
        with app.database.write() as session:
            issue = session.get_one(Issue, issue_id, with_for_update=True)
            if issue.state in _OVER and state_counts(session, issue_id) == counts:
                session.merge(IssueTotals(issue_id=issue_id, kept_at=app.now(), report=found))


def find_copies(session: Session, before: datetime, most: int) -> Sequence[int]:
    """Return copies whose counts are kept."""
    kept = select(IssueTotals.issue_id).where(IssueTotals.issue_id.in_(_old_issues(before)))
    return _find(session, Delivery, Delivery.issue_id.in_(kept), most)


def _old_debts(before: datetime) -> ColumnElement[bool]:
    return DigestEntry.issue_id.in_(_old_issues(before))


def count_debts(session: Session, before: datetime) -> int:
    return session.scalar(select(func.count()).select_from(DigestEntry).where(_old_debts(before))) or 0


def find_debts(session: Session, before: datetime, most: int) -> Sequence[tuple[int, int]]:
    """Return (issue, person) of whom the monthly digest owed an issue that ended before a moment."""
    owed = select(DigestEntry.issue_id, DigestEntry.subscriber_id).where(_old_debts(before)).limit(most)
    return [(row[0], row[1]) for row in session.execute(owed)]


def forget_debts(session: Session, pairs: Sequence[tuple[int, int]]) -> int:
    these = tuple_(DigestEntry.issue_id, DigestEntry.subscriber_id).in_(pairs)
    return changed(session, delete(DigestEntry).where(these))


def _old_notices(before: datetime) -> ColumnElement[bool]:
    """What still names a cause is remembered, so that the cause is not told again."""
    return and_(Notice.state.in_(ENDS), Notice.state_at < before, or_(Notice.dedupe.is_(None), Notice.dedupe == ""))


def count_notices(session: Session, before: datetime) -> int:
    return session.scalar(select(func.count()).select_from(Notice).where(_old_notices(before))) or 0


def find_notices(session: Session, before: datetime, most: int) -> Sequence[int]:
    return _find(session, Notice, _old_notices(before), most)


def _old_requests(before: datetime) -> ColumnElement[bool]:
    """What waits to be answered by mail goes as well: after days an answer would only surprise. A complaint stays."""
    taken = or_(WebRequest.kind != WebRequestKind.REQUEST, WebRequest.done_at.is_not(None))
    return and_(WebRequest.at < before, taken)


def count_requests(session: Session, before: datetime) -> int:
    return session.scalar(select(func.count()).select_from(WebRequest).where(_old_requests(before))) or 0


def find_requests(session: Session, before: datetime, most: int) -> Sequence[int]:
    """Return requests of the site that are over."""
    return _find(session, WebRequest, _old_requests(before), most)


def count_links(session: Session, before: datetime) -> int:
    over = select(func.count()).select_from(OneTimeToken).where(OneTimeToken.expires_at <= before)
    return session.scalar(over) or 0


def find_links(session: Session, before: datetime, most: int) -> Sequence[int]:
    return _find(session, OneTimeToken, OneTimeToken.expires_at <= before, most)


def removed_since(moment: datetime) -> ColumnElement[bool]:
    """Return the condition over a line of the ledger that its person was removed, or otherwise acted on, since."""
    return exists().where(AuditEntry.person == ConsentEvent.address_hash, AuditEntry.at >= moment)


def old_files(folder: Path, before: datetime) -> list[Path]:
    """Return the files of refused rows that were last written before a moment."""
    found = []
    for path in folder.glob(ERROR_FILES):
        if path.is_file() and datetime.fromtimestamp(path.stat().st_mtime, UTC) < before:
            found.append(path)
    return sorted(found)


def delete_files(paths: Sequence[Path]) -> int:
    for path in paths:
        path.unlink(missing_ok=True)
    return len(paths)


def delete_rows(table: Any, session: Session, ids: Sequence[int]) -> int:
    """Delete rows by their ids; return how many."""
    return changed(session, delete(table).where(table.id.in_(ids)))


def _find(session: Session, table: Any, condition: ColumnElement[bool], most: int) -> Sequence[int]:
    return session.scalars(select(table.id).where(condition).limit(most)).all()
