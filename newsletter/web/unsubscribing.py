"""
The pages of leaving: GET and HEAD show a button, only the POST writes, and it is committed before it is answered.

Why somebody leaves is asked after they have left, so that it never stands in the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from newsletter.web import leaving
from newsletter.web.leaving import Afterwards
from newsletter.web.site import Site
from newsletter.web.writing import Together
from subscribers.tables import WhyLeft
from subscribers.tokens import UnsubscribeClaim


@dataclass
class Unsubscribing:
    """The handlers."""

    site: Site

    def __post_init__(self) -> None:
        # A mail that goes to many is left by many within minutes.
        self._one_clicks = Together(self.site.app, self.site.writers, leaving.leave_together)

    def routes(self) -> Sequence[BaseRoute]:
        return [Route("/unsubscribe/{token}", self.unsubscribe, methods=["GET", "POST"])]

    async def unsubscribe(self, request: Request) -> Response:
        claim = self.site.unsubscribe_claim(request)
        if request.method != "POST":
            return self.site.page("unsubscribe", page=leaving.new_page())
        async with self.site.form(request) as form:
            asked, after, page = leaving.read_request(form), str(form.get("after", "")), leaving.page_of(form)
        if asked is not None:
            return await self._leave(request, claim, *asked, page or leaving.new_page())
        if after not in set(Afterwards):
            raise HTTPException(400)
        return await self._afterwards(request, claim, Afterwards(after), form)

    async def _leave(
        self, request: Request, claim: UnsubscribeClaim, scope: leaving.Scope, way: leaving.Way, page: str
    ) -> Response:
        if way is leaving.Way.ONE_CLICK:  # a mail program asks, and shows nobody the answer
            await self.site.in_time(self._one_clicks.do(claim))
            return PlainTextResponse("Unsubscribed.\n")
        receipt = await self.site.change(
            lambda session, now: leaving.leave(session, claim, scope, way, page=page, now=now)
        )
        return self.site.page("unsubscribed", scope=scope, receipt=receipt, reasons=list(WhyLeft), page=page)

    async def _afterwards(
        self, request: Request, claim: UnsubscribeClaim, after: Afterwards, form: FormData
    ) -> Response:
        receipt, token = str(form.get("receipt", "")), request.path_params["token"]
        if after is Afterwards.UNDO:
            done = await self.site.change(lambda session, now: leaving.undo(session, claim, receipt, now=now))
        else:
            done = await self.site.change(lambda session, now: leaving.explain(session, claim, receipt, form, now=now))
        return self.site.page("left_afterwards", after=after, done=done, receipt=receipt, token=token)
