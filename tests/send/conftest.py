"""Fixtures for sending: a scripted server in a process of its own, and issues frozen for as many people as wanted."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from newsletter.app import App
from newsletter.config.settings import Config
from newsletter.render.headers import MessageHeaders
from newsletter.render.issue import RenderedIssue
from newsletter.send.plan import PlannedVariant, freeze
from newsletter.tables import Delivery, Issue
from subscribers.tables import Basis, MailingList, Subscriber, Subscription, SubscriptionState
from subscribers.tokens import address_hash
from tests.send.chosen import Network
from tests.send.issue_out import Sent
from tests.send.raw_server import RawServer, Wire

SINK = Path(__file__).with_name("smtp_sink.py")
HEADERS = MessageHeaders(
    from_name="Example Network",
    from_address="news@example.org",
    reply_to="",
    list_id="members.news.example.org",
    list_title="Members",
    unsubscribe_mailto="unsubscribe@example.org",
    feedback_id="",
    language="en-GB",
)
FIRST_NAME = "\ufdd0first_name|friend\ufdd1"
UNSUBSCRIBE = "\ufdd0unsubscribe_url\ufdd1"
RENDERED = RenderedIssue(
    subject="November news",
    preheader="What is on",
    html=f'<html lang="en-GB"><body><p>Dear {FIRST_NAME}</p><a href="{UNSUBSCRIBE}">Leave</a></body></html>\n',
    text=f"Dear {FIRST_NAME}\n\nLeave: {UNSUBSCRIBE}\n",
    language="en-GB",
)


@dataclass
class RunningSink:
    """The server's process, its port and its log."""

    process: subprocess.Popen[str]
    port: int
    log: Path
    arguments: list[str] = field(default_factory=list)

    def events(self, kind: str) -> list[dict[str, Any]]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [event for event in map(json.loads, lines) if event["event"] == kind]

    def accepted(self) -> Counter[str]:
        """How often each address was taken over."""
        return Counter(event["to"] for event in self.events("accepted"))

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


@pytest.fixture
def start_sink(tmp_path: Path) -> Iterator[Callable[..., RunningSink]]:
    """Return a function that starts a server with rules and flags; all are ended after the test."""
    running: list[RunningSink] = []

    def start(*flags: str, rules: list[dict[str, Any]] | None = None, port: int = 0, name: str = "sink") -> RunningSink:
        log = tmp_path / f"{name}.log"
        arguments = [sys.executable, str(SINK), "--log", str(log), "--port", str(port), *flags]
        process = subprocess.Popen([*arguments, "--rules", json.dumps(rules or [])], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        sink = RunningSink(process, int(process.stdout.readline()), log, arguments)
        running.append(sink)
        return sink

    yield start
    for sink in running:
        sink.stop()


@pytest.fixture
def sending_app(app: App, config: Config) -> Callable[..., App]:
    """Return a function that points the application at a port, with a clock that runs."""

    def point(port: int, *, send: dict[str, Any] | None = None, dkim: dict[str, Any] | None = None, **smtp: Any) -> App:
        values = {"host": "127.0.0.1", "port": port, "tls": "none", "connections": 3, **smtp}
        groups = {"smtp": values, "send": send or {}, "dkim": dkim or {}}
        app.config = Config.model_validate({**config.model_dump(mode="python"), **groups})
        app.now = lambda: datetime.now(UTC)
        return app

    return point


@pytest.fixture
def plan_issue() -> Callable[..., int]:
    """Return a function that puts people on a list and freezes an issue for all of them."""

    def plan(
        app: App,
        count: int,
        *,
        address: Callable[[int], str] = lambda n: f"person{n}@example.com",
        rendered: RenderedIssue = RENDERED,
        slug: str = "2026-11",
    ) -> int:
        with app.database.write() as session:
            mailing_list = session.scalar(select(MailingList))
            if mailing_list is None:
                mailing_list = MailingList(name="members", title="Members", created_at=app.now())
                session.add(mailing_list)
                session.flush()
                _add_people(session, app, mailing_list.id, [address(n) for n in range(1, count + 1)])
            issue = Issue(slug=slug, created_at=app.now(), edited_at=app.now(), edited_by="tester")
            session.add(issue)
            session.flush()
            audience = select(Subscription.subscriber_id, Subscription.list_id)
            variants = [PlannedVariant(1, None, rendered, HEADERS)]
            freeze(
                session, issue, audience=audience, variants=variants, keys=app.keys, config=app.config, now=app.now()
            )
            return issue.id

    return plan


def _add_people(session: Any, app: App, list_id: int, addresses: list[str]) -> None:
    now = app.now()
    people = [
        {
            "id": n,
            "token_id": n.to_bytes(16, "big"),
            "address": address,
            "key": address.casefold(),
            "address_hash": address_hash(app.keys.pepper, address.casefold()),
            "domain": address.rpartition("@")[2],
            "first_name": f"Name{n}" if n % 2 else None,
            "joined_at": now,
            "updated_at": now,
        }
        for n, address in enumerate(addresses, 1)
    ]
    session.execute(insert(Subscriber), people)
    subscriptions = [
        {
            "subscriber_id": person["id"],
            "list_id": list_id,
            "state": SubscriptionState.SUBSCRIBED,
            "basis": Basis.CONSENT,
            "since": now,
        }
        for person in people
    ]
    session.execute(insert(Subscription), subscriptions)


@pytest.fixture
def deliveries() -> Callable[[App], dict[str, Delivery]]:
    """Return a function that reads all deliveries by address."""

    def read(app: App) -> dict[str, Delivery]:
        with app.database.read() as session:
            return {row.address: row for row in session.scalars(select(Delivery))}

    return read


@pytest.fixture
def raw_server() -> Iterator[Callable[..., RawServer]]:
    """Return a function that starts a server whose every byte the test decides."""
    running: list[RawServer] = []

    def start(talk: Callable[[Wire], Any]) -> RawServer:
        running.append(RawServer(talk))
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.journey)])
def sent(request: pytest.FixtureRequest, plan_issue: Callable[..., int]) -> Sent:
    """An issue `one` that is out to five people."""
    app = request.getfixturevalue("app" if request.param == "sqlite" else "app_on_postgresql")
    made = Sent(app, plan_issue)
    app.now = lambda: made.time
    made.issue("one")
    return made


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.journey)])
def network(request: pytest.FixtureRequest, tmp_path: Path, start_sink: Callable[..., RunningSink]) -> Network:
    """A network without members yet, on each database."""
    app = request.getfixturevalue("app" if request.param == "sqlite" else "app_on_postgresql")
    return _network(app, tmp_path, start_sink)


@pytest.fixture
def small_network(app: App, tmp_path: Path, start_sink: Callable[..., RunningSink]) -> Network:
    """The same on SQLite alone."""
    return _network(app, tmp_path, start_sink)


def _network(app: App, tmp_path: Path, start_sink: Callable[..., RunningSink]) -> Network:
    folder = tmp_path / "kept"
    folder.mkdir()
    sink = start_sink("--keep", str(folder))
    values = {**app.config.smtp.model_dump(mode="python"), "port": sink.port, "connections": 2}
    app.config = app.config.model_copy(update={"smtp": type(app.config.smtp).model_validate(values)})
    made = Network(app, folder)
    app.now = lambda: made.time
    return made
