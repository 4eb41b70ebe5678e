"""`issue preview, check, render, test`: what an issue looks like before anybody gets it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from newsletter.cli.issue_argument import done, issue_argument
from newsletter.cli.main import EXIT_PREFLIGHT, Context, pass_context

if TYPE_CHECKING:
    from newsletter.preflight import Finding, Report


@click.command()
@issue_argument
@click.option("--open", "opening", is_flag=True, help="Open it in the browser.")
@pass_context
def preview(context: Context, issue_name: str, opening: bool) -> None:
    """Write a page that shows the mail at 600 and 360 px, dark, without pictures, and as text.

    Example: newsletter issue preview 2026-11 --open
    """
    from newsletter.compose.issue import find
    from newsletter.publishing.frozen import look_at
    from newsletter.publishing.preview import pages_of, preview_page
    from newsletter.publishing.trial import sample_values

    app = context.app
    with app.database.read() as session:
        issue = find(session, issue_name)
        slug, pages = issue.slug, pages_of(issue.slug, look_at(app, session, issue).variants)
    values = sample_values(app)
    app.workspace.outbox.mkdir(mode=0o700, parents=True, exist_ok=True)
    paths = [app.workspace.outbox / page.name for page in pages]
    web_url = app.config.web.url.rstrip("/")
    for page, path in zip(pages, paths, strict=True):
        text = preview_page(
            page,
            pages,
            values,
            media=app.workspace.media,
            web_url=web_url,
            discreet_name=app.config.discreet.from_name,
        )
        path.write_text(text, encoding="utf-8")
    if context.output.as_json:
        context.output.data({"issue": slug, "files": [str(path) for path in paths]})
    else:
        context.output.show("\n".join(map(str, paths)))
    if opening:
        click.launch(paths[0].as_uri())


@click.command()
@issue_argument
@click.pass_context
def check(ctx: click.Context, issue_name: str) -> None:
    """Say what blocks sending and what is worth a look; exit 3 when something blocks.

    Example: newsletter issue check 2026-11 --json
    """
    from newsletter.compose.issue import find
    from newsletter.publishing import prepare

    context = ctx.ensure_object(Context)
    app = context.app
    with app.database.read() as session:
        report = prepare(app, session, find(session, issue_name)).report
    if context.output.as_json:
        context.output.data(report.to_json())
    else:
        _tell_report(context, report)
    if not report.passes:
        ctx.exit(EXIT_PREFLIGHT)


@click.command()
@issue_argument
@click.option("--out", "folder", type=click.Path(path_type=Path, file_okay=False), required=True, help="Where to.")
@click.option("--discreet", is_flag=True, help="As people get it who chose discreet mail: text alone.")
@pass_context
def render(context: Context, issue_name: str, folder: Path, discreet: bool) -> None:
    """Write issue.html and issue.txt of every variant, and sample.eml: one member's whole message.

    A variant in discreet form has no HTML, so only its text is written.

    Example: newsletter issue render 2026-11 --out outbox/2026-11
    """
    from newsletter.compose.issue import find
    from newsletter.publishing.frozen import look_at
    from newsletter.publishing.prepare import discreet_form
    from newsletter.publishing.trial import sample_message, sample_values
    from newsletter.render.personal import fill_html, fill_text

    app = context.app
    with app.database.read() as session:
        issue = find(session, issue_name)
        slug, look = issue.slug, look_at(app, session, issue)
        message = sample_message(app, session, issue, look, discreet=discreet)
    values, written = sample_values(app), []
    folder.mkdir(parents=True, exist_ok=True)
    for variant in (discreet_form(app, each) if discreet else each for each in look.variants):
        number = "" if variant.number == 1 else f".{variant.number}"
        for suffix, text in (
            ("html", fill_html(variant.rendered.html, values)),
            ("txt", fill_text(variant.rendered.text, values)),
        ):
            if not text:
                continue
            path = folder / f"issue{number}.{suffix}"
            path.write_bytes(text.encode("utf-8"))
            written.append(path)
    sample = folder / "sample.eml"
    sample.write_bytes(message)
    written.append(sample)
    if context.output.as_json:
        context.output.data({"issue": slug, "files": [str(path) for path in written]})
    else:
        context.output.show("\n".join(map(str, written)))


@click.command()
@issue_argument
@click.option("--to", "addresses", metavar="ADDRESS", multiple=True, required=True, help="Anybody. Repeatable.")
@click.option("--variant", "number", type=click.IntRange(min=1), default=1, help="Which variant. Default: 1.")
@click.option("--discreet", is_flag=True, help="As people get it who chose discreet mail: text alone.")
@pass_context
def test(context: Context, issue_name: str, addresses: tuple[str, ...], number: int, discreet: bool) -> None:
    """Mail a copy, marked as a test, to somebody who need not be a subscriber.

    Example: newsletter issue test 2026-11 --to ann@example.org
    """
    from newsletter.compose.issue import find
    from newsletter.publishing.frozen import look_at
    from newsletter.publishing.trial import send_tests

    app = context.app
    with app.database.read() as session:
        issue = find(session, issue_name)
        slug, look = issue.slug, look_at(app, session, issue)
    send_tests(app, slug, look, number=number, addresses=addresses, discreet=discreet)
    words = f"A {'discreet ' if discreet else ''}test copy of {slug} went to {', '.join(addresses)}."
    blocking = len(look.prepared.report.blocks) if look.prepared else 0
    if blocking:
        words += f"\nSending is still blocked ({blocking}): newsletter issue check {slug}"
    if len(look.variants) > 1:
        words += f"\nThis was variant {number} of {len(look.variants)}; see another with --variant."
    done(context.output, {"issue": slug, "to": list(addresses), "variant": number, "discreet": discreet}, words)


def _tell_report(context: Context, report: Report) -> None:
    from newsletter.cli.issue_text import tell

    output = context.output
    for title, findings in (("Blocks sending", report.blocks), ("Worth a look", report.warnings)):
        if findings:
            output.show(f"{title} ({len(findings)})")
            output.show(_findings(findings) + "\n")
    if report.passes:
        output.show(f"Nothing blocks sending {report.slug}.")
        tell(output, f"Next: newsletter issue send {report.slug}")
    else:
        tell(output, "Mend what blocks, then check again.")


def _findings(findings: Sequence[Finding]) -> str:
    from newsletter.cli.issue_text import wrapped

    lines = []
    for finding in findings:
        lines.append(wrapped(f"{finding.where}: {finding.message}", indent=4, first="  -"))
        if finding.fix:
            lines.append(wrapped(finding.fix, indent=4))
    return "\n".join(lines)


VERBS = (preview, check, render, test)
