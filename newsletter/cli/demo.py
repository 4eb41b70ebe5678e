"""`newsletter demo DIR`: the whole line on a sample network, by the same commands that a person types."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import click

from newsletter.cli.main import Context, pass_context


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@pass_context
def command(context: Context, folder: Path) -> None:
    """Show the whole of it on a sample network; nothing leaves this machine.

    Makes a workspace in DIR, gathers sources, imports 500 people, drafts and sends an issue to a mail server that only
    catches, unsubscribes somebody by the link in a mail, and sends a second issue. Run it again and DIR is made anew.

    Example: newsletter demo .demo
    """
    from newsletter.cli.demo_commands import Commands
    from newsletter.cli.demo_story import REFUSED, Story
    from newsletter.demo.catcher import Catcher
    from newsletter.demo.place import prepared

    begun = time.monotonic()
    with prepared(folder, datetime.now(UTC).date()) as place, Catcher(place.caught, refused=(REFUSED,)) as catcher:
        report = Story(Commands(context.output, place.root), place, catcher, folder).tell(begun)
    if context.output.as_json:
        context.output.data(report)
