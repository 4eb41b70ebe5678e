"""
What every handler of the site needs: pages, keys, the database, and its place in the queue of those that write.

Writes wait in the event loop for their turn (SQLite has one writer), not each in a thread of its own: a burst of
unsubscribes never starves the pages.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from sqlalchemy.orm import Session
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from newsletter.app import App
from newsletter.fresh_keys import FreshKeys
from newsletter.web.languages import WANTED
from newsletter.web.notices import BY_STATUS, FAULT
from newsletter.web.pages import Pages
from newsletter.web.writing import Together, Work, do_works
from subscribers.errors import TokenInvalid
from subscribers.tokens import UnsubscribeClaim, read_unsubscribe_token

MOST_FIELDS = 20
WRITE_WAIT_SECONDS = 20
RETRY_AFTER_SECONDS = 60
T = TypeVar("T")


@dataclass
class Site:
    """What is shared by the handlers of one site; `make_site` makes it, each module of pages is handed it."""

    app: App
    pages: Pages
    keys: FreshKeys
    writers: anyio.CapacityLimiter
    _together: Together[Work, Any] | None = None

    def __post_init__(self) -> None:
        if self.app.database.is_sqlite:
            self._together = Together(self.app, self.writers, do_works)

    @property
    def contact(self) -> str:
        organisation = self.app.config.organisation
        return organisation.reply_to or organisation.from_address

    def page(self, name: str, status: int = 200, *, person_language: str = "", **values: object) -> HTMLResponse:
        """
        Answer with ``templates/web/NAME.html.j2`` in the language of the request.

        Args:
            person_language: The language that the person has chosen, where the page knows who it is.
        """
        page, language = self.pages.render(name, WANTED.get(), person_language=person_language, **values)
        headers = {"content-language": language, "vary": "Accept-Language"}
        return HTMLResponse(page, status, headers)

    def notice(self, status: int) -> HTMLResponse:
        said = BY_STATUS.get(status, FAULT)
        return self.page("notice", status, heading=said.heading, lines=said.lines, contact=self.contact)

    def later(self) -> Response:
        """Answer that nothing was done and when to try again."""
        answer = self.notice(503)
        answer.headers["retry-after"] = str(RETRY_AFTER_SECONDS)
        return answer

    def unsubscribe_claim(self, request: Request) -> UnsubscribeClaim:
        """Return what the token of the path claims; any other token is a page that does not exist."""
        try:
            return read_unsubscribe_token(self.keys.current().links, request.path_params["token"])
        except TokenInvalid:
            raise HTTPException(404) from None

    @asynccontextmanager
    async def form(self, request: Request, *, most_fields: int = MOST_FIELDS) -> AsyncIterator[FormData]:
        """Read a form of either encoding; it holds no files."""
        async with request.form(max_files=0, max_fields=most_fields) as fields:
            yield fields

    async def read(self, work: Callable[[], T]) -> T:
        """Run *work* in a thread."""
        return await anyio.to_thread.run_sync(work)

    async def write(self, work: Callable[[], T]) -> T:
        """
        Run *work*, which writes, in a thread when its turn comes.

        Raises:
            HTTPException: 503 when the turn does not come, or *work* does not end, within `WRITE_WAIT_SECONDS`.
        """
        return await self.in_time(anyio.to_thread.run_sync(work, limiter=self.writers))

    async def change(self, work: Callable[[Session, datetime], T]) -> T:
        """
        Run *work* in a transaction when its turn comes, with the time; it is committed when this returns.

        On SQLite it shares the commit with others that wait; PostgreSQL does the like by itself, for all its clients.

        Raises:
            HTTPException: As `write`.
        """
        if self._together is not None:
            found: T = await self.in_time(self._together.do(work))
            return found

        def write() -> T:
            with self.app.database.write() as session:
                return work(session, self.app.now())

        return await self.write(write)

    async def in_time(self, write: Awaitable[T]) -> T:
        """
        Return what a write returns.

        Raises:
            HTTPException: 503 when it does not end within `WRITE_WAIT_SECONDS`.
        """
        with anyio.move_on_after(WRITE_WAIT_SECONDS):
            return await write
        raise HTTPException(503)


def found(value: T | None) -> T:
    """Return *value*; None is a page that does not exist."""
    if value is None:
        raise HTTPException(404)
    return value
