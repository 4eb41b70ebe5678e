"""
Start an issue: judge it once more, approve it where one person decides, and freeze it into deliveries.

Rendering takes long and holds no lock; the freeze then checks that it froze what was judged.
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from newsletter.app import App
from newsletter.audit.log import Action, AuditLog
from newsletter.compose.issue import approve, content_hash, go, is_approved
from newsletter.compose.variants import ItemSet
from newsletter.errors import Conflict, NotFound, PreflightRefused
from newsletter.preflight import RenderedVariant, Report
from newsletter.publishing.headers import message_headers
from newsletter.publishing.prepare import Prepared, find_readers, prepare
from newsletter.send.instance import note_place, require_live
from newsletter.send.plan import PlannedVariant, freeze
from newsletter.send.plan_rows import NoVariantFits
from newsletter.tables import Issue, IssueState
from subscribers.audience import LEFT_OUT
from subscribers.choices import wants_digest

MOST_ATTEMPTS = 3


def start_issue(app: App, issue_id: int, *, approve_as: str | None = None) -> int:
    """
    Freeze an issue and return how many people it was planned for; it is `sending` then.

    Args:
        approve_as: Whose order this is: where one person decides, it counts as the approval. Null (the worker, at the
            scheduled time) starts only what is approved.

    Raises:
        CopiedDatabase: When this is a copy that nobody has adopted.
        PreflightRefused: When something blocks, or the content is not approved.
        Conflict: When the issue cannot start, or people kept changing it meanwhile.
    """
    for _ in range(MOST_ATTEMPTS):
        with app.database.read() as session:
            require_live(session)
            issue = _get(session, issue_id)
            prepared = prepare(app, session, issue, for_sending=True)
        refuse(prepared.report)
        try:
            with app.database.write() as session:
                # Locked, so that of two workers that start it at once the second finds it planned.
                planned = _freeze(app, session, _get(session, issue_id, for_update=True), prepared, approve_as)
        except NoVariantFits:  # somebody changed between two looks: look again
            continue
        if planned is not None:
            return planned
    raise Conflict(
        f"The issue {issue.slug} or its audience kept changing while it was rendered; nothing was planned.",
        hint="Try again when nobody edits it.",
    )


def refuse(report: Report) -> None:
    """
    Raise when something blocks.

    Raises:
        PreflightRefused: Naming what, where, and what to do.
    """
    if report.passes:
        return
    count = len(report.blocks)
    lines = [f"  {finding.where}: {finding.message} {finding.fix}" for finding in report.blocks]
    raise PreflightRefused(
        f"{count} {'thing blocks' if count == 1 else 'things block'} sending {report.slug}:\n" + "\n".join(lines),
        hint=f"All findings: newsletter issue check {report.slug}",
    )


def _freeze(app: App, session: Session, issue: Issue, prepared: Prepared, approve_as: str | None) -> int | None:
    """Freeze what was judged; null when content or audience are no longer that."""
    now = app.now()
    if content_hash(issue, app.config) != prepared.content_hash:
        return None
    readers = find_readers(app, session, issue, now)
    rendered = _matched(readers.sets, prepared)
    if readers.chosen is None or readers.counts is None or rendered is None:
        return None
    approved = _settle_approval(app, issue, approve_as)
    headers = {kind: message_headers(session, issue, app.config, discreet=kind) for kind in (False, True)}
    note_place(session, now)
    variants = [
        PlannedVariant(each.number, each.condition, variant.rendered, headers[each.discreet], each.discreet)
        for each, variant in zip(readers.sets, rendered, strict=True)
    ]
    issue.left_out = {name: readers.counts[name] for name in LEFT_OUT}
    planned = freeze(
        session,
        issue,
        audience=readers.chosen if readers.with_monthly is None else readers.with_monthly,
        variants=variants,
        keys=app.keys,
        config=app.config,
        now=now,
        postponed=None if readers.with_monthly is None else wants_digest(),
    )
    _record_start(app, session, issue, planned, approved=approved, as_scheduled=approve_as is None)
    return planned


def _record_start(
    app: App, session: Session, issue: Issue, planned: int, *, approved: bool, as_scheduled: bool
) -> None:
    if approved:
        record_approval(app.audit, session, issue)
    app.audit.record(
        session,
        Action.SEND_STARTED,
        f"issue {issue.slug}",
        planned=planned,
        content=issue.content_hash,
        as_scheduled=as_scheduled,
    )


def record_approval(audit: AuditLog, session: Session, issue: Issue) -> None:
    """Record who approved which content."""
    subject = f"issue {issue.slug}"
    audit.record(session, Action.ISSUE_APPROVED, subject, actor=issue.approved_by, content=issue.approved_hash)


def _matched(sets: tuple[ItemSet, ...], prepared: Prepared) -> list[RenderedVariant] | None:
    """Return the rendering for each set; null when a set was not rendered."""
    pairs = zip(prepared.readers.sets, prepared.variants, strict=True)
    known = {(each.blocks, each.discreet): variant for each, variant in pairs}
    found = [known.get((each.blocks, each.discreet)) for each in sets]
    return None if None in found else [variant for variant in found if variant is not None]


def _settle_approval(app: App, issue: Issue, approve_as: str | None) -> bool:
    """Approve by whoever orders it, where one person decides; return whether that was done here."""
    if issue.state is IssueState.PAUSED and issue.planned_at is None:  # overdue, or refused at its time; now ordered
        go(issue, IssueState.APPROVED)
    if is_approved(issue, app.config):
        return False
    if approve_as is None or app.config.issue.approval == "four-eyes":
        raise PreflightRefused(
            f"The issue {issue.slug} is not approved as it stands now.",
            hint=f"Approve it first: newsletter issue approve {issue.slug}",
        )
    approve(issue, app.config, actor=approve_as, now=app.now())
    return True


def _get(session: Session, issue_id: int, *, for_update: bool = False) -> Issue:
    issue = session.get(Issue, issue_id, with_for_update=for_update)
    if issue is None:
        raise NotFound("issue", str(issue_id))
    return issue
