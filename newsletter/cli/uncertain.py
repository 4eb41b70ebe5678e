"""`newsletter uncertain`: copies that may or may not have arrived, and a person's word on them."""

from __future__ import annotations

import click

from newsletter.cli.main import Context, Verbs, pass_context


@click.group(cls=Verbs)
def command() -> None:
    """Copies that may or may not have arrived: list them, settle them.

    Example: newsletter uncertain list
    """


@command.command("list")
@click.option("--issue", metavar="ISSUE", help="Only those of one issue, by its slug.")
@pass_context
def list_command(context: Context, issue: str | None) -> None:
    """List the copies whose dot left and whose reply never came.

    Example: newsletter uncertain list --issue 2026-11
    """
    from newsletter.send.left_behind import settle_left_behind
    from newsletter.send.uncertain import list_uncertain

    settle_left_behind(context.app)
    with context.app.database.read() as session:
        rows = list_uncertain(session, issue)
    columns = ("delivery", "issue", "address", "since", "owner")
    context.output.table(rows, columns, empty="No copy is uncertain.")
    if rows and not context.output.as_json:
        context.output.note(
            "Look for the Message-ID in your mail server's log (--json shows it), then:\n"
            "  newsletter uncertain resolve DELIVERY... --sent    it arrived\n"
            "  newsletter uncertain resolve DELIVERY... --resend  send it again; it may arrive twice"
        )


@command.command()
@click.argument("deliveries", metavar="DELIVERY...", type=int, nargs=-1)
@click.option("--issue", "issue_name", metavar="ISSUE", help="All uncertain copies of one issue.")
@click.option("--sent", "how", flag_value="sent", help="They arrived.")
@click.option("--resend", "how", flag_value="resend", help="Send them again, with the same bytes.")
@pass_context
def resolve(context: Context, deliveries: tuple[int, ...], issue_name: str | None, how: str | None) -> None:
    """Settle uncertain copies: they arrived, or they are sent again.

    Example: newsletter uncertain resolve 17 18 --sent
    """
    from newsletter.compose.issue import find
    from newsletter.send import uncertain
    from newsletter.send.left_behind import settle_left_behind

    if how is None:
        raise click.UsageError("Say what is true of them: --sent or --resend.")
    if bool(deliveries) == bool(issue_name):
        raise click.UsageError("Name the deliveries, or one issue with --issue.")
    app, as_sent = context.app, how == "sent"
    settle_left_behind(app)
    if how == "resend":
        with app.database.read() as session:
            issue = find(session, issue_name) if issue_name else None
            asked = uncertain.count_uncertain(session, issue.id) if issue else len(deliveries)
        copies = "1 copy" if asked == 1 else f"{asked:,} copies"
        if not context.output.confirm(f"Send {copies} again? Somebody may get it twice."):
            raise click.Abort
    with app.database.write() as session:
        if issue_name:
            issue = find(session, issue_name)
            count = uncertain.resolve_issue(session, issue, as_sent=as_sent, actor=app.actor, now=app.now())
        else:
            count = uncertain.resolve(session, deliveries, as_sent=as_sent, actor=app.actor, now=app.now())
    if context.output.as_json:
        context.output.data({"resolved": count, "as": how})
    elif as_sent:
        context.output.show(f"{count:,} settled as sent.")
    else:
        context.output.show(f"{count:,} put back; `newsletter work` or `newsletter issue send` sends them.")
