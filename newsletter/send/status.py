"""How far an issue is: counts that add up to what was planned, at any moment; how fast, and what it waits for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from newsletter.config.settings import Config
from newsletter.errors import NotFound
from newsletter.send.statements import PARKED, REFUSED_BY_POLICY
from newsletter.send.states import FINAL, TO_DO
from newsletter.send.throttles import open_breakers
from newsletter.send.window import Window
from newsletter.tables import Delivery, DeliveryState, Issue, IssueState, IssueTotals

RECENTLY = timedelta(minutes=1)


def state_counts(session: Session, issue_id: int) -> dict[DeliveryState, int]:
    """Return how many deliveries of an issue are in each state; every state is there, also once they are forgotten."""
    kept = session.get(IssueTotals, issue_id)
    if kept is not None:
        return {state: kept.report["states"].get(state.value, 0) for state in (*FINAL, *TO_DO)}
    statement = select(Delivery.state, func.count()).where(Delivery.issue_id == issue_id).group_by(Delivery.state)
    found: dict[DeliveryState, int] = {row[0]: row[1] for row in session.execute(statement)}
    return {state: found.get(state, 0) for state in (*FINAL, *TO_DO)}


def issue_counts(session: Session, issue_id: int, *, now: datetime | None = None) -> dict[str, Any]:
    """
    Return the document of `issue status`; from `sent` to `deferred` its numbers add up to `planned`.

    `rate` is copies sent a second from the first to the last; of an issue that is going out, those of the last minute.
    It is null when there were none.

    Args:
        now: Asks for the rate of the last minute.

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
        "rate": _recent_rate(session, issue, now)
        if now is not None and issue.state is IssueState.SENDING
        else _rate(session, issue, counts[DeliveryState.SENT]),
    }


def seconds_left(counts: Mapping[str, Any]) -> float | None:
    """Return how long an issue needs at its rate for all but what is deferred; None when that cannot be known."""
    if not counts["rate"] or counts["state"] != IssueState.SENDING.value:
        return None
    return float(sum(counts[name] for name in ("pending", "claimed", "intent")) / counts["rate"])


def what_it_waits_for(session: Session, issue_id: int, config: Config, now: datetime) -> list[str]:
    """Return sentences on what keeps copies of an issue that is going out from leaving now."""
    zone = config.organisation.zone
    window = Window.of(config.send.window, zone)
    if window is not None and not window.is_open(now):
        return [f"The sending window opens {local_words(window.opens_at(now), zone)}."]
    conditions = (Delivery.issue_id == issue_id, Delivery.state == DeliveryState.DEFERRED)
    waiting = select(func.count()).where(*conditions, Delivery.reason.in_((PARKED, REFUSED_BY_POLICY)))
    told = []
    if parked := session.scalar(waiting):
        told.append(f"{parked} wait for providers that refuse our mail by policy:")
        told += [
            f"{b.provider}, tried again {local_words(b.until, zone)}; it said {b.reply}"
            for b in open_breakers(session.connection())
            if b.until is not None
        ]
    again = session.scalar(select(func.min(Delivery.retry_at)).where(*conditions))
    if again is not None and again > now:
        told.append(f"The next deferred copy is tried {local_words(again, zone)}.")
    return told


def local_words(moment: datetime, zone: ZoneInfo) -> str:
    """Return a moment as people write it: `Tue 3 November, 09:00`."""
    local = moment.astimezone(zone)
    return f"{local:%a} {local.day} {local:%B, %H:%M}"


def _recent_rate(session: Session, issue: Issue, now: datetime) -> float | None:
    since = max(now - RECENTLY, issue.planned_at or now)
    condition = (Delivery.issue_id == issue.id, Delivery.state == DeliveryState.SENT, Delivery.state_at >= since)
    sent = session.scalar(select(func.count()).where(*condition)) or 0
    seconds = (now - since).total_seconds()
    return round(sent / seconds, 2) if sent and seconds > 0 else None


def _rate(session: Session, issue: Issue, sent: int) -> float | None:
    if not sent or issue.planned_at is None:
        return None
    kept = session.get(IssueTotals, issue.id)
    if kept is not None:
        rate: float | None = kept.report["rate"]
        return rate
    condition = (Delivery.issue_id == issue.id, Delivery.state == DeliveryState.SENT)
    first, last = session.execute(
        select(func.min(Delivery.state_at), func.max(Delivery.state_at)).where(*condition)
    ).one()
    seconds = (last - first).total_seconds()
    return round(sent / seconds, 1) if seconds > 0 else None
