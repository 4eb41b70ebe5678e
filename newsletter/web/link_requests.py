"""
Asking for the link to one's settings: from a newsletter's own page, or by typing an address.

The site only writes the request down, and answers everybody alike: who is known is for the worker to look up, and
nobody learns it here. Typed addresses are limited by network, so that no stranger has everybody mailed; whoever comes
from a newsletter's own link is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from newsletter.asked.limits import may_ask_for_link
from newsletter.tables import WebRequestKind
from newsletter.web import leaving
from newsletter.web.asking import ask, used_too_often
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
            page = leaving.new_page()
            return self.site.page("preferences", token=token, page=page, contact=self.site.contact)
        await ask(self.site, request, WebRequestKind.LINK, {"person": claim.subscriber_token_id.hex()})
        return self.site.page("link_asked", contact=self.site.contact)

    async def by_address(self, request: Request) -> Response:
        if request.method != "POST":
            return self.site.page("preferences_ask", contact=self.site.contact)
        async with self.site.form(request) as form:
            typed = str(form.get("address", "")).strip()[: LONGEST_ADDRESS + 1]
        if not typed:
            raise HTTPException(400)
        if not await ask(self.site, request, WebRequestKind.LINK, {"address": typed}, limit=may_ask_for_link):
            return used_too_often(self.site)
        return self.site.page("link_asked", contact=self.site.contact)
