"""`newsletter uncertain`: copies that may or may not have arrived, and a person's word on them."""

from __future__ import annotations

from typing import Any

import click

from newsletter.cli.main import Context, Verbs, pass_context

MOST_SHOWN = 50


@click.group(cls=Verbs)
def command() -> None:
    """Copies that may or may not have arrived: list them, settle them.

    Example: newsletter uncertain list
    """


@command.command("list")
@click.option("--issue", metavar="ISSUE", help="Only those of one issue, by its slug.")
@click.option("--all", "show_all", is_flag=True, help=f"Show more than {MOST_SHOWN} of them.")
@pass_context
def list_command(context: Context, issue: str | None, show_all: bool) -> None:
    """List the copies that may or may not have arrived: how many and why, then each with its Message-ID.

    Example: newsletter uncertain list --issue 2026-11
    """
    from newsletter.send.left_behind import settle_left_behind
    from newsletter.send.uncertain import list_uncertain, sum_uncertain

    settle_left_behind(context.app)
    output = context.output
    most = None if show_all or output.as_json else MOST_SHOWN
    with context.app.database.read() as session:
        sums = sum_uncertain(session, issue)
        rows = list_uncertain(session, issue, most=most)
    if output.as_json or not rows:
        output.table(rows, (), empty="No copy is uncertain.")
        return
    output.table(sums, ("copies", "issue", "reason"), empty="")
    for row in rows:
        output.show(f"\n{_words_of(row)}")
    left = sum(row["copies"] for row in sums) - len(rows)
    if left > 0:
        output.note(f"\nand {left:,} more: newsletter uncertain list --all")
    output.note(
        "\nLook for the Message-ID in your mail server's log, then:\n"
        "  newsletter uncertain resolve DELIVERY... --sent    it arrived\n"
        "  newsletter uncertain resolve DELIVERY... --resend  it may come twice then"
    )


def _words_of(row: dict[str, Any]) -> str:
    """Tell one copy on lines of their own, so that a Message-ID can be copied whole into a search."""
    from newsletter.cli.output import plain

    first = f"{row['delivery']}  {row['issue']}  {row['address']}  {row['since']:%Y-%m-%d %H:%M}"
    return "\n  ".join(plain(line) for line in (first, row["message_id"], row["reason"]) if line)


@command.command()
@click.argument("deliveries", metavar="DELIVERY...", type=int, nargs=-1)
@click.option("--issue", "issue_name", metavar="ISSUE", help="All uncertain copies of one issue.")
@click.option("--sent", "how", flag_value="sent", help="They arrived.")
@click.option("--resend", "how", flag_value="resend", help="Send them again, with the same bytes.")
@pass_context
def resolve(context: Context, deliveries: tuple[int, ...], issue_name: str | None, how: str | None) -> None:
    """Settle uncertain copies: they arrived, or they are sent again. It cannot be undone.

    Example: newsletter uncertain resolve 17 18 --sent
    """
    from newsletter.audit.log import Action
    from newsletter.compose.issue import find
    from newsletter.send import uncertain
    from newsletter.send.left_behind import settle_left_behind

    if how is None:
        raise click.UsageError("Say what is true of them: --sent or --resend.")
    if bool(deliveries) == bool(issue_name):
        raise click.UsageError("Name the deliveries, or one issue with --issue.")
    app, as_sent = context.app, how == "sent"
    settle_left_behind(app)
    with app.database.read() as session:
        sums = uncertain.sum_uncertain(session, find(session, issue_name).slug) if issue_name else []
    asked = sum(row["copies"] for row in sums) if issue_name else len(deliveries)
    for row in sums:
        context.output.note(f"{_copies(row['copies'])}: {row['reason'] or 'no reason noted'}")
    if asked and not as_sent and not context.output.confirm(f"Send {_copies(asked)} again? Somebody may get it twice."):
        raise click.Abort
    if asked and as_sent and issue_name:
        question = f"Settle {_copies(asked)} of {issue_name} as sent, for good? Who did not get it never will."
        if not context.output.confirm(question):
            raise click.Abort
    with app.database.write() as session:
        if issue_name:
            issue = find(session, issue_name)
            issue_name = issue.slug
            count = uncertain.resolve_issue(session, issue, as_sent=as_sent, actor=app.actor, now=app.now())
        else:
            count = uncertain.resolve(session, deliveries, as_sent=as_sent, actor=app.actor, now=app.now())
        which = {"issue": issue_name} if issue_name else {"deliveries": sorted(deliveries)[:MOST_SHOWN]}
        app.audit.record(session, Action.UNCERTAIN_RESOLVED, "deliveries", copies=count, settled=how, **which)
    if context.output.as_json:
        context.output.data({"resolved": count, "as": how})
    elif as_sent:
        context.output.show(f"{count:,} settled as sent.")
    else:
        context.output.show(f"{count:,} put back; `newsletter work` or `newsletter issue send` sends them.")


def _copies(count: int) -> str:
    return "1 copy" if count == 1 else f"{count:,} copies"
