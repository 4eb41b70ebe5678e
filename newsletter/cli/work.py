"""`newsletter work`: start what is scheduled and go on with what was deferred; alone, or beside the site."""

from __future__ import annotations

import threading

import click

from newsletter.cli.main import EXIT_WITH_FAILURES, Context, pass_context


@click.command()
@click.option("--once", is_flag=True, help="Do what is due now, then end.")
@click.option("--parent", type=int, hidden=True)
@pass_context
def command(context: Context, once: bool, parent: int | None) -> int:
    """Send what is scheduled or deferred, until it is stopped.

    Notices leave beside it: confirmations, links, and alerts to the addresses of alerts.to.
    SIGTERM or Ctrl-C lets the copies that have begun be finished. With --once it ends with code 4 when an issue could
    not go on; the reason is told and kept beside the issue.

    Example: newsletter work --once
    """
    from dataclasses import asdict

    from newsletter.cli.serve import end_with
    from newsletter.logs import log_faults, masked, say_as_json, start_logging
    from newsletter.stopping import stop_on_signals
    from newsletter.worker import Round, Worker

    stop = threading.Event()
    stop_on_signals(stop)
    end_with(parent)
    settings = context.app.config.log
    start_logging(settings, "worker", verbose=context.verbose)
    worker = Worker(context.app, say_as_json if settings.format == "json" else masked(context.output.note), stop)
    if not once:
        log_faults()
        context.output.note("Working: what is scheduled or deferred goes out when it is due. Stop it with Ctrl-C.")
        worker.run()
        return 0
    done = worker.once()
    if context.output.as_json:
        context.output.data(asdict(done))
    elif done == Round():
        context.output.note("Nothing is due.")
    return EXIT_WITH_FAILURES if done.troubles else 0
