"""
The page for complaints and for requests about one's own data: it adds a row, and answers everybody alike.

Nobody is looked up, and nobody is turned away in silence: where a network asks too often, the page says so and names
another way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from newsletter.asked.requests import network_of
from newsletter.person_requests import LONGEST_CONTACT, LONGEST_WORDS
from newsletter.tables import PersonRequestKind, WebRequest, WebRequestKind
from newsletter.web.asking import ask
from newsletter.web.languages import marked
from newsletter.web.sign_up_form import TRAP
from newsletter.web.site import Site

MOST_AN_HOUR = 10
KINDS = (
    (PersonRequestKind.COMPLAINT, marked("I want to complain")),
    (PersonRequestKind.ACCESS, marked("I want a copy of what you hold about me")),
    (PersonRequestKind.CORRECTION, marked("Something about me is wrong")),
    (PersonRequestKind.ERASURE, marked("I want to be erased")),
    (PersonRequestKind.OTHER, marked("Something else")),
)
MISSING = (
    marked("Something is missing"),
    (marked("We need to know what it is about, and how we can reach you."), marked("Please go back.")),
)
TOO_MANY = (
    marked("Please write to us instead"),
    (marked("This page was used very often just now, so nothing was sent."),),
)


@dataclass
class Requesting:
    """The handlers."""

    site: Site

    def routes(self) -> Sequence[BaseRoute]:
        return [Route("/requests", self.requests, methods=["GET", "POST"])]

    async def requests(self, request: Request) -> Response:
        site = self.site
        if request.method != "POST":
            return site.page("requests", kinds=KINDS, trap=TRAP, contact=site.contact)
        async with site.form(request) as form:
            fields = {
                "kind": str(form.get("kind", ""))[:20],
                "contact": str(form.get("contact", "")).strip()[:LONGEST_CONTACT],
                "words": str(form.get("words", "")).strip()[:LONGEST_WORDS],
                "trap": bool(form.get(TRAP)),
            }
        if not fields["contact"] or fields["kind"] not in set(PersonRequestKind):
            return self._notice(400, MISSING)
        network = network_of(request.client.host if request.client else None)
        if await site.read(lambda: self._asked_lately(network)) >= MOST_AN_HOUR:
            return self._notice(429, TOO_MANY)
        await ask(site, request, WebRequestKind.REQUEST, fields)
        return site.page("requests_kept", contact=site.contact)

    def _asked_lately(self, network: str) -> int:
        lately = select(func.count()).where(
            WebRequest.kind == WebRequestKind.REQUEST,
            WebRequest.network == network,
            WebRequest.at > self.site.app.now() - timedelta(hours=1),
        )
        with self.site.app.database.read() as session:
            return session.scalar(lately) or 0

    def _notice(self, status: int, said: tuple[str, tuple[str, ...]]) -> Response:
        heading, lines = said
        return self.site.page("notice", status, heading=heading, lines=lines, contact=self.site.contact)
