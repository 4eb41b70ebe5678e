"""Signing up on the site: one answer for everybody, one row for each, and a link whose button alone confirms."""

from __future__ import annotations

import email
import email.policy
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from lxml import html
from sqlalchemy import event, func, select

from newsletter.app import App
from newsletter.asked import requests
from newsletter.asked.answering import Answering
from newsletter.asked.form_ticket import unseal
from newsletter.cli.sign_up_form import form_of
from newsletter.errors import InvalidValue
from newsletter.tables import Notice, WebRequest
from subscribers import lists, suppression
from subscribers.errors import Conflict
from subscribers.tables import ConsentEvent, OneTimeToken, SignUp, Suppression
from tests.web.catalogues import ARABIC, write_catalogues
from tests.web.conftest import running

NEW = "new@example.org"
LINK = re.compile(r"/sign-up/(\S+)")
SCRIPTED = '<script>alert(1)</script> "50 %" & more'


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def clock(app: App) -> Clock:
    app.now = Clock()
    return app.now


@pytest.fixture
def opened(app: App, clock: Clock, member) -> None:
    """`members` and `partners` are offered, `secret` and `gone` are not; amina is on the first two."""
    with app.database.write() as session:
        lists.create(session, "secret", title="Secret", at=app.now())
        lists.create(session, "gone", title="Gone", open_to_all=True, at=app.now())
        lists.archive(session, lists.get(session, "gone"), at=app.now())
        lists.change(session, lists.get(session, "members"), open_to_all=True, description="Four times a year")
        lists.change(session, lists.get(session, "partners"), open_to_all=True)
        values = {"pepper": app.keys.pepper, "evidence": "x", "at": app.now()}
        suppression.suppress(session, address="left@example.org", reason=suppression.UNSUBSCRIBED, **values)
        suppression.suppress(session, address="spam@example.com", reason=suppression.COMPLAINT, **values)
        entry = suppression.suppress(session, address="erased@example.org", reason=suppression.ERASED, **values)
        entry.address = None


@pytest.fixture
def form(site: httpx.Client, clock: Clock, opened: None) -> dict[str, object]:
    """The fields of the form as a browser would send them, filled in a minute later."""
    shown = html.fromstring(site.get("/sign-up").content)
    clock.time += timedelta(minutes=1)
    return {"email": NEW, "list": ["members"], "subject": "", "form": shown.xpath("//input[@name='form']/@value")[0]}


def answer(app: App) -> None:
    assert Answering(app, pytest.fail).once() == 0


def link(app: App) -> str:
    with app.database.read() as session:
        raw = session.scalars(select(Notice.message).order_by(Notice.id.desc())).first()
    found = LINK.search(email.message_from_bytes(raw, policy=email.policy.default).get_content())
    assert found
    return found[0]


def counts(app: App) -> tuple[int, ...]:
    """Return how much of what could change there is."""
    tables = (WebRequest, Notice, ConsentEvent, SignUp, OneTimeToken, Suppression)
    with app.database.read() as session:
        return tuple(session.scalar(select(func.count()).select_from(table)) for table in tables)


@contextmanager
def statements(app: App) -> Iterator[list[str]]:
    """Yield what becomes the text of every statement, begin and commit."""
    seen: list[str] = []
    heard = (
        (app.database.engine, "before_cursor_execute", lambda _c, _cursor, text, *_: seen.append(text)),
        (app.database.engine, "commit", lambda _c: seen.append("commit")),
        (app.database.engine, "rollback", lambda _c: seen.append("rollback")),
    )
    for listener in heard:
        event.listen(*listener)
    try:
        yield seen
    finally:
        for listener in heard:
            event.remove(*listener)


def shown(answer: httpx.Response) -> tuple[object, ...]:
    headers = {name: value for name, value in answer.headers.items() if name != "date"}
    return answer.status_code, headers, answer.content


def test_the_form_offers_the_open_lists_and_asking_for_it_changes_nothing(app, site, opened):
    before = counts(app)
    page = html.fromstring(site.get("/sign-up").content)
    site.head("/sign-up")
    assert page.xpath("//input[@name='list']/@value") == ["members", "partners"]
    assert "Four times a year" in page.text_content()
    assert not {"Secret", "Gone"} & set(page.text_content().split())
    assert page.xpath("//script[@src] | //img | //link") == []
    assert counts(app) == before


def test_where_no_list_is_open_there_is_no_page(app, site, member):
    for answered in (site.get("/sign-up"), site.post("/sign-up", data={"email": NEW, "list": "members"})):
        assert answered.status_code == 404
    assert counts(app)[0] == 0


def test_everybody_gets_the_same_answer_by_the_same_statements(app, site, form):
    """Known, unknown, left, complained, erased, a role, a domain that is none, no address at all, a machine."""
    typed = [
        NEW,
        "amina@example.org",
        "left@example.org",
        "spam@example.com",
        "erased@example.org",
        "postmaster@example.org",
        "ann@nowhere.invalid",
        "no address",
        "a\r\nb@example.org",
        "x" * 300 + "@example.org",
    ]
    answers, ran = [], []
    for address in typed:
        with statements(app) as seen:
            answers.append(shown(site.post("/sign-up", data={**form, "email": address})))
        ran.append(seen)
    with statements(app) as seen:
        answers.append(shown(site.post("/sign-up", data={**form, "subject": "Buy", "form": "v1.forged"})))
    ran.append(seen)
    assert answers == [answers[0]] * len(answers)
    assert ran == [ran[0]] * len(ran)
    assert [text.split()[0] for text in ran[0]] == [
        "BEGIN",
        "SELECT",
        "rollback",
        "SELECT",  # its BEGIN is by the driver, see subscribers.db
        "INSERT",
        "commit",
    ]
    assert "set-cookie" not in answers[0][1]
    assert answers[0][1]["cache-control"] == "no-store"
    # A second time, when all is known of them:
    answer(app)
    assert [shown(site.post("/sign-up", data={**form, "email": address})) for address in typed] == answers[:-1]


@pytest.mark.parametrize("missing", [{"email": ""}, {"email": "  "}, {"list": []}])
def test_a_form_with_nothing_in_it_is_given_back(app, site, form, missing):
    before = counts(app)
    answered = site.post("/sign-up", data={**form, **missing})
    assert answered.status_code == 400
    assert "Something is missing" in answered.text
    assert counts(app) == before


def test_a_link_is_looked_at_by_anybody_and_confirms_by_its_button_once(app, site, form, states):
    site.post("/sign-up", data=form)
    answer(app)
    path, before = link(app), counts(app)
    for _ in range(3):
        assert site.get(path).status_code == site.head(path).status_code == 200
    assert counts(app) == before
    assert site.post(path).status_code == 200
    with app.database.read() as session:
        actions = session.scalars(select(ConsentEvent.action).order_by(ConsentEvent.id)).all()
    assert actions[-2:] == ["requested", "confirmed"]
    # Used, forged, malformed, expired, for another purpose: one page.
    assert site.post("/sign-up", data={**form, "email": "late@example.org"}).status_code == 200
    answer(app)
    expired = link(app)
    app.now.time += timedelta(days=7)
    pages = [
        shown(ask(address))
        for ask in (site.get, site.post)
        for address in (path, expired, path[:-1] + "A", "/sign-up/x", "/sign-up/" + "x" * 43)
    ]
    assert pages == [pages[0]] * len(pages)
    assert pages[0][0] == 404


def test_no_page_of_a_link_shows_who_or_what(app, site, form, secret_words):
    site.post("/sign-up", data=form)
    answer(app)
    for page in (site.get(link(app)), site.post(link(app))):
        assert page.status_code == 200
        assert not [word for word in (*secret_words, NEW, "new@") if word in page.text]


def test_a_person_must_decide_where_something_came_between(app, site, form):
    site.post("/sign-up", data=form)
    answer(app)
    with app.database.write() as session:
        suppression.suppress(
            session, pepper=app.keys.pepper, address=NEW, reason=suppression.BY_HAND, evidence="x", at=app.now()
        )
    answered = site.post(link(app))
    assert answered.status_code == 409
    assert "write to us" in answered.text


def test_the_record_keeps_the_words_that_were_shown(app, site, opened, clock):
    write_catalogues(app.workspace.templates)
    with running(app) as address, httpx.Client(base_url=address, trust_env=False) as client:
        for tag in ("en-GB", ARABIC):
            page = html.fromstring(client.get(f"/sign-up?lang={tag}").content)
            ticket = unseal(app.keys.links, page.xpath("//input[@name='form']/@value")[0])
            assert ticket.language == page.get("lang") == tag
            assert ticket.statement in " ".join(page.text_content().split())
            assert ticket.offered == {"members": "Members", "partners": "Partners"}
            assert "Example Network" in ticket.statement
    assert (ticket.page, ticket.made_at) == ("https://news.example.org/sign-up", clock.time)


def test_one_list_needs_no_ticking(app, site, opened):
    with app.database.write() as session:
        lists.change(session, lists.get(session, "partners"), open_to_all=False)
        lists.change(session, lists.get(session, "members"), title=SCRIPTED, description=SCRIPTED)
    answered = site.get("/sign-up")
    page = html.fromstring(answered.content)
    assert "<script>alert" not in answered.text
    assert page.xpath("//input[@type='checkbox']") == []
    assert page.xpath("//input[@name='list']/@value") == ["members"]
    assert page.find(".//h2").text_content() == SCRIPTED
    assert unseal(app.keys.links, page.xpath("//input[@name='form']/@value")[0]).offered == {"members": SCRIPTED}


def test_a_multipart_form_of_another_site_is_taken_and_gets_no_cookie(app, site, form):
    files = [(name, (None, value)) for name, value in (("email", NEW), ("list", "members"), ("form", form["form"]))]
    headers = {"origin": "https://charity.example", "sec-fetch-site": "cross-site", "cookie": "a=b"}
    answered = site.post("/sign-up", files=files, headers=headers)
    assert answered.status_code == 200
    assert "set-cookie" not in answered.headers
    with app.database.read() as session:
        (fields,) = session.scalars(select(WebRequest.fields)).all()
    assert (fields["email"], fields["lists"], fields["origin"]) == (NEW, ["members"], "https://charity.example")


def test_a_file_in_the_form_is_not_taken(site, form):
    assert site.post("/sign-up", files={"email": ("x.txt", b"new@example.org")}).status_code == 400


def test_nothing_that_was_typed_is_logged(app, site, form, caplog):
    caplog.set_level(logging.DEBUG)
    site.post("/sign-up", data=form)
    answer(app)
    path = link(app)
    site.post(path)
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("newsletter")]
    assert [line for line in ours if "/sign-up 200" in line]
    assert not [line for line in ours if NEW in line or path.rpartition("/")[2] in line or "example.org" in line]


def test_while_too_many_wait_the_site_says_so(app, site, form, monkeypatch):
    monkeypatch.setattr(requests, "MOST_WAITING", 1)
    assert site.post("/sign-up", data=form).status_code == 200
    answered = site.post("/sign-up", data=form)
    assert answered.status_code == 503
    assert answered.headers["retry-after"] == "60"
    assert counts(app)[0] == 1


def embedded(app: App, name: str = "members", page: str = "https://charity.example/", language: str = "") -> str:
    with app.database.read() as session:
        return form_of(app, lists.get(session, name), page=page, language=language)


def test_a_form_for_another_site_is_plain_html_and_works_for_years(app, site, clock, opened):
    snippet = embedded(app)
    page = html.fromstring(snippet)
    assert (page.tag, page.get("action"), page.get("method")) == ("form", "https://news.example.org/sign-up", "post")
    assert not re.search(r"<script|<link|<img|<style| style=|src=|\son\w+=", snippet)
    clock.time += timedelta(days=1000)
    fields = {field.get("name"): field.get("value", "") for field in page.iter("input")}
    site.post("/sign-up", data={**fields, "email": NEW})
    answer(app)
    site.post(link(app))
    with app.database.read() as session:
        (line,) = session.scalars(select(ConsentEvent).where(ConsentEvent.action == "confirmed")).all()
        (asked,) = session.scalars(select(ConsentEvent).where(ConsentEvent.action == "requested")).all()
    assert line.source == "sign-up form on https://charity.example/"
    assert "embedded form made 2026-11-02" in asked.evidence
    assert line.wording.splitlines()[0] in " ".join(page.text_content().split())


def test_a_form_of_a_closed_list_is_refused_and_one_in_a_language_that_is_not_spoken(app, opened):
    with pytest.raises(Conflict, match="not open"):
        embedded(app, "secret")
    with pytest.raises(InvalidValue, match="does not speak"):
        embedded(app, language="cy")
    with pytest.raises(InvalidValue, match="no page"):
        embedded(app, page="javascript:alert(1)")


def test_the_trap_of_each_form_is_out_of_sight_and_of_the_way(app, site, opened):
    for page in (html.fromstring(site.get("/sign-up").content), html.fromstring(embedded(app))):
        (trap,) = page.xpath("//input[@name='subject']")
        assert trap.get("tabindex") == "-1"
        assert trap.get("autocomplete") == "off"
        assert trap.xpath("ancestor::*[@hidden]")
