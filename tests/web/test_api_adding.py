"""Whom programs can ask, add, put on lists, take off or suppress, and whom they never bring back."""

from __future__ import annotations

import httpx
import pytest
from sqlalchemy import func, select

from newsletter.api_tokens import Scope
from newsletter.app import App
from newsletter.config.settings import Config
from newsletter.personal_data.erasing import erase_person
from newsletter.tables import WebRequest
from subscribers import consent, lists
from subscribers.tables import Subscriber, Suppression
from tests.conftest import smallest_config
from tests.web.api_client import (
    GROUND,
    NOW,
    READ_WRITE,
    Caller,
    asking,
    caller,
    counted,
    direct,
    kind,
    leave,
    make_lists,
    put,
    put_in,
)


@pytest.fixture
def config() -> Config:
    attributes = [
        {"name": "town", "kind": "text"},
        {"name": "age", "kind": "number"},
        {"name": "renewal", "kind": "date"},
        {"name": "trained", "kind": "yes/no"},
        {"name": "role", "kind": "choice", "choices": ["police", "council"]},
        {"name": "interests", "kind": "several"},
    ]
    made = smallest_config()
    return type(made).model_validate({**made.model_dump(), "attributes": attributes})


def test_a_person_is_put_on_lists_with_basis_and_evidence(app: App, editor: Caller) -> None:
    body = direct(
        "Ann@Example.org", "members", "events", name="Ann Jones", tags=["Press"], attributes={"town": "Dudley"}
    )
    answer = editor("POST", "/subscribers", json=body)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made == {"id": 1, "address": "Ann@example.org", "lists": ["events", "members"], "state": "subscribed"}
    shown = editor("GET", f"/subscribers/{made['id']}").json()
    assert shown["tags"] == ["press"]
    assert shown["attributes"] == {"town": "Dudley"}
    assert shown["first_name"] == "Ann"
    assert [each["list"] for each in shown["subscriptions"]] == ["events", "members"]
    with app.database.read() as session:
        ledger = consent.ledger(session, made["id"])
    assert {(e.source, e.actor, e.basis.value, e.evidence, name) for e, name in ledger} == {
        ("API", "program", "consent", GROUND["evidence"], name) for name in ("events", "members")
    }


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"basis": "consent"}, 422),
        ({"evidence": "form"}, 422),
        ({"basis": "consent", "evidence": "  "}, 422),
        ({"basis": "soft-opt-in", "evidence": "form"}, 422),
        ({"basis": "nonsense", "evidence": "form"}, 422),
        ({**GROUND, "lists": []}, 422),
        ({**GROUND, "lists": ["nothing"]}, 422),
        ({**GROUND, "address": "no address"}, 422),
        ({**GROUND, "address": "a@example.org>\r\nRCPT TO:<v@example.org"}, 422),
        ({**GROUND, "name": 5}, 422),
        ({**GROUND, "surname": "Jones"}, 422),
        ({**GROUND, "language": "klingon!"}, 422),
        ({**GROUND, "collected_at": "2026-02-30"}, 422),
        ({**GROUND, "attributes": {"town": ["a", "b"]}}, 422),
        ({**GROUND, "attributes": {"nothing": "x"}}, 422),
        ({}, 422),
        ({"wording": " "}, 422),
        ({"wording": "I would like it.", "tags": ["press"]}, 422),
        ({"wording": "I would like it.", "name": "Ann"}, 422),
        ({"wording": "I would like it.", "address": "no address"}, 422),
    ],
)
def test_what_is_not_shown_or_not_understood_is_refused(
    app: App, editor: Caller, body: dict[str, object], status: int
) -> None:
    answer = editor("POST", "/subscribers", json={"address": "ann@example.org", "lists": ["members"], **body})
    assert answer.status_code == status, answer.text
    assert kind(answer) == "invalid"
    assert "RCPT" not in answer.text
    with app.database.read() as session:
        assert session.scalar(select(func.count()).select_from(Subscriber)) == 0
        assert session.scalar(select(func.count()).select_from(WebRequest)) == 0


def test_without_basis_the_person_is_asked_and_nothing_tells_who_is_known(app: App, site: httpx.Client) -> None:
    """The same bytes, headers and statements for known, unknown, left, suppressed and erased."""
    make_lists(app, "members")
    form = caller(app, site, Scope.SUBSCRIBERS_ASK)
    put(app, "known@example.org", "members")
    leave(app, put(app, "left@example.org", "members"), "members")
    leave(app, put(app, "never@example.org", "members"), None)
    with app.database.write() as session:
        gone = session.get_one(Subscriber, put_in(session, app, "erased@example.org"))
        erase_person(session, gone, evidence="letter", at=NOW)
    form("GET", "/lists")  # the day of use is written down
    seen = []
    for who in ("known", "unknown", "left", "never", "erased"):
        statements: list[str] = []
        with counted(app, statements):
            answer = form("POST", "/subscribers", json=asking(f"{who}@example.org", "members"))
        headers = {k: v for k, v in answer.headers.items() if k not in ("date", "ratelimit")}
        seen.append((answer.status_code, answer.content, headers, statements))
    assert seen[0][:2] == (202, b'{"state":"asked"}')
    assert all(each == seen[0] for each in seen)
    with app.database.read() as session:
        asked = session.scalars(select(WebRequest).order_by(WebRequest.id)).all()
        assert [one.fields["email"] for one in asked][:2] == ["known@example.org", "unknown@example.org"]
        assert asked[0].fields["lists"] == ["members"]


def test_a_list_that_is_not_offered_or_archived_takes_nobody(app: App, site: httpx.Client) -> None:
    make_lists(app, "members", "old", "private")
    with app.database.write() as session:
        lists.archive(session, lists.get(session, "old"), at=NOW)
        lists.get(session, "private").open = False
    editor = caller(app, site, *READ_WRITE)
    for name in ("old", "private"):
        answer = editor("POST", "/subscribers", json=asking("a@example.org", name))
        assert (answer.status_code, kind(answer)) == (409, "list-closed")
    assert editor("POST", "/subscribers", json=direct("a@example.org", "old")).status_code == 409
    assert editor("POST", "/subscribers", json=direct("a@example.org", "private")).status_code == 201


def test_nobody_who_left_is_suppressed_or_was_erased_comes_back_by_a_write(app: App, editor: Caller) -> None:
    left, never = put(app, "left@example.org", "members"), put(app, "never@example.org", "members")
    leave(app, left, "members")
    leave(app, never, None)
    with app.database.write() as session:
        gone = session.get_one(Subscriber, put_in(session, app, "erased@example.org"))
        erase_person(session, gone, evidence="x", at=NOW)
        people_gone = session.get_one(Subscriber, put_in(session, app, "bounced@example.net"))
        session.delete(people_gone)
    suppressing = caller(app, editor.site, Scope.SUPPRESSIONS_WRITE, name="suppressing")
    assert suppressing("POST", "/suppressions", json={"domain": "example.net", "evidence": "x"}).status_code == 201

    body = {"list": "members", **GROUND}
    assert kind(editor("POST", f"/subscribers/{left}/subscribe", json=body)) == "unsubscribed"
    refused = editor("POST", f"/subscribers/{never}/subscribe", json={"list": "events", **GROUND})
    assert (refused.status_code, kind(refused)) == (409, "not-to-be-mailed")
    for address in ("erased@example.org", "new@example.net", "new@sub.example.net"):
        refused = editor("POST", "/subscribers", json=direct(address, "members"))
        assert (refused.status_code, kind(refused)) == (409, "not-to-be-mailed"), address
        assert set(refused.json()) == {"type", "title", "status"}  # why is told only to whoever may read it
    refused = editor("POST", "/subscribers", json=direct("left@example.org", "members"))
    assert (refused.status_code, kind(refused), refused.json()["id"]) == (409, "known", left)
    assert editor("GET", f"/subscribers/{left}").json()["state"] == "unsubscribed"
    assert editor("GET", f"/subscribers/{never}").json()["lists"] == []


def test_who_may_read_suppressions_is_told_why(app: App, site: httpx.Client) -> None:
    make_lists(app, "members")
    never = put(app, "never@example.org", "members")
    leave(app, never, None)
    reader = caller(app, site, *READ_WRITE, Scope.SUPPRESSIONS_READ)
    refused = reader("POST", f"/subscribers/{never}/subscribe", json={"list": "members", **GROUND})
    assert refused.json()["reason"] == "unsubscribed"


def test_subscribe_and_unsubscribe_are_those_of_the_command_line(app: App, editor: Caller) -> None:
    ann = put(app, "ann@example.org", "members")
    answer = editor("POST", f"/subscribers/{ann}/subscribe", json={"list": "events", **GROUND})
    assert answer.json() == {"id": ann, "address": "ann@example.org", "list": "events", "state": "subscribed"}
    answer = editor("POST", f"/subscribers/{ann}/unsubscribe", json={"list": "members", "evidence": "telephone"})
    assert answer.json()["state"] == "unsubscribed"
    assert editor("GET", f"/subscribers/{ann}").json()["lists"] == ["events"]
    assert editor("POST", f"/subscribers/{ann}/unsubscribe", json={}).json()["list"] is None
    assert editor("GET", f"/subscribers/{ann}").json()["state"] == "suppressed"
    with app.database.read() as session:
        last, _ = consent.ledger(session, ann)[-1]
        assert (last.source, last.actor, last.evidence) == ("API", "program", "asked for it")


def test_who_may_only_write_is_shown_no_address(app: App, site: httpx.Client) -> None:
    make_lists(app, "members")
    ann = put(app, "ann@example.org", "members")
    writer = caller(app, site, Scope.SUBSCRIBERS_WRITE)
    answer = writer("POST", f"/subscribers/{ann}/unsubscribe", json={"list": "members"})
    assert answer.json() == {"id": ann, "address": None, "list": "members", "state": "unsubscribed"}
    refused = writer("POST", "/subscribers", json=direct("ann@example.org", "members"))
    assert refused.json()["id"] is None
    assert kind(writer("PATCH", f"/subscribers/{ann}", json={}, headers={"if-match": "*"})) == "scope-missing"


def test_suppressions_are_added_and_listed_and_never_lifted(app: App, site: httpx.Client) -> None:
    make_lists(app, "members")
    keeper = caller(app, site, Scope.SUPPRESSIONS_READ, Scope.SUPPRESSIONS_WRITE)
    body = {"address": "ann@example.org", "evidence": "telephone", "until": "2026-12-24", "list": "members"}
    answer = keeper("POST", "/suppressions", json=body)
    assert answer.status_code == 201
    assert answer.json()["scope"] == "members"
    assert answer.json()["expires"] == "2026-12-25T00:00:00+00:00"
    assert keeper("POST", "/suppressions", json=body).json()["id"] == answer.json()["id"]
    keeper("POST", "/suppressions", json={"domain": "*.Example.NET", "evidence": "letter", "reason": "complaint"})
    assert [(each["address"], each["scope"]) for each in keeper.all("/suppressions", limit=1)] == [
        ("ann@example.org", "members"),
        ("*@example.net", "all"),
    ]
    for wrong in (
        {"evidence": "x"},
        {"address": "a@example.org", "domain": "b.org", "evidence": "x"},
        {"address": "a@example.org"},
        {"address": "a@example.org", "evidence": "x", "reason": "erased"},
        {"domain": "not a domain", "evidence": "x"},
        {"domain": "b.org", "evidence": "x", "until": "9999-12-31"},
    ):
        assert keeper("POST", "/suppressions", json=wrong).status_code == 422, wrong
    assert keeper("DELETE", "/suppressions").status_code == 405
    with app.database.read() as session:
        assert session.scalars(select(Suppression.evidence)).first() == "telephone (API, program)"
