"""Signing up as people meet it: with and without script, in two languages, in both schemes, and from another site."""

from __future__ import annotations

import email
import email.policy
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from newsletter.app import App
from newsletter.asked.answering import Answering
from newsletter.config.settings import Config
from newsletter.tables import Notice
from newsletter.web.pages import load_pages
from newsletter.web.sign_up_form import Offer, embedded_form
from subscribers import lists
from subscribers.db import Base
from subscribers.tables import ConsentEvent, Subscriber
from tests.conftest import smallest_config
from tests.peers.walking import Report, Walk
from tests.web.catalogues import ARABIC, arabic, write_catalogues
from tests.web.conftest import running

pytestmark = pytest.mark.journey
CANARY = "zzcanary"
TITLES = ("Members' newsletter", "Training and events")


@pytest.fixture
def config() -> Config:
    """A browser that is told what to do is quicker than people."""
    return smallest_config(signup={"min_fill_seconds": 0})


@pytest.fixture
def offered(app: App) -> None:
    write_catalogues(app.workspace.templates)
    with app.database.write() as session:
        for name, title in zip(("members", "training"), TITLES, strict=True):
            lists.create(session, name, title=title, description="News & more.", open_to_all=True, at=app.now())


def links(app: App) -> list[str]:
    """Answer what was asked, and return the paths of the links that were mailed."""
    assert Answering(app, pytest.fail).once() == 0
    with app.database.read() as session:
        messages = session.scalars(select(Notice.message).order_by(Notice.id)).all()
    texts = [email.message_from_bytes(raw, policy=email.policy.default).get_content() for raw in messages]
    return [found[0] for text in texts if (found := re.search(r"/sign-up/\S+", text))]


def asking(number: int, say: Callable[[str], str], query: str) -> list[list[Any]]:
    return [
        ["goto", f"/sign-up{query}"],
        ["look", "form"],
        ["check", "input[value=members]"],
        ["fill", "#email", f"{CANARY}{number}@{CANARY}.example"],
        ["click", say("Sign up")],
        ["see", say("Please look at your email")],
        ["look", "asked"],
    ]


def confirming(path: str, say: Callable[[str], str], query: str) -> list[list[Any]]:
    return [
        ["goto", f"{path}{query}"],
        ["look", "confirm"],
        ["click", say("Yes, sign me up")],
        ["see", say("You are signed up")],
        ["look", "done"],
        ["goto", f"{path}{query}"],
        ["see", say("This link has been used, or is too old")],
        ["look", "used"],
    ]


def check(report: Report) -> None:
    assert (report.faults, report.foreign, report.cookies) == ([], [], 0)
    for look in report.looks:
        assert CANARY not in look.text + look.title
        assert look.name == "form" or not [title for title in TITLES if title in look.text]


def test_people_sign_up_and_confirm_with_and_without_script(app: App, offered: None, walk) -> None:
    kinds = (("script", True, str, ""), ("arabic", False, arabic, f"?lang={ARABIC}"))
    with running(app) as base:
        asked = [(name, script, asking(n, say, query)) for n, (name, script, say, query) in enumerate(kinds)]
        check(walk(base, [Walk(*each) for each in asked]))
        mailed = links(app)
        assert len(mailed) == 2
        _scan(app, walk, base, mailed)
        walks = [
            Walk(name, script, confirming(path, say, query))
            for path, (name, script, say, query) in zip(mailed, kinds, strict=True)
        ]
        check(walk(base, walks))
    with app.database.read() as session:
        people = session.execute(select(Subscriber.key, Subscriber.language).order_by(Subscriber.id)).all()
        wordings = session.scalars(select(ConsentEvent.wording).where(ConsentEvent.action == "confirmed")).all()
    assert [tuple(row) for row in people] == [
        (f"{CANARY}0@{CANARY}.example", None),
        (f"{CANARY}1@{CANARY}.example", ARABIC),
    ]
    assert wordings[0] != wordings[1]
    assert all(wording.endswith(TITLES[0]) for wording in wordings)


def _scan(app: App, walk, base: str, paths: list[str]) -> None:
    """What a mail gateway does: open every link with script on, more than once. Nothing may change."""
    before = everything(app)
    walk(base, [Walk("scanner", True, [["goto", path] for path in paths * 2])])
    assert everything(app) == before


def everything(app: App) -> dict[str, list[tuple[Any, ...]]]:
    with app.database.read() as session:
        return {
            name: [tuple(row) for row in session.execute(select(table))] for name, table in Base.metadata.tables.items()
        }


def test_a_form_on_another_site_signs_up(app: App, offered: None, walk, tmp_path: Path) -> None:
    pages = load_pages(app.template_folders, app.config.organisation, web=app.config.web)
    with app.database.read() as session:
        offer = Offer.of(lists.get(session, "members"))
    with running(app) as base, serving(tmp_path) as other:
        values = {"web_url": base, "page": f"{other}/index.html", "language": "", "now": app.now()}
        form = embedded_form(pages, app.keys.links, offer, **values)
        title, charset = "<title>A charity</title>", '<meta charset="utf-8">'
        (tmp_path / "index.html").write_text(
            f"<!doctype html><html lang='en'>{charset}{title}<main><h1>Us</h1>{form}</main>"
        )
        steps = [
            ["goto", "/index.html"],
            ["look", "embedded"],
            ["fill", "input[type=email]", f"{CANARY}@{CANARY}.example"],
            ["click", "Sign up"],
            ["see", "Please look at your email"],
            ["look", "asked"],
        ]
        report = walk(other, [Walk("other", False, steps)])
        assert report.faults == []
        assert set(report.foreign) <= {f"{base}/sign-up", f"{base}/favicon.ico"}
        assert len(links(app)) == 1


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Another site, on another port."""
    handler = partial(_Silent, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(10)


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""
