"""`newsletter doctor`: what is well, what is not, and what to do; exit 1 when something must be mended."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

import click

from newsletter.cli.main import EXIT_FAILED, Context, pass_context

_MARKS = {"ok": ("ok  ", "green"), "warn": ("warn", "yellow"), "fail": ("FAIL", "red")}


@click.command()
@click.option("--online", is_flag=True, help="Also talk to relays that are not on this machine.")
@pass_context
def command(context: Context, online: bool) -> None:
    """Look at the workspace and the machine, and say what to mend.

    Example: newsletter doctor --online
    """
    from dataclasses import asdict

    from newsletter.app import utc_now
    from newsletter.config_loading import find_workspace
    from newsletter.doctor import Level, examine, worst

    workspace, path = find_workspace(context.workspace_option, context.config_option, os.environ, Path.cwd())
    findings = []
    for finding in examine(workspace, path, os.environ, now=utc_now(), online=online):
        findings.append(finding)
        if not context.output.as_json:
            _show(context, finding.check, finding.level, finding.message, finding.fix)
    if context.output.as_json:
        context.output.data([asdict(finding) for finding in findings])
    if worst(findings) is Level.FAIL:
        click.get_current_context().exit(EXIT_FAILED)


def _show(context: Context, check: str, level: str, message: str, fix: str) -> None:
    """Print one finding so that it fits the terminal: the mark, what was looked at, then the words."""
    mark, colour = _MARKS[level]
    width = min(context.output.console().width, 100)
    text = textwrap.fill(
        f"{check}: {message}",
        width=max(width - 6, 20),
        subsequent_indent="      ",
        break_long_words=False,  # a path is to be copied whole
        break_on_hyphens=False,
    )
    click.secho(mark, fg=colour if context.output.color else None, nl=False)
    context.output.show(f"  {text}")
    if fix:
        indent = "      -> "
        context.output.show(
            textwrap.fill(
                fix,
                width=max(width, 26),
                initial_indent=indent,
                subsequent_indent=" " * len(indent),
                break_long_words=False,
                break_on_hyphens=False,
            )
        )
