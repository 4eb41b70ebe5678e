"""
Copies that may or may not have arrived: listed by name, and settled by a person, by evidence, or by the policy.

A copy that is sent again has the same Message-ID, Date and bytes, so that many mailboxes show it once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from newsletter.config.settings import Config
from newsletter.errors import Conflict, NotFound
from newsletter.send.owner import COPIED, changed
from newsletter.tables import Delivery, Issue, IssueState, Worker
from newsletter.tables import DeliveryState as S


def sum_uncertain(session: Session, issue: str | None = None) -> list[dict[str, Any]]:
    """Return how many copies are uncertain, by issue and reason; of one issue or of all."""
    statement = (
        select(Issue.slug, Delivery.reason, func.count().label("copies"))
        .join(Issue, Issue.id == Delivery.issue_id)
        .where(Delivery.state == S.UNCERTAIN)
        .group_by(Issue.slug, Delivery.reason)
    )
    if issue is not None:
        statement = statement.where(Issue.slug == issue)
    rows = [{"issue": row[0], "reason": row[1] or "", "copies": row[2]} for row in session.execute(statement)]
    return sorted(rows, key=lambda row: (row["issue"], -row["copies"], row["reason"]))


def list_uncertain(session: Session, issue: str | None = None, *, most: int | None = None) -> list[dict[str, Any]]:
    """Return the uncertain copies, oldest first, of one issue or of all; no more than *most*."""
    statement = (
        select(Delivery, Issue.slug, Worker)
        .join(Issue, Issue.id == Delivery.issue_id)
        .outerjoin(Worker, Worker.id == Delivery.owner)
        .where(Delivery.state == S.UNCERTAIN)
        .order_by(Delivery.state_at, Delivery.id)
        .limit(most)
    )
    if issue is not None:
        statement = statement.where(Issue.slug == issue)
    return [
        {
            "delivery": delivery.id,
            "issue": slug,
            "address": delivery.address,
            "since": delivery.state_at,
            "owner": f"{worker.host}:{worker.pid}" if worker else None,
            "reason": delivery.reason,
            "message_id": delivery.message_id,
        }
        for delivery, slug, worker in session.execute(statement)
    ]


def resolve(session: Session, deliveries: Sequence[int], *, as_sent: bool, actor: str, now: datetime) -> int:
    """
    Settle copies by a person's word: they arrived, or they are to be sent again. All of them or none.

    Raises:
        NotFound: When one does not exist.
        Conflict: When one is not uncertain, or its issue was cancelled.
    """
    for delivery_id in deliveries:
        _check(session, delivery_id, as_sent)
    count = _settle(session, Delivery.id.in_(deliveries), as_sent=as_sent, actor=actor, now=now)
    if not as_sent:
        issues = select(Delivery.issue_id).where(Delivery.id.in_(deliveries))
        _reopen(session, list(session.scalars(issues.distinct())))
    return count


def resolve_issue(session: Session, issue: Issue, *, as_sent: bool, actor: str, now: datetime) -> int:
    """
    Settle every uncertain copy of an issue by a person's word; return how many.

    Raises:
        Conflict: When they are to be sent again and the issue was cancelled.
    """
    if not as_sent and issue.state is IssueState.CANCELLED:
        raise Conflict(f"Issue {issue.slug} was cancelled: its copies are not sent again.")
    count = _settle(session, Delivery.issue_id == issue.id, as_sent=as_sent, actor=actor, now=now)
    if count and not as_sent:
        _reopen(session, [issue.id])
    return count


def _settle(session: Session, which: ColumnElement[bool], *, as_sent: bool, actor: str, now: datetime) -> int:
    wanted = update(Delivery).where(which, Delivery.state == S.UNCERTAIN)
    if as_sent:
        return changed(session, wanted.values(state=S.SENT, state_at=now, reason=f"said by {actor}"[:64]))
    return changed(session, wanted.values(state=S.PENDING, state_at=now, attempt=0, retry_at=None, reason=None))


def apply_policy(session: Session, config: Config, issue_id: int, now: datetime) -> int:
    """
    Put uncertain copies back that are older than the policy `resend-after` allows; with `hold` none.

    What a copied database left in doubt is a whole list that may have been mailed: it waits for a person's word.
    Those of an issue that was paused or cancelled meanwhile stay as they are.
    """
    if config.send.uncertain != "resend-after":
        return 0
    state = session.scalar(select(Issue.state).where(Issue.id == issue_id).with_for_update())
    if state not in (IssueState.SENDING, IssueState.SENT):
        return 0
    before = now - timedelta(hours=config.send.resend_after_hours)
    count = changed(
        session,
        update(Delivery)
        .where(
            Delivery.issue_id == issue_id,
            Delivery.state == S.UNCERTAIN,
            Delivery.state_at <= before,
            Delivery.reason.is_distinct_from(COPIED),
        )
        .values(state=S.PENDING, state_at=now, attempt=0, retry_at=None, reason=None),
    )
    if count:
        _reopen(session, [issue_id])
    return count


def _check(session: Session, delivery_id: int, as_sent: bool) -> None:
    row = session.get(Delivery, delivery_id)
    if row is None:
        raise NotFound("delivery", str(delivery_id), hint="See them with: newsletter uncertain list")
    if row.state is not S.UNCERTAIN:
        raise Conflict(f"Delivery {delivery_id} is {row.state.value}, not uncertain.")
    if not as_sent and session.get_one(Issue, row.issue_id).state is IssueState.CANCELLED:
        raise Conflict(f"Delivery {delivery_id} belongs to an issue that was cancelled: it is not sent again.")


def _reopen(session: Session, issues: list[int]) -> None:
    changed(
        session,
        update(Issue)
        .where(Issue.id.in_(issues), Issue.state == IssueState.SENT)
        .values(state=IssueState.SENDING, finished_at=None),
    )
