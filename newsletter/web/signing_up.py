"""
The pages of signing up: the form, the answer that is the same for everybody, and the button that confirms.

The form's POST adds one row and looks nobody up. It carries no cookie and acts on nothing that a browser holds, so a
form on another site may send it as well: all that it can cause is a mail that asks. GET and HEAD never change anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from newsletter.asked import confirming
from newsletter.render.links import sign_up_url
from newsletter.tables import WebRequestKind
from newsletter.web.asking import ask
from newsletter.web.languages import marked
from newsletter.web.sign_up_form import TRAP, Offer, sealer
from newsletter.web.site import Site
from subscribers import lists
from subscribers.errors import TokenInvalid

MOST_FIELDS = 60
LONGEST_EMAIL, LONGEST_NAME, LONGEST_TICKET, LONGEST_ORIGIN = 320, 64, 8000, 200
MISSING = (
    marked("Something is missing"),
    (marked("We need your email address, and at least one newsletter that you would like."), marked("Please go back.")),
)
NOT_BY_ITSELF = (
    marked("We could not do this"),
    (marked("Nothing has changed. A person can help: please write to us."),),
)


@dataclass
class SigningUp:
    """The handlers."""

    site: Site

    def routes(self) -> Sequence[BaseRoute]:
        return [
            Route("/sign-up", self.sign_up, methods=["GET", "POST"]),
            Route("/sign-up/{token}", self.confirm, methods=["GET", "POST"]),
        ]

    async def sign_up(self, request: Request) -> Response:
        site, app = self.site, self.site.app
        offers = await site.read(self._offers)
        if not offers:
            raise HTTPException(404)
        if request.method != "POST":
            seal = sealer(site.keys.current().links, offers, page=sign_up_url(app.config.web.url), now=app.now())
            return site.page("sign-up", offers=offers, seal=seal, trap=TRAP)
        async with site.form(request, most_fields=MOST_FIELDS) as form:
            fields = _fields(form, request.headers.get("origin", ""))
        if not fields["email"] or not fields["lists"]:
            return self._notice(400, MISSING)
        await ask(site, request, WebRequestKind.SIGN_UP, fields)
        return site.page("sign-up-asked", contact=site.contact)

    async def confirm(self, request: Request) -> Response:
        site, token = self.site, request.path_params["token"]
        try:
            if request.method != "POST":
                await site.read(lambda: self._look(token))
                return site.page("sign-up-confirm")
            done = await site.write(lambda: self._confirm(token))
        except TokenInvalid:
            return site.page("sign-up-over", 404)
        return site.page("sign-up-done") if done else self._notice(409, NOT_BY_ITSELF)

    def _notice(self, status: int, said: tuple[str, tuple[str, ...]]) -> Response:
        heading, lines = said
        return self.site.page("notice", status, heading=heading, lines=lines, contact=self.site.contact)

    def _offers(self) -> list[Offer]:
        with self.site.app.database.read() as session:
            return [Offer.of(one) for one in lists.offered(session)]

    def _look(self, token: str) -> None:
        with self.site.app.database.read() as session:
            confirming.look(session, token, now=self.site.app.now())

    def _confirm(self, token: str) -> bool:
        with self.site.app.database.write() as session:
            return confirming.confirm(self.site.app, session, token)


def _fields(form: FormData, origin: str) -> dict[str, Any]:
    """Return what is kept of a form for the worker: texts of a bounded length, and nothing that nobody asked for."""
    texts = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
    values = {name: value.strip() for name, value in texts}
    return {
        "email": values.get("email", "")[:LONGEST_EMAIL],
        "lists": [value[:LONGEST_NAME] for name, value in texts if name == "list"],
        "form": values.get("form", "")[:LONGEST_TICKET],
        "trap": bool(values.get(TRAP)),
        "origin": "".join(c for c in origin if c.isprintable())[:LONGEST_ORIGIN],
    }
