"""The pages of leaving: GET and HEAD show a button, only the POST writes, and it is committed before it is answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from newsletter.web import leaving
from newsletter.web.site import Site


@dataclass
class Unsubscribing:
    """The handlers."""

    site: Site

    def routes(self) -> Sequence[BaseRoute]:
        return [
            Route("/unsubscribe/{token}", self.unsubscribe, methods=["GET", "POST"]),
            Route("/preferences/{token}", self.preferences),
        ]

    async def unsubscribe(self, request: Request) -> Response:
        site = self.site
        claim = site.unsubscribe_claim(request)
        if request.method != "POST":
            return site.page("unsubscribe")
        async with site.form(request) as form:
            asked = leaving.read_request(form)
        if asked is None:
            raise HTTPException(400)
        scope, way = asked

        def write() -> None:
            with site.app.database.write() as session:
                leaving.leave(session, claim, scope, way, now=site.app.now())

        await site.write(write)
        return site.page("unsubscribed", scope=scope)

    async def preferences(self, request: Request) -> Response:
        self.site.unsubscribe_claim(request)
        return self.site.page("preferences", token=request.path_params["token"], contact=self.site.contact)
