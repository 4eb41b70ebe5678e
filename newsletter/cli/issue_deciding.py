"""`issue submit, approve, schedule, pause, resume, cancel, retry`: decisions about an issue."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from newsletter.cli.issue_argument import go_on_command, issue_argument, people_words, state_done
from newsletter.cli.main import Context, pass_context

if TYPE_CHECKING:
    from newsletter.send.failed import Failed


@click.command()
@issue_argument
@pass_context
def submit(context: Context, issue_name: str) -> None:
    """Hand a draft to whoever approves it.

    Example: newsletter issue submit 2026-11
    """
    from newsletter.compose import issue as issues

    with context.app.database.write() as session:
        issue = issues.find(session, issue_name)
        issues.submit(issue)
        slug = issue.slug
    state_done(context.output, slug, "in_review", f"{slug} is in review. Next: newsletter issue approve {slug}")


@click.command()
@issue_argument
@pass_context
def approve(context: Context, issue_name: str) -> None:
    """Approve the content as it stands; any later edit voids it.

    Example: newsletter --as "Ann Lee" issue approve 2026-11
    """
    from newsletter.compose import issue as issues
    from newsletter.publishing import record_approval

    app = context.app
    with app.database.write() as session:
        issue = issues.find(session, issue_name)
        before = issue.approved_at
        issues.approve(issue, app.config, actor=app.actor, now=app.now())
        if issue.approved_at != before:
            record_approval(app.audit, session, issue)
        slug, state = issue.slug, issue.state.value
    after = f"Next: newsletter issue send {slug}, or schedule it."
    words = f"{app.actor} approved {slug}. {'It goes out as scheduled.' if state == 'scheduled' else after}"
    state_done(context.output, slug, state, words)


@click.command()
@issue_argument
@click.option("--at", "at", metavar="TIME", help="Such as 2026-11-25T09:30, in the organisation's zone.")
@click.option("--off", is_flag=True, help="Take it off the schedule; it stays approved.")
@pass_context
def schedule(context: Context, issue_name: str, at: str | None, off: bool) -> None:
    """Set when `newsletter work` sends an issue.

    Where one person decides (issue.approval = "single"), this is the approval as well.

    Example: newsletter issue schedule 2026-11 --at 2026-11-25T09:30
    """
    from newsletter.audit.log import Action
    from newsletter.cli.issue_text import local_time
    from newsletter.compose import issue as issues
    from newsletter.compose.dates import parse_moment
    from newsletter.publishing import record_approval

    if (at is None) == (not off):
        raise click.UsageError("Give a time with --at, or --off.")
    app = context.app
    if at is None:
        with app.database.write() as session:
            issue = issues.find(session, issue_name)
            issues.unschedule(issue)
            slug = issue.slug
            app.audit.record(session, Action.ISSUE_UNSCHEDULED, f"issue {slug}")
        state_done(context.output, slug, "approved", f"{slug} is off the schedule; it stays approved.")
        return
    moment = parse_moment(at, app.config.organisation.zone)
    slug = _check_before_schedule(context, issue_name, moment)
    with app.database.write() as session:
        issue = issues.find(session, slug)
        before = issue.approved_at
        if app.config.issue.approval == "single":
            issues.approve(issue, app.config, actor=app.actor, now=app.now())
        issues.schedule(issue, app.config, at=moment, now=app.now())
        if issue.approved_at != before:
            record_approval(app.audit, session, issue)
        app.audit.record(session, Action.ISSUE_SCHEDULED, f"issue {slug}", at_time=moment.isoformat())
    words = f"{slug} goes out on {local_time(app, moment)}. `newsletter work` or `newsletter serve` must run then."
    state_done(context.output, slug, "scheduled", words, scheduled_at=moment)


@click.command()
@issue_argument
@click.option("--reason", default="", help="Why, for the others.")
@pass_context
def pause(context: Context, issue_name: str, reason: str) -> None:
    """Stop taking new copies; what is on the wire is finished. Effective within a second.

    Example: newsletter issue pause 2026-11 --reason "Wrong date in the second event"
    """
    from newsletter.audit.log import Action
    from newsletter.compose.issue import find
    from newsletter.send import control

    app = context.app
    with app.database.write() as session:
        issue = find(session, issue_name)
        control.pause(session, issue, reason or f"Paused by {app.actor}.", now=app.now())
        slug = issue.slug
        app.audit.record(session, Action.SEND_PAUSED, f"issue {slug}", kind="person")
    state_done(context.output, slug, "paused", f"{slug} is paused. Go on with: newsletter issue resume {slug}")


@click.command()
@issue_argument
@pass_context
def resume(context: Context, issue_name: str) -> None:
    """Let a paused issue go on: a running worker takes it up, or `issue send` does.

    Example: newsletter issue resume 2026-11
    """
    from newsletter.audit.log import Action
    from newsletter.compose.issue import find
    from newsletter.send import control

    app = context.app
    with app.database.write() as session:
        issue = find(session, issue_name)
        control.resume(session, issue, now=app.now())
        slug, state = issue.slug, issue.state.value
        app.audit.record(session, Action.SEND_RESUMED, f"issue {slug}", kind="person")
    words = f"{slug} goes on. `newsletter work` takes it up, or: newsletter issue send {slug}"
    state_done(context.output, slug, state, words)


@click.command()
@issue_argument
@pass_context
def cancel(context: Context, issue_name: str) -> None:
    """Cancel an issue for good: what was not begun is not sent.

    Example: newsletter issue cancel 2026-11
    """
    from newsletter.audit.log import Action
    from newsletter.compose.issue import find
    from newsletter.send import control
    from newsletter.send.status import state_counts
    from newsletter.tables import DeliveryState as S

    app = context.app
    with app.database.read() as session:
        slug = find(session, issue_name).slug
    if not context.output.confirm(f"Cancel {slug} for good?"):
        raise click.Abort
    with app.database.write() as session:
        issue = find(session, slug)
        stopped = control.cancel(session, issue, now=app.now())
        counts = state_counts(session, issue.id)
        app.audit.record(session, Action.SEND_CANCELLED, f"issue {slug}", stopped=stopped, sent=counts[S.SENT])
    sent, on_the_wire, doubtful = counts[S.SENT], counts[S.INTENT], counts[S.UNCERTAIN]
    words = f"{slug} is cancelled; {people_words(stopped)} will not get it."
    words += f" {people_words(sent)} {'has' if sent == 1 else 'have'} it." if sent else ""
    words += f" {_copies(on_the_wire)} on the wire may still arrive." if on_the_wire else ""
    words += f" {_copies(doubtful)} may have arrived: newsletter uncertain list" if doubtful else ""
    facts = {"cancelled": stopped, "sent": sent, "on_the_wire": on_the_wire, "uncertain": doubtful}
    state_done(context.output, slug, "cancelled", words, **facts)


@click.command()
@issue_argument
@click.option("--failed", is_flag=True, required=True, help="What bounced, was held, or expired.")
@click.option("--dry-run", is_flag=True, help="Say how many would be mailed; change nothing.")
@pass_context
def retry(context: Context, issue_name: str, failed: bool, dry_run: bool) -> None:
    """Put failed copies back, to be tried again; whoever is suppressed or left is not mailed.

    Example: newsletter issue retry 2026-11 --failed --dry-run
    """
    from newsletter.audit.log import Action
    from newsletter.compose.issue import find
    from newsletter.send import control
    from newsletter.send.failed import count_failed
    from newsletter.tables import IssueState

    assert failed
    app = context.app
    with app.database.read() as session:
        issue = find(session, issue_name)
        found = count_failed(session, issue.id, app.now(), app.config.organisation.timezone)
        slug, state = issue.slug, issue.state
    if dry_run:
        facts = {**found.again, "not_mailed": found.not_mailed}
        state_done(context.output, slug, state.value, f"{slug}: {_failed_words(found)}", **facts)
        return
    if found.people:
        context.output.note(f"{slug}: {_failed_words(found)}")
        if not context.output.confirm(f"Send to {people_words(found.people)} again?"):
            raise click.Abort
    count = 0
    with app.database.write() as session:
        issue = find(session, slug)
        if found.people or not found.not_mailed:  # where nothing failed, a wrong state is still refused
            count = control.retry_failed(session, issue, now=app.now())
        if count:
            app.audit.record(session, Action.SEND_RETRIED, f"issue {slug}", copies=count)
        state, go_on = issue.state, go_on_command(session, issue)
    words = f"{slug}: {_failed_words(found)}"
    if count and state is IssueState.PAUSED:
        words = f"{_copies(count)} of {slug} put back, to be tried again. It is paused; go on with: {go_on}"
    elif count:
        words = f"{_copies(count)} of {slug} put back: a running worker tries again at once, and so does {go_on}"
    state_done(context.output, slug, state.value, words, retried=count)


def _failed_words(found: Failed) -> str:
    """Tell how many failed copies may be tried again, and why the others may not."""
    again = ", ".join(f"{count:,} {state}" for state, count in found.again.items() if count)
    if not again and not found.not_mailed:
        return "nothing failed."
    words = f"{again} to be tried again." if again else "nothing can be tried again."
    if found.not_mailed:
        more = "1 more person is" if found.not_mailed == 1 else f"{found.not_mailed:,} more people are"
        words += f" {more} not mailed: suppressed, paused, or no longer subscribed."
    return words


def _copies(count: int) -> str:
    return "1 copy" if count == 1 else f"{count:,} copies"


def _check_before_schedule(context: Context, name: str, moment: datetime) -> str:
    """Refuse to schedule what would be refused at that time; the content is judged as of then."""
    from newsletter.compose.issue import find
    from newsletter.publishing import prepare, refuse

    app = context.app
    with app.database.read() as session:
        issue = find(session, name)
        if moment > app.now():
            refuse(prepare(app, session, issue, now=moment).report)
        return issue.slug


VERBS = (
    submit,
    approve,
    schedule,
    pause,
    resume,
    cancel,
    retry,
)
