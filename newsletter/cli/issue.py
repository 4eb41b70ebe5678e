"""`newsletter issue`: from a draft to a sent newsletter; the verbs live in the files `issue_*.py` beside this one."""

from __future__ import annotations

import click

from newsletter.cli import (
    issue_deciding,
    issue_drafting,
    issue_editing,
    issue_looking,
    issue_publishing,
    issue_reporting,
    issue_sending,
)
from newsletter.cli.main import Verbs


@click.group(cls=Verbs)
def command() -> None:
    """Draft, edit, look at, approve and send issues.

    An issue is named by its slug (2026-11), by `latest`, or by the beginning of a slug.

    Example: newsletter issue draft
    """


_FILES = (
    issue_drafting,
    issue_editing,
    issue_looking,
    issue_deciding,
    issue_sending,
    issue_reporting,
    issue_publishing,
)

for file in _FILES:
    for verb in file.VERBS:
        command.add_command(verb)
