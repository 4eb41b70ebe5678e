"""From a request of a program to a confirmed subscription, through the worker that answers sign-ups."""

from __future__ import annotations

import email
import email.policy
import re

import httpx
import pytest
from sqlalchemy import select

from newsletter.api_tokens import Scope
from newsletter.app import App
from newsletter.asked.answering import Answering
from newsletter.config.settings import Config
from newsletter.tables import Notice
from subscribers import consent, lists, people
from tests.conftest import smallest_config
from tests.web.api_client import WORDING, Caller, asking, caller, kind, leave, make_lists, put

LINK = re.compile(r"https://news\.example\.org(/sign-up/\S+)")


@pytest.fixture
def config() -> Config:
    return smallest_config(signup={"per_hour_embedded": 40, "per_hour_per_network": 5})


@pytest.fixture
def form(app: App, site: httpx.Client) -> Caller:
    make_lists(app, "members", "events")
    return caller(app, site, Scope.SUBSCRIBERS_ASK, name="website")


def mailed(app: App) -> dict[str, str]:
    """Let the worker answer; return what was mailed to whom."""
    assert Answering(app, pytest.fail).once() == 0
    with app.database.read() as session:
        rows = session.execute(select(Notice.address, Notice.message)).all()
    return {to: email.message_from_bytes(raw, policy=email.policy.default).get_content() for to, raw in rows}


def test_who_is_asked_confirms_and_the_ledger_holds_what_they_saw(app: App, site: httpx.Client, form: Caller) -> None:
    assert form("POST", "/subscribers", json=asking("ann@example.org", "members", "events")).status_code == 202
    text = mailed(app)["ann@example.org"]
    with app.database.read() as session:
        assert people.find_or_none(session, "ann@example.org") is None
    link = LINK.search(text)
    assert link
    assert site.post(link[1]).status_code == 200
    with app.database.read() as session:
        person = people.find(session, "ann@example.org")
        ledger = consent.ledger(session, person.id)
    assert {(event.action.value, name) for event, name in ledger} == {
        (action, name) for action in ("requested", "confirmed") for name in ("members", "events")
    }
    assert all(WORDING in (event.wording or "") for event, _ in ledger)
    assert {event.source for event, _ in ledger} == {"sign-up form on the API, token website"}


def test_nobody_who_is_not_to_be_mailed_is_mailed(app: App, form: Caller) -> None:
    put(app, "known@example.org", "members")
    complained = caller(app, form.site, Scope.SUPPRESSIONS_WRITE, name="other")
    body = {"address": "never@example.org", "evidence": "report", "reason": "complaint"}
    complained("POST", "/suppressions", json=body)
    for who in ("never", "postmaster", "new"):
        form("POST", "/subscribers", json=asking(f"{who}@example.org", "members"))
    assert list(mailed(app)) == ["new@example.org"]


def test_somebody_who_left_comes_back_by_confirming_it_themselves_only(
    app: App, site: httpx.Client, form: Caller
) -> None:
    ann = put(app, "ann@example.org", "members")
    leave(app, ann, "members")
    form("POST", "/subscribers", json=asking("ann@example.org", "members"))
    link = LINK.search(mailed(app)["ann@example.org"])
    assert link
    reader = caller(app, site, Scope.SUBSCRIBERS_READ, name="reader")
    assert reader("GET", f"/subscribers/{ann}").json()["lists"] == []
    site.get(link[1])
    assert reader("GET", f"/subscribers/{ann}").json()["lists"] == []
    site.post(link[1])
    assert reader("GET", f"/subscribers/{ann}").json()["lists"] == ["members"]


def test_too_many_questions_are_refused_aloud_and_none_is_dropped_in_silence(app: App, form: Caller) -> None:
    answers = [form("POST", "/subscribers", json=asking(f"a{n}@d{n}.example.org", "members")) for n in range(41)]
    assert [answer.status_code for answer in answers] == [202] * 40 + [429]
    assert kind(answers[-1]) == "too-many"
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 90
    assert len(mailed(app)) == 40


def test_more_words_than_a_request_can_carry_are_refused(app: App, form: Caller) -> None:
    with app.database.write() as session:
        for number in range(20):
            lists.create(session, f"l{number}", title="\u00e9" * 200, at=app.now()).open = True
    body = {**asking("ann@example.org", *(f"l{number}" for number in range(20))), "wording": "w" * 1000}
    answer = form("POST", "/subscribers", json=body)
    assert (answer.status_code, kind(answer)) == (422, "invalid")
