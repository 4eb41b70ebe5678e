"""Links that were asked for on the site, as the worker mails them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from email import message_from_bytes, policy
from urllib.parse import urlsplit

import httpx
from sqlalchemy import select

from newsletter.app import App
from newsletter.asked.answering import Answering
from newsletter.asked.settings_link import LINK, LINK_FOR
from newsletter.tables import Notice
from subscribers import one_time

SESSION = re.compile(r'name="session" value="([^"]+)"')


def answer(app: App) -> list[str]:
    """Answer what waits; return what the worker had to say."""
    said: list[str] = []
    Answering(app, said.append).once()
    return said


def notices(app: App) -> Sequence[Notice]:
    with app.database.read() as session:
        return session.scalars(select(Notice).order_by(Notice.id)).all()


def link_in(notice: Notice) -> str:
    """Return the path of the link in a mail."""
    assert notice.message is not None
    text = message_from_bytes(notice.message, policy=policy.default).get_content()
    (url,) = re.findall(r"https://\S+", text)
    return urlsplit(url).path


def move_clock(app: App, now: datetime) -> None:
    app.now = lambda: now


def mint_link(app: App, subscriber_id: int) -> str:
    """Return the path of a fresh link."""
    with app.database.write() as session:
        token = one_time.mint(session, LINK, now=app.now(), lifetime=LINK_FOR, subscriber_id=subscriber_id)
    return f"/settings/{token}"


class Visitor:
    """Somebody who has opened the link to their settings."""

    def __init__(self, app: App, site: httpx.Client, subscriber_id: int) -> None:
        self.site, self.path = site, mint_link(app, subscriber_id)
        self.page = site.post(self.path)
        assert self.page.status_code == 200, self.page.text
        (self.session,) = set(SESSION.findall(self.page.text))

    def do(self, what: str, **fields: object) -> httpx.Response:
        return self.site.post(self.path, data={"session": self.session, "do": what, **fields})

    def save(self, **changed: object) -> httpx.Response:
        """Send the form as a browser would, with *changed* in it; a None takes a field away."""
        (shown,) = re.findall(r'name="shown" value="([^"]*)"', self.page.text)
        ticked = re.findall(r'name="list" value="(\d+)" checked', self.page.text)
        fields = {"shown": shown, "list": ticked, "frequency": "each", "paused_until": "", "name": "Amina Yusuf"}
        fields |= {"first_name": "Amina", **changed}
        self.page = self.do("save", **{name: value for name, value in fields.items() if value is not None})
        return self.page
