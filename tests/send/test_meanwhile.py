"""What happens while an issue goes out: somebody leaves, a second scheduler starts, the relay is away."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from newsletter.app import App
from newsletter.compose.issue import approve, schedule
from newsletter.config.settings import Config
from newsletter.send import control
from newsletter.send.dispatch import send_issue
from newsletter.tables import Block, BlockKind, Delivery, Issue, IssueState
from newsletter.tables import DeliveryState as S
from newsletter.web.server import listen, make_server
from newsletter.worker import Worker
from subscribers import consent, lists, people
from subscribers.tables import Basis, MailingList, Subscriber
from subscribers.tokens import unsubscribe_token


def everybody_once(numbers):
    return Counter({f"person{n}@example.com": 1 for n in numbers})


@pytest.fixture
def site(app):
    """The public site, on a socket and a database connection of its own."""
    apart = App(workspace=app.workspace, config=app.config, actor="web")
    sock = listen("127.0.0.1", 0)
    server = make_server(apart)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    with httpx.Client(base_url=f"http://127.0.0.1:{sock.getsockname()[1]}", timeout=30, trust_env=False) as client:
        yield client
    server.should_exit = True
    thread.join(10)
    sock.close()
    apart.close()


def token_of(app, number):
    with app.database.read() as session:
        list_id = session.scalar(select(MailingList.id))
        return unsubscribe_token(app.keys.links.current, session.get(Subscriber, number).token_id, list_id)


def test_one_click_while_the_issue_is_going_out_stops_that_copy(start_sink, sending_app, plan_issue, site, deliveries):
    """Person 40 is far behind, person 8 is next: both are in nobody's hand or in ours, and neither gets anything."""
    sink = start_sink(rules=[{"stage": "dot", "delay": 0.05}])
    app = sending_app(sink.port, connections=2)
    issue, left = plan_issue(app, 40), []
    tokens = {number: token_of(app, number) for number in (8, 40)}

    def leave(_progress):
        for number in [] if left else tokens:
            answer = site.post(f"/unsubscribe/{tokens[number]}", data={"List-Unsubscribe": "One-Click"})
            left.append((number, answer.status_code))

    report = send_issue(app, issue, on_progress=leave)
    assert left == [(8, 200), (40, 200)]
    received = {n for n in tokens if sink.accepted()[f"person{n}@example.com"]}
    states = {n: deliveries(app)[f"person{n}@example.com"].state for n in tokens}
    assert 40 not in received
    assert states == {n: S.SENT if n in received else S.SUPPRESSED for n in tokens}
    assert report.counts["sent"] + report.counts["suppressed"] == 40
    assert max(sink.accepted().values()) == 1


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.journey)])
def shared_app(request: pytest.FixtureRequest) -> App:
    return request.getfixturevalue("app" if request.param == "sqlite" else "app_on_postgresql")


def store_scheduled(app: App, count: int) -> None:
    """Store an approved issue that was to begin a minute ago."""
    now = app.now()
    with app.database.write() as session:
        members = lists.create(session, "members", title="Members", at=now)
        for n in range(1, count + 1):
            person = people.add(session, pepper=app.keys.pepper, address=f"person{n}@example.com", name="", at=now)
            session.flush()
            form = {"source": "test", "actor": "tester", "evidence": "form", "at": now}
            consent.grant(session, person, members, basis=Basis.CONSENT, **form)
        issue = Issue(
            slug="2026-11", subject="Our November news", preheader="What is on and where to find us this month",
            audience={"lists": ["members"], "segments": [], "exclude_lists": [], "exclude_segments": []},
            letter="Dear {{first_name|friend}},\n\nwelcome to our news.", letter_name="Ann Lee",
            created_at=now, edited_at=now, edited_by="chair",
        )  # fmt: skip
        quote = {"text": "Well said.", "by": "a member"}
        issue.blocks.append(Block(section="news", position=1, kind=BlockKind.QUOTE, payload=quote))
        session.add(issue)
        session.flush()
        earlier = now - timedelta(hours=1)
        approve(issue, app.config, actor="chair", now=earlier)
        schedule(issue, app.config, at=now - timedelta(minutes=1), now=earlier)


def test_two_schedulers_that_start_at_once_plan_once(start_sink, shared_app):
    sink = start_sink(rules=[{"stage": "dot", "delay": 0.02}])
    smtp = {"host": "127.0.0.1", "port": sink.port, "tls": "none", "connections": 2}
    config = Config.model_validate({**shared_app.config.model_dump(mode="python"), "smtp": smtp})
    database = shared_app.config.database
    apps = [replace(shared_app, config=config.model_copy(update={"database": database}), now=now) for _ in range(3)]
    store_scheduled(apps[0], 30)
    start, said, faults = threading.Barrier(3), [], []

    def work(app: App) -> None:
        start.wait()
        try:
            Worker(app, said.append).once()
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(app,)) for app in apps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    Worker(apps[0], said.append).once()
    with shared_app.database.read() as session:
        issue = session.scalars(select(Issue)).one()
        assert (issue.state, issue.planned) == (IssueState.SENT, 30), said
        assert session.scalar(select(func.count()).select_from(Delivery)) == 30
    assert faults == []
    assert sink.accepted() == everybody_once(range(1, 31))
    for app in apps:
        app.close()


def now() -> datetime:
    return datetime.now(UTC)


class Clock:
    """The time, and what a test adds to it."""

    def __init__(self) -> None:
        self.added = timedelta()

    def __call__(self) -> datetime:
        return now() + self.added


def test_a_relay_that_is_away_pauses_in_words_and_the_worker_goes_on_by_itself(
    start_sink, sending_app, plan_issue, monkeypatch
):
    """The list of 60 that the best-known peer reports as finished, with nobody mailed."""
    monkeypatch.setattr("newsletter.send.relay.DOWN_AFTER_SECONDS", 0.3)
    sink = start_sink()
    sink.stop()
    app: Any = sending_app(sink.port)
    app.now = clock = Clock()
    issue, said = plan_issue(app, 60), []
    worker = Worker(app, said.append)
    worker.once()
    assert "is paused" in said[-1] or "is paused" in " ".join(said)
    assert f"127.0.0.1:{sink.port}" in " ".join(said)
    clock.added = timedelta(minutes=2)
    worker.once()
    with app.database.read() as session:
        stored = session.get(Issue, issue)
        states = dict(session.execute(select(Delivery.state, func.count()).group_by(Delivery.state)).all())
        charged = session.scalar(select(func.count()).where(Delivery.attempt > 0))
    assert (stored.state, states, charged) == (IssueState.PAUSED, {S.PENDING: 60}, 0)
    start_sink(port=sink.port)
    clock.added = timedelta(minutes=10)
    worker.once()
    assert sink.accepted() == everybody_once(range(1, 61))
    with app.database.read() as session:
        assert session.get(Issue, issue).state is IssueState.SENT


def test_a_relay_that_goes_away_in_the_middle_pauses_and_a_person_lets_it_go_on(
    start_sink, sending_app, plan_issue, monkeypatch
):
    monkeypatch.setattr("newsletter.send.relay.DOWN_AFTER_SECONDS", 0.3)
    sink = start_sink(rules=[{"stage": "dot", "delay": 0.05}])
    app = sending_app(sink.port)
    issue = plan_issue(app, 60)

    def pull_the_plug(progress):
        if progress.sent >= 6:
            sink.stop()

    report = send_issue(app, issue, on_progress=pull_the_plug)
    assert report.state is IssueState.PAUSED
    assert "cannot be" in report.reason
    assert report.counts["uncertain"] <= 3
    start_sink(port=sink.port)
    with app.database.write() as session:
        control.resume(session, session.get(Issue, issue))
    report = send_issue(app, issue)
    assert report.counts["sent"] + report.counts["uncertain"] == 60
    assert max(sink.accepted().values()) == 1
    assert sink.accepted().total() >= report.counts["sent"]
