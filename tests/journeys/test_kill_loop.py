"""
The guarantee, by killing: nobody is lost, nobody gets two, nobody is called sent who got nothing.

The short form runs here; `make torture` (NEWSLETTER_TORTURE=1) runs 20,000 people and at least 100 kills. The server's
own log is the truth. Kills are timed by what the server took over, so a fast machine is killed as often as a slow one.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.frozen_issue import FrozenIssue, Log, freeze_issue, server
from tests.journeys.kill_loop import Run

TORTURE = os.environ.get("NEWSLETTER_TORTURE") == "1"
PEOPLE, KILLS, CONNECTIONS = (20_000, 110, 8) if TORTURE else (600, 10, 4)
FEWEST_KILLS = 100 if TORTURE else 8
FEW = 24 if TORTURE else 4
# Of the second kill the short form tries one side of each boundary, in turn.
HALVES = [(True, False)] if TORTURE else [(True,), (False,)]

FAULTS: list[dict[str, Any]] = [
    {"stage": "rcpt", "every": 61, "reply": "450 4.2.1 busy"},
    {"stage": "rcpt", "match": r"person\d*77@", "reply": "550 5.1.1 no such user"},
    {"stage": "dot", "every": 97, "reply": "451 4.3.0 later"},
    {"stage": "mail", "every": 113, "reply": "421 4.3.2 closing"},
    {"stage": "dot", "every": 139, "reply": "421 4.3.2 closing"},
    {"stage": "dot", "every": 151, "reply": None, "accept": True},
    {"stage": "dot", "every": 211, "reply": None},
    {"stage": "body", "every": 173, "reply": "451 4.3.0 later"},
    {"stage": "dot", "every": 7, "delay": 0.01},
]
FEW_FAULTS: list[dict[str, Any]] = [
    {"stage": "rcpt", "match": "person4@", "reply": "550 5.1.1 no such user"},
    {"stage": "rcpt", "every": 13, "reply": "450 4.2.1 busy"},
    {"stage": "dot", "every": 11, "reply": "451 4.3.0 later"},
    {"stage": "dot", "every": 29, "reply": None, "accept": True},
]

pytestmark = pytest.mark.journey


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Any]:
    """Return a function that freezes an issue and starts the server that it goes to."""
    running = []

    def make(people: int, connections: int, rules: list[dict[str, Any]], *flags: str) -> FrozenIssue:
        context = server(tmp_path, rules, *flags)
        port, log = context.__enter__()
        running.append(context)
        run = freeze_issue(Run(tmp_path / "workspace", 0, port, connections), people)
        return FrozenIssue(run, people, Log(log))

    yield make
    for context in running:
        context.__exit__(None, None, None)


def test_killed_again_and_again_nobody_is_lost_or_mailed_twice(make: Any) -> None:
    """SIGKILL at moments spread over the whole issue."""
    issue = make(PEOPLE, CONNECTIONS, FAULTS, "--mixed")
    step = PEOPLE * 8 // 10 // KILLS
    while issue.stops < KILLS:
        process = issue.start()
        if not issue.wait_for(issue.log.accepted + random.randint(step // 2, step), process):
            break
        issue.kill(process)
    assert issue.stops >= FEWEST_KILLS, issue.words
    issue.finish()
    issue.check()


def test_killed_at_every_commit_boundary_nobody_is_lost_or_mailed_twice(make: Any, tmp_path: Path) -> None:
    """Before and after each commit of a run: its own row, recovery, claims, intents, outcomes, the closing commits."""
    template = make(FEW, 2, FEW_FAULTS)
    for number in count(1):
        ended = [kill_once(template, tmp_path, [(number, before)]) for before in (True, False)]
        if ended == [0, 0]:
            break
    assert number > FEW // 2, "so few commits cannot be those of a whole run: not every boundary was found"


def test_killed_again_at_every_boundary_of_its_recovery_it_keeps_the_promise(make: Any, tmp_path: Path) -> None:
    """A second kill, while what the first one left is being settled."""
    template = make(FEW, 2, FEW_FAULTS)
    for number in count(1):
        first = (FEW + number % 3, False)
        ended = [kill_once(template, tmp_path, [first, (number, before)]) for before in HALVES[number % len(HALVES)]]
        if not any(ended):
            break
    assert number > 3


def kill_once(template: FrozenIssue, folder: Path, kills: list[tuple[int, bool]]) -> int:
    """Send a fresh copy of the issue, killed at each boundary (number, before); check it; say how the last ended."""
    workspace = folder / "copy"
    shutil.rmtree(workspace, ignore_errors=True)
    shutil.copytree(template.run.workspace, workspace)
    log = Log(template.log.path)
    log.skip_all()
    issue = FrozenIssue(replace(template.run, workspace=workspace), template.people, log)
    ended = [issue.attempt(kill_at=number, before=before) for number, before in kills]
    issue.finish()
    issue.check()
    return ended[-1]


def test_the_check_catches_an_engine_that_writes_no_intent(make: Any) -> None:
    """The same loop against an engine that is broken on purpose: what proves the guarantee can also deny it."""
    slow = {"stage": "dot", "accept": True, "reply": "250 2.0.0 Ok", "hold": 0.03}
    issue = make(40, 4, [slow])
    for wanted in (5, 15, 25):
        process = issue.start(without_intent=True)
        assert issue.wait_for(wanted, process)
        issue.kill(process)
    issue.finish()
    assert any("is doubled" in words for words in issue.broken())
