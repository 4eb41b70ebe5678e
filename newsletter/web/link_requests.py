"""
Asking for the link to one's settings: from a newsletter's own page, or by typing an address.

The site only writes the request down, and answers everybody alike: who is known is for the worker to look up, and
nobody learns it here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from newsletter.tables import WebRequestKind
from newsletter.web.asking import ask
from newsletter.web.site import Site
from subscribers.addresses import LONGEST_ADDRESS


@dataclass
class LinkRequests:
    """The handlers."""

    site: Site

    def routes(self) -> Sequence[BaseRoute]:
        return [
            Route("/preferences", self.by_address, methods=["GET", "POST"]),
            Route("/preferences/{token}", self.by_token, methods=["GET", "POST"]),
        ]

    async def by_token(self, request: Request) -> Response:
        claim, token = self.site.unsubscribe_claim(request), request.path_params["token"]
        if request.method != "POST":
            return self.site.page("preferences", token=token, contact=self.site.contact)
        await ask(self.site, request, WebRequestKind.LINK, {"person": claim.subscriber_token_id.hex()})
        return self.site.page("link_asked", contact=self.site.contact)

    async def by_address(self, request: Request) -> Response:
        if request.method != "POST":
            return self.site.page("preferences_ask", contact=self.site.contact)
        async with self.site.form(request) as form:
            typed = str(form.get("address", "")).strip()[: LONGEST_ADDRESS + 1]
        if not typed:
            raise HTTPException(400)
        await ask(self.site, request, WebRequestKind.LINK, {"address": typed})
        return self.site.page("link_asked", contact=self.site.contact)
