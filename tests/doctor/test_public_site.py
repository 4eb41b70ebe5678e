"""The click on an unsubscribe link that belongs to nobody: the real site passes, and each fault is told."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from sqlalchemy import func, select

from newsletter.app import App
from newsletter.doctor.findings import Finding, Level
from newsletter.doctor.public_site import Clicked, judge_click, site_task
from subscribers.tables import ConsentEvent
from tests.conftest import smallest_config
from tests.web.conftest import running

NOW = datetime.now(UTC)


def click(app: App, url: str, *, online: bool = True) -> list[Finding]:
    # What lies beyond loopback is judged as a value below; here every address is one of this machine.
    config = smallest_config(web={"url": url})
    return [
        f
        for f in site_task(config, app.workspace.secrets, online=online, now=NOW)()
        if "only this machine" not in f.message and f.check != "clock"
    ]


@pytest.mark.parametrize(
    ("minutes", "words"),
    [(-3, "3 minutes behind"), (5, "5 minutes ahead of"), (1, None)],
)
def test_a_clock_that_differs_from_the_sites_is_told(
    app: App, serve: Callable[..., str], minutes: int, words: str | None
) -> None:
    config = smallest_config(web={"url": serve(200)})
    now = datetime.now(UTC) + timedelta(minutes=minutes)
    told = [f for f in site_task(config, app.workspace.secrets, online=True, now=now)() if f.check == "clock"]
    assert [f.level for f in told] == ([Level.WARN] if words else [])
    assert all(words in f.message and "NTP" in f.fix for f in told if words)


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Return a function that starts a site that answers every POST alike, and returns its address."""
    servers: list[ThreadingHTTPServer] = []

    def start(status: int, *, tls: ssl.SSLContext | None = None, **headers: str) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_words: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return f"{'https' if tls else 'http'}://localhost:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_the_real_site_passes_and_nothing_is_written(app: App) -> None:
    with running(app) as url:
        [found] = click(app, url)
    assert found.level is Level.OK
    assert "200, no redirect, no cookie" in found.message
    with app.database.read() as session:
        assert session.scalar(select(func.count()).select_from(ConsentEvent)) == 0


def test_a_site_of_another_workspace_does_not_know_the_link(app: App, tmp_path) -> None:
    from newsletter.keys import create_keys

    create_keys(tmp_path / "other")
    with running(app) as url:
        config = smallest_config(web={"url": url})
        found = site_task(config, tmp_path / "other", online=True, now=NOW)()[0]
    assert found.level is Level.FAIL
    assert "does not know our unsubscribe links" in found.message


def test_a_redirect_and_an_error_are_failures_and_a_cookie_is_a_warning(app: App, serve) -> None:
    [found] = click(app, serve(301, location="https://www.example.org/"))
    assert (found.level, "https://www.example.org/" in found.message) == (Level.FAIL, True)
    [found] = click(app, serve(503))
    assert (found.level, "503" in found.message) == (Level.FAIL, True)
    [found] = click(app, serve(200, set_cookie="a=b"))
    assert (found.level, "cookie" in found.message) == (Level.WARN, True)


@pytest.mark.parametrize(("days", "level"), [(60, Level.OK), (10, Level.WARN), (2, Level.FAIL)])
def test_the_certificate_is_verified_and_its_days_told(app: App, serve, certify, days: int, level: Level) -> None:
    [found] = click(app, serve(200, tls=certify(timedelta(days=days, hours=1))))
    assert found.level is level
    assert f"{days} days" in found.message


def test_a_certificate_that_nobody_vouches_for_is_a_failure(app: App, serve, certify, monkeypatch) -> None:
    url = serve(200, tls=certify(timedelta(days=60)))
    monkeypatch.delenv("SSL_CERT_FILE")
    [found] = click(app, url)
    assert found.level is Level.FAIL
    assert "self-signed certificate" in found.message


def test_a_site_that_is_away_is_a_failure(app: App) -> None:
    [found] = click(app, "http://127.0.0.1:9")
    assert found.level is Level.FAIL
    assert found.message == "http://127.0.0.1:9 does not answer: Connection refused."


def test_it_is_not_asked_without_being_told_or_before_it_is_set(app: App) -> None:
    [found] = click(app, "https://news.example.org", online=False)
    assert "add --online" in found.message
    [found] = click(app, "https://news.your-domain.invalid")
    assert found.level is Level.WARN


def test_a_site_on_loopback_is_no_public_one() -> None:
    well = Clicked(status=200, location="", sets_cookie=False, days=None)
    assert [f.level for f in judge_click("http://localhost:8025", well)] == [Level.OK, Level.WARN]
    assert [f.level for f in judge_click("https://news.example.org", well)] == [Level.OK]
