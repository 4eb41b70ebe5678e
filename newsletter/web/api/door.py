"""
What every request of the interface passes before anything reads it: is there a token at all, which one, how often.

Nothing is told about a token that is refused. No token, no path and no body is ever logged.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from newsletter import api_tokens
from newsletter.api_tokens import Access
from newsletter.asked.requests import network_of
from newsletter.web.api import problems
from newsletter.web.api.limits import FAILURES_PER_MINUTE, MINUTE, REQUESTS_PER_MINUTE, Bucket
from newsletter.web.site import Site
from subscribers.errors import DatabaseUnavailable

PATH = "/api/v1"
DESCRIPTION_PATH = "/openapi.json"
ACCESS = "newsletter.access"
MOST_BODY_BYTES = 16 * 1024
BODY_SECONDS = 30.0


@dataclass
class Door:
    """
    An ASGI layer: what is below `PATH` goes to the interface, all else to the pages.

    While no token was ever made the interface is a page that does not exist.

    Attributes:
        takes_body: Whether a method of a path, below `PATH`, takes a body.
    """

    site: Site
    interface: ASGIApp
    pages: ASGIApp
    takes_body: Callable[[str, str], bool]
    clock: Callable[[], float] = time.monotonic
    requests: Bucket = field(default_factory=lambda: Bucket(REQUESTS_PER_MINUTE))
    failures: Bucket = field(default_factory=lambda: Bucket(FAILURES_PER_MINUTE))
    _open: bool = False
    _marked: dict[int, date] = field(default_factory=dict)
    _valid: dict[bytes, int] = field(default_factory=dict)  # what tokens that were let in once are found by

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        below = _below(scope)
        if below is None:
            await self.pages(scope, receive, send)
            return
        try:
            if not await self._is_open():
                await self.pages(scope, receive, send)
                return
            await self._enter(scope, below, receive, send)
        except DatabaseUnavailable:
            await problems.later()(scope, receive, send)

    async def _is_open(self) -> bool:
        """Whether a token was ever made; rows of tokens stay, so once is enough."""
        if not self._open:

            def look() -> bool:
                with self.site.app.database.read() as session:
                    made = api_tokens.any_was_made(session)
                if made:
                    self.takes_body("GET", "")  # makes the description, which takes a moment, here in a thread
                return made

            self._open = await self.site.read(look)
        return self._open

    async def _enter(self, scope: Scope, below: str, receive: Receive, send: Send) -> None:
        inner = {**scope, "root_path": scope.get("root_path", "") + PATH}
        if below == DESCRIPTION_PATH and scope["method"] == "GET":
            await self.interface(inner, receive, send)
            return
        text, access = _token(scope), None
        token_id = self._spent(text)
        if token_id is None:
            access = await self._access(text)
            if access is None:
                await self._refusal(scope)(scope, receive, send)
                return
            token_id = access.token_id
        allowance = self.requests.take(token_id, self.clock())
        sending = _with_limit(send, allowance.left)
        if access is None or allowance.wait_seconds:
            headers = {"retry-after": str(allowance.wait_seconds or 1)}
            await problems.Problem("too-many", headers=headers).response()(scope, receive, sending)
            return
        await self._mark_used(access)
        refused = await self._pass_body(inner, below, receive)
        if isinstance(refused, Response):
            await refused(scope, receive, sending)
            return
        await self.interface({**inner, ACCESS: access}, refused, sending)

    def _spent(self, text: str) -> int | None:
        """Return whose token it is, when it has nothing left: a program that runs wild costs no look into a table."""
        token_id = self._valid.get(api_tokens.digest(text))
        return token_id if token_id is not None and self.requests.is_empty(token_id, self.clock()) else None

    async def _access(self, text: str) -> Access | None:
        if not text:
            return None

        def look() -> Access | None:
            with self.site.app.database.read() as session:
                return api_tokens.authenticate(session, text, now=self.site.app.now())

        access = await self.site.read(look)
        if access is not None:
            self._valid[api_tokens.digest(text)] = access.token_id
        return access

    def _refusal(self, scope: Scope) -> Response:
        client = scope.get("client")
        network = network_of(client[0] if client else None)
        wait = self.failures.take(network, self.clock()).wait_seconds
        if wait:
            return problems.Problem("too-many", headers={"retry-after": str(wait)}).response()
        return problems.unauthorised()

    async def _mark_used(self, access: Access) -> None:
        """Write down the day, once a day; a database that is busy does not cost the request."""
        today = self.site.app.now().astimezone(self.site.app.config.organisation.zone).date()
        if self._marked.get(access.token_id) == today:
            return
        self._marked[access.token_id] = today

        def mark() -> None:
            with self.site.app.database.write() as session:
                api_tokens.mark_used(session, access.token_id, today)

        with suppress(DatabaseUnavailable, HTTPException):
            await self.site.write(mark)

    async def _pass_body(self, scope: Scope, below: str, receive: Receive) -> Receive | Response:
        """Read the body, which has a bound in bytes and in time; return how it is handed on, or the refusal."""
        media_type = Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json" and self.takes_body(scope["method"], below):
            return problems.problem(415, detail="Send application/json.", headers={"accept": "application/json"})
        body = bytearray()
        try:
            with anyio.fail_after(BODY_SECONDS):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return problems.problem(400)
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
                    if len(body) > MOST_BODY_BYTES:
                        return problems.problem(413, detail=f"At most {MOST_BODY_BYTES} bytes.")
        except TimeoutError:
            return problems.problem(408)
        return _replay(bytes(body), receive)


def _token(scope: Scope) -> str:
    """Return the token of a request; empty where it has none of the right length."""
    scheme, _, text = Headers(scope=scope).get("authorization", "").partition(" ")
    text = text.strip()
    return text if scheme.lower() == "bearer" and len(text) == api_tokens.TOKEN_CHARACTERS else ""


def _replay(body: bytes, receive: Receive) -> Receive:
    handed_on = False

    async def again() -> Message:
        nonlocal handed_on
        if handed_on:
            return await receive()
        handed_on = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _with_limit(send: Send, left: int) -> Send:
    """Tell with each answer how much is left. Source: draft-ietf-httpapi-ratelimit-headers-10."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["ratelimit-policy"] = f'"token";q={REQUESTS_PER_MINUTE};w={MINUTE}'
            headers["ratelimit"] = f'"token";r={left}'
        await send(message)

    return sending


def _below(scope: Scope) -> str | None:
    """Return what of the path is below the interface; None when it is not."""
    if scope["type"] != "http":
        return None
    root: str = scope.get("root_path", "")
    path: str = scope["path"]
    if root and path.startswith(root + "/"):
        path = path[len(root) :]
    if path == PATH or path.startswith(PATH + "/"):
        return path[len(PATH) :]
    return None
