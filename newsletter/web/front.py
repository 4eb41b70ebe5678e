"""
What is between the proxy and the site: whose name was asked for, and below which path the site is.

A browser that was lured to our address under a name of somebody else (DNS rebinding) gets nothing. The path of
`web.url` is taken off where the proxy has left it on.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from newsletter.config.settings import Web

# The look of a load balancer or of a person on the machine, under whatever name.
ANYBODYS = ("/health", "/ready")


def below(path: str, prefix: str) -> str:
    """Return a path without the prefix of `web.url`, where the proxy has left it on."""
    return path[len(prefix) :] or "/" if prefix and f"{path}/".startswith(f"{prefix}/") else path


def prefix_of(web: Web) -> str:
    """Return the path below which the site is; empty where it has a name of its own."""
    return urlsplit(web.url).path.rstrip("/")


class Front:
    """An ASGI layer around all others but that of the headers."""

    def __init__(self, site: ASGIApp, web: Web) -> None:
        self.site = site
        parts = urlsplit(web.url)
        self._names = {parts.hostname or "", web.bind, "localhost"}
        self._prefix = prefix_of(web)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = self._below(scope)
            if scope["path"] not in ANYBODYS and not self._is_ours(Headers(scope=scope).get("host", "")):
                answer = PlainTextResponse("This site has another name.\n", 421)  # RFC 9110 15.5.20
                await answer(scope, receive, send)
                return
        await self.site(scope, receive, send)

    def _below(self, scope: Scope) -> Scope:
        path = below(scope["path"], self._prefix)
        return scope if path == scope["path"] else {**scope, "path": path, "raw_path": None}

    def _is_ours(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").removesuffix(".")  # a name that ends in a dot is the same
        except ValueError:  # half an IPv6 address
            return False
        return name in self._names or _is_loopback(name)


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
