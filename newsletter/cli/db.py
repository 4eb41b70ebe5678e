"""`newsletter db`: the schema of the database, and which copy of it is the live one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from newsletter.cli import db_backup, db_moving
from newsletter.cli.main import Context, Verbs, pass_context

if TYPE_CHECKING:
    from newsletter.app import App


@click.group(cls=Verbs)
def command() -> None:
    """Look after the database: its version, backups, and which copy is the live one.

    Example: newsletter db backup
    """


for _verb in (*db_backup.VERBS, *db_moving.VERBS):
    command.add_command(_verb)


@command.command()
@pass_context
def upgrade(context: Context) -> None:
    """Create the tables, or change those of an older version; all of it or nothing.

    Example: newsletter db upgrade
    """
    from newsletter.migrations import HEAD, open_and_upgrade

    app = context.app
    before = open_and_upgrade(app.database_url)
    if before != HEAD:
        _record_upgrade(app, before)
    if context.output.as_json:
        context.output.data({"before": before, "now": HEAD, "changed": before != HEAD})
    elif before == HEAD:
        context.output.show(f"The database is up to date (version {HEAD}).")
    else:
        context.output.show(f"The database is now at version {HEAD} (before: {before or 'empty'}).")


@command.command()
@click.option(
    "--nothing-sent-since", is_flag=True, help="The other database has sent nothing since this copy was made."
)
@click.option("--restored", is_flag=True, help="It was put back from a backup, though nothing here shows it.")
@click.option(
    "--never-mail", "files", multiple=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE", help="A newer never-mail.jsonl to apply too.",
)  # fmt: skip
@pass_context
def adopt(context: Context, nothing_sent_since: bool, restored: bool, files: tuple[Path, ...]) -> None:
    """Make a copied or restored database the live one, so that it may send again.

    What it holds as still to be sent may have been sent by the other one: those copies become uncertain, unless you
    know that nothing was sent since. Issues that were going out, and schedules, then wait for you. Whoever left since
    the copy was made stays out (never-mail.jsonl). On the live database nothing is changed.

    Example: newsletter db adopt --nothing-sent-since
    """
    from dataclasses import asdict

    from newsletter.audit.log import Action
    from newsletter.personal_data.never_mail import apply
    from newsletter.send.instance import adopt as make_live
    from newsletter.send.instance import is_live, require_no_sender, to_do

    app, output = context.app, context.output
    with app.database.read() as session:
        live, left = is_live(session), to_do(session)
        if restored or not live:
            require_no_sender(session, app.workspace.locks)
    if live and not restored:
        _tell_live(context)
        return
    for slug, count in left.items():
        output.note(f"{slug}: {count:,} to be sent when this copy was made.")
    if left and not nothing_sent_since:
        output.note(
            "The other database may have sent them since, so they become uncertain (newsletter uncertain list)."
        )
        output.note("If you know that it has sent nothing: newsletter db adopt --nothing-sent-since")
    if not output.confirm("Make this database the live one? Never send from the other one again."):
        raise click.Abort
    with app.database.write() as session:
        require_no_sender(session, app.workspace.locks)
        applied = apply(session, [app.workspace.never_mail, *files], app.keys.pepper, at=app.now())
        made = make_live(session, now=app.now(), nothing_sent_since=nothing_sent_since)
        lost = app.audit.begin_again(session)
        app.audit.record(session, Action.DATABASE_ADOPTED, "database", uncertain=made.uncertain, entries_lost=lost)
    if output.as_json:
        told = {"changed": True, "uncertain": made.uncertain, "paused": list(made.paused)}
        output.data({**told, "never_mail": asdict(applied.replayed)})
        return
    output.show("This database is the live one.")
    for words in db_backup.never_mail_words(asdict(applied.replayed)):
        output.show(words)
    if applied.damaged:
        output.warn(f"{len(applied.damaged):,} damaged lines of never-mail.jsonl could not be applied.")
    if made.uncertain:
        output.show(f"{made.uncertain:,} copies are uncertain: newsletter uncertain list")
    for slug in made.paused:
        output.show(f"{slug} is paused. Look at it: newsletter issue status {slug}")


def _record_upgrade(app: App, before: str | None) -> None:
    """Record the new version. A workspace of before the audit log has no key for it yet; its log is empty."""
    from newsletter.audit.log import Action, head_of
    from newsletter.keys import AUDIT, create_keys
    from newsletter.migrations import HEAD

    with app.database.write() as session:
        if head_of(session).number == 0:
            create_keys(app.workspace.secrets, only=(AUDIT,))
        app.audit.record(session, Action.DATABASE_UPGRADED, "database", before=before, now=HEAD)


def _tell_live(context: Context) -> None:
    if context.output.as_json:
        context.output.data({"changed": False, "uncertain": 0, "paused": []})
    else:
        context.output.show("This is the live one already. Nothing was changed.")
        context.output.note("If a backup was put back whole, which nothing shows: newsletter db adopt --restored")
