"""
The guarantee with four processes on one PostgreSQL: some killed, some stopped beyond their lease and woken again.

A stopped process keeps its connections and its lock; only its lease says that others may take what it has in hand.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from tests.journeys.frozen_issue import FrozenIssue, Log, freeze_issue, server
from tests.journeys.kill_loop import Run
from tests.journeys.test_kill_loop import FAULTS, TORTURE

PEOPLE, KILLS, SLEEPS, CONNECTIONS = (20_000, 110, 12, 4) if TORTURE else (800, 8, 2, 3)
FEWEST_KILLS = 100 if TORTURE else 6
PROCESSES = 4
LEASE_SECONDS = 0.6
# What each connection can carry is limited, so that a sleep lasts for a known part of the issue.
RULES = [rule for rule in FAULTS if "delay" not in rule] + [{"stage": "dot", "delay": 0.02}]

pytestmark = pytest.mark.journey


@pytest.fixture
def issue(tmp_path: Path, postgresql_url: str) -> Iterator[FrozenIssue]:
    with server(tmp_path, RULES, "--mixed") as (port, log):
        run = Run(tmp_path / "workspace", 0, port, CONNECTIONS, postgresql_url, lease_seconds=LEASE_SECONDS)
        yield FrozenIssue(freeze_issue(run, PEOPLE), PEOPLE, Log(log))


@contextmanager
def asleep(process: ForkServerProcess) -> Iterator[None]:
    """Stop a process for longer than its lease, and for as long as the caller needs."""
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
        time.sleep(LEASE_SECONDS * 2)
    finally:
        os.kill(process.pid, signal.SIGCONT)


def test_four_processes_killed_and_stopped_again_and_again_keep_the_promise(issue: FrozenIssue) -> None:
    running = [issue.start() for _ in range(PROCESSES)]
    acts = ["kill"] * KILLS + ["sleep"] * SLEEPS
    if TORTURE:
        random.shuffle(acts)
    for left, act in zip(range(len(acts), 0, -1), acts, strict=True):
        issue.log.read()
        step = max(1, (PEOPLE * 8 // 10 - issue.log.accepted) // left)
        issue.wait_for(issue.log.accepted + random.randint((step + 1) // 2, step), running[0])
        chosen = random.choice(running)
        if act == "sleep" and chosen.is_alive():
            with asleep(chosen):
                pass
        elif act == "kill":
            issue.kill(chosen)
            running.remove(chosen)
            running.append(issue.start())
    for process in running:
        process.join(1800)
        assert process.exitcode == 0, issue.words
    assert issue.stops >= FEWEST_KILLS, issue.words
    issue.finish()
    issue.check()


def test_a_process_that_sleeps_beyond_its_lease_sends_nothing_that_another_took_over(issue: FrozenIssue) -> None:
    """It wakes with copies in hand that another one has sent, is sending, or has just put back."""
    first = issue.start()
    assert issue.wait_for(PEOPLE // 20, first)
    with asleep(first):
        second, before = issue.start(), issue.log.accepted
        assert issue.wait_for(before + PEOPLE // 20, second), "nobody took over"
    for process in (first, second):
        process.join(1800)
        assert process.exitcode == 0, issue.words
    issue.finish()
    issue.check()
