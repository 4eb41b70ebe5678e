"""What waits: copies that nobody sends, issues that paused or were missed, copies that need a person."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from newsletter.config.settings import Send
from newsletter.doctor.findings import Finding, ok, warn
from newsletter.tables import Delivery, Issue, IssueState
from newsletter.tables import DeliveryState as S
from subscribers.db import Database

CHECK = "queue"
LONG = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class IssueWaiting:
    """
    How an issue stands.

    Attributes:
        due: Copies that could go now; `due_since` is when the first of them could.
        moved_at: When something last came of any copy.
        next_retry: When the first deferred copy is tried again; null for none.
    """

    slug: str
    state: IssueState
    reason: str
    planned: bool
    scheduled_at: datetime | None
    due: int
    due_since: datetime | None
    moved_at: datetime | None
    deferred: int
    next_retry: datetime | None
    uncertain: int
    held: int


def check_waiting(database: Database, settings: Send, now: datetime) -> Iterator[Finding]:
    """Look, then judge."""
    with database.read() as session:
        issues = _issues(session, now)
    yield from judge_waiting(issues, settings, now)


def judge_waiting(issues: list[IssueWaiting], settings: Send, now: datetime) -> Iterator[Finding]:
    """Judge what waits; a person is told of each thing once, with the command that ends it."""
    found = [finding for issue in issues for finding in _judge_issue(issue, settings, now)]
    yield from found or [ok(CHECK, "Nothing waits that should not.")]


def _judge_issue(issue: IssueWaiting, settings: Send, now: datetime) -> Iterator[Finding]:
    slug = issue.slug
    if issue.state is IssueState.PAUSED:
        reason = issue.reason.rstrip(".") or "no reason is known"
        command = "resume" if issue.planned else "send"
        yield warn(
            CHECK, f"Issue {slug} is paused: {reason}.", f"When that is mended: newsletter issue {command} {slug}"
        )
    elif issue.state is IssueState.SENDING and _is_stuck(issue, now):
        late = f"{_copies(issue.due)} of issue {slug} waiting since {issue.due_since:%Y-%m-%d %H:%M} UTC."
        fix = "Nothing sends: run newsletter work. If it runs, a limit or the sending window holds them up: "
        yield warn(CHECK, late, f"{fix}newsletter issue status {slug}")
    elif issue.state is IssueState.SENDING and issue.deferred and issue.next_retry is not None:
        again = f"the next is tried at {issue.next_retry:%Y-%m-%d %H:%M} UTC"
        yield ok(CHECK, f"{_copies(issue.deferred)} of issue {slug} deferred; {again}.")
    grace = timedelta(minutes=settings.schedule_grace_minutes)
    if issue.state is IssueState.SCHEDULED and issue.scheduled_at is not None and now - issue.scheduled_at > grace:
        missed = f"Issue {slug} should have gone at {issue.scheduled_at:%Y-%m-%d %H:%M} UTC."
        yield warn(CHECK, missed, f"Send it: newsletter issue send {slug}; and keep newsletter work running.")
    if issue.uncertain:
        doubtful = f"{_copies(issue.uncertain)} of issue {slug} may or may not have arrived; a person must say."
        yield warn(CHECK, doubtful, f"See who: newsletter uncertain list --issue {slug}")
    if issue.held and issue.state in (IssueState.SENDING, IssueState.PAUSED):
        held = f"{_copies(issue.held)} of issue {slug} held back."
        yield warn(CHECK, held, f"See why: newsletter issue report {slug}")


def _is_stuck(issue: IssueWaiting, now: datetime) -> bool:
    """A long issue keeps copies waiting for hours while others leave; that is no reason to worry."""
    times = [moment for moment in (issue.due_since, issue.moved_at) if moment is not None]
    return issue.due_since is not None and now - max(times) > LONG


def _copies(count: int) -> str:
    return "1 copy" if count == 1 else f"{count:,} copies"


def _issues(session: Session, now: datetime) -> list[IssueWaiting]:
    open_states = (IssueState.SENDING, IssueState.PAUSED, IssueState.SCHEDULED)
    doubtful = select(Delivery.issue_id).where(Delivery.state == S.UNCERTAIN)
    wanted = select(Issue).where(Issue.state.in_(open_states) | Issue.id.in_(doubtful)).order_by(Issue.id)
    return [_issue(session, issue, now) for issue in session.scalars(wanted)]


def _issue(session: Session, issue: Issue, now: datetime) -> IssueWaiting:
    of_it = Delivery.issue_id == issue.id
    grouped = select(Delivery.state, func.count()).where(of_it).group_by(Delivery.state)
    counts: dict[S, int] = {row[0]: row[1] for row in session.execute(grouped)}
    fresh = select(func.count(), func.min(Delivery.state_at)).where(of_it, Delivery.state == S.PENDING)
    pending, pending_since = session.execute(fresh).one()
    overdue = select(func.count(), func.min(Delivery.retry_at)).where(
        of_it, Delivery.state == S.DEFERRED, Delivery.retry_at <= now
    )
    late, late_since = session.execute(overdue).one()
    coming = select(func.min(Delivery.retry_at)).where(of_it, Delivery.state == S.DEFERRED, Delivery.retry_at > now)
    return IssueWaiting(
        slug=issue.slug,
        state=issue.state,
        reason=issue.reason or "",
        planned=issue.planned_at is not None,
        scheduled_at=issue.scheduled_at,
        due=pending + late,
        due_since=min((moment for moment in (pending_since, late_since) if moment is not None), default=None),
        moved_at=session.scalar(select(func.max(Delivery.state_at)).where(of_it, Delivery.state != S.PENDING)),
        deferred=counts.get(S.DEFERRED, 0),
        next_retry=session.scalar(coming),
        uncertain=counts.get(S.UNCERTAIN, 0),
        held=counts.get(S.HELD, 0),
    )
