"""Running the site: alive and ready, measured, logged without anybody, behind a proxy, and under its own name only."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import select

from newsletter.app import App
from newsletter.config.settings import Log, Metrics
from newsletter.heartbeat import beat, last_beat
from newsletter.logs import Json, Masked, say_as_json, start_logging
from newsletter.tables import WebRequest
from newsletter.web import metrics
from newsletter.web.metrics import start_metrics
from newsletter.web.supervisor import STOP_SECONDS
from newsletter.worker import Worker
from subscribers.db import Database
from subscribers.errors import DatabaseUnavailable
from tests.peers.fixtures import folder_for, free_port, listens, missing, running, wait_until

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
CANARY = "amina.canary@example.org"


def with_web(app: App, **values: object) -> App:
    app.config = app.config.model_copy(update={"web": app.config.web.model_copy(update=values)})
    return app


# -- alive and ready


def test_a_site_without_its_database_is_alive_and_not_ready(app: App, serve, tmp_path: Path) -> None:
    with serve(app) as address:
        assert httpx.get(f"{address}/ready", trust_env=False).json()["status"] == "not ready"  # no migrations here
        assert httpx.get(f"{address}/health", trust_env=False).json() == {"status": "ok"}


def test_ready_tells_when_a_worker_was_last_seen(app: App, site: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent worker takes no page away: people must be able to unsubscribe."""
    monkeypatch.setattr("newsletter.web.health.require_current", lambda _database: None)
    assert site.get("/ready").json()["worker"] == "never seen"
    for age, told in ((timedelta(seconds=5), "ok"), (timedelta(minutes=10), "silent")):
        with app.database.write() as session:
            beat(session, app.now() - age)
        answer = site.get("/ready")
        assert (answer.status_code, answer.json()["status"], answer.json()["worker"]) == (200, "ready", told)


def test_ready_answers_in_time_when_the_database_does_not(app: App, site: httpx.Client, monkeypatch) -> None:
    """And however many ask, one thread waits: an outage must not use up what the process may have of them."""
    monkeypatch.setattr("newsletter.web.health.ANSWER_SECONDS", 0.1)
    answers, waiting = threading.Event(), []

    def hang(_database: Database) -> None:
        waiting.append(1)
        answers.wait(20)

    monkeypatch.setattr("newsletter.web.health.require_current", hang)
    begun = time.monotonic()
    for _ in range(3):
        answer = site.get("/ready")
        assert (answer.status_code, answer.json()["database"]) == (503, "does not answer in time")
    assert time.monotonic() - begun < 5
    assert len(waiting) == 1
    answers.set()
    wait_until(lambda: site.get("/ready").json()["status"] == "ready", "it stays as it was")


def beaten(app: App) -> bool:
    with app.database.read() as session:
        return last_beat(session) is not None


@contextmanager
def working(worker: Worker) -> Iterator[None]:
    thread = threading.Thread(target=worker.run)
    thread.start()
    yield
    worker.stop.set()
    thread.join(20)
    assert not thread.is_alive()


def test_a_worker_beats_until_it_stops(app: App) -> None:
    with working(Worker(app, lambda _words: None)):
        wait_until(lambda: beaten(app), "no heartbeat")


def test_a_worker_waits_for_a_database_that_is_not_there_yet(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("newsletter.worker.DATABASE_RETRY_SECONDS", 0.05)
    away = DatabaseUnavailable("There is no database yet.", hint="Run: newsletter db upgrade")
    comes, said = threading.Event(), []

    def check(_database: Database) -> None:
        if not comes.is_set():
            raise away

    monkeypatch.setattr("newsletter.migrations.require_current", check)
    with working(Worker(replace(app, check_schema=True), said.append)):
        wait_until(lambda: bool(said), "nothing was said")
        time.sleep(0.3)
        assert said == ["There is no database yet. Run: newsletter db upgrade. Trying again every 0 s."]
        assert not beaten(app)
        comes.set()
        wait_until(lambda: beaten(app), "it does not work")


def test_a_worker_whose_loop_stands_still_does_not_beat(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process lives and its other threads go on; a monitor that believed them would see nothing."""
    monkeypatch.setattr("newsletter.heartbeat.LOOK_SECONDS", 0.05)
    hangs, goes_on = threading.Event(), threading.Event()

    def hang(_app: App) -> None:
        hangs.set()
        goes_on.wait(20)

    monkeypatch.setattr("newsletter.worker.settle_left_behind", hang)
    with working(Worker(app, lambda _words: None)):
        assert hangs.wait(20)
        time.sleep(0.5)
        assert not beaten(app)
        goes_on.set()
        wait_until(lambda: beaten(app), "no heartbeat")


# -- metrics


def scraped(port: int) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_tell_of_the_work_and_of_nobody(app: App, serve, member) -> None:
    port = free_port()
    requests = start_metrics(app, Metrics(port=port))
    assert requests is not None
    with serve(app, count=requests.count) as address:
        httpx.get(f"{address}/unsubscribe/{member.token}", trust_env=False)
        httpx.get(f"{address}/nothing/{CANARY}", trust_env=False)
        httpx.request("BREW", f"{address}/health", trust_env=False)
    found = scraped(port)
    shown = frozenset({("method", "GET"), ("kind", "/unsubscribe"), ("status", "200")})
    assert found["newsletter_http_request_seconds_count", shown] == 1
    assert found["newsletter_database_up", frozenset()] == 1
    assert found["newsletter_issues", frozenset({("state", "sent")})] == 0
    assert found["newsletter_notices_waiting", frozenset()] == 0
    told = repr(found)
    assert "OTHER" in told
    for secret in (CANARY, member.token, "amina@example.org", "Members"):
        assert secret not in told


def test_metrics_whose_port_is_taken_are_told_of_and_begin_when_it_is_free(
    app: App, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The pages are served meanwhile: a site that ends because nobody can measure it lets nobody leave a list."""
    monkeypatch.setattr(metrics, "RETRY_SECONDS", 0.05)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert start_metrics(app, Metrics(port=port)) is not None
        assert f"port {port}" in caplog.text
    wait_until(lambda: listens(port), "the metrics did not begin")
    assert scraped(port)["newsletter_database_up", frozenset()] == 1


def test_metrics_say_when_the_database_is_away(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def away() -> Iterator[None]:
        raise DatabaseUnavailable("away")
        yield

    port = free_port()
    start_metrics(app, Metrics(port=port))
    monkeypatch.setattr(app.database, "read", away)
    assert scraped(port)["newsletter_database_up", frozenset()] == 0


# -- the log


@pytest.mark.parametrize("formatter", [Masked("site"), Json("site")])
def test_no_address_is_in_the_log_at_any_level_or_in_a_fault(formatter: logging.Formatter) -> None:
    try:
        raise ValueError(f"no row for <{CANARY}>")
    except ValueError:
        fault = sys.exc_info()
    for level in (logging.DEBUG, logging.INFO, logging.ERROR):
        record = logging.LogRecord("x", level, __file__, 1, "mail to %s failed", (CANARY,), fault)
        line = formatter.format(record)
        assert "canary" not in line
        assert "failed" in line
        assert "ValueError" in line


@pytest.mark.parametrize("kind", ["text", "json"])
def test_no_address_leaves_a_process_that_a_fault_ends(kind: str) -> None:
    """Neither by what a thread or the process dies of, nor by a warning, nor by what the worker tells people."""
    code = (
        "import sys, threading, warnings\n"
        "from newsletter.config.settings import Log\n"
        "from newsletter.logs import log_faults, masked, start_logging\n"
        "start_logging(Log(format=sys.argv[1]), 'worker'); log_faults()\n"
        "def fall(): raise ValueError('no row for ' + sys.argv[2])\n"
        "thread = threading.Thread(target=fall, name='receiver'); thread.start(); thread.join()\n"
        "warnings.warn('odd: ' + sys.argv[2])\n"
        "masked(lambda words: print(words, file=sys.stderr))('The receiver broke: ' + sys.argv[2])\n"
        "fall()\n"
    )
    done = subprocess.run([sys.executable, "-c", code, kind, CANARY], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "canary" not in done.stderr
    for told in ("ended receiver", "ended the process", "odd: (somebody)", "broke: (somebody)", "ValueError"):
        assert told in done.stderr


def test_a_line_for_machines_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    before = logging.getLogger().handlers[:]
    try:
        start_logging(Log(format="json"), "worker")
        say_as_json(f"2026-11 is sent: 3 sent. Told {CANARY}.")
        logging.getLogger("newsletter.web").info("hidden at this level")
    finally:
        logging.getLogger().handlers[:] = before
    (line,) = capsys.readouterr().err.splitlines()
    said = json.loads(line)
    assert (said["process"], said["level"]) == ("worker", "said")
    assert said["message"] == "2026-11 is sent: 3 sent. Told (somebody)"


# -- its name, its path, its proxy


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("news.example.org", 404),
        ("NEWS.example.org:443", 404),
        ("news.example.org.", 404),
        ("127.0.0.1:8025", 404),
        ("localhost", 404),
        ("evil.example", 421),
        ("news.example.org.evil.example", 421),
        ("", 421),
        ("[::", 421),
    ],
)
def test_another_name_gets_nothing(app: App, serve, host: str, status: int) -> None:
    """A page of somebody else that was made to resolve to our address (DNS rebinding) reads nothing."""
    with serve(app) as address:
        answer = httpx.get(f"{address}/nothing", headers={"host": host}, trust_env=False)
        alive = httpx.get(f"{address}/health", headers={"host": "10.0.0.7"}, trust_env=False)
    assert answer.status_code == status
    assert alive.status_code == 200


@pytest.mark.parametrize(
    ("trusted", "network"),
    [(("127.0.0.1",), "203.0.113.0/24"), (("127.0.0.0/8",), "203.0.113.0/24"), (("192.0.2.1",), "127.0.0.0/24")],
)
def test_for_whom_a_stranger_says_it_asks_is_not_believed(app: App, serve, trusted: tuple[str], network: str) -> None:
    """X-Forwarded-For counts from a trusted proxy alone, and of several the last that is none."""
    asked = {"kind": "other", "contact": "0121 496 0000"}
    with serve(with_web(app, trusted_proxies=trusted)) as address:
        forged = {"x-forwarded-for": "198.51.100.1, 203.0.113.9"}
        assert httpx.post(f"{address}/requests", data=asked, headers=forged, trust_env=False).status_code == 200
    with app.database.read() as session:
        assert session.scalars(select(WebRequest.network)).one() == network


def test_below_a_path_the_kind_of_page_is_counted_as_ever(app: App, serve, member) -> None:
    counted: list[str] = []
    with serve(with_web(app, url="http://127.0.0.1/news"), count=lambda *of: counted.append(of[1])) as address:
        for path in (f"/news/unsubscribe/{member.token}", f"/unsubscribe/{member.token}", "/newsletter/health"):
            httpx.get(f"{address}{path}", trust_env=False)
    assert counted == ["/unsubscribe", "/unsubscribe", "/other"]


@pytest.mark.parametrize("keeps_prefix", [True, False])
def test_below_a_path_everything_works_through_nginx(app: App, serve, member, states, keeps_prefix: bool) -> None:
    """Whether the proxy takes the path off or leaves it on; every link and form of a page stays below it."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        missing("nginx")
    port = free_port()
    with_web(app, url=f"http://127.0.0.1:{port}/news")
    with serve(app) as address, folder_for(None) as folder:
        folder.chmod(0o755)
        target = address if keeps_prefix else f"{address}/"
        (folder / "nginx.conf").write_text(
            f"daemon off; pid {folder}/pid; error_log stderr; events {{}} http {{ access_log off; "
            f"client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; "
            f"uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; server {{ listen 127.0.0.1:{port}; "
            f"location /news/ {{ proxy_pass {target}; proxy_set_header Host $http_host; }} }} }}"
        )
        with running([str(program), "-c", str(folder / "nginx.conf")], folder / "log", stop=signal.SIGTERM):
            wait_until(lambda: listens(port), "nginx did not start")
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
                page = client.get(f"/news/unsubscribe/{member.token}")
                assert page.status_code == 200
                for link in re.findall(r'(?:href|action|src)="([^"#]+)"', page.text):
                    where = httpx.URL(str(page.url)).join(link)
                    assert where.host != "127.0.0.1" or where.path.startswith("/news/"), link
                moved = client.get("/news/robots.txt/")
                assert httpx.URL(str(moved.url)).join(moved.headers["location"]).path == "/news/robots.txt"
                left = client.post(f"/news/unsubscribe/{member.token}", data={"scope": "list"})
                assert left.status_code == 200
                assert client.get(f"/elsewhere/unsubscribe/{member.token}").status_code == 404
    assert states()["members"] == "unsubscribed"


# -- what we ship for other programs


def test_a_stop_by_systemd_goes_to_the_watching_process_and_waits_longer_than_it_does() -> None:
    unit = (DEPLOY / "newsletter.service").read_text()
    assert "KillMode=mixed\n" in unit
    found = re.search(r"TimeoutStopSec=(\d+)", unit)
    assert found
    assert int(found[1]) > STOP_SECONDS


def test_the_units_are_what_systemd_takes(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        missing("systemd-analyze")
    for unit in ("newsletter.service", "newsletter.socket"):
        text = (DEPLOY / unit).read_text().replace("/usr/local/bin/newsletter", "/bin/true")
        (tmp_path / unit).write_text(text)
    units = [str(tmp_path / "newsletter.service"), str(tmp_path / "newsletter.socket")]
    done = subprocess.run([str(program), "verify", *units], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "newsletter" not in done.stderr
    words = [str(program), "security", "--offline=true", "--threshold=20", units[0]]
    judged = subprocess.run(words, capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stdout[-200:]  # an exposure of at most 2.0


def test_the_nginx_file_is_what_nginx_takes(tmp_path: Path) -> None:
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        missing("nginx")
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=news.example.org"]
    made = [*words, "-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    subprocess.run(made, check=True, capture_output=True)
    ours = (DEPLOY / "nginx.conf").read_text()
    ours = re.sub(r"/etc/letsencrypt/\S+/fullchain.pem", str(tmp_path / "cert.pem"), ours)
    ours = re.sub(r"/etc/letsencrypt/\S+/privkey.pem", str(tmp_path / "key.pem"), ours)
    ours = ours.replace("/var/log/nginx/", f"{tmp_path}/")
    (tmp_path / "nginx.conf").write_text(f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ {ours} }}")
    done = subprocess.run([str(program), "-t", "-c", str(tmp_path / "nginx.conf")], capture_output=True, text=True)
    assert "test is successful" in done.stderr, done.stderr


def test_the_caddy_file_is_what_caddy_takes(tmp_path: Path) -> None:
    """Also with the site below a path, which the file shows as a comment."""
    program = shutil.which("caddy")
    if program is None:
        missing("caddy")
    ours = (DEPLOY / "Caddyfile").read_text()
    other = "\n".join(line.removeprefix("# ") for line in ours.partition("config.toml:\n#\n")[2].splitlines())
    assert "handle_path /news/*" in other
    for text in (ours, other):
        (tmp_path / "Caddyfile").write_text(text)
        words = [str(program), "validate", "--adapter", "caddyfile", "--config", str(tmp_path / "Caddyfile")]
        home = {**os.environ, "HOME": str(tmp_path)}
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=home)
        assert done.returncode == 0, done.stderr


def test_a_socket_of_systemd_is_taken_over(tmp_path: Path) -> None:
    """The socket stays open over a restart, so that nobody is refused."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        code = (
            "import os, sys; os.environ['LISTEN_PID'] = str(os.getpid()); os.dup2(int(sys.argv[1]), 3)\n"
            "from newsletter.web.server import handed_over\n"
            "taken = handed_over()\n"
            "print(taken.getsockname()[1])\n"
            "os.environ['LISTEN_PID'] = '1'; print(handed_over())\n"
        )
        number = sock.fileno()
        env = {**os.environ, "LISTEN_FDS": "1"}
        done = subprocess.run(
            [sys.executable, "-c", code, str(number)], pass_fds=(number,), env=env, capture_output=True, text=True
        )
        assert done.stdout.split() == [str(sock.getsockname()[1]), "None"], done.stderr
