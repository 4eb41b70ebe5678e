"""
Whether the site is alive, and whether it can do its work: for load balancers, and for whoever looks after it.

Neither answer tells whose site it is or how many people it knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import anyio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from newsletter.errors import NewsletterError
from newsletter.heartbeat import SILENT_AFTER, last_beat
from newsletter.migrations import require_current
from newsletter.web.site import Site
from subscribers.errors import DatabaseUnavailable, SubscribersError

ANSWER_SECONDS = 5.0


@dataclass
class Health:
    """The handlers."""

    site: Site
    _looking: asyncio.Task[dict[str, Any]] | None = None  # one at a time, however many ask while it hangs

    def routes(self) -> Sequence[BaseRoute]:
        return [Route("/health", self.health), Route("/ready", self.ready)]

    async def health(self, _request: Request) -> Response:
        """The process answers; it looks at nothing else, so that a database that is away restarts nobody."""
        return JSONResponse({"status": "ok"})

    async def ready(self, _request: Request) -> Response:
        """
        200 when the pages can be served, else 503; within `ANSWER_SECONDS`, for whoever asks waits no longer either.

        A worker that is silent is told, and is no reason to take the pages away: people must be able to unsubscribe.
        """
        document: dict[str, Any] = {"status": "not ready", "database": "does not answer in time"}
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self.site.read(self._look))
        with anyio.move_on_after(ANSWER_SECONDS):
            document = await asyncio.shield(self._looking)
        return JSONResponse(document, 200 if document["status"] == "ready" else 503)

    def _look(self) -> dict[str, Any]:
        document: dict[str, Any] = {"status": "ready", "database": "ok", "keys": "ok", "worker": "unknown"}
        try:
            self.site.keys.current()
        except NewsletterError as error:
            document |= {"status": "not ready", "keys": error.code}
        try:
            require_current(self.site.app.database)
            with self.site.app.database.read() as session:
                document |= _worker(last_beat(session), self.site.app.now())
        except DatabaseUnavailable as error:
            document |= {"status": "not ready", "database": error.message}
        except SubscribersError as error:
            document |= {"status": "not ready", "database": error.code}
        return document


def _worker(beaten: datetime | None, now: datetime) -> dict[str, Any]:
    if beaten is None:
        return {"worker": "never seen"}
    silent = now - beaten
    return {
        "worker": "silent" if silent > SILENT_AFTER else "ok",
        "worker_seen_seconds_ago": max(0, round(silent.total_seconds())),
    }
