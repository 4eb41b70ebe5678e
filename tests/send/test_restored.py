"""A backup that was made while an issue went out, put back after the sender died: nobody gets it twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from newsletter.app import App
from newsletter.backup.making import Made, make_backup
from newsletter.migrations import open_and_upgrade
from newsletter.tables import Delivery
from newsletter.tables import DeliveryState as S
from subscribers import consent, people

PEOPLE = 30
CONFIG = """
[organisation]
name = "Example Network"
postal_address = "1 High Street, Dudley DY1 1AA"
from_address = "news@example.org"
[smtp]
host = "127.0.0.1"
port = {port}
tls = "none"
connections = 2
[web]
url = "https://news.example.org"
"""


@pytest.fixture
def planned(app: App, start_sink, sending_app, plan_issue):
    """An issue for thirty people, whose mail server takes its time, and whose database the migrations made."""
    for path in app.workspace.root.glob("newsletter.sqlite3*"):
        path.unlink()
    app.database.close()
    open_and_upgrade(app.database_url)
    sink = start_sink(rules=[{"stage": "dot", "delay": 0.1}])
    sending_app(sink.port)
    app.workspace.config.write_text(CONFIG.format(port=sink.port))
    plan_issue(app, PEOPLE)
    return app, sink


def newsletter(app: App, *words: object) -> Any:
    command = [sys.executable, "-m", "newsletter", "--workspace", str(app.workspace.root), "--json", "--yes"]
    done = subprocess.run([*command, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


class Quiet:
    def step(self, name: str) -> None: ...
    def tell(self, done: int, total: int) -> None: ...


def back_up(app: App, path: Path) -> Made:
    return make_backup(app, app.workspace.config, path, keys=True, recipient=None, watcher=Quiet())


def wait_for(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def states(app: App) -> dict[S, int]:
    with app.database.read() as session:
        return dict(session.execute(select(Delivery.state, func.count()).group_by(Delivery.state)).all())  # type: ignore[arg-type]


@pytest.mark.journey
def test_nobody_is_mailed_twice_and_whoever_left_meanwhile_not_at_all(planned, tmp_path: Path) -> None:
    app, sink = planned
    app.close()
    command = [sys.executable, "-m", "newsletter", "--workspace", str(app.workspace.root), "work"]
    worker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: len(sink.accepted()) >= 5)
        backup = back_up(app, tmp_path / "mid.tar.gz")
        at_backup = len(sink.accepted())
        wait_for(lambda: len(sink.accepted()) >= at_backup + 5)
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    assert backup.manifest.counts["deliveries"] == PEOPLE
    time.sleep(0.1)
    mailed = set(sink.accepted())
    assert 10 <= len(mailed) < PEOPLE
    left = next(f"person{n}@example.com" for n in range(PEOPLE, 0, -1) if f"person{n}@example.com" not in mailed)
    with app.database.write() as session:
        person = people.find(session, left)
        consent.withdraw(session, person, None, source="link", actor=left, evidence="one click", at=app.now())
    app.close()

    told = newsletter(app, "db", "restore", tmp_path / "mid.tar.gz", "--replace")
    assert told["paused"] == ["2026-11"]
    assert told["uncertain"] <= 4  # as many as connections, with their next
    refused = subprocess.run([*command, "--once"], capture_output=True, text=True, check=False)
    assert "newsletter db adopt" in refused.stderr
    assert newsletter(app, "db", "adopt")["changed"]
    newsletter(app, "issue", "resume", "2026-11")
    newsletter(app, "work", "--once")
    assert set(sink.accepted()) == mailed
    assert max(sink.accepted().values()) == 1
    found = states(app)
    assert set(found) <= {S.SENT, S.UNCERTAIN, S.SUPPRESSED}
    assert sum(found.values()) == PEOPLE

    listed = newsletter(app, "uncertain", "list")
    doubtful = [row["delivery"] for row in listed if row["address"] not in mailed]
    newsletter(app, "uncertain", "resolve", *doubtful, "--resend")
    newsletter(app, "work", "--once")
    assert max(sink.accepted().values()) == 1
    assert set(sink.accepted()) == {f"person{n}@example.com" for n in range(1, PEOPLE + 1)} - {left}
    assert states(app)[S.SUPPRESSED] == 1


@pytest.mark.journey
def test_a_backup_holds_up_no_copy(planned, tmp_path: Path) -> None:
    """Made again and again while the issue goes out; everybody gets it once, nothing is uncertain."""
    app, sink = planned
    app.close()
    command = [sys.executable, "-m", "newsletter", "--workspace", str(app.workspace.root), "work", "--once"]
    worker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    made = 0
    while worker.poll() is None:
        made += 1
        back_up(app, tmp_path / f"{made}.tar.gz")
        time.sleep(0.2)
    assert worker.returncode == 0
    assert made >= 2
    assert states(app) == {S.SENT: PEOPLE}
    assert max(sink.accepted().values()) == 1
