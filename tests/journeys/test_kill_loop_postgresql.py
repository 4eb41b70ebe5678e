"""
The guarantee with four processes on one PostgreSQL: some killed, some stopped beyond their lease and woken again.

A stopped process keeps its connections and its lock; only its lease says that others may take what it has in hand.
"""

from __future__ import annotations

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
from tests.peers.fixtures import wait_until

PEOPLE, KILLS, SLEEPS, CONNECTIONS = (20_000, 110, 12, 4) if TORTURE else (800, 8, 2, 3)
PROCESSES = 4
LEASE_SECONDS = 1.0

pytestmark = pytest.mark.journey


@pytest.fixture
def issue(tmp_path: Path, postgresql_url: str) -> Iterator[FrozenIssue]:
    with server(tmp_path, FAULTS, "--mixed") as (port, log):
        run = Run(tmp_path / "workspace", 0, port, CONNECTIONS, postgresql_url, lease_seconds=LEASE_SECONDS)
        yield FrozenIssue(freeze_issue(run, PEOPLE), PEOPLE, Log(log))


@contextmanager
def asleep(process: ForkServerProcess, log: Log) -> Iterator[int]:
    """Stop a process for longer than its lease; say how many messages the server had taken over at that moment."""
    assert process.pid is not None
    _signal(process, signal.SIGSTOP)
    log.read()
    try:
        yield log.accepted
    finally:
        _signal(process, signal.SIGCONT)


def _signal(process: ForkServerProcess, number: signal.Signals) -> None:
    import os

    assert process.pid is not None
    os.kill(process.pid, number)


def test_four_processes_killed_and_stopped_again_and_again_keep_the_promise(issue: FrozenIssue) -> None:
    running = [issue.start() for _ in range(PROCESSES)]
    step = PEOPLE * 8 // 10 // (KILLS + SLEEPS)
    acts = ["sleep"] * SLEEPS + ["kill"] * KILLS
    random.shuffle(acts)
    slept = 0
    for act in acts:
        issue.wait_for(issue.log.accepted + random.randint(step // 2, step), running[0])
        chosen = random.choice(running)
        if not chosen.is_alive():
            break
        if act == "sleep":
            slept += 1
            with asleep(chosen, issue.log):
                time.sleep(LEASE_SECONDS * 2.5)
        else:
            chosen.kill()
            chosen.join()
            issue.stops += 1
            running.remove(chosen)
            running.append(issue.start())
    for process in running:
        process.join(1800)
        assert process.exitcode == 0, issue.words
    assert (issue.stops >= KILLS // 2, slept >= 1) == (True, True), issue.words
    issue.finish()
    issue.check()


def test_a_process_that_sleeps_beyond_its_lease_sends_nothing_that_another_took_over(issue: FrozenIssue) -> None:
    """It wakes with copies in hand that another one has sent, is sending, or has just put back."""
    first = issue.start()
    assert issue.wait_for(PEOPLE // 20, first)
    with asleep(first, issue.log) as before:
        second = issue.start()
        wait_until(lambda: issue.log.read() and issue.log.accepted > before + PEOPLE // 20, "nobody took over")
        time.sleep(LEASE_SECONDS * 1.5)
    for process in (first, second):
        process.join(1800)
        assert process.exitcode == 0, issue.words
    issue.finish()
    issue.check()
