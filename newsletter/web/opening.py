"""
The site before its database could be used once: it listens, says that it lives, and asks everybody to come again.

A machine may start before its database server does, and a service before `newsletter db upgrade`. A site that ended
then would let people wait for a restart, without a word.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from newsletter.web.api import problems
from newsletter.web.api.door import PATH
from newsletter.web.front import ANYBODYS
from newsletter.web.site import Site
from subscribers.errors import DatabaseUnavailable


@dataclass
class Opening:
    """An ASGI layer around the pages and the interface; once it has let somebody in it lets everybody in."""

    site: Site
    inner: ASGIApp
    _open: bool = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._open and scope["path"] not in ANYBODYS:
            try:
                await self.site.read(self.site.app.check_database)
            except DatabaseUnavailable:
                answer = problems.later() if scope["path"].startswith(f"{PATH}/") else self.site.later()
                await answer(scope, receive, send)
                return
            self._open = True
        await self.inner(scope, receive, send)
