"""`newsletter serve`: two processes behind one port, watched, and stopped together."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from newsletter.keys import create_keys
from newsletter.migrations import open_and_upgrade
from newsletter.paths import Workspace

CONFIG = """
[organisation]
name = "Example Network"
postal_address = "1 High Street, Dudley DY1 1AA"
from_address = "news@example.org"
[smtp]
[web]
url = "https://news.example.org"
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "workspace")
    for folder in (made.root, made.media, made.locks):
        folder.mkdir(parents=True)
    made.config.write_text(CONFIG)
    made.config.chmod(0o600)
    create_keys(made.secrets)
    open_and_upgrade(f"sqlite:///{made.database}")
    return made


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def healthy(port: int) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False, timeout=20).status_code == 200
    return False


@contextmanager
def serving(workspace: Workspace, *words: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    port = free_port()
    command = [sys.executable, "-m", "newsletter.cli.main", "--workspace", str(workspace.root)]
    process = subprocess.Popen([*command, "serve", "--port", str(port), *words], stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: healthy(port))
        yield process, port
    finally:
        process.kill()
        process.wait()  # not `communicate`: a child that outlives it would hold the pipe open
        assert process.stderr
        process.stderr.close()


def children(process: subprocess.Popen[str]) -> dict[str, psutil.Process]:
    found = {}
    for child in psutil.Process(process.pid).children():
        words = child.cmdline()
        found["worker" if "work" in words else "site"] = child
    return found


def test_it_runs_a_site_and_a_worker_and_ends_both(workspace: Workspace) -> None:
    with serving(workspace) as (process, _):
        running = children(process)
        assert set(running) == {"site", "worker"}
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 0
        assert "Traceback" not in errors
        assert not any(child.is_running() for child in running.values())


def test_it_says_how_the_work_is_finishes_what_has_begun_and_logs_nobody(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = free_port()
    for name, value in (("METRICS__PORT", str(measured)), ("LOG__FORMAT", "json"), ("LOG__LEVEL", "debug")):
        monkeypatch.setenv(f"NEWSLETTER__{name}", value)
    body = b"kind=complaint&contact=amina.canary%40example.org&words=too+much"
    head = "POST /requests HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    with serving(workspace) as (process, port):
        address = f"http://127.0.0.1:{port}"
        wait_for(lambda: httpx.get(f"{address}/ready", trust_env=False).json()["worker"] == "ok")
        metrics = httpx.get(f"http://127.0.0.1:{measured}/metrics", trust_env=False).text
        assert "newsletter_worker_heartbeat_age_seconds " in metrics
        with socket.create_connection(("127.0.0.1", port), timeout=20) as slow:
            slow.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:20])
            assert httpx.get(f"{address}/requests", trust_env=False).status_code == 200  # the site has read the above
            process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            slow.sendall(body[20:])
            assert slow.recv(100).startswith(b"HTTP/1.1 200 ")
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert '"kind": "/requests"' in errors
    assert "canary" not in errors


def test_a_site_whose_database_is_not_there_yet_says_so_and_opens_when_it_is(workspace: Workspace) -> None:
    """It is alive, takes no unsubscribe that it could not keep, and makes no database of its own."""
    workspace.database.unlink()
    leave = {"List-Unsubscribe": "One-Click"}
    with serving(workspace, "--no-worker") as (process, port):
        address = f"http://127.0.0.1:{port}"
        ready = httpx.get(f"{address}/ready", trust_env=False)
        assert (ready.status_code, ready.json()["database"]) == (503, "There is no database yet.")
        for path in ("/unsubscribe/v1.x", "/api/v1/lists"):
            answer = httpx.post(f"{address}{path}", data=leave, trust_env=False)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
        assert answer.headers["content-type"] == "application/problem+json"
        assert not workspace.database.exists()
        (site,) = children(process).values()
        open_and_upgrade(f"sqlite:///{workspace.database}")
        assert httpx.get(f"{address}/ready", trust_env=False).json()["status"] == "ready"
        assert httpx.post(f"{address}/unsubscribe/v1.x", data=leave, trust_env=False).status_code == 404
        assert site.is_running()


def test_a_site_that_is_killed_comes_back_and_the_port_is_never_closed(workspace: Workspace) -> None:
    with serving(workspace, "--no-worker") as (process, port):
        (site,) = children(process).values()
        site.kill()
        # The socket belongs to the watching process: a request of this moment waits instead of being refused.
        assert httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False, timeout=30).status_code == 200
        (again,) = children(process).values()
        assert again.pid != site.pid


def test_the_two_end_when_the_one_that_watches_is_killed(workspace: Workspace) -> None:
    with serving(workspace) as (process, _):
        running = children(process)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        wait_for(lambda: not any(c.is_running() and c.status() != psutil.STATUS_ZOMBIE for c in running.values()))


def test_a_port_in_use_is_told_with_what_to_do(workspace: Workspace) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        command = [sys.executable, "-m", "newsletter.cli.main", "--workspace", str(workspace.root), "serve"]
        done = subprocess.run([*command, "--port", port], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_template_with_a_syntax_error_is_told_before_anything_starts(workspace: Workspace) -> None:
    own = workspace.templates / "web" / "unsubscribe.html.j2"
    own.parent.mkdir(parents=True)
    own.write_text("<p>Hello</p>\n{% if x %}\n")
    command = [sys.executable, "-m", "newsletter.cli.main", "--workspace", str(workspace.root), "serve"]
    done = subprocess.run([*command, "--port", str(free_port())], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert f"{own}, line 2" in done.stderr
    assert "Mend the template" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_template_that_is_broken_while_the_site_runs_does_not_break_it(workspace: Workspace) -> None:
    own = workspace.templates / "web" / "notice.html.j2"
    own.parent.mkdir(parents=True)
    own.write_text("<p>Our own words</p>")
    with serving(workspace, "--no-worker") as (_, port):
        own.write_text("{% if x %}")
        answer = httpx.get(f"http://127.0.0.1:{port}/nothing-here", trust_env=False, timeout=20)
        assert (answer.status_code, answer.text) == (404, "<p>Our own words</p>")
