"""What every answer carries, and what the log never holds."""

from __future__ import annotations

import base64
import hashlib
import logging
import re

import httpx
import pytest

from newsletter.app import App
from newsletter.web.protection import page_headers
from tests.peers.fixtures import wait_until

PATHS = ["/unsubscribe/TOKEN", "/preferences/TOKEN", "/nothing", "/health", "/media/x", "/view/x", "/events/1.ics", "/"]


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_is_protected(site: httpx.Client, member, path: str) -> None:
    headers = site.get(path.replace("TOKEN", member.token)).headers
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert "unsafe-inline" not in headers["content-security-policy"]
    assert "script-src" not in headers["content-security-policy"]
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-robots-tag"] == "noindex, nofollow"
    assert headers["cache-control"] == "no-store"
    assert headers["strict-transport-security"] == "max-age=31536000"
    assert "set-cookie" not in headers
    assert "server" not in headers


def test_without_https_there_is_no_promise_of_https() -> None:
    assert "strict-transport-security" not in page_headers("x", https=False)


def test_the_policy_allows_exactly_the_style_of_the_page(site: httpx.Client, member) -> None:
    answer = site.get(f"/unsubscribe/{member.token}")
    style = re.search("<style>(.*?)</style>", answer.text, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in answer.headers["content-security-policy"]
    assert " style=" not in answer.text


def test_no_page_needs_a_script_or_loads_anything(site: httpx.Client, member) -> None:
    for path in (f"/unsubscribe/{member.token}", f"/preferences/{member.token}", "/nothing"):
        text = site.get(path).text
        assert not re.search(r"<(script|img|iframe|link|object)|\son\w+=|src=|url\(", text)
        assert re.search(r"<title>(Email settings|Page not found)</title>", text)
        assert 'rel="noreferrer nofollow"' in text


def test_a_method_that_is_not_there_is_refused_with_a_page(site: httpx.Client, member) -> None:
    for method, path in (("PUT", f"/unsubscribe/{member.token}"), ("POST", f"/preferences/{member.token}")):
        answer = site.request(method, path)
        assert answer.status_code == 405
        assert "GET" in answer.headers["allow"]
        assert "<h1>" in answer.text


def test_the_log_names_the_page_and_no_token(site: httpx.Client, member, caplog: pytest.LogCaptureFixture) -> None:
    def ours() -> list[str]:
        return [r.getMessage() for r in caplog.records if r.name.startswith("newsletter")]

    with caplog.at_level(logging.DEBUG):
        site.get(f"/unsubscribe/{member.token}?address=amina@example.org")
        site.get("/amina@example.org")
        wait_until(lambda: len(ours()) == 2, "the log is written after the answer")
    assert [m.split(" ")[:3] for m in ours()] == [["GET", "/unsubscribe", "200"], ["GET", "/other", "404"]]
    said = "\n".join(r.getMessage() for r in caplog.records if not r.name.startswith("http"))  # the client's own log
    assert member.token not in said
    assert "amina" not in said


def test_health_says_whether_the_database_answers(app: App, site: httpx.Client) -> None:
    assert site.get("/health").json() == {"status": "ok"}
    with app.database.write() as session:
        session.connection().exec_driver_sql("ALTER TABLE lists RENAME TO lists_away")
    answer = site.get("/health")
    assert answer.status_code == 503
    assert answer.json() == {"status": "database unavailable"}


def test_preferences_say_how_to_reach_a_person(site: httpx.Client, member) -> None:
    text = site.get(f"/preferences/{member.token}").text
    assert 'href="mailto:news@example.org"' in text
    assert f'action="../unsubscribe/{member.token}"' in text
