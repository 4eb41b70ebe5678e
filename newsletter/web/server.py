"""One web process: uvicorn on a socket that is already bound, so a restart loses no connection."""

from __future__ import annotations

import logging
import os
import socket
from dataclasses import replace

import uvicorn

from newsletter.app import App
from newsletter.errors import NewsletterError
from newsletter.logs import log_faults, start_logging
from newsletter.web.metrics import start_metrics
from newsletter.web.protection import Count
from newsletter.web.public import make_site
from newsletter.web.sns_certificates import Certificates

BACKLOG = 512
FIRST_HANDED_OVER = 3
GRACEFUL_SECONDS = 10
MOST_HEADER_BYTES = 16 * 1024


class PortInUse(NewsletterError):
    """Another program listens where the site should."""

    code = "port_in_use"


def listen(bind: str, port: int) -> socket.socket:
    """
    Return a listening socket.

    Raises:
        PortInUse: When it cannot be had; the hint says how to choose another.
    """
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((bind, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise PortInUse(
            f"The site cannot listen on {bind} port {port}: {error.strerror}.",
            hint="Stop the program that does, or choose another: newsletter serve --port 8026 (or web.port).",
        ) from None
    return sock


def handed_over() -> socket.socket | None:
    """
    Return the listening socket that systemd has opened for us; None when it has opened none.

    Source: sd_listen_fds(3): the first is 3, and they are meant for the process of LISTEN_PID alone.
    """
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or not os.environ.get("LISTEN_FDS", "0").isdecimal():
        return None
    return socket.socket(fileno=FIRST_HANDED_OVER) if int(os.environ["LISTEN_FDS"]) > 0 else None


def serve_site(app: App, sock: socket.socket, *, verbose: bool) -> None:
    """
    Serve until SIGTERM or SIGINT; requests that have begun are finished first.

    A database that is away, or not upgraded yet, is waited for with the pages shut.
    """
    start_logging(app.config.log, "site", verbose=verbose)
    log_faults()
    requests = start_metrics(app, app.config.metrics)
    unchecked = replace(app, check_schema=False)
    make_server(unchecked, count=requests.count if requests else None, opening=True).run(sockets=[sock])


def make_server(
    app: App, *, certificates: Certificates | None = None, count: Count | None = None, opening: bool = False
) -> uvicorn.Server:
    """Return the server of the site, not yet running. A path holds a token, so uvicorn's own access log is off."""
    logging.getLogger("uvicorn.access").disabled = True
    settings = uvicorn.Config(
        make_site(app, certificates=certificates, count=count, opening=opening),
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=True,
        forwarded_allow_ips=",".join(app.config.web.trusted_proxies),
        h11_max_incomplete_event_size=MOST_HEADER_BYTES,
        timeout_graceful_shutdown=GRACEFUL_SECONDS,
        http="h11",
        ws="none",
    )
    return uvicorn.Server(settings)
