"""`bounces receive, undo`: take a mail from a mail server's pipe; take back what was made of one."""

from __future__ import annotations

import sys

import click

from newsletter.cli.main import EXIT_TEMPORARY, Context, pass_context


@click.command()
@click.option("--to", "envelope_to", metavar="ADDRESS", help="The address that the mail server delivered it to.")
@click.pass_context
def receive(ctx: click.Context, envelope_to: str | None) -> None:
    """Take one mail from standard input, as a mail server pipes it.

    Ends with code 75 whenever it could not be kept, so that the mail server keeps it and tries again; with 0 once it
    is on disk, whole. The mark stands in the address that it was delivered to, so the mail server must hand that over.
    In Postfix's master.cf (docs/install.md has the rest, under "Postfix, by a pipe"):

    \b
      newsletter unix - n n - 2 pipe
        flags=R user=newsletter
        argv=/usr/local/bin/newsletter --workspace /srv/newsletter/workspace
          bounces receive --to ${original_recipient}

    Example: newsletter bounces receive --to b+17.k2xqabcdefghijkl@bounces.example.org < mail.eml
    """
    context = ctx.ensure_object(Context)
    try:
        taken = _take(context, envelope_to)
    except Exception as error:  # whatever it was, the mail server still has the mail
        context.output.warn(f"newsletter: The mail could not be kept: {_reason(error)}")
        ctx.exit(EXIT_TEMPORARY)
    if context.output.as_json:
        context.output.data(taken)


def _take(context: Context, envelope_to: str | None) -> dict[str, object]:
    from dataclasses import asdict

    from subscribers.bounces.intake import LARGEST_KEPT_BYTES
    from subscribers.errors import InvalidValue

    raw = sys.stdin.buffer.read(LARGEST_KEPT_BYTES + 1)
    if len(raw) > LARGEST_KEPT_BYTES:
        raise InvalidValue(f"The mail is larger than {LARGEST_KEPT_BYTES // 1_000_000} MB.")
    return asdict(context.app.intake.take_mail(raw, way="pipe", envelope_to=envelope_to))


def _reason(error: Exception) -> str:
    """Return why, without anything that may come from the mail itself."""
    from newsletter.errors import NewsletterError
    from subscribers.errors import SubscribersError

    return error.message if isinstance(error, NewsletterError | SubscribersError) else type(error).__name__


@click.command()
@click.argument("report", metavar="ID", type=int)
@click.option("--reason", required=True, metavar="TEXT", help="Why it was wrong.")
@pass_context
def undo(context: Context, report: int, reason: str) -> None:
    """Take back what was made of one report: suppression, withdrawal, and what it added to the score.

    What it does not touch is said.

    Example: newsletter bounces undo 17 --reason "their server was misconfigured for a day"
    """
    from newsletter.audit.log import Action
    from newsletter.cli.issue_text import tell
    from newsletter.send.patience import patiences
    from subscribers.bounces import undoing

    app, output = context.app, context.output
    with app.database.write() as session:
        undone = undoing.undo(
            session, report, by=app.actor, reason=reason, patiences=patiences(app.config), now=app.now()
        )
        app.audit.record(session, Action.BOUNCE_UNDONE, f"report {report}", events=len(undone.events))
    if output.as_json:
        output.data({"undone": undone.events, "done": undone.done, "untouched": undone.untouched})
        return
    for line in undone.done:
        tell(output, line)
    for line in undone.untouched:
        tell(output, f"Not touched: {line}")


VERBS = (receive, undo)
