"""
What a person may do with an issue that is being sent: pause, resume, cancel, retry. A worker notices within a second.

Why an issue paused is kept beside it: a relay that was down is tried again by `newsletter work`; a person's pause
is nobody's to end.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, exists, func, or_, select, update
from sqlalchemy.orm import Session

from newsletter.config.settings import Config
from newsletter.errors import Conflict
from newsletter.send.owner import COPIED, changed
from newsletter.send.statements import PARKED, REFUSED_BY_POLICY
from newsletter.send.states import TO_DO
from newsletter.send.throttles import put_on_trial
from newsletter.send.window import Window
from newsletter.tables import Delivery, Issue, IssueState, Setting
from newsletter.tables import DeliveryState as S

RELAY_RETRY_MINUTES = (1, 2, 5, 10, 15)
FAILED = (S.BOUNCED, S.HELD, S.EXPIRED)
NOT_BEGUN = (S.PENDING, S.DEFERRED, S.CLAIMED)


class PauseKind(StrEnum):
    """Who paused: a person, the relay by being away, or refusals that need a person."""

    PERSON = "person"
    RELAY = "relay"
    REFUSALS = "refusals"


def pause(
    session: Session, issue: Issue, reason: str, *, now: datetime | None = None, kind: PauseKind = PauseKind.PERSON
) -> None:
    """
    Stop taking new copies; what is on the wire is finished.

    Raises:
        Conflict: When the issue is not being sent.
    """
    _lock(session, issue)
    if issue.state is not IssueState.SENDING:
        raise Conflict(f"Issue {issue.slug} is {issue.state.value}, so there is nothing to pause.")
    issue.state, issue.reason = IssueState.PAUSED, reason
    setting = session.get(Setting, _pause_name(issue.id))
    tries = setting.value.get("tries", 0) + 1 if setting and kind is PauseKind.RELAY else 1
    minutes = RELAY_RETRY_MINUTES[min(tries, len(RELAY_RETRY_MINUTES)) - 1]
    retry_at = (now + timedelta(minutes=minutes)).isoformat() if now and kind is PauseKind.RELAY else None
    value = {"kind": kind.value, "tries": tries, "retry_at": retry_at, "reason": reason}
    session.merge(Setting(name=_pause_name(issue.id), value=value))
    session.flush()


def resume(session: Session, issue: Issue, *, now: datetime | None = None) -> None:
    """
    Let a paused issue go on.

    Args:
        now: After a pause for refusals, each provider that refused us is tried again from then on, by one copy first.

    Raises:
        Conflict: When it is not paused.
    """
    _lock(session, issue)
    if issue.state is not IssueState.PAUSED:
        raise Conflict(f"Issue {issue.slug} is {issue.state.value}, not paused.")
    if issue.planned_at is None:
        raise Conflict(
            f"Issue {issue.slug} paused before it was planned: nobody is chosen yet.",
            hint=f"Send it with: newsletter issue send {issue.slug}",
        )
    if now is not None and pause_kind(session, issue.id) is PauseKind.REFUSALS:
        put_on_trial(session.connection(), now)
        waiting = Delivery.reason.in_((PARKED, REFUSED_BY_POLICY))
        statement = update(Delivery).where(Delivery.issue_id == issue.id, Delivery.state == S.DEFERRED, waiting)
        changed(session, statement.values(retry_at=now))
    issue.state, issue.reason = IssueState.SENDING, None
    session.flush()


def cancel(session: Session, issue: Issue, *, now: datetime) -> int:
    """
    Cancel what was not begun; return how many. Copies whose dot has left are out, and stay in the counts.

    Raises:
        Conflict: When the issue is finished.
    """
    _lock(session, issue)
    if issue.state in (IssueState.SENT, IssueState.CANCELLED):
        raise Conflict(f"Issue {issue.slug} is {issue.state.value}: nothing is left to cancel.")
    stopped = changed(
        session,
        update(Delivery)
        .where(Delivery.issue_id == issue.id, Delivery.state.in_(NOT_BEGUN))
        .values(state=S.CANCELLED, state_at=now, retry_at=None, reason="cancelled"),
    )
    issue.state, issue.reason, issue.finished_at = IssueState.CANCELLED, None, now
    forget_pause(session, issue.id)
    session.flush()
    return stopped


def retry_failed(session: Session, issue: Issue, *, now: datetime) -> int:
    """
    Put bounced, held and expired copies back, with a full count of attempts; return how many.

    Suppressed people stay suppressed: a claim asks again. Copies in `uncertain` are for `newsletter uncertain`.

    Raises:
        Conflict: When the issue was never sent, or cancelled.
    """
    _lock(session, issue)
    if issue.state not in (IssueState.SENDING, IssueState.PAUSED, IssueState.SENT):
        raise Conflict(f"Issue {issue.slug} is {issue.state.value}: nothing of it failed.")
    count = changed(
        session,
        update(Delivery)
        .where(Delivery.issue_id == issue.id, Delivery.state.in_(FAILED))
        .values(state=S.PENDING, state_at=now, attempt=0, retry_at=None, reason=None),
    )
    if count and issue.state is IssueState.SENT:
        issue.state, issue.finished_at = IssueState.SENDING, None
    session.flush()
    return count


def finish_if_done(session: Session, issue_id: int, now: datetime) -> bool:
    """
    Set the issue sent when every delivery has its end; return whether it was just now.

    Completion is that counts add up, never "no more rows".
    """
    left = exists().where(Delivery.issue_id == issue_id, Delivery.state.in_(TO_DO))
    statement = update(Issue).where(Issue.id == issue_id, Issue.state == IssueState.SENDING, ~left)
    finished = bool(changed(session, statement.values(state=IssueState.SENT, finished_at=now, reason=None)))
    if finished:
        forget_pause(session, issue_id)
    return finished


def cancel_what_waits(session: Session, issue_id: int, now: datetime) -> int:
    """Cancel what came back from the wire, as certainly not accepted, just when its issue was cancelled."""
    cancelled = exists().where(Issue.id == issue_id, Issue.state == IssueState.CANCELLED)
    waiting = update(Delivery).where(
        Delivery.issue_id == issue_id, Delivery.state.in_((S.PENDING, S.DEFERRED)), cancelled
    )
    return changed(session, waiting.values(state=S.CANCELLED, state_at=now, retry_at=None, reason="cancelled"))


def pause_kind(session: Session, issue_id: int) -> PauseKind | None:
    """Return who paused an issue; null when nobody did."""
    note = pause_note(session, issue_id)
    return PauseKind(note["kind"]) if note else None


def pause_note(session: Session, issue_id: int) -> dict[str, Any] | None:
    """Return what is kept of the last pause: kind, tries, retry_at, reason. It stays until a run has gone well."""
    setting = session.get(Setting, _pause_name(issue_id))
    return setting.value if setting else None


def forget_pause(session: Session, issue_id: int) -> None:
    session.execute(delete(Setting).where(Setting.name == _pause_name(issue_id)))


def issues_to_send(
    session: Session,
    config: Config,
    now: datetime,
    *,
    only_look: bool = False,
    resumed: Callable[[Issue], object] = lambda _: None,
) -> list[int]:
    """
    Return the issues that a worker should call `send_issue` for now, oldest first.

    Those with something due, and those whose relay was down and is due to be tried again: these are resumed here.
    While the sending window is closed there are none.

    Args:
        only_look: Resume nothing and lock nothing: the session reads.
        resumed: Told of each issue that is resumed.
    """
    window = Window.of(config.send.window, config.organisation.zone)
    if window is not None and not window.is_open(now):
        return []
    retried = _due_relay_retries(session, now)
    if not only_look:
        retried = [issue for issue in retried if _resume_after_relay(session, issue, now)]
        for issue in retried:
            resumed(issue)
    doubtful_before = now - timedelta(hours=config.send.resend_after_hours)
    due: list[ColumnElement[bool]] = [
        Delivery.state.in_((S.PENDING, S.CLAIMED, S.INTENT)),
        (Delivery.state == S.DEFERRED) & (Delivery.retry_at <= now),
    ]
    states = [IssueState.SENDING]
    if config.send.uncertain == "resend-after":
        states.append(IssueState.SENT)
        doubtful = and_(Delivery.state == S.UNCERTAIN, Delivery.state_at <= doubtful_before)
        due.append(and_(doubtful, Delivery.reason.is_distinct_from(COPIED)))
    has_due = exists().where(Delivery.issue_id == Issue.id, or_(*due))
    unfinished = exists().where(Delivery.issue_id == Issue.id, Delivery.state.in_(TO_DO))
    wanted = or_(has_due, (Issue.state == IssueState.SENDING) & ~unfinished)
    found = session.scalars(select(Issue.id).where(Issue.state.in_(states), wanted).order_by(Issue.id))
    return sorted({*found, *(issue.id for issue in retried)} if only_look else found)


def next_due_at(session: Session, config: Config, now: datetime) -> datetime | None:
    """Return when the next deferred copy may go, so that a worker knows how long it may sleep."""
    window = Window.of(config.send.window, config.organisation.zone)
    if window is not None and not window.is_open(now):
        return window.opens_at(now)
    sending = select(Issue.id).where(Issue.state == IssueState.SENDING)
    statement = select(func.min(Delivery.retry_at)).where(Delivery.issue_id.in_(sending), Delivery.state == S.DEFERRED)
    return session.scalar(statement)


def _lock(session: Session, issue: Issue) -> None:
    """Read the issue again under a lock: what is decided from its state is stored before anybody else decides."""
    session.flush()
    session.refresh(issue, with_for_update=True)


def _due_relay_retries(session: Session, now: datetime) -> list[Issue]:
    paused = session.scalars(select(Issue).where(Issue.state == IssueState.PAUSED, Issue.planned_at.is_not(None)))
    return [issue for issue in paused if _relay_retry_due(session.get(Setting, _pause_name(issue.id)), now)]


def _resume_after_relay(session: Session, issue: Issue, now: datetime) -> bool:
    """Resume unless somebody decided otherwise meanwhile."""
    _lock(session, issue)
    setting = session.get(Setting, _pause_name(issue.id), populate_existing=True)
    if issue.state is not IssueState.PAUSED or not _relay_retry_due(setting, now):
        return False
    resume(session, issue)
    return True


def _relay_retry_due(setting: Setting | None, now: datetime) -> bool:
    value: dict[str, Any] = setting.value if setting else {}
    retry_at = value.get("retry_at")
    return value.get("kind") == PauseKind.RELAY and retry_at is not None and datetime.fromisoformat(retry_at) <= now


def _pause_name(issue_id: int) -> str:
    return f"paused:{issue_id}"
