"""`issue send`: ask, freeze, send; run again, it goes on where it stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from newsletter.cli.issue_argument import go_on_command, is_held_by_person, issue_argument, people_words
from newsletter.cli.main import Context

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from newsletter.publishing import Prepared
    from newsletter.send.dispatch import SendReport
    from newsletter.tables import Issue

MOST_DOMAINS = 8


@click.command()
@issue_argument
@click.option("--dry-run", is_flag=True, help="Say who would get what; send nothing.")
@click.pass_context
def send(ctx: click.Context, issue_name: str, dry_run: bool) -> None:
    """Freeze the audience and send until nothing is due; run again, it goes on where it stopped.

    Outside the sending window (send.window) it says when that opens, and does nothing.

    Where one person decides (issue.approval = "single"), the answer to its question is the approval.

    Example: newsletter issue send 2026-11 --dry-run
    """
    from newsletter.audit.log import Action
    from newsletter.compose.issue import find
    from newsletter.publishing import prepare, refuse, start_issue
    from newsletter.send import control
    from newsletter.tables import IssueState

    context = ctx.ensure_object(Context)
    app = context.app
    with app.database.read() as session:
        issue = find(session, issue_name)
        planned = issue.planned_at is not None
        prepared = None if planned else prepare(app, session, issue, for_sending=True)
        people = _dry_run_document(session, issue, prepared) if dry_run or prepared else {}
    _refuse_finished(issue)
    if not dry_run and _is_outside_window(context, issue):
        return
    if dry_run:
        _tell_dry_run(context, people)
        if prepared is not None:
            refuse(prepared.report)
        return
    if prepared is not None:
        refuse(prepared.report)
        if not context.output.yes:
            _tell_dry_run(context, people, as_note=True)
        if not context.output.confirm(f"Send {issue.slug} to {people_words(people['people'])}?"):
            raise click.Abort
        start_issue(app, issue.id, approve_as=app.actor)
    elif issue.state is IssueState.PAUSED:
        with app.database.write() as session:
            again = find(session, issue.slug)
            _refuse_held_by_person(session, again)
            control.resume(session, again, now=app.now())
            app.audit.record(session, Action.SEND_RESUMED, f"issue {again.slug}", kind="person")
    ctx.exit(_send(context, issue.id, issue.slug))


def _is_outside_window(context: Context, issue: Issue) -> bool:
    """Tell when the sending window opens, if it is closed now; nothing was changed then."""
    from newsletter.cli.issue_text import tell
    from newsletter.send.status import issue_counts, local_words
    from newsletter.send.window import Window
    from newsletter.tables import IssueState

    app = context.app
    zone, now = app.config.organisation.zone, app.now()
    window = Window.of(app.config.send.window, zone)
    if window is None or window.is_open(now):
        return False
    opens = window.opens_at(now)
    words = f"Nothing is sent now: the sending window (send.window) opens {local_words(opens, zone)}."
    if issue.state is IssueState.SENDING:
        tell(context.output, f"{words} `newsletter work` goes on with {issue.slug} then.")
    elif issue.planned_at is not None:
        tell(context.output, f"{words} Go on then with: newsletter issue send {issue.slug}")
    else:
        at = opens.astimezone(zone).strftime("%Y-%m-%dT%H:%M")
        tell(context.output, f"{words} Nobody was chosen yet.")
        tell(context.output, f"Send it then, or: newsletter issue schedule {issue.slug} --at {at}")
    if context.output.as_json:
        with app.database.read() as session:
            context.output.data(issue_counts(session, issue.id, now=now))
    return True


def _send(context: Context, issue_id: int, slug: str) -> int:
    """Send what is due, under a progress bar; return the exit code."""
    from newsletter.cli.progress import rate_words
    from newsletter.send.dispatch import send_issue
    from newsletter.send.messenger import tell_chair

    with context.output.progress(f"Sending {slug}", None) as bar:
        report = send_issue(
            context.app,
            issue_id,
            on_progress=lambda p: bar.update(
                p.done, total=p.planned, detail=rate_words(p.rate), seconds_left=p.seconds_left
            ),
        )
    if context.output.as_json:
        context.output.data(report.counts)
    else:
        _tell_sent(context, slug, report)
    _count_refusals(context)
    tell_chair(context.app)
    return report.exit_code


def _count_refusals(context: Context) -> None:
    """Let what was refused count against addresses; what cannot be done now is done by the next run or worker."""
    from subscribers.errors import DatabaseUnavailable

    try:
        context.app.intake.look()
    except DatabaseUnavailable as error:
        context.output.warn(error.message)


def _tell_sent(context: Context, slug: str, report: SendReport) -> None:
    from newsletter.cli.issue_text import tell
    from newsletter.cli.report_text import counts_text
    from newsletter.compose.issue import find
    from newsletter.send.status import local_words
    from newsletter.tables import IssueState

    output, counts = context.output, report.counts
    output.show(counts_text(counts))
    if report.state is IssueState.PAUSED:
        with context.app.database.read() as session:
            command = go_on_command(session, find(session, slug))
        tell(output, f"\nIt is paused: {report.reason}\nGo on with: {command}")
    elif report.goes_on_at is not None:
        when = local_words(report.goes_on_at, context.app.config.organisation.zone)
        tell(output, f"\nThe sending window has closed; nothing is lost. `newsletter work` goes on {when},")
        tell(output, f"and so does a later newsletter issue send {slug}")
    elif report.stopped:
        tell(output, f"\nStopped before the end; nothing is lost. Go on with: newsletter issue send {slug}")
    elif report.deferred:
        words = f"\n{report.deferred} are deferred: `newsletter work` goes on with them, and so does a later"
        tell(output, f"{words} newsletter issue send {slug}")
    if counts["uncertain"]:
        tell(output, "Some copies are uncertain: newsletter uncertain list")


def _refuse_finished(issue: Issue) -> None:
    from newsletter.errors import Conflict
    from newsletter.tables import IssueState

    if issue.state is IssueState.SENT:
        raise Conflict(f"{issue.slug} was sent.", hint=f"See what came of it: newsletter issue report {issue.slug}")
    if issue.state is IssueState.CANCELLED:
        raise Conflict(f"{issue.slug} is cancelled.", hint="Draft another one: newsletter issue draft")


def _refuse_held_by_person(session: Session, issue: Issue) -> None:
    """A person's pause stands until a person resumes; a relay that was down is simply tried again."""
    from newsletter.errors import SendingPaused

    if is_held_by_person(session, issue):
        raise SendingPaused(
            f"{issue.slug} is paused: {issue.reason}", hint=f"Let it go on: newsletter issue resume {issue.slug}"
        )


def _dry_run_document(session: Session, issue: Issue, prepared: Prepared | None) -> dict[str, Any]:
    """Return who would get what: by variant and by receiving domain; of a planned issue, what is still to do."""
    from sqlalchemy import func, select

    from newsletter.send.states import TO_DO
    from newsletter.tables import Delivery
    from subscribers.tables import Subscriber

    document: dict[str, Any] = {"issue": issue.slug, "subject": issue.subject, "people": 0, "variants": []}
    counts = prepared.readers.counts if prepared is not None else None
    document["monthly"] = counts["monthly"] if counts else 0
    if prepared is None:
        statement = (
            select(Delivery.domain, func.count())
            .where(Delivery.issue_id == issue.id, Delivery.state.in_(TO_DO))
            .group_by(Delivery.domain)
        )
    elif prepared.readers.chosen is not None:
        chosen = prepared.readers.chosen.subquery()
        statement = (
            select(Subscriber.domain, func.count())
            .join(chosen, chosen.c.subscriber_id == Subscriber.id)
            .group_by(Subscriber.domain)
        )
        document["variants"] = [
            {"variant": each.number, "people": each.people, "blocks": len(each.blocks), "discreet": each.discreet}
            for each in prepared.readers.sets
        ]
    else:
        return {**document, "domains": []}
    rows = sorted(session.execute(statement), key=lambda row: (-row[1], row[0]))
    document["people"] = sum(count for _, count in rows)
    return {**document, "domains": [{"domain": domain, "people": count} for domain, count in rows]}


def _tell_dry_run(context: Context, document: dict[str, Any], *, as_note: bool = False) -> None:
    from newsletter.cli.issue_text import wrapped

    output = context.output
    if output.as_json and not as_note:
        output.data(document)
        return
    say = output.note if as_note else output.show
    say(wrapped(document["subject"] or "without a subject", indent=11, first="Subject"))
    say(wrapped(people_words(document["people"]), indent=11, first="To"))
    if document["monthly"]:
        say(wrapped(f"{people_words(document['monthly'])} by the monthly digest", indent=11, first="Later"))
    if len(document["variants"]) > 1:
        for each in document["variants"]:
            words = f"{people_words(each['people'])}, {each['blocks']} blocks{', discreet' if each['discreet'] else ''}"
            say(wrapped(words, indent=11, first=f"Variant {each['variant']}"))
    shown = document["domains"][:MOST_DOMAINS]
    for label, each in zip(["Domains", *[""] * len(shown)], shown, strict=False):
        say(wrapped(f"{each['domain']}  {each['people']}", indent=11, first=label))
    rest = document["domains"][MOST_DOMAINS:]
    if rest:
        say(wrapped(f"and {len(rest)} more, {people_words(sum(e['people'] for e in rest))}", indent=11, first=""))


VERBS = (send,)
