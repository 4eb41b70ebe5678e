"""`newsletter db backup`, `check` and `restore`: one file with all of a workspace, and the way back from it."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from newsletter.cli.main import Context, pass_context

if TYPE_CHECKING:
    from newsletter.backup.restoring import Ready, Restored
    from newsletter.cli.output import Output
    from newsletter.paths import Workspace

MEGABYTE = 1 << 20


class Steps:
    """Shows each step of a long work with a bar of its own, in megabytes; a context manager."""

    def __init__(self, output: Output) -> None:
        self._output, self._name = output, ""
        self._bar: Any = None
        self._total = 0

    def __enter__(self) -> Steps:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def step(self, name: str) -> None:
        self._end()
        self._name = name

    def tell(self, done: int, total: int) -> None:
        if self._bar is None:
            self._bar = self._output.progress(f"{self._name}, MB", None)
            self._bar.__enter__()
        self._total = max(1, total // MEGABYTE)
        self._bar.update(min(done // MEGABYTE, self._total), total=self._total)

    def pause(self) -> None:
        """Let a question be asked, with no bar under it."""
        self._end()

    def _end(self) -> None:
        if self._bar is not None:
            self._bar.update(self._total)
            self._bar.__exit__(None, None, None)
            self._bar = None


@click.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--encrypt-to", "recipient", metavar="RECIPIENT", help="An age recipient (or a file), or a gpg key.")
@click.option("--without-keys", is_flag=True, help="Leave out secrets/, which you then keep elsewhere.")
@pass_context
def backup(context: Context, file: Path | None, recipient: str | None, without_keys: bool) -> None:
    """Write one file with the database, keys, configuration, pictures and templates; also while an issue goes out.

    It is made for you alone (mode 0600), read back, and never written over another. Without FILE it goes to backups/
    of the workspace under its date: copy it to another machine. Made for somebody with --encrypt-to, only they can
    open it, so it is not read back: let them do that with `newsletter db check`.

    Example: newsletter db backup --encrypt-to keeper@example.org
    """
    from newsletter.backup.making import make_backup
    from newsletter.config.loading import find_workspace

    app, output = context.app, context.output
    _, config_path = find_workspace(context.workspace_option, context.config_option, os.environ, Path.cwd())
    with Steps(output) as steps:
        made = make_backup(app, config_path, file, keys=not without_keys, recipient=recipient, watcher=steps)
    rows = made.manifest.counts
    if output.as_json:
        told = {"file": str(made.path), "bytes": made.size, "encrypted": made.encrypted or None}
        told |= {"keys": made.manifest.keys, "left_out": list(made.manifest.left_out), "counts": dict(rows)}
        output.data(told)
        return
    output.show(f"{made.path}: {_size_words(made.size)}, {rows.get('subscribers', 0):,} people.")
    for words in made.manifest.left_out:
        output.warn(f"Left out: {words}")
    if made.encrypted:
        key = " --identity KEYFILE" if made.encrypted == "age" else ""
        output.note(f"Encrypted with {made.encrypted}, so it could not be read back here.")
        output.note(f"Do that where the key is: newsletter db check {made.path.name}{key}")
    else:
        output.note("Read back and found whole. It is not encrypted: whoever has it knows who is on your lists.")
    if file is None:
        output.note("It is on the same disk as the workspace: copy it elsewhere.")


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--identity", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE", help="Your age key."
)
@pass_context
def check(context: Context, file: Path, identity: Path | None) -> None:
    """Read a backup from beginning to end and tell whether it is whole; nothing is restored, or written anywhere.

    It needs no workspace: run it on the machine that has the key of an encrypted one.

    Example: newsletter db check newsletter-2026-11-02T0300Z.tar.gz.age --identity backup-key.txt
    """
    from newsletter.backup.encryption import is_encrypted
    from newsletter.backup.opening import read_through

    with Steps(context.output) as steps:
        held = read_through(file, identity, steps)
    output = context.output
    if output.as_json:
        told = {"file": str(file), "made_at": held.made_at, "host": held.host, "encrypted": is_encrypted(file) or None}
        output.data({**told, "keys": held.keys, "left_out": list(held.left_out), "counts": dict(held.counts)})
        return
    people = held.counts.get("subscribers", 0)
    output.show(f"Whole: made on {held.made_at:%Y-%m-%d %H:%M} UTC on {held.host}, with {people:,} people.")
    for words in held.left_out:
        output.warn(f"Left out: {words}")


@click.command()
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--into", "folder", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Where to.")
@click.option("--replace", is_flag=True, help="Put aside the workspace that stands there.")
@click.option(
    "--identity", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE", help="Your age key."
)
@click.option("--database", "url", metavar="URL", help="The PostgreSQL database to restore into.")
@click.option(
    "--never-mail", "files", multiple=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE", help="A newer never-mail.jsonl to apply too.",
)  # fmt: skip
@click.option("--damaged-too", is_flag=True, help="Apply what can be read of a damaged never-mail.jsonl.")
@click.option("--continue", "go_on", is_flag=True, help="Go on with a restore that was stopped half-way.")
@pass_context
def restore(
    context: Context,
    /,
    file: Path | None,
    folder: Path | None,
    replace: bool,
    url: str | None,
    go_on: bool,
    **given: Any,
) -> None:
    """Put a backup back: all of it is checked before anything is touched, and what stood is put aside.

    Whoever left, was suppressed or erased since the backup is so again: that is kept in never-mail.jsonl, outside the
    database. What was on its way becomes uncertain, issues are paused, and nothing is sent until `newsletter db adopt`.

    Example: newsletter db restore newsletter-2026-11-02T0300Z.tar.gz --into restored
    """
    from newsletter.app import utc_now
    from newsletter.backup.restoring import Wanted, finish, make_ready

    if (file is None) is not go_on:
        raise click.UsageError("Name the backup FILE, or use --continue alone.")
    workspace = _place(context, folder)
    with Steps(context.output) as steps:
        if file is not None:
            wanted = Wanted(
                file, given["identity"], url or "", given["files"], replace=replace, damaged_too=given["damaged_too"]
            )
            asks = partial(_ask, context, steps, workspace, replace=replace)
            if not make_ready(workspace, wanted, os.environ, now=utc_now(), watcher=steps, confirm=asks):
                raise click.Abort
        done = finish(workspace, os.environ, actor=context.actor, now=utc_now(), watcher=steps)
    _tell(context, workspace, done)


def _place(context: Context, folder: Path | None) -> Workspace:
    """Return where to restore: the folder that is named, else the workspace in use."""
    from newsletter.config.loading import find_workspace
    from newsletter.paths import Workspace

    if folder is not None:
        return Workspace(folder.resolve())
    if context.workspace_option is not None:
        return Workspace(context.workspace_option.resolve())
    return find_workspace(None, context.config_option, os.environ, Path.cwd())[0]


def _ask(context: Context, steps: Steps, workspace: Workspace, ready: Ready, *, replace: bool) -> bool:
    """Ask before anything that stands is put aside, or a database is written to that lies elsewhere."""
    from sqlalchemy.engine import make_url

    steps.pause()
    manifest, output = ready.manifest, context.output
    output.note(
        f"The backup is whole: made on {manifest.made_at:%Y-%m-%d %H:%M} UTC on {manifest.host}, "
        f"with {manifest.counts.get('subscribers', 0):,} people."
    )
    if ready.url:
        shown = make_url(ready.url).render_as_string(hide_password=True)
        return output.confirm(f"Restore into {workspace.root} and the database {shown}?")
    if replace:
        return output.confirm(f"Put aside what stands in {workspace.root}, and restore in its place?")
    return True


def _tell(context: Context, workspace: Workspace, done: Restored) -> None:
    output, settled = context.output, done.settled
    if output.as_json:
        told: dict[str, Any] = {"workspace": str(workspace.root), **settled.as_json()}
        told |= {"aside": str(done.aside) if done.aside else None, "schema_aside": done.schema_aside or None}
        output.data({**told, "left_unknown_since": done.left_unknown_since})
        return
    output.show(f"Restored into {workspace.root}.")
    if done.aside is not None:
        output.show(f"What stood there is in {done.aside}. Delete it once you are sure.")
    if done.schema_aside:
        output.show(f"The tables that stood in the database are in its schema {done.schema_aside}.")
    if settled.upgraded_from is not None:
        output.note(f"The database was of version {settled.upgraded_from}, or newer.")
    for words in never_mail_words(settled.never_mail):
        output.show(words)
    output.warn("What else people chose since the backup is lost: a pause, one mail a month, their language.")
    if done.left_unknown_since is not None:
        output.warn(
            f"Who left, was suppressed or erased, or chose discreet mail after "
            f"{done.left_unknown_since:%Y-%m-%d %H:%M} UTC is not known here. "
            "If a newer never-mail.jsonl is left anywhere: newsletter db adopt --never-mail FILE"
        )
    if settled.damaged_lines:
        output.warn(f"{settled.damaged_lines:,} lines of the file of who is never mailed could not be read.")
    if settled.uncertain:
        output.show(f"{settled.uncertain:,} copies were on their way, and are uncertain: newsletter uncertain list")
    for slug in settled.paused:
        output.show(f"{slug} is paused.")
    output.note("Nothing is sent from it until you say that it is the one to send from: newsletter db adopt")


def _size_words(size: int) -> str:
    return f"{size / MEGABYTE:,.1f} MB" if size >= MEGABYTE else f"{max(1, size // 1024):,} kB"


def never_mail_words(counts: dict[str, Any]) -> list[str]:
    """Say what became of those who left since the backup was made."""
    words = {
        "left": "Had left a list since then, and stay off it: {n:,}",
        "suppressed": "Suppressed since then, and so again: {n:,}",
        "lifted": "Suppressions lifted since then, and so again: {n:,}",
        "erased": "People erased since then, and gone again: {n:,}",
        "removed": "Records removed since then, and gone again: {n:,}",
        "merged": "Records merged since then, and merged again: {n:,}",
        "discreet": "Had chosen discreet mail since then, and get it: {n:,}",
    }
    said = [text.format(n=counts[name]) for name, text in words.items() if counts[name]]
    if counts["lists_made"]:
        said.append(
            f"Lists that the backup does not know, made again with nobody on them: {', '.join(counts['lists_made'])}."
        )
    return said


VERBS = (backup, check, restore)
