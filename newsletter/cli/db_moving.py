"""`newsletter db migrate-to`: everything into another database, compared row by row; then that one is live."""

from __future__ import annotations

import os
from pathlib import Path

import click

from newsletter.cli.main import Context, pass_context


@click.command(name="migrate-to")
@click.argument("url", metavar="URL")
@pass_context
def migrate_to(context: Context, url: str) -> None:
    """Move to another database, from SQLite to PostgreSQL or back, and go on there.

    The new one must be empty. Everything is copied in one transaction and compared; the old one sends nothing any more.
    Stop `newsletter serve` and `work` first. A password need not stand in the URL: libpq's own ways work too.

    Example: newsletter db migrate-to postgresql+psycopg://newsletter@/newsletter
    """
    from newsletter.backup.moving import count_all, move
    from newsletter.backup.placing import require_alone
    from newsletter.config.loading import find_workspace
    from newsletter.migrations import require_current

    app, output = context.app, context.output
    _check(url, app.database_url)
    _, config_path = find_workspace(context.workspace_option, context.config_option, os.environ, Path.cwd())
    app.keeper.keep(now=app.now())
    total = count_all(app.database)
    if not output.confirm(f"Move {total:,} rows to the new database, and send from there alone?"):
        raise click.Abort
    if app.database.is_sqlite:
        app.database.close()  # this command's own connection is none of another program
        require_alone(Path(str(app.database.url.database)))
    require_current(app.database)
    with output.progress("Moving, then comparing", 2 * total) as bar:
        moved = move(app.database, url, app.workspace.locks, audit=app.audit, now=app.now(), tell=bar.advance)
    written = _set_url(context, config_path, url)
    if output.as_json:
        output.data({"rows": sum(moved.counts.values()), "counts": moved.counts, "config_changed": written})
        return
    output.show(f"Moved {sum(moved.counts.values()):,} rows of {len(moved.counts)} tables; each compared equal.")
    if written:
        output.show(f"database.url in {config_path} names the new database. Start the service again.")
    else:
        output.show(f'Now write into {config_path}, below [database]: url = "...", the URL that you gave here.')
    output.note("The old database sends nothing any more. Keep it until you are sure, then delete it.")


def _check(url: str, present: str) -> None:
    from newsletter.errors import InvalidValue

    if not url.startswith(("sqlite:////", "postgresql+psycopg://")):
        raise InvalidValue(
            "The URL must begin with postgresql+psycopg://, or with sqlite:/// and an absolute path.",
            hint="For example: postgresql+psycopg://newsletter@/newsletter",
        )
    if url == present:
        raise InvalidValue("That is the database in use.")


def _set_url(context: Context, config_path: Path, url: str) -> bool:
    """Let the configuration name the new database, where somebody says so; tell whether it does."""
    from newsletter.config.editing import set_database_url, write_config
    from newsletter.config.loading import load_config
    from newsletter.errors import InvalidValue

    output = context.output
    if not output.confirm(f"Write the new database.url into {config_path}?"):
        return False
    try:
        write_config(config_path, set_database_url(config_path.read_text(encoding="utf-8-sig"), url))
    except InvalidValue as error:
        output.warn(f"{error.message} {error.hint}")
        return False
    if load_config(config_path, os.environ).config.database.url.get_secret_value() != url:
        output.warn("The environment names another database (NEWSLETTER__DATABASE__URL): change it there.")
    return True


VERBS = (migrate_to,)
