"""Who gets in: no token, wrong ones, too many, and what a request may be at all."""

from __future__ import annotations

import base64
import http.client
import logging
from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import select

from newsletter import api_tokens
from newsletter.api_tokens import Scope
from newsletter.app import App
from newsletter.tables import ApiToken
from newsletter.web.api import door
from newsletter.web.api.limits import MOST_REMEMBERED, Bucket
from newsletter.web.public import make_site
from tests.web.api_client import NOW, caller, counted, kind, make_lists


def test_while_no_token_was_ever_made_the_door_is_a_page_that_does_not_exist(app: App, site: httpx.Client) -> None:
    nothing = site.get("/nothing")
    for method in ("GET", "POST", "OPTIONS", "DELETE"):
        for path in ("/api/v1", "/api/v1/lists", "/api/v1/openapi.json"):
            answer = site.request(method, path)
            assert answer.status_code == site.request(method, "/nothing").status_code == 404
            assert answer.text == nothing.text
    caller(app, site)
    assert site.get("/api/v1/openapi.json").status_code == 200
    assert site.get("/api/v1x").status_code == 404


def test_every_wrong_token_is_answered_with_the_same_bytes(app: App, site: httpx.Client) -> None:
    good = caller(app, site, Scope.LISTS_READ)
    ended = caller(app, site, Scope.LISTS_READ, name="ended", expires_at=NOW + timedelta(days=1))
    revoked = caller(app, site, Scope.LISTS_READ, name="revoked")
    with app.database.write() as session:
        api_tokens.revoke(session, "revoked", by="tester", now=NOW)
        session.scalars(select(ApiToken).where(ApiToken.name == "ended")).one().expires_at = NOW
    changed = good.token[:-1] + ("A" if good.token[-1] != "A" else "B")
    basic = base64.b64encode(f"x:{good.token}".encode()).decode()
    given = [
        {},
        {"authorization": "Bearer"},
        {"authorization": "Bearer nlt_short"},
        {"authorization": f"Basic {basic}"},
        {"authorization": f"Bearer {changed}"},
        {"authorization": f"Bearer {ended.token}"},
        {"authorization": f"Bearer {revoked.token}"},
        {"authorization": good.token},
        {"authorization": f"Bearer {good.token.upper()}"},
        {"authorization": f"Bearer {good.token}\xff"},
    ]
    answers = [site.get("/api/v1/lists", headers=httpx.Headers(each, encoding="latin-1")) for each in given]
    answers += [site.get("/api/v1/no-such-thing"), site.get(f"/api/v1/lists?access_token={good.token}")]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert {answer.headers["www-authenticate"] for answer in answers} == {"Bearer"}
    assert good("GET", "/lists").status_code == 200


def test_failures_are_limited_by_network_and_a_valid_token_is_not(app: App, site: httpx.Client) -> None:
    good = caller(app, site, Scope.LISTS_READ)
    answers = [site.get("/api/v1/lists") for _ in range(40)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert [answer.status_code for answer in answers[:20]] == [401] * 20
    assert len(refused) >= 15
    assert 1 <= int(refused[-1].headers["retry-after"]) <= 60
    assert kind(refused[-1]) == "too-many"
    assert good("GET", "/lists").status_code == 200


def test_a_token_has_a_rate_that_its_answers_tell(
    app: App, site: httpx.Client, monkeypatch: pytest.MonkeyPatch, serve: Callable[..., object]
) -> None:
    monkeypatch.setattr(door, "REQUESTS_PER_MINUTE", 3)
    with serve(app) as address, httpx.Client(base_url=address, trust_env=False) as client:  # type: ignore[attr-defined]
        busy, other = caller(app, client, Scope.LISTS_READ), caller(app, client, Scope.LISTS_READ, name="other")
        answers = [busy("GET", "/lists") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[0].headers["ratelimit-policy"] == '"token";q=3;w=60'
        assert [answer.headers["ratelimit"] for answer in answers[:3]] == ['"token";r=2', '"token";r=1', '"token";r=0']
        assert 1 <= int(answers[3].headers["retry-after"]) <= 20
        assert other("GET", "/lists").status_code == 200


def test_a_program_that_runs_wild_costs_no_look_at_the_database(
    app: App, monkeypatch: pytest.MonkeyPatch, serve: Callable[..., object]
) -> None:
    """It shares a process with the pages: a one-click unsubscribe does not wait behind its refusals."""
    monkeypatch.setattr(door, "REQUESTS_PER_MINUTE", 3)
    with serve(app) as address, httpx.Client(base_url=address, trust_env=False) as client:  # type: ignore[attr-defined]
        busy = caller(app, client, Scope.LISTS_READ)
        while busy("GET", "/lists").status_code == 200:
            pass
        statements: list[str] = []
        with counted(app, statements):
            answers = [busy("GET", "/lists") for _ in range(5)]
    assert {(answer.status_code, answer.headers["ratelimit"]) for answer in answers} == {(429, '"token";r=0')}
    assert statements == []


def test_a_bucket_fills_again_and_forgets_the_oldest() -> None:
    bucket = Bucket(2)
    assert [bucket.take("a", 0.0).wait_seconds for _ in range(3)] == [0, 0, 30]
    assert bucket.take("a", 29.0).wait_seconds == 1
    assert bucket.take("a", 30.0).wait_seconds == 0
    assert bucket.take("a", 20.0).wait_seconds > 0  # a clock that goes back gives nothing
    for number in range(MOST_REMEMBERED + 5):
        bucket.take(number, 31.0)
    assert len(bucket._held) == MOST_REMEMBERED


def test_the_day_of_use_is_kept_once_and_no_hour(app: App, site: httpx.Client) -> None:
    good = caller(app, site, Scope.LISTS_READ)
    for _ in range(3):
        good("GET", "/lists")
    with app.database.read() as session:
        assert str(session.scalars(select(ApiToken)).one().used_on) == "2026-11-02"


def test_the_database_holds_no_token(app: App, site: httpx.Client) -> None:
    good = caller(app, site, Scope.LISTS_READ)
    with app.database.read() as session:
        row = session.scalars(select(ApiToken)).one()
        assert good.token not in repr(vars(row))
        assert row.digest == api_tokens.digest(good.token)
    assert good.token.startswith("nlt_")
    assert len(good.token) == api_tokens.TOKEN_CHARACTERS


def test_no_log_holds_a_token_or_an_address(app: App, site: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    make_lists(app, "members")
    good = caller(app, site, *Scope)
    with caplog.at_level(logging.DEBUG):
        good("GET", "/subscribers", params={"search": "amina@example.org"})
        good("POST", "/lookup", json={"address": "amina@example.org"})
        body = {"address": "amina@example.org", "lists": ["members"], "basis": "consent", "evidence": "form"}
        assert good("POST", "/subscribers", json=body).status_code == 201
        good("GET", "/subscribers/1/amina@example.org")
        site.get("/api/v1/lists", headers={"authorization": f"Bearer {good.token}x"})
    said = "\n".join(r.getMessage() for r in caplog.records if not r.name.startswith("http"))  # the client's own log
    assert "api: added subscriber 1 by token program" in said
    assert "amina" not in said
    assert good.token not in said
    assert api_tokens.digest(good.token).hex() not in said
    assert "GET /api 200" in said


def test_only_json_of_a_bounded_size_is_read(app: App, site: httpx.Client) -> None:
    good = caller(app, site, *Scope)
    for headers in ({}, {"content-type": "text/plain"}, {"content-type": "application/x-www-form-urlencoded"}):
        answer = good("POST", "/lookup", content=b'{"address": "a@example.org"}', headers=headers)
        assert (answer.status_code, kind(answer)) == (415, "about:blank")
    typed = {"content-type": "Application/JSON; charset=utf-8"}
    assert good("POST", "/lookup", content=b'{"address": "a@example.org"}', headers=typed).json() == []
    big = b'{"address": "' + b"a" * 20_000 + b'"}'
    assert good("POST", "/lookup", content=big, headers=typed).status_code == 413
    chunks = (b" " * 1000 for _ in range(30))
    assert good("POST", "/lookup", content=chunks, headers=typed).status_code == 413
    for broken in (b"{", b"[" * 8_000, b'"\xff"', b"1" * 9_000, b"null", b"", b'{"address": "\\ud800@example.org"}'):
        answer = good("POST", "/lookup", content=broken, headers=typed)
        assert answer.status_code in (400, 422), broken[:20]
        kind(answer)


def test_a_body_that_never_ends_is_given_up(app: App, monkeypatch: pytest.MonkeyPatch, site: httpx.Client) -> None:
    monkeypatch.setattr(door, "BODY_SECONDS", 0.2)
    good = caller(app, site, *Scope)
    connection = http.client.HTTPConnection(site.base_url.host, site.base_url.port, timeout=60)
    connection.putrequest("POST", "/api/v1/lookup")
    for name, value in (
        ("Authorization", f"Bearer {good.token}"), ("Content-Type", "application/json"), ("Content-Length", "100"),
    ):  # fmt: skip
        connection.putheader(name, value)
    connection.endheaders(b"{")
    assert connection.getresponse().status == 408
    connection.close()


def test_refusals_are_problem_documents_under_the_sites_own_headers(app: App, site: httpx.Client) -> None:
    good = caller(app, site, Scope.LISTS_READ)
    for method, path, status in (
        ("GET", "/no-such-thing", 404),
        ("DELETE", "/lists", 405),
        ("OPTIONS", "/lists", 405),
        ("GET", "/lists/", 404),
        ("GET", "/lists?limit=0", 422),
        ("GET", "/lists?nonsense=1", 422),
        ("GET", "/subscribers", 403),
    ):
        answer = good(method, path, headers={"origin": "https://evil.example"})
        assert answer.status_code == status, path
        kind(answer)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert "set-cookie" not in answer.headers
    assert good("DELETE", "/lists").headers["allow"] == "GET"


async def test_below_a_path_of_a_proxy_it_is_the_same(app: App, site: httpx.Client) -> None:
    """Some proxies put the site below a path and say so; the path then begins with it."""
    good = caller(app, site, Scope.LISTS_READ)
    transport = httpx.ASGITransport(make_site(app), root_path="/letters")
    headers = {"authorization": f"Bearer {good.token}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
        assert (await client.get("/letters/api/v1/lists")).json() == []
        refused = await client.post("/letters/api/v1/lists")
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET")
        assert (await client.get("/letters/api/v1/openapi.json")).json()["openapi"].startswith("3.1")


def test_a_fault_is_a_problem_document_without_its_words(
    app: App, site: httpx.Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> object:
        raise RuntimeError("amina@example.org")

    monkeypatch.setattr("newsletter.web.api.lists.lists.counts", broken)
    answer = caller(app, site, Scope.LISTS_READ)("GET", "/lists")
    assert (answer.status_code, kind(answer)) == (500, "about:blank")
    assert "amina" not in answer.text + caplog.text


def test_a_database_that_is_away_is_told_as_such(app: App, site: httpx.Client) -> None:
    good = caller(app, site, Scope.LISTS_READ)
    assert good("GET", "/lists").status_code == 200
    with app.database.write() as session:
        session.connection().exec_driver_sql("ALTER TABLE subscriptions RENAME TO away")
    answer = good("GET", "/lists")
    assert (answer.status_code, kind(answer)) == (503, "about:blank")
    assert answer.headers["retry-after"]
