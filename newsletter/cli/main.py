"""
The `newsletter` command: global options, one lazily imported file a noun, and errors turned into words and exit codes.
"""

from __future__ import annotations

import difflib
import getpass
import importlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import click

from newsletter.app import App
from newsletter.cli.output import Output
from newsletter.errors import ConfigError, NewsletterError, PreflightRefused
from newsletter.paths import Workspace
from subscribers.errors import SubscribersError

EXIT_FAILED, EXIT_USAGE, EXIT_PREFLIGHT, EXIT_WITH_FAILURES, EXIT_TEMPORARY = 1, 2, 3, 4, 75

# noun -> module that holds a click command or group named `command`; imported when the noun is used, so that
# `newsletter --help` and shell completion stay fast.
NOUNS = {
    "init": "newsletter.cli.init",
    "demo": "newsletter.cli.demo",
    "doctor": "newsletter.cli.doctor",
    "serve": "newsletter.cli.serve",
    "work": "newsletter.cli.work",
    "source": "newsletter.cli.source",
    "library": "newsletter.cli.library",
    "issue": "newsletter.cli.issue",
    "audience": "newsletter.cli.audience",
    "subscribers": "newsletter.cli.subscribers",
    "lists": "newsletter.cli.lists",
    "segments": "newsletter.cli.segments",
    "imports": "newsletter.cli.imports",
    "profiles": "newsletter.cli.profiles",
    "suppressions": "newsletter.cli.suppressions",
    "bounces": "newsletter.cli.bounces",
    "uncertain": "newsletter.cli.uncertain",
    "dkim": "newsletter.cli.dkim",
    "keys": "newsletter.cli.keys",
    "tokens": "newsletter.cli.tokens",
    "db": "newsletter.cli.db",
    "audit": "newsletter.cli.audit",
    "retention": "newsletter.cli.retention",
    "requests": "newsletter.cli.requests",
    "config": "newsletter.cli.config",
}

# What `newsletter --help` says of each, so that it imports none of them; a test keeps it equal to the commands' own.
SUMMARIES = {
    "init": "Make a workspace: configuration, keys, folders and database.",
    "demo": "Show the whole of it on a sample network; nothing leaves this machine.",
    "doctor": "Look at the workspace and the machine, and say what to mend.",
    "serve": "Serve the pages behind the links of a mail, and work beside it.",
    "work": "Send what is scheduled or deferred, until it is stopped.",
    "source": "Where posts and events come from.",
    "library": "The posts, events and resources that sources gave.",
    "issue": "Draft, edit, look at, approve and send issues.",
    "audience": "Whom an issue goes to: lists and segments, minus exclusions.",
    "subscribers": "People: who is on which list, why, and what is known of them.",
    "lists": "The lists that people subscribe to.",
    "segments": "Groups of people by town, role, tag, list, day of joining and so on.",
    "imports": "Imports of people: each is a batch that can be looked at and undone.",
    "profiles": "What the columns of a regular file mean, kept by name for the next import.",
    "suppressions": "Addresses and domains that are never mailed.",
    "bounces": "Mail that came back: take it, look at it, undo what was made of it.",
    "uncertain": "Copies that may or may not have arrived: list them, settle them.",
    "dkim": "Keys that sign mail (DKIM), where your mail server does not sign it.",
    "keys": "The secrets of the workspace.",
    "tokens": "Tokens of the programming interface, for forms and other programs.",
    "db": "Look after the database: its version, backups, and which copy is the live one.",
    "audit": "Who did what, and when; and whether the log of it is whole.",
    "retention": "Forget what is older than it is kept.",
    "requests": "Complaints and requests about somebody's own data, and by when each must be answered.",
    "config": "See the configuration that is in force.",
}


@dataclass
class Context:
    """What a command is handed: the output, and the application, opened when first asked for."""

    output: Output
    workspace_option: Path | None = None
    config_option: Path | None = None
    actor: str = ""
    verbose: bool = False
    _opened: list[App] = field(default_factory=list)

    @cached_property
    def app(self) -> App:
        from newsletter.config.loading import find_workspace, load_config
        from newsletter.workspace import refuse_half_restored

        workspace, config_path = find_workspace(self.workspace_option, self.config_option, os.environ, Path.cwd())
        refuse_half_restored(workspace)
        loaded = load_config(config_path, os.environ)
        app = App(workspace=workspace, config=loaded.config, actor=self.actor, check_schema=True)
        self._opened.append(app)
        return app

    def workspace_for_new(self, folder: Path) -> Workspace:
        return Workspace(folder.resolve())

    def close(self) -> None:
        """Let the file of who is never mailed follow what was written; its trouble is told, and fails no command."""
        for app in self._opened:
            if app.has_written:
                try:
                    app.keeper.keep(now=app.now())
                except (NewsletterError, SubscribersError) as error:
                    self.output.warn(f"{error.message} {error.hint}".rstrip())
            app.close()


pass_context = click.make_pass_decorator(Context)


class Nouns(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(NOUNS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in NOUNS:
            return None
        command: click.Command = importlib.import_module(NOUNS[cmd_name]).command
        accept_trailing_options(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(noun, SUMMARIES.get(noun, "")) for noun in NOUNS])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Resolved:
        return _resolve_with_hint(super().resolve_command, self, ctx, args)


class Verbs(click.Group):
    """A noun's group; a wrong verb suggests the nearest."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Resolved:
        return _resolve_with_hint(super().resolve_command, self, ctx, args)


Resolved = tuple[str | None, click.Command | None, list[str]]


def _resolve_with_hint(
    resolve: Callable[[click.Context, list[str]], Resolved], group: click.Group, ctx: click.Context, args: list[str]
) -> Resolved:
    try:
        return resolve(ctx, args)
    except click.UsageError:
        words = difflib.get_close_matches(args[0], group.list_commands(ctx), n=1, cutoff=0.5)
        hint = f" Did you mean '{words[0]}'?" if words else f" Known: {', '.join(group.list_commands(ctx))}."
        raise click.UsageError(f"There is no command '{args[0]}'.{hint}", ctx) from None


def _set_flag(name: str) -> Any:
    def set_flag(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
        if value:
            setattr(ctx.ensure_object(Context).output, name, True)

    return set_flag


def accept_trailing_options(command: click.Command) -> None:
    """Let `--json`, `--yes` and `--quiet` stand after the verb as well."""
    if isinstance(command, click.Group):
        for sub in command.commands.values():
            accept_trailing_options(sub)
    elif not any(p.name == "trailing_json" for p in command.params):
        for flag, attribute in (("--json", "as_json"), ("--yes", "yes"), ("--quiet", "quiet")):
            command.params.append(
                click.Option(
                    [flag, f"trailing_{flag[2:]}"],
                    is_flag=True,
                    hidden=True,
                    expose_value=False,
                    callback=_set_flag(attribute),
                )
            )


@click.group(cls=Nouns, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--workspace", type=click.Path(path_type=Path, file_okay=False), help="Folder that `init` wrote.")
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="Configuration file.")
@click.option("--as", "actor", metavar="NAME", help="Who does this, for the records. Default: your login name.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--yes", is_flag=True, help="Answer every question with yes.")
@click.option("--quiet", is_flag=True, help="Print only what was asked for.")
@click.option("--verbose", is_flag=True, help="Tell more, for finding faults.")
@click.option("--no-color", is_flag=True, help="No colours. NO_COLOR works too.")
@click.version_option(package_name="network-newsletter", prog_name="newsletter")
@click.pass_context
def cli(
    ctx: click.Context,
    workspace: Path | None,
    config: Path | None,
    actor: str | None,
    as_json: bool,
    yes: bool,
    quiet: bool,
    verbose: bool,
    no_color: bool,
) -> None:
    """Compose newsletters from posts and events, and deliver them.

    Example: newsletter issue draft
    """
    output = Output(as_json=as_json, quiet=quiet, yes=yes, color=not no_color and "NO_COLOR" not in os.environ)
    ctx.obj = Context(output, workspace, config, actor or _login_name(), verbose)
    ctx.call_on_close(ctx.obj.close)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; trouble ends in words, a hint and an exit code; only --verbose shows a traceback."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = cli.main(args=words, standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_FAILED)
    except Exception as error:
        if "--verbose" in words and not isinstance(error, _EXPECTED):
            raise
        _tell(_explain(error), as_json="--json" in words)


@dataclass(frozen=True, slots=True)
class _Trouble:
    code: str
    message: str
    hint: str
    exit_code: int


_EXPECTED = (click.exceptions.Abort, click.ClickException, NewsletterError, SubscribersError, OSError)


def _explain(error: Exception) -> _Trouble:
    """Put an exception into words; the only place where exit codes are given to errors."""
    if isinstance(error, click.exceptions.Abort):
        return _Trouble("aborted", "Stopped.", "", EXIT_FAILED)
    if isinstance(error, click.ClickException):
        usage = error.ctx.get_usage() if isinstance(error, click.UsageError) and error.ctx else ""
        return _Trouble("usage", error.format_message(), usage, error.exit_code)
    if isinstance(error, NewsletterError | SubscribersError):
        exits = {ConfigError: EXIT_USAGE, PreflightRefused: EXIT_PREFLIGHT}
        return _Trouble(error.code, error.message, error.hint, exits.get(type(error), EXIT_FAILED))
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        return _Trouble("system", f"{error.strerror or error}{where}", "", EXIT_FAILED)
    message = f"Something went wrong that this program did not expect ({type(error).__name__})."
    return _Trouble("internal", message, "Run it again with --verbose and report what it prints.", EXIT_FAILED)


def _tell(trouble: _Trouble, *, as_json: bool) -> NoReturn:
    if as_json:
        told = {"error": {"code": trouble.code, "message": trouble.message, "hint": trouble.hint}}
        click.echo(json.dumps(told, ensure_ascii=False), err=True)
    else:
        click.echo(f"newsletter: {trouble.message}" + (f"\n{trouble.hint}" if trouble.hint else ""), err=True)
    sys.exit(trouble.exit_code)


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


if __name__ == "__main__":
    from newsletter.cli.main import main as run_once  # this file is `__main__` here; commands know it by its name

    run_once()
