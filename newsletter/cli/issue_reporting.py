"""`issue status, report`: how far an issue is, and what came of it; the counts always add up."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from newsletter.cli.issue_argument import issue_argument
from newsletter.cli.main import Context, pass_context

MOST_ON_A_PAGE = 1_000


@click.command()
@issue_argument
@pass_context
def status(context: Context, issue_name: str) -> None:
    """Say how far an issue is: counts that always add up to what was planned.

    Example: newsletter issue status latest --json
    """
    from newsletter.cli.issue_text import wrapped
    from newsletter.cli.report_text import counts_text
    from newsletter.compose.issue import find
    from newsletter.send.left_behind import settle_left_behind
    from newsletter.send.status import issue_counts, what_it_waits_for
    from newsletter.tables import IssueState

    app = context.app
    settle_left_behind(app)
    with app.database.read() as session:
        issue, now = find(session, issue_name), app.now()
        counts = issue_counts(session, issue.id, now=now)
        sending = issue.state is IssueState.SENDING
        waits = what_it_waits_for(session, issue.id, app.config, now) if sending else []
    if context.output.as_json:
        context.output.data(counts)
        return
    context.output.show(counts_text(counts, with_time_left=True))
    for label, words in zip(["Waiting", *[""] * len(waits)], waits, strict=False):
        context.output.show(wrapped(words, indent=11, first=label))


@click.command()
@issue_argument
@click.option(
    "--html",
    "page",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a page with charts; only you can read it, for it holds names.",
)
@pass_context
def report(context: Context, issue_name: str, page: Path | None) -> None:
    """Say what came of an issue: by domain, by reply, over time, and who needs somebody.

    Example: newsletter issue report 2026-11 --html report.html
    """
    from newsletter.cli.report_text import MOST_PEOPLE, report_text
    from newsletter.compose.issue import find
    from newsletter.send.reporting import report_document
    from newsletter.send.totals import report_of

    app, output = context.app, context.output
    most = None if output.as_json else MOST_ON_A_PAGE if page else MOST_PEOPLE
    with app.database.read() as session:
        found = report_of(session, find(session, issue_name), zone=app.config.organisation.zone, most_people=most)
    if page is not None:
        _write_page(context, found, page)
    if output.as_json:
        output.data(report_document(found))
    elif page is None:
        with_bars = output.color and sys.stdout.isatty()
        text = report_text(found, drawn=with_bars)
        output.show(text if with_bars else click.unstyle(text))


def _write_page(context: Context, found: object, path: Path) -> None:
    from newsletter.cli.list_files import private_file
    from newsletter.publishing.report_page import report_page
    from newsletter.send.reporting import IssueReport

    assert isinstance(found, IssueReport)
    app = context.app
    html = report_page(found, app.template_folders, organisation=app.config.organisation, now=app.now())
    with private_file(path, bom=False) as file:
        file.write(html)
    context.output.note(f"Wrote {path}. It holds names and addresses: only you can read it.")


VERBS = (
    status,
    report,
)
