"""
The outermost layer: the headers that every answer carries, and a fault that shows and logs nobody's data.

Paths hold tokens, so the log names the kind of page, never the path, and no query string.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from newsletter.web.front import below

ONE_YEAR_SECONDS = 365 * 24 * 3600
REFUSED_FEATURES = (
    "accelerometer",
    "browsing-topics",
    "camera",
    "display-capture",
    "geolocation",
    "gyroscope",
    "microphone",
    "payment",
    "usb",
)
Count = Callable[[str, str, int, float], None]
logger = logging.getLogger("newsletter.web")


def page_headers(style_hash: str, script_hash: str, *, https: bool) -> dict[str, str]:
    """
    Return the headers of every answer; a handler that sets one of them itself keeps its own.

    Only the style and the script of the site run, named by their hashes: what somebody slips into a page does not.

    Source: ``default-src 'none'`` refuses what is not named after it (CSP Level 3, 6.1.3). RFC 6797 6.1: HSTS.
    """
    headers = {
        "content-security-policy": (
            f"default-src 'none'; style-src '{style_hash}'; script-src '{script_hash}'; img-src 'self'; "
            "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        ),
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "x-robots-tag": "noindex, nofollow",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": ", ".join(f"{feature}=()" for feature in REFUSED_FEATURES),
        "cache-control": "no-store",
    }
    if https:
        headers["strict-transport-security"] = f"max-age={ONE_YEAR_SECONDS}"
    return headers


class Protection:
    """
    An ASGI layer around the whole site, outside even its own error pages.

    Args:
        count: Told of each request: method, kind of page, status, seconds.
        prefix: The path below which the site is.
    """

    def __init__(
        self, site: ASGIApp, headers: Mapping[str, str], count: Count | None = None, *, prefix: str = ""
    ) -> None:
        self.site = site
        self.headers = dict(headers)
        self._count = count
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.site(scope, receive, send)
            return
        begun, status = time.perf_counter(), 0

        async def send_protected(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self.site(scope, receive, send_protected)
        except Exception as error:  # the page of the 500 has left already; the words of an error may hold an address
            logger.error("fault %s at %s", type(error).__name__, _place(error))
            if not status:
                raise
        seconds, method = time.perf_counter() - begun, _method(scope["method"])
        kind = _kind(below(scope["path"], self._prefix))
        if self._count is not None:
            self._count(method, kind, status or 500, seconds)
        fields = {"method": method, "kind": kind, "status": status, "milliseconds": round(seconds * 1000)}
        logger.info("%s %s %s %.0fms", method, kind, status, seconds * 1000, extra={"fields": fields})


def _place(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"


def _method(method: str) -> str:
    return method if method in METHODS else "OTHER"


def _kind(path: str) -> str:
    first = path.split("/", 2)[1] if path.startswith("/") else ""
    return f"/{first}" if first in KINDS else "/other"


METHODS = ("GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS")
KINDS = (
    "sign-up",
    "requests",
    "unsubscribe",
    "preferences",
    "settings",
    "view",
    "media",
    "events",
    "health",
    "ready",
    "webhooks",
    "api",
    "archive",
    "robots.txt",
    "favicon.ico",
)
