"""The site in a real browser: leaving in a hurry, what runs, and whether everybody can use every page."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import httpx
import pytest

from newsletter.app import App
from newsletter.config.settings import Config
from tests.conftest import smallest_config
from tests.peers.browser import SHIFT, Browser, Tab
from tests.web.catalogues import ARABIC, LONG, write_catalogues
from tests.web.conftest import OF_AN_ISSUE, running

TAB = {"key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9}
LETTER = {"key": "A", "code": "KeyA", "windowsVirtualKeyCode": 65, "modifiers": 8}
DIFFERENT = ("unsubscribe", "issue")  # a page of ours, and one in a sandbox
pytestmark = pytest.mark.journey


@contextmanager
def answering(body: bytes, headers: Mapping[str, str]) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Answer every request with one page; yield its address, and the headers that it was asked with."""
    asked: list[dict[str, str]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(dict(self.headers))
            self.send_response(200)
            for name, value in {**headers, "content-length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", asked
    server.shutdown()
    thread.join(10)
    server.server_close()


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """The busy page that the exit leads to."""
    with answering(b"<!doctype html><title>Weather</title><h1>Rain</h1>", {"content-type": "text/html"}) as found:
        yield found


@pytest.fixture
def weather(elsewhere: tuple[str, list[dict[str, str]]]) -> str:
    return elsewhere[0]


@pytest.fixture
def config(weather: str) -> Config:
    return smallest_config(web={"exit_url": weather}, archive={"enabled": True})


@pytest.fixture
def address(app: App) -> Iterator[str]:
    """Where the site is, with both test languages offered."""
    write_catalogues(app.workspace.templates)
    with running(app) as found:
        yield found


def test_with_script_back_does_not_return_to_the_page(browser: Browser, address: str, pages, elsewhere) -> None:
    weather, asked = elsewhere
    for name, path in pages.items():
        for keys in (False, True) if name in DIFFERENT else (False,):
            tab = browser.tab()
            tab.open(address + path)
            if keys:
                tab.press(SHIFT, 3)
            else:
                tab.click("a.exit")
            tab.wait_until_at(weather)
            assert tab.history() == ["about:blank", weather], (name, keys)
    assert asked
    assert [headers for headers in asked if address in headers.get("Referer", "")] == []


def test_without_script_the_exit_is_a_plain_link(browser: Browser, address: str, pages, weather: str) -> None:
    for name in DIFFERENT:
        tab = browser.tab(script=False)
        tab.open(address + pages[name])
        tab.click("a.exit")
        tab.wait_until_at(weather)


def test_the_page_is_blank_before_the_other_one_is_there(browser: Browser, address: str, pages) -> None:
    for name in DIFFERENT:
        tab = browser.tab()
        tab.open(address + pages[name])
        tab.call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)
        blank = "document.querySelector('a.exit').click(); [document.body.offsetHeight, document.title]"
        assert tab.evaluate(blank) == [0, ""]


def test_shift_counts_only_alone_and_three_times(browser: Browser, address: str, pages, weather: str) -> None:
    tab = browser.tab()
    tab.open(address + pages["unsubscribe"])
    tab.press(SHIFT, 2)
    tab.press(TAB)
    tab.press(SHIFT, 2)
    for _ in range(4):  # capital letters, typed
        tab.call("Input.dispatchKeyEvent", type="keyDown", modifiers=8, **SHIFT)
        tab.press(LETTER)
        tab.call("Input.dispatchKeyEvent", type="keyUp", **SHIFT)
    assert tab.history()[-1].startswith(address)
    assert tab.evaluate("document.documentElement.hidden") is False
    tab.press(SHIFT, 3)
    tab.wait_until_at(weather)


def test_the_hint_of_the_keys_is_there_only_where_they_work(browser: Browser, address: str, pages) -> None:
    for script in (True, False):
        for name in ("unsubscribe", "issue"):
            tab = browser.tab(script=script)
            tab.open(address + pages[name])
            assert tab.evaluate("document.getElementById('exit-keys').offsetHeight > 0") is script


def test_the_browser_refuses_nothing_of_a_page_and_asks_nobody_else(browser: Browser, address: str, pages) -> None:
    tab = browser.tab()
    for path in pages.values():
        tab.open(address + path)
        tab.evaluate("new Promise(done => setTimeout(done, 50))")
        assert [words for words in tab.said() if "404" not in words] == [], path
        assert [url for url in tab.requested() if not url.startswith(address)] == []


def test_a_second_visit_looks_like_the_first(browser: Browser, address: str, pages) -> None:
    """What was kept is asked about again: the answer must not take its style away."""
    for name in ("issue", "archive", "event"):
        tab = browser.tab()
        shown = []
        for _ in range(2):
            tab.open(address + pages[name])
            shown.append(tab.evaluate("getComputedStyle(document.querySelector('a.exit')).padding"))
            assert [words for words in tab.said() if "Security Policy" in words] == []
        assert shown[0] == shown[1] != "0px"


def test_what_is_slipped_into_an_issue_does_not_run(browser: Browser, address: str, pages) -> None:
    """As if all cleaning had failed: the page itself holds the script, and the policy alone stands in its way."""
    page = httpx.get(address + pages["issue"], trust_env=False)
    hostile = "<main><script>document.title='ran'</script><img src=x onerror=\"document.title='ran'\">"
    with answering(page.text.replace("<main>", hostile).encode(), page.headers) as (there, _):
        tab = browser.tab()
        tab.open(there)
        assert tab.evaluate("document.title") == "Newsletter, Monday 2 November 2026"
        assert tab.evaluate("document.scripts.length") == 2
        assert len([words for words in tab.said() if "Content Security Policy" in words]) >= 2
        assert tab.evaluate("window.origin") == "null"


def test_what_not_everybody_can_use_is_found(browser: Browser, axe: str) -> None:
    grey = "<!doctype html><style>p{color:#ddd;background:#fff;width:400px}</style><p>Pale</p><img src='/x'>"
    with answering(grey.encode(), {"content-type": "text/html"}) as (there, _):
        tab = browser.tab(width=320, height=640, script=False)
        tab.open(there)
        found = " ".join(judged(tab, axe))
    for rule in ("html-has-lang", "image-alt", "color-contrast", "dark: color-contrast", "px wide"):
        assert rule in found


@pytest.mark.parametrize("language", ["en-GB", ARABIC])
@pytest.mark.parametrize("script", [True, False])
def test_everybody_can_use_every_page(
    browser: Browser, address: str, pages, member, axe: str, language: str, script: bool
) -> None:
    """No rule of axe is broken, light and dark, and nothing is wider than 320 px."""
    tab = browser.tab(width=320, height=640)
    found: dict[str, list[str]] = {}
    for name, path in pages.items():
        tab.run_scripts(script)
        tab.open(f"{address}{path}{'&' if '?' in path else '?'}lang={language}")
        found[name] = judged(tab, axe)
    tab.run_scripts(script)
    tab.open(f"{address}{pages['unsubscribe']}?lang={language}")
    browser.events.clear()
    tab.click("button")
    tab.wait_for("Page.loadEventFired")
    assert tab.evaluate("document.querySelectorAll('[name=receipt]').length") >= 1
    found["after leaving"] = judged(tab, axe)
    tab.run_scripts(script)
    tab.open(f"{address}{pages['settings']}?lang={language}")
    browser.events.clear()
    tab.click("button")
    tab.wait_for("Page.loadEventFired")
    assert tab.evaluate("document.querySelectorAll('[name=session]').length") > 1
    found["settings, opened"] = judged(tab, axe)
    assert {name: broken for name, broken in found.items() if broken} == {}


def test_long_words_of_a_language_fit_320_pixels(browser: Browser, address: str, pages) -> None:
    tab = browser.tab(width=320, height=640)
    for name, path in pages.items():
        if name not in OF_AN_ISSUE:
            tab.open(f"{address}{path}{'&' if '?' in path else '?'}lang={LONG}")
            assert (name, tab.evaluate("document.documentElement.scrollWidth")) == (name, 320)


def judged(tab: Tab, axe: str) -> list[str]:
    """Return what is wrong with a page, light and dark."""
    broken = tab.judge(axe, dark=False)
    width = tab.evaluate("document.documentElement.scrollWidth")
    broken += tab.judge(axe, dark=True)
    tab.paint(dark=False)
    return broken + ([f"it is {width} px wide"] if width > 320 else [])
