"""`newsletter serve`: the site and the worker, two processes that this one starts and watches."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading

import click

from newsletter.cli.main import Context, pass_context

PARENT_LOOK_SECONDS = 1.0


@click.command()
@click.option("--bind", help="Address to listen on. Default: web.bind.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on. Default: web.port.")
@click.option("--no-worker", is_flag=True, help="Only the site; run `newsletter work` elsewhere.")
@click.option("--socket", "descriptor", type=int, hidden=True)
@click.option("--parent", type=int, hidden=True)
@pass_context
def command(
    context: Context, bind: str | None, port: int | None, no_worker: bool, descriptor: int | None, parent: int | None
) -> None:
    """Serve the pages behind the links of a mail, and work beside it.

    The site answers unsubscribes and shows issues; the worker sends what is scheduled or deferred. SIGTERM stops both
    after the copies that have begun; another one, a second or more later, does not wait for them.

    Example: newsletter serve --port 8025
    """
    from newsletter.web.pages import load_pages
    from newsletter.web.server import handed_over, listen, serve_site

    app = context.app
    if descriptor is not None:
        end_with(parent)
        serve_site(app, socket.socket(fileno=descriptor), verbose=context.verbose)
        return
    address, number = bind or app.config.web.bind, port or app.config.web.port
    app.keys  # noqa: B018  # a missing key or a broken template is told before anything starts
    load_pages(app.template_folders, app.config.organisation, web=app.config.web)
    sock = handed_over() or listen(address, number)
    address, number = sock.getsockname()[:2]
    shown = f"[{address}]" if ":" in address else address
    context.output.note(f"The site listens on http://{shown}:{number} for {app.config.web.url}. Stop it with Ctrl-C.")
    _watch(context, sock, worker=not no_worker)


def _watch(context: Context, sock: socket.socket, *, worker: bool) -> None:
    from newsletter.logs import say_as_json, start_logging
    from newsletter.web.supervisor import Child, Supervisor

    base = [sys.executable, "-m", "newsletter.cli.main", "--workspace", str(context.app.workspace.root)]
    base += ["--config", str(context.config_option.resolve())] if context.config_option else []
    base += ["--as", context.actor, *(["--verbose"] if context.verbose else [])]
    descriptor, parent = sock.fileno(), ["--parent", str(os.getpid())]
    children = [Child("The site", [*base, "serve", "--socket", str(descriptor), *parent], (descriptor,))]
    if worker:
        children.append(Child("The worker", [*base, "work", *parent]))
    as_json = context.app.config.log.format == "json"
    if as_json:
        start_logging(context.app.config.log, "supervisor")
    Supervisor(children, say_as_json if as_json else context.output.warn).run()
    sock.close()


def end_with(parent: int | None) -> None:
    """Stop this process as SIGTERM would when *parent*, the one that started it, is gone, however that died."""
    if parent is None:
        return

    def look() -> None:
        while os.getppid() == parent:
            threading.Event().wait(PARENT_LOOK_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=look, daemon=True, name="parent").start()
