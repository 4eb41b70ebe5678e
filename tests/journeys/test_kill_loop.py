"""
The guarantee, by killing: nobody is lost, nobody gets two, nobody is called sent who got nothing.

The short form runs here; `make torture` (NEWSLETTER_TORTURE=1) runs 20,000 people and at least 100 kills. The server's
own log is the truth. Kills are timed by what the server took over, so a fast machine is killed as often as a slow one.
"""

from __future__ import annotations

import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from newsletter.app import App
from newsletter.keys import create_keys
from newsletter.paths import Workspace
from newsletter.render.headers import MessageHeaders
from newsletter.render.issue import RenderedIssue
from newsletter.send.plan import PlannedVariant, freeze
from newsletter.send.status import issue_counts
from newsletter.tables import Delivery, DeliveryState, Issue
from subscribers.db import Base
from subscribers.tables import Basis, MailingList, Subscriber, Subscription, SubscriptionState
from subscribers.tokens import address_hash

HERE = Path(__file__).parent
CHILD = HERE / "kill_loop.py"
SINK = HERE.parent / "send" / "smtp_sink.py"
TORTURE = os.environ.get("NEWSLETTER_TORTURE") == "1"
PEOPLE, KILLS, CONNECTIONS = (20_000, 110, 8) if TORTURE else (600, 10, 4)
LONGEST_SECONDS = 1_800 if TORTURE else 120

RULES: list[dict[str, Any]] = [
    {"stage": "rcpt", "every": 61, "reply": "450 4.2.1 busy"},
    {"stage": "rcpt", "match": r"person\d*77@", "reply": "550 5.1.1 no such user"},
    {"stage": "dot", "every": 97, "reply": "451 4.3.0 later"},
    {"stage": "mail", "every": 113, "reply": "421 4.3.2 closing"},
    {"stage": "dot", "every": 151, "reply": None, "accept": True},
    {"stage": "dot", "every": 211, "reply": None},
    {"stage": "body", "every": 173, "reply": "451 4.3.0 later"},
    {"stage": "dot", "every": 7, "delay": 0.01},
]


@dataclass
class World:
    """A frozen issue in a workspace, and the server that it goes to."""

    workspace: Path
    issue_id: int
    port: int
    log: Path

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in map(json.loads, self.log.read_text().splitlines()) if event["event"] == kind]

    def start(self, **environment: str) -> subprocess.Popen[bytes]:
        words = [sys.executable, str(CHILD), str(self.workspace), str(self.issue_id), str(self.port), str(CONNECTIONS)]
        with self.errors.open("ab") as errors:
            return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=errors, env={**os.environ, **environment})

    @property
    def errors(self) -> Path:
        return self.log.with_name("child.err")

    def app(self) -> App:
        child = _child_module()
        return App(workspace=Workspace(self.workspace), config=child.config(self.port, CONNECTIONS), actor="tester")


def _child_module() -> Any:
    found = importlib.util.spec_from_file_location("kill_loop_child", CHILD)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    log = tmp_path / "sink.log"
    log.touch()
    words = [sys.executable, str(SINK), "--log", str(log), "--rules", json.dumps(RULES)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as sink:
        assert sink.stdout is not None
        made = World(tmp_path / "workspace", 0, int(sink.stdout.readline()), log)
        made.issue_id = _freeze(made)
        yield made
        sink.kill()


def _freeze(world: World) -> int:
    workspace = Workspace(world.workspace)
    workspace.locks.mkdir(parents=True)
    create_keys(workspace.secrets)
    app, now = world.app(), datetime.now(UTC)
    with app.database.write() as session:
        Base.metadata.create_all(session.connection())
        mailing_list = MailingList(name="members", title="Members", created_at=now)
        issue = Issue(slug="2026-11", created_at=now, edited_at=now, edited_by="tester")
        session.add_all([mailing_list, issue])
        session.flush()
        session.execute(insert(Subscriber), [_person(app, n, now) for n in range(1, PEOPLE + 1)])
        state, basis = SubscriptionState.SUBSCRIBED, Basis.CONSENT
        session.execute(
            insert(Subscription),
            [
                {"subscriber_id": n, "list_id": mailing_list.id, "state": state, "basis": basis, "since": now}
                for n in range(1, PEOPLE + 1)
            ],
        )
        headers = MessageHeaders(
            "Example Network", "news@example.org", "", "members.news.example.org", "Members", "", "", "en-GB"
        )
        rendered = RenderedIssue("News", "", "<p>Dear \ufdd0first_name|friend\ufdd1</p>\n" * 50, "News\n", "en-GB")
        freeze(
            session,
            issue,
            audience=select(Subscription.subscriber_id, Subscription.list_id),
            variants=[PlannedVariant(1, None, rendered, headers)],
            keys=app.keys,
            config=app.config,
            now=now,
        )
        issue_id = issue.id
    app.close()
    return issue_id


def _person(app: App, n: int, now: datetime) -> dict[str, Any]:
    address = f"person{n}@domain{n % 50}.example"
    return {
        "id": n,
        "token_id": n.to_bytes(16, "big"),
        "address": address,
        "key": address,
        "address_hash": address_hash(app.keys.pepper, address),
        "domain": address.partition("@")[2],
        "first_name": f"Name{n}",
        "joined_at": now,
        "updated_at": now,
    }


def _run_until(world: World, process: subprocess.Popen[bytes], accepted: int) -> bool:
    """Kill the process once the server has taken over *accepted* messages; False when it finished before."""
    give_up = time.monotonic() + LONGEST_SECONDS
    while process.poll() is None and time.monotonic() < give_up:
        if _lines(world.log) >= accepted:
            time.sleep(random.uniform(0, 0.004))
            process.send_signal(signal.SIGKILL)
            process.wait()
            return True
        time.sleep(0.001)
    return False


def _lines(log: Path) -> int:
    return log.read_bytes().count(b'"accepted"')


def _finish(world: World) -> None:
    """Run to the end: deferred copies are made due again until nothing is left to do."""
    app = world.app()
    for _ in range(20):
        process = world.start()
        assert process.wait(timeout=LONGEST_SECONDS) in (0, 4), world.errors.read_text()
        with app.database.write() as session:
            counts = issue_counts(session, world.issue_id)
            if counts["state"] == "sent":
                break
            due = update(Delivery).where(Delivery.state == DeliveryState.DEFERRED)
            session.execute(due.values(retry_at=datetime.now(UTC) - timedelta(seconds=1)))
    app.close()


def _check(world: World, kills: int) -> None:
    app = world.app()
    with app.database.read() as session:
        counts = issue_counts(session, world.issue_id)
        states = {row.address: row.state for row in session.scalars(select(Delivery))}
    app.close()
    accepted = Counter(event["to"] for event in world.events("accepted"))
    cuts = len(world.events("cut"))
    uncertain = {address for address, state in states.items() if state is DeliveryState.UNCERTAIN}
    lost = {a for a, state in states.items() if state is DeliveryState.SENT and not accepted[a]}
    twice = {address for address, count in accepted.items() if count > 1}
    unknown = {a for a in accepted if states[a] not in (DeliveryState.SENT, DeliveryState.UNCERTAIN)}
    print(f"kills {kills}, cuts {cuts}, uncertain {len(uncertain)}, counts {counts}")
    assert (counts["state"], counts["planned"]) == ("sent", PEOPLE)
    assert lost == set()
    assert twice == set()
    assert unknown == set()
    assert len(uncertain) <= kills * CONNECTIONS + cuts
    assert counts["sent"] + counts["bounced"] + counts["expired"] + counts["uncertain"] == PEOPLE


@pytest.mark.journey
def test_killed_again_and_again_nobody_is_lost_or_mailed_twice(world: World) -> None:
    """SIGKILL at moments spread over the whole issue."""
    kills, step = 0, PEOPLE * 8 // 10 // KILLS
    while kills < KILLS:
        if not _run_until(world, world.start(), _lines(world.log) + random.randint(step // 2, step)):
            break
        kills += 1
    assert kills >= KILLS * 8 // 10
    _finish(world)
    _check(world, kills)


@pytest.mark.journey
def test_killed_at_commit_boundaries_nobody_is_lost_or_mailed_twice(world: World) -> None:
    """The first commits of a run, each before and after: recovery, claim, intent and outcome are all among them."""
    boundaries = [(n, before) for n in (range(1, 100) if TORTURE else (2, 4, 7)) for before in (False, True)]
    kills = 0
    for number, before in boundaries:
        process = world.start(KILL_AT=str(number), **({"KILL_BEFORE": "1"} if before else {}))
        process.wait(timeout=LONGEST_SECONDS)
        kills += process.returncode == -signal.SIGKILL
    assert kills == len(boundaries)
    _finish(world)
    _check(world, kills)
