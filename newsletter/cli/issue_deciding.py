"""`issue submit, approve, schedule, pause, resume, cancel, retry`: decisions about an issue."""

from __future__ import annotations

from datetime import datetime

import click

from newsletter.cli.issue_argument import issue_argument, people_words, state_done
from newsletter.cli.main import Context, pass_context


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

    app = context.app
    with app.database.write() as session:
        issue = issues.find(session, issue_name)
        issues.approve(issue, app.config, actor=app.actor, now=app.now())
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
    from newsletter.cli.issue_text import local_time
    from newsletter.compose import issue as issues
    from newsletter.compose.dates import parse_moment

    if (at is None) == (not off):
        raise click.UsageError("Give a time with --at, or --off.")
    app = context.app
    if at is None:
        with app.database.write() as session:
            issue = issues.find(session, issue_name)
            issues.unschedule(issue)
            slug = issue.slug
        state_done(context.output, slug, "approved", f"{slug} is off the schedule; it stays approved.")
        return
    moment = parse_moment(at, app.config.organisation.zone)
    slug = _check_before_schedule(context, issue_name, moment)
    with app.database.write() as session:
        issue = issues.find(session, slug)
        if app.config.issue.approval == "single":
            issues.approve(issue, app.config, actor=app.actor, now=app.now())
        issues.schedule(issue, app.config, at=moment, now=app.now())
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
    from newsletter.compose.issue import find
    from newsletter.send import control

    app = context.app
    with app.database.write() as session:
        issue = find(session, issue_name)
        control.pause(session, issue, reason or f"Paused by {app.actor}.", now=app.now())
        slug = issue.slug
    state_done(context.output, slug, "paused", f"{slug} is paused. Go on with: newsletter issue resume {slug}")


@click.command()
@issue_argument
@pass_context
def resume(context: Context, issue_name: str) -> None:
    """Let a paused issue go on: a running worker takes it up, or `issue send` does.

    Example: newsletter issue resume 2026-11
    """
    from newsletter.compose.issue import find
    from newsletter.send import control

    app = context.app
    with app.database.write() as session:
        issue = find(session, issue_name)
        control.resume(session, issue, now=app.now())
        slug, state = issue.slug, issue.state.value
    words = f"{slug} goes on. `newsletter work` takes it up, or: newsletter issue send {slug}"
    state_done(context.output, slug, state, words)


@click.command()
@issue_argument
@pass_context
def cancel(context: Context, issue_name: str) -> None:
    """Cancel an issue for good: what was not begun is not sent.

    Example: newsletter issue cancel 2026-11
    """
    from newsletter.compose.issue import find
    from newsletter.send import control

    app = context.app
    with app.database.read() as session:
        slug = find(session, issue_name).slug
    if not context.output.confirm(f"Cancel {slug} for good?"):
        raise click.Abort
    with app.database.write() as session:
        stopped = control.cancel(session, find(session, slug), now=app.now())
    words = f"{slug} is cancelled; {people_words(stopped)} will not get it."
    state_done(context.output, slug, "cancelled", words, cancelled=stopped)


@click.command()
@issue_argument
@click.option("--failed", is_flag=True, required=True, help="What bounced, was held, or expired.")
@pass_context
def retry(context: Context, issue_name: str, failed: bool) -> None:
    """Put failed copies back, to be tried again.

    Example: newsletter issue retry 2026-11 --failed
    """
    from newsletter.compose.issue import find
    from newsletter.send import control

    app = context.app
    with app.database.write() as session:
        issue = find(session, issue_name)
        count = control.retry_failed(session, issue, now=app.now())
        slug, state = issue.slug, issue.state.value
    words = f"{count} copies of {slug} are tried again" if failed and count else f"Nothing of {slug} failed"
    follow = f": newsletter issue send {slug}" if count else "."
    state_done(context.output, slug, state, words + follow, retried=count)


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
