"""A form that was shown, and somebody who sends it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import insert

from newsletter.app import App
from newsletter.asked.form_ticket import VERSION, FormTicket, seal
from newsletter.tables import WebRequest, WebRequestKind
from subscribers import lists

PAGE = "https://news.example.org/sign-up"
STATEMENT = "I would like to get this from Example Network by email."


@pytest.fixture
def offer() -> Callable[..., None]:
    """Return a function that makes lists and offers them on the site."""

    def make(app: App, *names: str) -> None:
        with app.database.write() as session:
            for name in names:
                lists.create(session, name, title=f"The {name}", open_to_all=True, at=app.now())

    return make


@pytest.fixture
def send_form() -> Callable[..., None]:
    """Return a function that sends the form as the site writes it down."""

    def send(
        app: App,
        *emails: str,
        names: tuple[str, ...] = ("members",),
        network: str = "192.0.2.0/24",
        shown: timedelta = timedelta(minutes=1),
        embedded: bool = False,
        **fields: object,
    ) -> None:
        now = app.now()
        offered = {name: f"The {name}" for name in names}
        ticket = FormTicket((now - shown).replace(microsecond=0), embedded, PAGE, VERSION, "en-GB", STATEMENT, offered)
        form = seal(app.keys.links, ticket)
        common = {"lists": list(names), "form": form, "trap": False, "origin": "", **fields}
        row = {"kind": WebRequestKind.SIGN_UP, "at": now, "network": network}
        rows = [{**row, "fields": {**common, "email": fields.get("email", email)}} for email in emails]
        with app.database.write() as session:
            session.execute(insert(WebRequest), rows)

    return send
