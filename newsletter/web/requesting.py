"""
The page for complaints and for requests about one's own data: it adds a row, and answers everybody alike.

Nobody is looked up, and nobody is turned away in silence: where a network, or everybody, asks too often, the page says
so and names another way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from newsletter.asked.limits import may_request
from newsletter.personal_data.person_requests import LONGEST_CONTACT, LONGEST_WORDS
from newsletter.tables import PersonRequestKind, WebRequestKind
from newsletter.web.asking import ask, used_too_often
from newsletter.web.languages import marked
from newsletter.web.sign_up_form import TRAP
from newsletter.web.site import Site

MOST_BODY_BYTES = 48 * 1024  # the longest words in letters that a form writes as nine bytes each
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


@dataclass
class Requesting:
    """The handlers."""

    site: Site

    def routes(self) -> Sequence[BaseRoute]:
        return [Route("/requests", self.requests, methods=["GET", "POST"], max_body_size=MOST_BODY_BYTES)]

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
        if not await ask(site, request, WebRequestKind.REQUEST, fields, limit=may_request):
            return used_too_often(site)
        return site.page("requests_kept", contact=site.contact)

    def _notice(self, status: int, said: tuple[str, tuple[str, ...]]) -> Response:
        heading, lines = said
        return self.site.page("notice", status, heading=heading, lines=lines, contact=self.site.contact)
