"""
What a mail gateway does: it opens every link of every mail that was really sent, and of the pages behind them.

By GET and HEAD, as several programs, and in Chromium with script running: nothing may change, and no page may show
whose mail it was.
"""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

from newsletter.app import App
from newsletter.asked.answering import Answering
from newsletter.asked.requests import write_down
from newsletter.config.settings import Alerts
from newsletter.demo.catcher import Catcher
from newsletter.render.issue import RenderedIssue
from newsletter.send.alerts import look
from newsletter.send.dispatch import send_issue
from newsletter.send.messenger import Messenger
from newsletter.send.trial import send_test_copy
from newsletter.tables import WebRequestKind
from newsletter.web.sign_up_form import Offer, sealer
from subscribers import lists
from subscribers.db import Base
from tests.peers.walking import Walk
from tests.send.conftest import HEADERS, UNSUBSCRIBE, plan_issue, sending_app  # noqa: F401  (fixtures)
from tests.web.conftest import running

pytestmark = pytest.mark.journey
CANARIES = ("zzcanary", "Zzcanary", "Secret readers")
PREFERENCES = "\ufdd0preferences_url\ufdd1"
RENDERED = RenderedIssue(
    "November news",
    "",
    f'<html lang="en-GB"><body><a href="{UNSUBSCRIBE}">Leave</a> <a href="{PREFERENCES}">Choose</a></body></html>\n',
    f"Leave: {UNSUBSCRIBE}\nChoose: {PREFERENCES}\n",
    "en-GB",
)
PROGRAMS = ("Mozilla/5.0", "Mimecast", "curl/8.0", "BarracudaCentral", "")
OURS = re.compile(r"https://news\.example\.org/[^\s<>\"']+")


def everything(app: App) -> dict[str, list[tuple[object, ...]]]:
    with app.database.read() as session:
        return {
            name: [tuple(row) for row in session.execute(table.select())]
            for name, table in Base.metadata.tables.items()
        }


@pytest.fixture
def mailed(sending_app, plan_issue, tmp_path: Path) -> Iterator[tuple[App, list[bytes]]]:  # noqa: F811
    """An issue and one of every kind of notice, as a mail server took them over."""
    with Catcher(tmp_path / "caught") as catcher:
        app = sending_app(catcher.port)
        app.config = app.config.model_copy(update={"alerts": Alerts(to=("zzcanary-chair@example.org",))})
        issue = plan_issue(app, 2, address=lambda n: f"zzcanary{n}@example.com", rendered=RENDERED)
        with app.database.write() as session:
            offered = lists.create(session, "readers", title="Secret readers", open_to_all=True, at=app.now())
            offer = Offer.of(offered)
        assert send_issue(app, issue).counts["sent"] == 2
        _ask(app, offer)
        send_test_copy(app, RENDERED, HEADERS, to="zzcanary-tester@example.org")
        with Messenger(app, lambda _: None) as messenger:
            messenger.once()
        yield app, [caught.path.read_bytes() for caught in catcher.caught]


def _ask(app: App, offer: Offer) -> None:
    """Ask for all that the site answers by mail, and let an alert be due."""
    from datetime import timedelta

    seal = sealer(
        app.keys.links, [offer], page="https://news.example.org/sign-up", now=app.now() - timedelta(minutes=1)
    )
    form = {"lists": ["readers"], "form": seal("I would like to get this.", "en-GB"), "trap": False, "origin": ""}
    asked = [
        (WebRequestKind.SIGN_UP, {**form, "email": "zzcanary-new@example.net"}),
        (WebRequestKind.LINK, {"address": "zzcanary1@example.com"}),
        (WebRequestKind.REQUEST, {"kind": "complaint", "contact": "zzcanary9@example.com", "words": "", "trap": False}),
    ]
    with app.database.write() as session:
        for kind, fields in asked:
            assert write_down(session, kind, fields=fields, network="", now=app.now())
    assert Answering(app, pytest.fail).once() == 0
    look(app)


def links_of(mails: list[bytes]) -> list[str]:
    found: set[str] = set()
    for raw in mails:
        mail = email.message_from_bytes(raw, policy=email.policy.default)
        texts = [str(value) for value in mail.values()]
        texts += [part.get_content() for part in mail.walk() if part.get_content_maintype() == "text"]
        found |= {urlsplit(link).path for text in texts for link in OURS.findall(text)}
    return sorted(found)


def below(base: str, path: str, page: str) -> set[str]:
    """Return the pages of ours that a page leads to."""
    links = (urljoin(f"{base}{path}", link) for link in re.findall(r'href="([^"#]+)"', page))
    return {
        urlsplit(link.replace("https://news.example.org", base)).path
        for link in links
        if "example.org" in link or base in link
    }


def test_who_opens_every_link_changes_nothing_and_learns_nobody(mailed, walk) -> None:
    app, mails = mailed
    paths = links_of(mails)
    kinds = {path.split("/")[1] for path in paths}
    assert {"unsubscribe", "preferences", "sign-up", "settings"} <= kinds, kinds
    assert len(mails) >= 6  # two copies, a test, a confirmation, a link, an alert
    before = everything(app)
    with running(app) as base, httpx.Client(base_url=base, trust_env=False) as client:
        deeper: set[str] = set()
        for path in paths:
            page = client.get(path)
            assert page.status_code == 200, path
            deeper |= below(base, path, page.text)
        for path in [*paths, *sorted(deeper)]:
            for program in PROGRAMS:
                answers = [client.request(how, path, headers={"user-agent": program}) for how in ("GET", "HEAD")]
                for answer in answers:
                    assert answer.status_code < 500, path
                    shown = answer.text + repr(answer.headers)
                    if not path.startswith("/sign-up") or path in paths:  # the public form names the lists it offers
                        assert not [canary for canary in CANARIES if canary in shown], path
        walk(base, [Walk("scanner", True, [["goto", path] for path in paths * 2])])
    assert everything(app) == before
