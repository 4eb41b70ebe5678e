"""`newsletter doctor`: what is well, what is not, and what to do; exit 1 when something must be mended."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from newsletter.cli.main import EXIT_FAILED, Context, pass_context
from newsletter.cli.output import plain

if TYPE_CHECKING:
    from newsletter.doctor import Finding

_MARKS = {"ok": ("ok  ", "green"), "warn": ("warn", "yellow"), "fail": ("FAIL", "red")}
_FIX = "      -> "


@click.command()
@click.option("--online", is_flag=True, help="Also ask the DNS, your public site, and relays elsewhere.")
@click.option("--resolver", metavar="HOST[:PORT]", help="Ask this name server; it is asked without --online too.")
@pass_context
def command(context: Context, online: bool, resolver: str | None) -> None:
    """Look at the workspace and the machine, and say what to mend.

    Example: newsletter doctor --online
    """
    from dataclasses import asdict

    from newsletter.app import utc_now
    from newsletter.config.loading import find_workspace
    from newsletter.doctor import Level, examine, read_name_server, worst

    workspace, path = find_workspace(context.workspace_option, context.config_option, os.environ, Path.cwd())
    server = read_name_server(resolver) if resolver else None
    findings = []
    for finding in examine(workspace, path, os.environ, now=utc_now(), online=online, name_server=server):
        findings.append(finding)
        if not context.output.as_json:
            _show(context, finding)
    if context.output.as_json:
        context.output.data([asdict(finding) for finding in findings])
    if worst(findings) is Level.FAIL:
        click.get_current_context().exit(EXIT_FAILED)


def _show(context: Context, finding: Finding) -> None:
    """Print one finding so that it fits the terminal: the mark, what was looked at, then the words."""
    mark, colour = _MARKS[finding.level]
    width = min(context.output.console().width, 100)
    text = _folded(f"{finding.check}: {finding.message}", max(width, 26), first="", rest="      ", taken=6)
    click.secho(mark, fg=colour if context.output.color else None, nl=False)
    context.output.show(f"  {text}")
    if finding.fix:
        context.output.show(_folded(finding.fix, max(width, 26), first=_FIX, rest=" " * len(_FIX)))
    if finding.record is not None:  # never folded: it is to be copied whole
        lead = " " * len(_FIX)
        context.output.show(f"{lead}type   {finding.record.type}")
        context.output.show(f"{lead}name   {finding.record.name}")
        context.output.show(f"{lead}value  {plain(finding.record.value)}")


def _folded(text: str, width: int, *, first: str, rest: str, taken: int = 0) -> str:
    """Fold *text*, whose first line has *taken* columns before it, and never cut a path or name."""
    lines = textwrap.wrap(
        plain(text),
        width=width,
        initial_indent=first + " " * taken,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines)[taken:]
