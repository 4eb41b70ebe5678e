"""How far an issue is: counts that add up to what was planned, at any moment."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from newsletter.errors import NotFound
from newsletter.send.states import FINAL, TO_DO
from newsletter.tables import Delivery, DeliveryState, Issue


def state_counts(session: Session, issue_id: int) -> dict[DeliveryState, int]:
    """Return how many deliveries of an issue are in each state; every state is there."""
    statement = select(Delivery.state, func.count()).where(Delivery.issue_id == issue_id).group_by(Delivery.state)
    found: dict[DeliveryState, int] = {row[0]: row[1] for row in session.execute(statement)}
    return {state: found.get(state, 0) for state in (*FINAL, *TO_DO)}


def issue_counts(session: Session, issue_id: int) -> dict[str, Any]:
    """
    Return the document of `issue status`; from `sent` to `deferred` its numbers add up to `planned`.

    `rate` is sent copies a second between the plan and the last outcome; null when nothing was sent yet.

    Raises:
        NotFound: When there is no such issue.
    """
    issue = session.get(Issue, issue_id)
    if issue is None:
        raise NotFound("issue", str(issue_id))
    counts = state_counts(session, issue_id)
    return {
        "issue": issue.slug,
        "state": issue.state.value,
        "reason": issue.reason,
        "planned": issue.planned,
        **{state.value: counts[state] for state in FINAL},
        **{state.value: counts[state] for state in TO_DO},
        "started_at": issue.planned_at,
        "finished_at": issue.finished_at,
        "rate": _rate(session, issue, counts[DeliveryState.SENT]),
    }


def _rate(session: Session, issue: Issue, sent: int) -> float | None:
    if not sent or issue.planned_at is None:
        return None
    condition = (Delivery.issue_id == issue.id, Delivery.state == DeliveryState.SENT)
    first, last = session.execute(
        select(func.min(Delivery.state_at), func.max(Delivery.state_at)).where(*condition)
    ).one()
    seconds = (last - first).total_seconds()
    return round(sent / seconds, 1) if seconds > 0 else None
