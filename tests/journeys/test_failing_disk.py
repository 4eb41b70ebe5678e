"""
A disk that fails or is full, found by the system itself: an error is told, nothing more leaves, and nobody is lost.

`strace` makes one flush after the other fail, over a whole small send; the long form tries every one of them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.journeys import kill_loop
from tests.journeys.frozen_issue import FrozenIssue, Log, freeze_issue, server
from tests.journeys.kill_loop import Run
from tests.journeys.test_kill_loop import TORTURE
from tests.peers.fixtures import missing

FEED = Path(__file__).parent.parent.parent / "docs" / "tutorial" / "news.xml"
PEOPLE, CONNECTIONS = 8, 2
FLUSHES = range(1, 60) if TORTURE else (2, 5, 7)

pytestmark = pytest.mark.journey


@pytest.fixture
def failing(tmp_path: Path) -> Callable[[str], tuple[int, str]]:
    """Return a function that sends the issue with flushes that fail as told; it gives the exit code and the words."""
    if shutil.which("strace") is None:
        missing("strace")

    def run(issue: FrozenIssue, when: str) -> tuple[int, str]:
        numbers = [str(issue.run.issue_id), str(issue.run.port), str(issue.run.connections)]
        inject = f"inject=fdatasync,fsync:error=EIO:when={when}"
        words = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync,fsync", "-e", inject]
        command = [*words, sys.executable, kill_loop.__file__, str(issue.run.workspace), *numbers]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent.parent)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.mark.parametrize("again", ["", "+"], ids=["once", "from then on"])
def test_after_a_flush_that_failed_nothing_more_leaves_and_the_next_run_loses_nobody(
    tmp_path: Path, failing: Callable[[FrozenIssue, str], tuple[int, str]], again: str
) -> None:
    """A later flush may say that all is well when it is not: the first that fails is the last that is asked for."""
    slow = {"stage": "dot", "delay": 0.05}
    failed = 0
    with server(tmp_path, [slow]) as (port, path):
        template = freeze_issue(Run(tmp_path / "template", 0, port, CONNECTIONS), PEOPLE)
        for number in FLUSHES:
            workspace = tmp_path / f"workspace-{number}"
            shutil.copytree(template.workspace, workspace)
            log = Log(path)
            log.skip_all()
            run = Run(workspace, template.issue_id, port, CONNECTIONS)
            issue = FrozenIssue(run, PEOPLE, log)
            code, words = failing(issue, f"{number}{again}")
            if "finished sent" in words:
                assert len(issue.log.read()) > 0
                break
            failed += 1
            assert code == 1, words
            assert "disk" in words, words
            allowed = [state for _, state in issue.rows() if state in ("intent", "sent")]
            issue.log.read()
            assert issue.log.accepted <= len(allowed) + CONNECTIONS, (number, words)
            issue.stops += 1
            issue.finish()
            issue.check()
    assert failed >= min(3, len(FLUSHES))


def test_a_disk_that_fills_up_during_the_freeze_plans_nobody(newsletter: Callable[..., object], tmp_path: Path) -> None:
    """All of it or nothing: the issue is as it was, and is sent once there is room."""
    newsletter(
        "init", "ws", "--name", "Vale", "--from-address", "news@example.org", "--postal-address", "1 High Street",
        "--web-url", "https://news.example.org",
    )  # fmt: skip
    ws = ("--workspace", "ws")
    rows = "".join(f"person{n}@example.org\n" for n in range(3_000))
    (tmp_path / "people.csv").write_text(f"address\n{rows}")
    newsletter(*ws, "lists", "create", "members")
    people = ("--list", "members", "--basis", "consent", "--evidence", "forms")
    newsletter(*ws, "subscribers", "import", str(tmp_path / "people.csv"), *people)
    newsletter(*ws, "source", "add", "feed", str(FEED), "--name", "news")
    newsletter(*ws, "source", "fetch")
    newsletter(*ws, "issue", "draft", "--slug", "first")
    newsletter(*ws, "issue", "letter", "first", "--text", "Dear {{first_name|friend}},\n\nwelcome.")
    newsletter(*ws, "audience", "set", "first", "--list", "members")
    send = f"{sys.executable} -m newsletter --workspace ws issue send first --yes"
    script = f"ulimit -f 500; trap '' XFSZ; exec {send}"  # kilobytes of the write-ahead log: a part of the rows
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent.parent)}
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "full" in done.stderr
    assert "Traceback" not in done.stderr
    status = newsletter(*ws, "issue", "status", "first", "--json")
    assert isinstance(status, dict)
    assert (status["state"], status["planned"]) == ("draft", 0)
