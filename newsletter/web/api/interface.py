"""
What the handlers of the interface share: who asks, reading, and writing once.

A POST that comes again with its `Idempotency-Key` is answered as the first time: the answer is stored in the
transaction of the work, so there is never one without the other. What was refused changed nothing and may be tried
again under the same key.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, Request
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from starlette.responses import Response

from newsletter import api_answers
from newsletter.api_tokens import Access, Scope
from newsletter.app import App
from newsletter.tables import ApiAnswer
from newsletter.web.api.door import ACCESS
from newsletter.web.api.paging import Question
from newsletter.web.api.problems import Problem
from newsletter.web.site import Site

SOURCE = "API"  # in the ledger, beside the name of the token
T = TypeVar("T")
logger = logging.getLogger("newsletter.web")

bearer = HTTPBearer(scheme_name="token", description="A token of `newsletter tokens create`.", auto_error=False)
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern="^[!-~]+$",
        description="Random text: the same request with the same key, within a day, is done once.",
    ),
]


def needs(scope: Scope) -> Callable[..., Any]:
    """Return the dependency that hands over who asks, when the token has *scope*."""

    async def check(request: Request, _shown: Annotated[object, Depends(bearer)]) -> Access:
        access: Access = request.scope[ACCESS]
        require(access, scope)
        return access

    return check


def require(access: Access, scope: Scope) -> None:
    """
    Refuse what the token was not made for.

    Raises:
        Problem: Naming the scope.
    """
    if not access.may(scope):
        raise Problem("scope-missing", f"It needs the scope {scope.value}.", scope=scope.value)


class Json(JSONResponse):
    """A document with times as the command line writes them."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, default=_plain, ensure_ascii=False, separators=(",", ":")).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return list(value)


@dataclass(frozen=True, slots=True)
class Done:
    """
    What came of a write.

    Attributes:
        about: For the log: what was changed, never whose.
        subscriber_id: Whom the document shows; a stored answer goes with them.
    """

    document: Any
    about: str
    status: int = 200
    subscriber_id: int | None = None


@dataclass
class Interface:
    """What is shared by the handlers."""

    site: Site
    clock: Callable[[], float] = time.monotonic

    @property
    def app(self) -> App:
        return self.site.app

    @property
    def address(self) -> str:
        """Where others reach the interface."""
        return self.app.config.web.url.rstrip("/") + "/api/v1"

    async def read(self, work: Callable[[Session], T]) -> T:
        def run() -> T:
            with self.app.database.read() as session:
                return work(session)

        return await self.site.read(run)

    def question(self, access: Access, path: str, filters: Mapping[str, Any], limit: int) -> Question:
        """Return what is asked, for its cursors; *filters* that were not given are null."""
        given = {name: value for name, value in filters.items() if value is not None}
        return Question(self.address + path, given, limit, access.token_id, self.site.keys.current().links)

    async def change(self, access: Access, work: Callable[[Session], Done]) -> Done:
        """Do *work* in one transaction, when its turn to write comes."""

        def run() -> Done:
            with self.app.database.write() as session:
                return self._record(session, access, work(session))

        return await self.site.write(lambda: _twice(run))

    async def change_once(
        self, request: Request, access: Access, key: str | None, work: Callable[[Session], Done]
    ) -> Response:
        """
        Do what a POST asks for, or answer as before when its key was used for the same request.

        Raises:
            Problem: When the key was used for another one.
        """
        if key is None:
            done = await self.change(access, work)
            return Json(done.document, done.status)
        asked = b"\0".join((request.url.path.encode(), await request.body()))
        identity = (hashlib.sha256(key.encode()).digest(), hashlib.sha256(asked).digest())

        def run() -> tuple[Done, bool]:
            with self.app.database.write() as session:
                return self._once(session, access, identity, work)

        done, again = await self.site.write(lambda: _twice(run))
        return Json(done.document, done.status, headers={"idempotent-replayed": "true"} if again else None)

    def _once(
        self, session: Session, access: Access, identity: tuple[bytes, bytes], work: Callable[[Session], Done]
    ) -> tuple[Done, bool]:
        now, (key, asked) = self.app.now(), identity
        api_answers.forget_over(session, now)
        found = session.scalar(
            select(ApiAnswer).where(ApiAnswer.token_id == access.token_id, ApiAnswer.key_digest == key)
        )
        if found is not None:
            if found.request_digest != asked:
                raise Problem("idempotency-key", "Make a new key for each request.")
            return Done(found.document, "", found.status), True
        # The key is taken first: of two at once, the other one waits here and is then told this one's answer.
        kept = ApiAnswer(
            token_id=access.token_id, key_digest=key, request_digest=asked, at=now, status=0, document=None
        )
        session.add(kept)
        session.flush()
        done = self._record(session, access, work(session))
        kept.status, kept.subscriber_id = done.status, done.subscriber_id
        kept.document = json.loads(bytes(Json(done.document).body))
        return done, False

    def _record(self, session: Session, access: Access, done: Done) -> Done:
        """Say who did what: every write of the interface comes through here, inside its transaction."""
        logger.info("api: %s by token %s", done.about, access.name)
        return done


def _twice(run: Callable[[], T]) -> T:
    """Run a transaction; once more when another one took a name, an address or a key in the same moment."""
    try:
        return run()
    except IntegrityError:
        return run()
