"""Signals, and a database that fails, in a process of its own: what they leave behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from newsletter.send.status import issue_counts
from newsletter.tables import IssueState

CHILD = Path(__file__).parent.parent / "journeys" / "kill_loop.py"


def start(app, issue: int, port: int, **environment: str) -> subprocess.Popen[str]:
    words = [sys.executable, str(CHILD), str(app.workspace.root), str(issue), str(port), "3"]
    environment = {**os.environ, **environment}
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def wait_for(sink, count: int) -> None:
    give_up = time.monotonic() + 30
    while sink.accepted().total() < count and time.monotonic() < give_up:
        time.sleep(0.01)


def counts(app, issue: int) -> dict:
    with app.database.read() as session:
        return issue_counts(session, issue)


def test_sigterm_lets_the_wire_finish(start_sink, sending_app, plan_issue):
    sink = start_sink(rules=[{"stage": "dot", "delay": 0.05}])
    app = sending_app(sink.port)
    issue = plan_issue(app, 200)
    with start(app, issue, sink.port) as process:
        wait_for(sink, 9)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)
    assert "finished sending" in output
    found = counts(app, issue)
    assert (found["uncertain"], found["intent"], found["claimed"]) == (0, 0, 0)
    assert found["sent"] == sink.accepted().total() < 200


def test_a_stop_that_comes_by_two_ways_is_one_stop(start_sink, sending_app, plan_issue):
    """As from systemd, which tells every process of a service, and from whoever watches over this one."""
    sink = start_sink(rules=[{"stage": "dot", "delay": 0.4}])
    app = sending_app(sink.port)
    issue = plan_issue(app, 50)
    with start(app, issue, sink.port) as process:
        wait_for(sink, 3)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    found = counts(app, issue)
    assert (found["uncertain"], found["intent"], found["claimed"]) == (0, 0, 0)
    assert found["sent"] == sink.accepted().total() < 50


def test_a_second_sigterm_makes_only_what_was_on_the_wire_uncertain(start_sink, sending_app, plan_issue):
    sink = start_sink(rules=[{"stage": "dot", "match": "person[4-9]@", "delay": 20}])
    app = sending_app(sink.port)
    issue = plan_issue(app, 50)
    with start(app, issue, sink.port) as process:
        wait_for(sink, 3)
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        time.sleep(1.3)
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)
    assert time.monotonic() - started < 5, output
    found = counts(app, issue)
    assert found["uncertain"] == 3
    assert (found["intent"], found["claimed"]) == (0, 0)


@pytest.mark.parametrize("room_kb", [200, 900])
def test_a_full_disk_stops_the_run_and_the_next_one_loses_nobody(start_sink, sending_app, plan_issue, room_kb):
    """The write-ahead log hits the largest size that the process may write, in the middle of the issue."""
    sink = start_sink()
    app = sending_app(sink.port)
    issue = plan_issue(app, 400)
    app.close()
    blocks = app.workspace.database.stat().st_size // 1024 + room_kb
    words = f"{sys.executable} {CHILD} {app.workspace.root} {issue} {sink.port} 3"
    script = f"ulimit -f {blocks}; trap '' XFSZ; exec {words}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)
    before = counts(app, issue)
    assert "DatabaseUnavailable" in done.stderr
    assert before["state"] == IssueState.SENDING.value
    assert 0 < before["sent"] < 400
    with start(app, issue, sink.port) as process:
        process.communicate(timeout=60)
    found = counts(app, issue)
    assert found["state"] == IssueState.SENT.value
    assert found["sent"] + found["uncertain"] == 400
    assert found["uncertain"] <= 3
    assert max(sink.accepted().values()) == 1
    assert sink.accepted().total() >= found["sent"]
