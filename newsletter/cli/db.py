"""`newsletter db`: the schema of the database; the only command that opens one of another version."""

from __future__ import annotations

import click

from newsletter.cli.main import Context, Verbs, pass_context


@click.group(cls=Verbs)
def command() -> None:
    """Bring the database to this program's version.

    Example: newsletter db upgrade
    """


@command.command()
@pass_context
def upgrade(context: Context) -> None:
    """Create the tables, or change those of an older version; all of it or nothing.

    Example: newsletter db upgrade
    """
    from newsletter.migrations import HEAD, open_and_upgrade

    before = open_and_upgrade(context.app.database_url)
    if context.output.as_json:
        context.output.data({"before": before, "now": HEAD, "changed": before != HEAD})
    elif before == HEAD:
        context.output.show(f"The database is up to date (version {HEAD}).")
    else:
        context.output.show(f"The database is now at version {HEAD} (before: {before or 'empty'}).")
