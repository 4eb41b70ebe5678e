"""
Tell operators by mail what needs a person: one mail a cause, and again only after the cause was over.

Causes are read off the database each time, so nothing is lost by a crash and none is told twice: the name of a cause
stays with its notice while it lasts. No address of a member, and no server's words, which may repeat one, is in a mail.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import exists, func, select, update
from sqlalchemy.orm import Session

from newsletter.compose import monthly
from newsletter.config.settings import Config
from newsletter.errors import TemplateError
from newsletter.render.environment import make_environment
from newsletter.render.notice import NoticeText, render_notice
from newsletter.send.control import PauseKind, pause_note
from newsletter.send.notice_rows import WAITING, cancel
from newsletter.send.notices import post
from newsletter.send.outbox import RULES
from newsletter.send.owner import changed
from newsletter.send.report import Parts
from newsletter.send.statements import PARKED, REFUSED_BY_POLICY
from newsletter.send.status import state_counts
from newsletter.send.throttles import SIGN_UP_BREAKER
from newsletter.tables import Delivery, Issue, IssueState, Notice, NoticeKind, PersonRequest, Throttle
from newsletter.tables import DeliveryState as S
from subscribers.addresses import parse_address
from subscribers.tokens import address_hash

PREFIX = "now/"  # of causes that this module ends when they are over
MOST_AN_HOUR = 6
RELAY_TRIES = 3  # it has then been away for three minutes at least
MANY_REFUSALS = 10
SIGN_UPS_TOLD_FOR = timedelta(hours=24)
_FAILED = (S.HELD, S.EXPIRED, S.UNCERTAIN)
_REPLY = re.compile(r"([245]\d\d(?: [245]\.\d{1,3}\.\d{1,3})?)\b")
_ADDRESS = re.compile(r"\S*@\S*")


@dataclass(frozen=True, slots=True)
class Cause:
    """
    Something that needs a person.

    Attributes:
        name: The same while it lasts.
        template: Of the alert, without `alert-`.
        issue_id: Whose counts the alert tells; they are counted only when it is written.
    """

    name: str
    template: str
    values: dict[str, Any] = field(default_factory=dict)
    issue_id: int | None = None


def look(app: Parts) -> int:
    """
    Enqueue an alert for each cause that was not told yet, and forget those that are over; return how many are new.

    Raises:
        DatabaseUnavailable: Then nothing is told; the next look tells it.
    """
    if not app.config.alerts.to or app.config.unfinished:
        return 0
    now = app.now()
    with app.database.read() as session:
        known = select(Notice.dedupe).where(Notice.dedupe.startswith(PREFIX, autoescape=True))
        told = {name for name in session.scalars(known) if name is not None}
        causes = [(cause, to) for cause in current_causes(session, now, app.config) for to in app.config.alerts.to]
        names = {_name(app, cause, to) for cause, to in causes}
        new = [(cause, to) for cause, to in causes if _name(app, cause, to) not in told]
        texts = [(cause, to, alert_text(app, _counted(session, cause))) for cause, to in new]
    if names == told:
        return 0
    with app.database.write() as session:
        _end(session, told - names, now)
        return sum(tell(app, session, text, to=to, cause=cause) for cause, to, text in texts)


def tell(app: Parts, session: Session, text: NoticeText, *, to: str, cause: Cause) -> bool:
    """Enqueue an alert to one operator, unless its cause was told or enough came within an hour; say whether."""
    recent = select(func.count()).where(
        Notice.kind == NoticeKind.ALERT,
        Notice.address_hash == _digest(app, to),
        Notice.created_at > app.now() - timedelta(hours=1),
    )
    if (session.scalar(recent) or 0) >= MOST_AN_HOUR:
        return False
    return post(app, session, text, kind=NoticeKind.ALERT, to=to, dedupe=_name(app, cause, to)) is not None


def alert_text(app: Parts, cause: Cause) -> NoticeText:
    """Return what an alert says; a template of the workspace that is broken never keeps one from being told."""
    language = app.config.organisation.language
    for folders in (app.template_folders, app.template_folders[-1:]):
        try:
            environment = make_environment(folders)
            return render_notice(environment, f"alert-{cause.template}", language=language, **cause.values)
        except TemplateError as error:
            broken = error
    raise broken


def current_causes(session: Session, now: datetime, config: Config) -> Iterator[Cause]:
    """Yield what needs a person now."""
    yield from _paused(session)
    yield from _set_aside(session)
    yield from _digests_kept(session, now, config)
    yield from _ended(session, now)
    yield from _refused(session)
    yield from _sign_ups(session, now)
    yield from _asked_by_people(session)


def plain_reason(reason: str) -> str:
    """
    Return why an issue paused, in words that may be mailed.

    Only our own words pass, and a reply's codes: after the colon a server may repeat an address, or a fault a name, and
    the last of several domains may be one person's.
    """
    ours, _, rest = " ".join(reason.split()).partition(": ")
    ours, code = ours.partition(", the last ")[0], _REPLY.match(rest)
    return _ADDRESS.sub("(address)", ours).rstrip(". :") + (f" ({code[1]})." if code else ".")


def _paused(session: Session) -> Iterator[Cause]:
    """A pause lasts until a run has gone well: one that is resumed only to stop again is told once."""
    states = (IssueState.PAUSED, IssueState.SENDING)
    away: list[tuple[Issue, str]] = []
    for issue in session.scalars(select(Issue).where(Issue.state.in_(states), Issue.planned_at.is_not(None))):
        note = pause_note(session, issue.id)
        if note is None:
            continue
        what = plain_reason(note.get("reason") or issue.reason or "its reason is not known")
        if note["kind"] == PauseKind.RELAY and note["tries"] >= RELAY_TRIES:
            away.append((issue, what))
        elif note["kind"] == PauseKind.REFUSALS:
            kind = hashlib.sha256(re.sub(r"\d+", "#", what).encode()).hexdigest()[:8]
            values = {"issue": issue.slug, "what": what, "planned": issue.planned}
            yield Cause(f"{PREFIX}paused/{issue.id}/{kind}", "paused", values, issue.id)
    if away:
        slugs = [issue.slug for issue, _ in away]
        yield Cause(f"{PREFIX}relay", "relay", {"issues": slugs, "what": away[0][1]})


def _set_aside(session: Session) -> Iterator[Cause]:
    """A schedule that was missed, or refused at its time."""
    for issue in session.scalars(select(Issue).where(Issue.state == IssueState.PAUSED, Issue.planned_at.is_(None))):
        values = {"issue": issue.slug, "what": plain_reason(issue.reason or "its reason is not known")}
        yield Cause(f"{PREFIX}schedule/{issue.id}/{_stamp(issue.scheduled_at)}", "schedule", values)


def _digests_kept(session: Session, now: datetime, config: Config) -> Iterator[Cause]:
    """A monthly digest that a person drafted and did not send: its readers wait, for no worker sends it."""
    kept = (IssueState.DRAFT, IssueState.IN_REVIEW, IssueState.APPROVED)
    for issue in session.scalars(select(Issue).where(Issue.digest_of.is_not(None), Issue.state.in_(kept))):
        due = monthly.due_at(date.fromisoformat(f"{issue.digest_of}-01"), config.digest, config.organisation.zone)
        if due <= now:
            yield Cause(f"{PREFIX}digest/{issue.id}", "digest", {"issue": issue.slug})


def _ended(session: Session, now: datetime) -> Iterator[Cause]:
    recent = Issue.finished_at > now - RULES[NoticeKind.ALERT].lifetime
    for issue in session.scalars(select(Issue).where(Issue.state == IssueState.SENT, recent)):
        failed = select(Delivery.id).where(Delivery.issue_id == issue.id, Delivery.state.in_(_FAILED)).limit(1)
        if session.scalar(failed) is not None:
            name = f"{PREFIX}ended/{issue.id}/{_stamp(issue.finished_at)}"
            yield Cause(name, "ended", {"issue": issue.slug, "planned": issue.planned}, issue.id)


def _refused(session: Session) -> Iterator[Cause]:
    """Many refusals that never count against a reader, in an issue that goes on."""
    for issue in session.scalars(select(Issue).where(Issue.state == IssueState.SENDING)):
        refused = select(func.count()).where(
            Delivery.issue_id == issue.id,
            Delivery.state == S.DEFERRED,
            Delivery.reason.in_((REFUSED_BY_POLICY, PARKED)),
        )
        count = session.scalar(refused) or 0
        note = pause_note(session, issue.id)
        told = note is not None and note["kind"] == PauseKind.REFUSALS
        if count >= MANY_REFUSALS and not told:
            yield Cause(f"{PREFIX}refused/{issue.id}", "refusals", {"issue": issue.slug, "count": count})


def _sign_ups(session: Session, now: datetime) -> Iterator[Cause]:
    """The breaker of sign-ups has opened; while a flood opens it again and again, one mail a day is enough."""
    stored = session.scalar(select(Throttle.value).where(Throttle.name == SIGN_UP_BREAKER))
    if stored and now.timestamp() - stored["opened"] < SIGN_UPS_TOLD_FOR.total_seconds():
        values = {"per_hour": stored["per_hour"], "minutes": round((stored["until"] - stored["opened"]) / 60)}
        yield Cause(f"{PREFIX}sign-ups", "sign-ups", values)


def _asked_by_people(session: Session) -> Iterator[Cause]:
    """A request that nobody has acknowledged; neither its words nor who asked are mailed."""
    waits = select(PersonRequest).where(PersonRequest.acknowledged_at.is_(None), PersonRequest.closed_at.is_(None))
    for request in session.scalars(waits.order_by(PersonRequest.id)):
        values = {"number": request.id, "kind": request.kind.value, "due": f"{request.due_on:%Y-%m-%d}"}
        yield Cause(f"{PREFIX}request/{request.id}", "request", values)


def _end(session: Session, names: set[str], now: datetime) -> None:
    """Let causes that are over be told again when they come back; an alert that has not left yet is withdrawn."""
    if names:
        these = Notice.dedupe.in_(names)
        cancel(session, these & Notice.state.in_(WAITING), reason="its cause is over", now=now)
        changed(session, update(Notice).where(these).values(dedupe=None))


def failed_alerts(session: Session, since: datetime) -> bool:
    """Return whether an alert has not reached an operator since *since*."""
    bad = (S.BOUNCED, S.HELD, S.EXPIRED)
    return bool(
        session.scalar(
            select(exists().where(Notice.kind == NoticeKind.ALERT, Notice.state.in_(bad), Notice.state_at > since))
        )
    )


def _digest(app: Parts, to: str) -> bytes:
    return address_hash(app.keys.pepper, parse_address(to).key)


def _name(app: Parts, cause: Cause, to: str) -> str:
    return f"{cause.name}/{_digest(app, to).hex()[:12]}"


def _counted(session: Session, cause: Cause) -> Cause:
    if cause.issue_id is None:
        return cause
    counts = {state.value: count for state, count in state_counts(session, cause.issue_id).items()}
    return replace(cause, values={**counts, **cause.values})


def _stamp(moment: datetime | None) -> str:
    return f"{moment:%Y%m%dT%H%M%S}" if moment else "-"
