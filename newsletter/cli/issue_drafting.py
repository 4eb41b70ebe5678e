"""`issue draft, list, show`: propose an issue, and look at what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from newsletter.cli.issue_argument import fetch_item_pictures, issue_argument
from newsletter.cli.main import Context, pass_context

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from newsletter.compose.drafting import Drafted
    from newsletter.tables import Issue


@click.command()
@click.option("--since", metavar="DATE", help="Posts from this day on. Default: since the last issue.")
@click.option("--until", metavar="DATE", help="Posts up to this day, inclusive.")
@click.option("--events-within", "days", type=click.IntRange(1, 3660), metavar="DAYS", help="How far events may be.")
@click.option("--include", type=int, multiple=True, metavar="ID", help="An item that must be in it. Repeatable.")
@click.option("--exclude", type=int, multiple=True, metavar="ID", help="An item that must not. Repeatable.")
@click.option("--slug", help="Its name. Default: the month, such as 2026-11.")
@click.option("--subject", help="Default: the organisation's name and the month.")
@click.option("--no-pictures", is_flag=True, help="Do not fetch the pictures of its items now.")
@click.option("--monthly", is_flag=True, help="Instead, the digest of a month's issues, which is then yours to send.")
@click.pass_context
def draft(
    ctx: click.Context,
    since: str | None,
    until: str | None,
    days: int | None,
    include: tuple[int, ...],
    exclude: tuple[int, ...],
    slug: str | None,
    subject: str | None,
    no_pictures: bool,
    monthly: bool,
) -> None:
    """Propose an issue from what the library gained since the last one.

    With --monthly it proposes the digest for people who chose one mail a month: of the earliest month that waits, else
    of this one so far. `newsletter work` makes and sends a digest by itself when it is due ([digest] in config.toml),
    but never one that was drafted here.

    Example: newsletter issue draft --events-within 45
    """
    context = ctx.ensure_object(Context)
    if monthly:
        _draft_monthly(context, alone=not any((since, until, days, include, exclude, slug, subject)))
        return
    from newsletter.compose.dates import parse_end, parse_start
    from newsletter.compose.drafting import Wishes, draft_issue

    app, zone = context.app, context.app.config.organisation.zone
    wishes = Wishes(
        since=parse_start(since, zone) if since else None,
        until=parse_end(until, zone) if until else None,
        include=include,
        exclude=exclude,
        events_within_days=days,
        slug=slug,
        subject=subject,
    )
    with app.database.write() as session:
        drafted = draft_issue(session, wishes, config=app.config, actor=app.actor, now=app.now())
    if drafted.issue is None:
        _tell_nothing_new(context, drafted)
        return
    if not no_pictures:
        fetch_item_pictures(context.app, context.output, drafted.proposal.item_ids)
    with app.database.read() as session:
        from newsletter.compose.issue import find

        _tell_draft(context, session, find(session, drafted.issue.slug), drafted)


def _draft_monthly(context: Context, *, alone: bool) -> None:
    from newsletter.cli.issue_text import issue_document, issue_page, next_step, tell
    from newsletter.publishing.monthly import draft_digest

    if not alone:
        raise click.UsageError("--monthly gathers a month's issues as they are; edit the draft with: issue set")
    app, output = context.app, context.output
    with app.database.write() as session:
        issue = draft_digest(app, session)
        if issue is None:
            if output.as_json:
                output.data({"issue": None, "reason": "nobody is owed a digest"})
            else:
                output.show("Nobody is owed a digest: no issue waits that somebody gets by the month.")
        elif output.as_json:
            output.data(issue_document(app, issue))
        else:
            output.show(issue_page(app, session, issue))
            tell(output, "\n" + next_step(app, issue))


@click.command("list")
@click.option("--state", help="Only issues in this state, such as draft or sent.")
@pass_context
def list_issues(context: Context, state: str | None) -> None:
    """List issues, the newest first.

    Example: newsletter issue list --state draft
    """
    from sqlalchemy import select

    from newsletter.cli.issue_text import summary_row
    from newsletter.tables import Issue, IssueState

    if state and state not in list(IssueState):
        raise click.BadParameter(f"'{state}' is none of: {', '.join(IssueState)}.", param_hint="--state")
    with context.app.database.read() as session:
        statement = select(Issue).order_by(Issue.created_at.desc(), Issue.id.desc())
        rows = [summary_row(issue) for issue in session.scalars(statement) if not state or issue.state == state]
    context.output.table(
        rows, ("issue", "state", "blocks", "subject"), empty="There are no issues yet: newsletter issue draft"
    )


@click.command()
@issue_argument
@pass_context
def show(context: Context, issue_name: str) -> None:
    """Show an issue: its words, its sections, and the number of each block.

    Example: newsletter issue show latest
    """
    from newsletter.cli.issue_text import issue_document, issue_page, next_step, tell
    from newsletter.compose.issue import find

    with context.app.database.read() as session:
        issue = find(session, issue_name)
        if context.output.as_json:
            context.output.data(issue_document(context.app, issue))
            return
        context.output.show(issue_page(context.app, session, issue))
        tell(context.output, "\n" + next_step(context.app, issue))


def _tell_nothing_new(context: Context, drafted: Drafted) -> None:
    if context.output.as_json:
        context.output.data({"issue": None, "reason": "nothing new", "left_out": _left_out(drafted)})
        return
    context.output.show("Nothing new since the last issue: no draft.")
    if drafted.since is None and not drafted.proposal.left_out:
        context.output.note("The library may be empty. Fill it: newsletter source add, then newsletter source fetch")
    _tell_left_out(context, drafted)


def _tell_draft(context: Context, session: Session, issue: Issue, drafted: Drafted) -> None:
    from newsletter.cli.issue_text import issue_document, issue_page, next_step, tell

    if context.output.as_json:
        context.output.data({**issue_document(context.app, issue), "left_out": _left_out(drafted)})
        return
    context.output.show(issue_page(context.app, session, issue))
    _tell_left_out(context, drafted)
    tell(context.output, "\n" + next_step(context.app, issue))


def _left_out(drafted: Drafted) -> list[dict[str, Any]]:
    return [{"id": e.item_id, "title": e.title, "reason": e.reason} for e in drafted.proposal.left_out]


def _tell_left_out(context: Context, drafted: Drafted) -> None:
    """Name what is not proposed, by reason; long groups by their number."""
    from newsletter.cli.issue_text import wrapped

    groups: dict[str, list[str]] = {}
    for each in drafted.proposal.left_out:
        groups.setdefault(each.reason, []).append(f"{each.item_id} {each.title}")
    for reason, titles in groups.items():
        context.output.note("\n" + wrapped(f"Left out, {len(titles)}: {reason}."))
        for title in titles[:5]:
            context.output.note(wrapped(title, indent=4, first="  -"))
        if len(titles) > 5:
            context.output.note(wrapped(f"and {len(titles) - 5} more: newsletter library list", indent=4))


VERBS = (
    draft,
    list_issues,
    show,
)
