"""
The public site: what members reach by the links of a mail.

GET and HEAD never change anything, because mail gateways open every link. Only the POST of `leaving` writes, and it
is committed before it is answered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
from sqlalchemy import text
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from newsletter.app import App
from newsletter.fresh_keys import FreshKeys
from newsletter.web import leaving
from newsletter.web.notices import BY_STATUS, FAULT
from newsletter.web.pages import Pages, load_pages
from newsletter.web.protection import Protection, page_headers
from newsletter.web.published import calendar_of, media_path, web_version
from newsletter.web.sns_certificates import Certificates
from newsletter.web.webhooks import Webhooks
from subscribers.errors import DatabaseUnavailable, TokenInvalid
from subscribers.tokens import UnsubscribeClaim, read_unsubscribe_token

MOST_BODY_BYTES = 16 * 1024
MOST_FIELDS = 20
WRITE_WAIT_SECONDS = 20
RETRY_AFTER_SECONDS = 60
ISSUE_POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'; sandbox allow-popups allow-popups-to-escape-sandbox"
)
T = TypeVar("T")


def make_site(app: App, *, certificates: Certificates | None = None) -> Protection:
    """Return the site as an ASGI application. Keys are read and templates compiled now, so a fault shows at once."""
    pages = load_pages(app.template_folders, app.config.organisation)
    keys = FreshKeys(app.workspace.secrets)
    writers = anyio.CapacityLimiter(1 if app.database.is_sqlite else 10)
    handlers = _Handlers(app, pages, keys, writers)
    routes = [
        Route("/unsubscribe/{token}", handlers.unsubscribe, methods=["GET", "POST"]),
        Route("/preferences/{token}", handlers.preferences),
        Route("/view/{name}", handlers.view),
        Route("/media/{name}", handlers.media),
        Route("/events/{name}.ics", handlers.event),
        Route("/health", handlers.health),
        Webhooks(app.config, door=app.intake, clock=app.now, writers=writers, certificates=certificates).route(),
    ]
    faults = {
        HTTPException: handlers.refused,
        DatabaseUnavailable: handlers.database_away,
        Exception: handlers.fault,
    }
    site = Starlette(routes=routes, exception_handlers=faults, max_body_size=MOST_BODY_BYTES)
    site.router.redirect_slashes = False
    return Protection(site, page_headers(pages.style_hash, https=app.config.web.url.startswith("https:")))


@dataclass
class _Handlers:
    """
    The handlers of one site.

    Writes wait here in the event loop for their turn (SQLite has one writer), not each in a thread of its own: a burst
    of unsubscribes never starves the pages.
    """

    app: App
    pages: Pages
    keys: FreshKeys
    writers: anyio.CapacityLimiter

    @property
    def contact(self) -> str:
        organisation = self.app.config.organisation
        return organisation.reply_to or organisation.from_address

    def page(self, name: str, status: int = 200, **values: object) -> HTMLResponse:
        return HTMLResponse(self.pages.render(name, **values), status)

    def notice(self, status: int) -> HTMLResponse:
        said = BY_STATUS.get(status, FAULT)
        return self.page("notice", status, heading=said.heading, lines=said.lines, contact=self.contact)

    async def unsubscribe(self, request: Request) -> Response:
        claim = self._claim(request)
        if request.method != "POST":
            return self.page("unsubscribe")
        async with request.form(max_files=0, max_fields=MOST_FIELDS) as form:
            asked = leaving.read_request(form)
        if asked is None:
            raise HTTPException(400)
        scope, way = asked

        def write() -> None:
            with self.app.database.write() as session:
                leaving.leave(session, claim, scope, way, now=self.app.now())

        with anyio.move_on_after(WRITE_WAIT_SECONDS):
            await anyio.to_thread.run_sync(write, limiter=self.writers)
            return self.page("unsubscribed", scope=scope)
        return self._later()

    async def preferences(self, request: Request) -> Response:
        self._claim(request)
        return self.page("preferences", token=request.path_params["token"], contact=self.contact)

    async def view(self, request: Request) -> Response:
        body = await _in_thread(lambda: web_version(self.app, self.keys.current().marks, request.path_params["name"]))
        return HTMLResponse(_found(body), headers={"content-security-policy": ISSUE_POLICY})

    async def media(self, request: Request) -> Response:
        path, kind = _found(media_path(self.app.workspace.media, request.path_params["name"]))
        content = _found(await _in_thread(lambda: path.read_bytes() if path.is_file() else None))
        headers = {
            "cache-control": "public, max-age=31536000, immutable",
            "content-security-policy": "default-src 'none'; sandbox",
            "cross-origin-resource-policy": "cross-origin",  # web mail shows our pictures on its own pages
        }
        return Response(content, media_type=kind, headers=headers)

    async def event(self, request: Request) -> Response:
        host = urlsplit(self.app.config.web.url).hostname or "localhost"
        marks = self.keys.current().marks
        content = _found(await _in_thread(lambda: calendar_of(self.app, marks, request.path_params["name"], host)))
        headers = {"content-disposition": 'attachment; filename="event.ics"', "cache-control": "no-cache"}
        return Response(content, media_type="text/calendar; charset=utf-8; method=PUBLISH", headers=headers)

    async def health(self, _request: Request) -> Response:
        def look() -> None:
            with self.app.database.read() as session:
                session.execute(text("SELECT 1 FROM lists LIMIT 1"))

        try:
            await _in_thread(look)
        except DatabaseUnavailable:
            return JSONResponse({"status": "database unavailable"}, 503)
        return JSONResponse({"status": "ok"})

    async def refused(self, _request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        answer = self.notice(error.status_code)
        answer.headers.update(error.headers or {})
        return answer

    async def database_away(self, _request: Request, _error: Exception) -> Response:
        return self._later()

    async def fault(self, _request: Request, _error: Exception) -> Response:
        return self.notice(500)

    def _later(self) -> Response:
        answer = self.notice(503)
        answer.headers["retry-after"] = str(RETRY_AFTER_SECONDS)
        return answer

    def _claim(self, request: Request) -> UnsubscribeClaim:
        try:
            return read_unsubscribe_token(self.keys.current().links, request.path_params["token"])
        except TokenInvalid:
            raise HTTPException(404) from None


async def _in_thread(work: Callable[[], T]) -> T:
    return await anyio.to_thread.run_sync(work)


def _found(value: T | None) -> T:
    if value is None:
        raise HTTPException(404)
    return value
