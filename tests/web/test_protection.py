"""What every answer carries, and what the log never holds."""

from __future__ import annotations

import base64
import hashlib
import io
import logging
import re

import httpx
import pytest
from PIL import Image

from newsletter.app import App
from newsletter.render.links import event_mark
from newsletter.web.protection import page_headers
from newsletter.web.public import make_site
from tests.peers.fixtures import wait_until

STYLE = re.compile("<style>(.*?)</style>", re.DOTALL)
SCRIPT = re.compile("<script>(.*?)</script>", re.DOTALL)
PAGE_POLICY = (
    "default-src 'none'; style-src 'STYLE'; script-src 'SCRIPT'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
STRICT = {
    "content-security-policy": PAGE_POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "x-robots-tag": "noindex, nofollow",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": (
        "accelerometer=(), browsing-topics=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), "
        "microphone=(), payment=(), usb=()"
    ),
    "cache-control": "no-store",
    "strict-transport-security": "max-age=31536000",
}
NOT_COMPARED = {"date", "content-length", "etag", "last-modified", "connection"}
HTML = {"content-type": "text/html; charset=utf-8", "content-language": "en-GB", "vary": "Accept-Language"}
ONE_DAY = {"cache-control": "public, max-age=86400"}
# route -> what its answer carries beside STRICT, or instead of it; a route that is not named here carries STRICT.
SNAPSHOT: dict[str, dict[str, str]] = {
    "/unsubscribe/{token}": HTML,
    "/preferences/{token}": HTML,
    "/view/{name}": {
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": (
            "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; script-src 'SCRIPT'; form-action 'none'; "
            "base-uri 'none'; frame-ancestors 'none'; "
            "sandbox allow-scripts allow-popups allow-popups-to-escape-sandbox"
        ),
    },
    "/events/{name}.ics": {
        "content-type": "text/calendar; charset=utf-8; method=PUBLISH",
        "content-disposition": 'attachment; filename="event.ics"',
        "cache-control": "no-cache",
    },
    "/media/{name}": {
        "content-type": "image/jpeg",
        "cache-control": "public, max-age=31536000, immutable",
        "content-security-policy": "default-src 'none'; sandbox",
        "cross-origin-resource-policy": "cross-origin",
    },
    "/requests": HTML,
    "/health": {"content-type": "application/json"},
    "/ready": {"content-type": "application/json"},
    "/robots.txt": {"content-type": "text/plain; charset=utf-8", **ONE_DAY},
    "/favicon.ico": {"content-type": "image/png", "cross-origin-resource-policy": "cross-origin", **ONE_DAY},
}


def carried(answer: httpx.Response, script: str, style: str) -> dict[str, str]:
    policy = answer.headers["content-security-policy"].replace(script, "SCRIPT").replace(style, "STYLE")
    kept = {name: value for name, value in answer.headers.items() if name not in NOT_COMPARED}
    return {**kept, "content-security-policy": policy}


def digest(found: re.Match[str] | None) -> str:
    assert found
    return "sha256-" + base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()


def test_the_headers_of_every_route(app: App, site: httpx.Client, member, issue) -> None:
    """Each route is asked for with what it shows, and then with what it does not know; both are protected."""
    page = site.get("/nothing").text
    script, style = digest(SCRIPT.search(page)), digest(STYLE.search(page))
    picture = hashlib.sha256(b"picture").hexdigest() + ".jpg"
    (app.workspace.media / picture).write_bytes(b"picture")
    view = issue()
    values = {
        "/unsubscribe/{token}": member.token,
        "/preferences/{token}": member.token,
        "/view/{name}": view,
        "/events/{name}.ics": f"1-{event_mark(app.keys.marks.current, 1)}",
        "/media/{name}": picture,
    }
    for route, headers in SNAPSHOT.items():
        answer = site.get(re.sub(r"\{\w+\}", values.get(route, ""), route))
        status = 503 if route == "/ready" else 200  # a test's database has no version
        assert (route, answer.status_code, carried(answer, script, style)) == (route, status, {**STRICT, **headers})
        head = site.head(answer.request.url)
        assert {**head.headers, "date": ""} == {**answer.headers, "date": ""}
        assert head.content == b""
    for route in routes_of(app):
        answer = site.get(re.sub(r"\{\w+\}", "x", route))
        told = carried(answer, script, style)
        if answer.status_code >= 400:
            assert (route, {n: told.get(n) for n in STRICT}) == (route, STRICT)


def routes_of(app: App) -> list[str]:
    starlette = make_site(app).site.site.pages.site  # type: ignore[attr-defined]
    return [route.path for route in starlette.routes]


def test_without_https_there_is_no_promise_of_https() -> None:
    assert "strict-transport-security" not in page_headers("x", "y", https=False)


def test_the_policy_allows_exactly_the_style_and_the_script_of_the_page(site: httpx.Client, member) -> None:
    answer = site.get(f"/unsubscribe/{member.token}")
    policy = answer.headers["content-security-policy"]
    assert f"style-src '{digest(STYLE.search(answer.text))}'" in policy
    assert f"script-src '{digest(SCRIPT.search(answer.text))}'" in policy
    assert "unsafe" not in policy
    assert " style=" not in answer.text


def test_no_page_loads_anything_and_each_has_the_way_out_as_a_plain_link(site: httpx.Client, member) -> None:
    for path in (f"/unsubscribe/{member.token}", f"/preferences/{member.token}", "/nothing"):
        text = SCRIPT.sub("", STYLE.sub("", site.get(path).text))
        assert not re.search(r"<(script|img|iframe|link|object)|\son\w+=|src=|url\(", text)
        assert re.search(r"<title>(Email settings|Page not found)</title>", text)
        assert '<a class="exit" href="https://www.bbc.co.uk/weather" rel="noreferrer nofollow">' in text


def test_robots_are_kept_out_and_the_icon_tells_nothing(site: httpx.Client) -> None:
    assert site.get("/robots.txt").text == "User-agent: *\nDisallow: /\n"
    icon = Image.open(io.BytesIO(site.get("/favicon.ico").content))
    assert icon.size == (16, 16)


def test_a_slash_too_many_leads_to_the_page_and_never_elsewhere(site: httpx.Client, member) -> None:
    answer = site.get(f"/unsubscribe/{member.token}/?lang=en")
    assert (answer.status_code, answer.headers["location"]) == (308, f"../{member.token}?lang=en")
    assert site.get(f"/unsubscribe/{member.token}/", follow_redirects=True).status_code == 200
    assert site.post(f"/unsubscribe/{member.token}/", data={"scope": "list"}).status_code == 404
    for path in ("//", "//example.org//", "/../", "/%2e%2e/", "/%0d%0ax/", "/é/", "/x%2f/"):
        assert site.get(path).status_code == 404


def test_a_method_that_is_not_there_is_refused_with_a_page(site: httpx.Client, member) -> None:
    for method, path in (("PUT", f"/unsubscribe/{member.token}"), ("PUT", f"/preferences/{member.token}")):
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


def test_preferences_say_how_to_reach_a_person(site: httpx.Client, member) -> None:
    text = site.get(f"/preferences/{member.token}").text
    assert 'href="mailto:news@example.org"' in text
    assert f'action="../unsubscribe/{member.token}"' in text
