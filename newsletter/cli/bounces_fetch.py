"""`newsletter bounces fetch`: look into the mailboxes that returned mail arrives in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from newsletter.cli.main import EXIT_WITH_FAILURES, Context, pass_context

if TYPE_CHECKING:
    from newsletter.app import App
    from newsletter.config.returning import Mailbox


@click.command()
@click.argument("names", metavar="[MAILBOX]...", nargs=-1)
@click.option("--watch", is_flag=True, help="Go on looking until it is stopped, as `newsletter work` does.")
@pass_context
def fetch(context: Context, names: tuple[str, ...], watch: bool) -> int:
    """Take returned mail out of its mailboxes.

    They are those of [[bounces.mailboxes]]. Each mail is judged and kept, then moved into the folder of its kind;
    nothing is deleted that was not understood.
    It ends with code 4 when a mailbox could not be read; the others are read all the same.

    Example: newsletter bounces fetch --watch
    """
    mailboxes = _named(context.app, names)
    if watch:
        _watch(context, mailboxes)
        return 0
    results = [_look(context, mailbox) for mailbox in mailboxes]
    columns = ("mailbox", "processed", "autoreply", "unknown", "reply", "duplicate", "left")
    context.output.table(results, columns, empty="No mailbox is set up.")
    return EXIT_WITH_FAILURES if any(result["trouble"] for result in results) else 0


VERBS = (fetch,)


def _named(app: App, names: tuple[str, ...]) -> list[Mailbox]:
    from newsletter.errors import NotFound

    known = {mailbox.name: mailbox for mailbox in app.config.bounces.mailboxes}
    for name in names:
        if name not in known:
            raise NotFound("mailbox", name, hint=f"Known: {', '.join(known)}." if known else _HOW)
    if not known:
        raise NotFound("mailbox", "bounces", hint=_HOW)
    return [known[name] for name in names or known]


_HOW = "Set one up: [[bounces.mailboxes]] in config.example.toml, and docs/install.md."


def _look(context: Context, config: Mailbox) -> dict[str, object]:
    """Look once and return what came of it, as a row."""
    from newsletter.returning import watch_mailbox
    from subscribers.bounces.intake import Disposition

    watch = watch_mailbox(context.app, config, context.output.note)
    looked = watch.once()
    watch.close()
    counts = {d.value: looked.tally.taken[d] for d in Disposition}
    return {"mailbox": config.name, **counts, "left": looked.tally.left.total(), "trouble": looked.trouble}


def _watch(context: Context, mailboxes: list[Mailbox]) -> None:
    import threading

    from newsletter.beside import running, watching
    from newsletter.stopping import stop_on_signals

    stop = threading.Event()
    stop_on_signals(stop)
    context.output.note("Watching: returned mail is taken as it arrives. Stop it with Ctrl-C.")
    with running(watching(context.app, mailboxes, context.output.note), context.app, stop):
        stop.wait()
