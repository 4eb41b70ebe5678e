"""`newsletter config`: every key with its value and where it came from; secrets never leave it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from newsletter.cli.main import Context, Verbs, pass_context


@click.group(cls=Verbs)
def command() -> None:
    """See the configuration that is in force.

    Example: newsletter config show
    """


@command.command()
@click.argument("keys", metavar="[KEY]...", nargs=-1)
@click.option("--given", is_flag=True, help="Only what the file or the environment sets.")
@pass_context
def show(context: Context, keys: tuple[str, ...], given: bool) -> None:
    """Print each key with its value and origin: the file, a variable, or the default.

    A KEY may be a whole table, for example smtp.

    Example: newsletter config show smtp
    """
    from newsletter.config.loading import DEFAULT, find_workspace, load_config, shown_values

    _, path = find_workspace(context.workspace_option, context.config_option, os.environ, Path.cwd())
    loaded = load_config(path, os.environ)
    rows = [
        {"key": key, "value": value, "origin": loaded.origin(key)}
        for key, value in shown_values(loaded.config)
        if not keys or any(key == k or key.startswith(k + ".") for k in keys)
    ]
    _refuse_unknown(keys, [str(row["key"]) for row in rows])
    if given:
        rows = [row for row in rows if row["origin"] != DEFAULT]
    if context.output.as_json:
        context.output.data(rows)
        return
    for row in rows:
        context.output.show(f"{row['key']} = {json.dumps(row['value'], ensure_ascii=False)}  ({row['origin']})")


def _refuse_unknown(keys: tuple[str, ...], found: list[str]) -> None:
    import difflib

    from newsletter.config.keys import known_keys
    from newsletter.errors import NotFound

    for key in keys:
        if not any(name == key or name.startswith(key + ".") for name in found):
            near = difflib.get_close_matches(key, list(known_keys()), n=1, cutoff=0.5)
            raise NotFound("key", key, hint=f"Did you mean {near[0]}?" if near else "All keys: newsletter config show")
