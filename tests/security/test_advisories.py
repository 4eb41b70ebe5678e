"""Every hole that is known of programs like this one has a test here, and what it needs is not here without one."""

from __future__ import annotations

import ast
from pathlib import Path

import httpx
import pytest

from newsletter.app import App
from newsletter.web.public import make_site
from tests.security.advisories import ADVISORIES, Advisory
from tests.web.conftest import member, site  # noqa: F401  (fixtures)

TESTS = Path(__file__).parent.parent
ELSEWHERE = ("https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)", "\r\nLocation: x")
FIELDS = ("u", "url", "next", "return", "redirect", "to", "r", "lang", "q")


def defined_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


@pytest.mark.parametrize("advisory", ADVISORIES, ids=lambda each: each.ids[0])
def test_every_advisory_is_shown_by_tests_that_exist(advisory: Advisory) -> None:
    assert advisory.shown_by
    for file, name in advisory.shown_by:
        assert name in defined_in(TESTS / file), (file, name)


def test_no_advisory_stands_twice() -> None:
    known = [one for advisory in ADVISORIES for one in advisory.ids]
    assert len(known) == len(set(known))


def routes_of(app: App) -> list[str]:
    starlette = make_site(app).site.site.pages.site  # type: ignore[attr-defined]
    return [route.path for route in starlette.routes]


def test_nobody_can_log_in_here(app: App, site: httpx.Client, member) -> None:  # noqa: F811
    """No account, no password and no cookie: there is nothing that a session could outlive or a reset could skip."""
    words = ("login", "log-in", "signin", "password", "account", "admin", "session", "reset", "2fa", "install", "setup")
    assert [path for path in routes_of(app) if any(word in path for word in words)] == []
    for word in words:
        assert site.get(f"/{word}").status_code == 404
    for path in (
        f"/unsubscribe/{member.token}",
        f"/preferences/{member.token}",
        "/preferences",
        "/requests",
        "/health",
    ):
        for answer in (site.get(path), site.post(path, data={"scope": "list", "address": "a@example.org"})):
            assert "set-cookie" not in answer.headers, path


def test_no_address_in_a_request_is_ever_followed(app: App, site: httpx.Client, member) -> None:  # noqa: F811
    """Whatever a request names, no answer leads to it."""
    paths = ["/", "/nothing/", "/archive/", "/requests", "/preferences", f"/unsubscribe/{member.token}", "/robots.txt/"]
    for path in paths:
        for field in FIELDS:
            for where in ELSEWHERE:
                answer = site.get(path, params={field: where}, follow_redirects=False)
                assert "evil.example" not in answer.headers.get("location", "").partition("?")[0]
                assert not answer.headers.get("location", "").startswith(("http", "//", "/\\", "javascript"))
                assert "refresh" not in answer.headers
                assert f'href="{where}"' not in answer.text
