"""`newsletter init`: make a workspace; asks on a terminal, takes options elsewhere, invents nothing."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from newsletter.cli.main import Context, pass_context

if TYPE_CHECKING:
    from newsletter.app import App
    from newsletter.workspace import Answers

_QUESTIONS = {
    "name": "Name of your network",
    "from_address": "Address that issues come from",
    "postal_address": "Postal address for the foot of every issue",
    "web_url": "Public web address, https://...",
}


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--name", help="Name of the organisation.")
@click.option("--from-address", metavar="ADDRESS", help="The From of every issue.")
@click.option("--postal-address", metavar="TEXT", help="Postal address, for the foot of every issue.")
@click.option("--web-url", metavar="URL", help="Public address of the unsubscribe pages.")
@click.option("--timezone", metavar="ZONE", help="Default: Europe/London.")
@click.option("--smtp-host", metavar="HOST", help="The relay. Default: 127.0.0.1.")
@click.option("--smtp-port", metavar="PORT", type=click.IntRange(1, 65535), help="Its port. Default: 25.")
@pass_context
def command(context: Context, /, folder: Path, **given: Any) -> None:
    """Make a workspace: configuration, keys, folders and database.

    Example: newsletter init newsletter --name "Example Network" --from-address news@example.org
    """
    from newsletter.workspace import Answers, make_folders, refuse_foreign_folder

    workspace = context.workspace_for_new(folder)
    refuse_foreign_folder(workspace)
    is_new = not workspace.config.exists()
    answers = _checked(replace(Answers(), **_told(context, given))) if is_new else None
    made = [str(path) for path in make_folders(workspace)]
    app = _furnish(context, workspace.config, answers)
    if answers is not None:
        made.append(str(workspace.config))
    _report(context, app, folder, made, kept_config=not is_new)


def _told(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were given; on a terminal also the answers to what was not, Enter leaving it open."""
    told = {name: value for name, value in given.items() if value is not None}
    if context.output.yes or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return told
    for name, question in _QUESTIONS.items():
        if name not in told:
            answer = click.prompt(question, default="", show_default=False, err=True).strip()
            if answer:
                told[name] = answer
    return told


def _checked(answers: Answers) -> Answers:
    """Refuse what the configuration would refuse, before anything is written."""
    import tomllib

    from pydantic import ValidationError

    from newsletter.config.loading import in_words
    from newsletter.config.settings import Config
    from newsletter.errors import ConfigError, ConfigProblem
    from newsletter.workspace import config_text

    try:
        Config.model_validate(tomllib.loads(config_text(answers)))
    except ValidationError as error:
        raise ConfigError(
            [ConfigProblem("init", ".".join(map(str, e["loc"])), in_words(e)) for e in error.errors()]
        ) from None
    return answers


def _furnish(context: Context, path: Path, answers: Answers | None) -> App:
    from newsletter.app import App
    from newsletter.config.loading import load_config
    from newsletter.keys import create_keys
    from newsletter.migrations import open_and_upgrade
    from newsletter.paths import Workspace
    from newsletter.send.instance import note_place
    from newsletter.workspace import write_config

    workspace = Workspace(path.parent)
    if answers is not None:
        write_config(path, answers)
    app = App(workspace=workspace, config=load_config(path, os.environ).config, actor=context.actor)
    create_keys(workspace.secrets)
    open_and_upgrade(app.database_url)
    with closing(app), app.database.write() as session:
        note_place(session, app.now())
    return app


def _report(context: Context, app: App, folder: Path, made: list[str], *, kept_config: bool) -> None:
    root, unfinished = app.workspace.root, app.config.unfinished
    if context.output.as_json:
        context.output.data({"workspace": str(root), "created": made, "unfinished": list(unfinished)})
        return
    context.output.show(f"{'The workspace is complete' if kept_config else 'Made a workspace'}: {root}")
    if unfinished:
        context.output.show(f"Still to fill in, in {app.workspace.config}:")
        for key in unfinished:
            context.output.show(f"  {key}")
    context.output.note(_next_steps(folder))


def _next_steps(folder: Path) -> str:
    steps = [
        ("newsletter doctor", "see whether all is well"),
        ("newsletter source add feed URL", "say where posts come from"),
        ("newsletter issue draft", "gather them into an issue"),
    ]
    lines = ["Next:", *([f"  cd {folder}"] if folder != Path() else []), *(f"  {c:<31} {why}" for c, why in steps)]
    return "\n".join(lines)
