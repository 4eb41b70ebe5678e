"""`newsletter work`: schedules are started, deferred copies go on, trouble is kept beside its issue."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from newsletter.app import App
from newsletter.cli.main import cli
from newsletter.compose.issue import approve, schedule
from newsletter.config.settings import Config, SendWindow
from newsletter.demo.catcher import Catcher
from newsletter.keys import create_keys
from newsletter.migrations import open_and_upgrade
from newsletter.paths import Workspace
from newsletter.publishing import start_issue
from newsletter.send.dispatch import SendReport, send_issue
from newsletter.tables import Block, BlockKind, Delivery, DeliveryState, Issue, IssueState
from newsletter.worker import LOOK_SECONDS, Round, Worker
from subscribers import consent, lists, people
from subscribers.tables import Basis

MORNING = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
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
def catcher(tmp_path: Path) -> Iterator[Catcher]:
    with Catcher(tmp_path / "caught") as running:
        yield running


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time = MORNING

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def workspace(tmp_path: Path, catcher: Catcher) -> Workspace:
    """A workspace on disk whose relay is the catcher."""
    made = Workspace(tmp_path / "workspace")
    for folder in (made.root, made.media, made.locks):
        folder.mkdir(parents=True)
    made.config.write_text(CONFIG.format(port=catcher.port))
    made.config.chmod(0o600)
    create_keys(made.secrets)
    open_and_upgrade(f"sqlite:///{made.database}")
    return made


@pytest.fixture
def app(workspace: Workspace, clock: Clock) -> Iterator[App]:
    import tomllib

    config = Config.model_validate(tomllib.loads(workspace.config.read_text()))
    made = App(workspace=workspace, config=config, actor="chair", now=clock)
    yield made
    made.close()


@pytest.fixture
def scheduled(app: App) -> Callable[..., None]:
    """Return a function that stores an approved issue for three members, scheduled in an hour."""

    def store(slug: str = "2026-11", *, subject: str = "Our November news", in_hours: float = 1) -> None:
        with app.database.write() as session:
            if not session.query(Issue).count():
                members = lists.create(session, "members", title="Members", at=MORNING)
                for name in ("amina", "ben", "carys"):
                    person = people.add(
                        session, pepper=app.keys.pepper, address=f"{name}@example.org", name=name, at=MORNING
                    )
                    session.flush()
                    consent.grant(
                        session, person, members,
                        basis=Basis.CONSENT, source="test", actor="tester", evidence="form", at=MORNING,
                    )  # fmt: skip
            issue = Issue(
                slug=slug, subject=subject, preheader="What is on and where to find us this month",
                audience={"lists": ["members"], "segments": [], "exclude_lists": [], "exclude_segments": []},
                letter="Dear {{first_name|friend}},\n\nwelcome to our news.", letter_name="Ann Lee",
                created_at=MORNING, edited_at=MORNING, edited_by="chair",
            )  # fmt: skip
            issue.blocks.append(
                Block(
                    section="news", position=1, kind=BlockKind.QUOTE, payload={"text": "Well said.", "by": "a member"}
                )
            )
            session.add(issue)
            session.flush()
            approve(issue, app.config, actor="chair", now=MORNING)
            schedule(issue, app.config, at=MORNING + timedelta(hours=in_hours), now=MORNING)

    return store


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def worker(app: App, said: list[str]) -> Worker:
    return Worker(app, said.append)


def issue_of(app: App, slug: str = "2026-11") -> Issue:
    with app.database.read() as session:
        return session.scalars(select(Issue).where(Issue.slug == slug)).one()


def test_nothing_is_started_before_its_time(app: App, worker: Worker, scheduled, catcher: Catcher) -> None:
    scheduled()
    assert worker.once().started == ()
    assert issue_of(app).state is IssueState.SCHEDULED
    assert catcher.caught == []


def test_at_its_time_an_issue_is_started_and_sent(
    app: App, worker: Worker, clock: Clock, scheduled, catcher: Catcher, said: list[str]
) -> None:
    scheduled()
    clock.time += timedelta(hours=1, minutes=2)
    done = worker.once()
    assert (done.started, done.sending, done.troubles) == (("2026-11",), ("2026-11",), ())
    assert issue_of(app).state is IssueState.SENT
    assert sorted(mail.recipient for mail in catcher.caught) == [f"{n}@example.org" for n in ("amina", "ben", "carys")]
    assert said[-1] == "2026-11 is sent: 3 sent."


def test_a_second_look_sends_nothing_twice(worker: Worker, clock: Clock, scheduled, catcher: Catcher) -> None:
    scheduled()
    clock.time += timedelta(hours=1, minutes=2)
    worker.once()
    clock.time += timedelta(minutes=1)
    done = worker.once()
    assert (done.started, done.sending) == ((), ())
    assert len(catcher.caught) == 3


def test_a_schedule_missed_by_more_than_the_grace_waits_for_a_person(
    app: App, worker: Worker, clock: Clock, scheduled, catcher: Catcher
) -> None:
    scheduled()
    clock.time += timedelta(hours=2, minutes=1)
    done = worker.once()
    assert done.started == ()
    issue = issue_of(app)
    assert issue.state is IssueState.PAUSED
    assert issue.reason is not None
    assert "2026-11-02 10:00" in issue.reason
    assert catcher.caught == []
    assert start_issue(app, issue.id, approve_as="chair") == 3  # and a person may still send it


def test_what_falls_due_while_another_issue_goes_out_is_started_and_not_set_aside(
    app: App, worker: Worker, clock: Clock, scheduled, catcher: Catcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def send_for_hours(*words: object, **options: object) -> SendReport:
        clock.time = MORNING + timedelta(hours=2, minutes=1)
        for _ in range(200):
            if issue_of(app, "second").state is IssueState.SENDING:
                break
            time.sleep(0.05)
        clock.time += timedelta(hours=5)
        return send_issue(*words, **options)  # type: ignore[arg-type]

    scheduled("first")
    scheduled("second", in_hours=2)
    monkeypatch.setattr("newsletter.worker.LOOK_SECONDS", 0.05)
    monkeypatch.setattr("newsletter.worker.send_issue", send_for_hours)
    clock.time += timedelta(hours=1, minutes=2)
    assert worker.once().started == ("first", "second")
    assert worker.once().sending == ("second",)
    assert len(catcher.caught) == 6


def test_an_issue_gives_way_when_another_has_waited_for_a_whole_turn(
    app: App, worker: Worker, clock: Clock, scheduled, catcher: Catcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = app.config.smtp.model_copy(update={"per_minute": 1})
    app.config = app.config.model_copy(update={"smtp": slow})
    scheduled("slow")
    scheduled("other")
    monkeypatch.setattr("newsletter.worker.LOOK_SECONDS", 0.05)
    monkeypatch.setattr("newsletter.worker.TURN_SECONDS", 0.2)
    clock.time += timedelta(hours=1, minutes=2)
    done = worker.once()  # ends, though the clock stands still and the rate lets nothing more out
    assert done.sending == ("slow", "other")
    assert issue_of(app, "slow").state is IssueState.SENDING
    assert len(catcher.caught) < 6


def test_a_fault_of_the_program_with_one_issue_keeps_no_other_waiting(
    app: App, worker: Worker, clock: Clock, scheduled, catcher: Catcher, said: list[str], monkeypatch, caplog
) -> None:
    """Neither at its start nor on its way; it is tried a few times, then a person is asked."""
    scheduled("early", in_hours=0.5)
    scheduled("late")
    scheduled("good")
    clock.time += timedelta(hours=0.5, minutes=1)
    fail = ValueError("no row for amina@example.org")

    def send(app_: App, issue_id: int, **options: object) -> SendReport:
        if issue_id == issue_of(app, "early").id:
            raise fail
        return send_issue(app_, issue_id, **options)  # type: ignore[arg-type]

    def start(app_: App, issue_id: int) -> int:
        if issue_id == issue_of(app, "late").id:
            raise fail
        return start_issue(app_, issue_id)

    monkeypatch.setattr("newsletter.worker.send_issue", send)
    monkeypatch.setattr("newsletter.worker.start_issue", start)
    assert worker.once().troubles == ("early",)
    assert issue_of(app, "early").state is IssueState.SENDING
    clock.time += timedelta(minutes=31)
    assert worker.once().sending == ("good",)
    for _ in range(2):
        worker.once()
    for slug in ("early", "late"):
        found = issue_of(app, slug)
        assert (found.state, "ValueError" in (found.reason or "")) == (IssueState.PAUSED, True)
    assert len(catcher.caught) == 3
    assert worker.once() == Round()
    assert "amina" not in " ".join(said)
    assert "ValueError: no row for" in caplog.text  # whose formatter masks the rest


@pytest.mark.parametrize("part", ["newsletter.worker.make_due_digests", "subscribers.bounces.intake.Intake.look"])
def test_a_fault_with_what_is_no_issue_keeps_none_waiting(
    app: App, worker: Worker, clock: Clock, scheduled, catcher: Catcher, monkeypatch, part: str, caplog
) -> None:
    """It is told once, not at each look."""

    def fall(*_words: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr(part, fall)
    scheduled()
    clock.time += timedelta(hours=1, minutes=2)
    assert worker.once().sending == ("2026-11",)
    worker.once()
    assert len(catcher.caught) == 3
    assert caplog.text.count("a fault with") == 1


def test_what_preflight_refuses_is_paused_with_the_reason_and_others_go_on(
    app: App, worker: Worker, clock: Clock, scheduled, catcher: Catcher
) -> None:
    scheduled("broken", subject="News for {{nobody}}")
    scheduled("good")
    clock.time += timedelta(hours=1, minutes=2)
    done = worker.once()
    assert done.troubles == ("broken",)
    assert done.started == ("good",)
    broken = issue_of(app, "broken")
    assert broken.state is IssueState.PAUSED
    assert broken.planned == 0
    assert "nobody" in (broken.reason or "")
    assert len(catcher.caught) == 3


def test_what_was_edited_after_its_approval_is_not_sent(
    app: App, worker: Worker, clock: Clock, scheduled, catcher: Catcher
) -> None:
    scheduled()
    with app.database.write() as session:
        session.scalars(select(Issue)).one().subject = "Something else"
    clock.time += timedelta(hours=1, minutes=2)
    assert worker.once().troubles == ("2026-11",)
    assert issue_of(app).state is IssueState.PAUSED
    assert catcher.caught == []


def test_a_deferred_copy_goes_on_when_it_is_due(
    app: App, worker: Worker, clock: Clock, scheduled, catcher: Catcher
) -> None:
    scheduled()
    start_issue(app, issue_of(app).id)
    with app.database.write() as session:
        row = session.scalars(select(Delivery).order_by(Delivery.id)).first()
        assert row
        row.state, row.retry_at, row.attempt = DeliveryState.DEFERRED, clock.time + timedelta(minutes=10), 1
    worker.once()
    assert len(catcher.caught) == 2
    assert worker.once().sending == ()
    clock.time += timedelta(minutes=11)
    assert worker.once().sending == ("2026-11",)
    assert len(catcher.caught) == 3
    assert issue_of(app).state is IssueState.SENT


def test_outside_the_sending_window_a_schedule_is_started_and_goes_out_when_it_opens(
    app: App, worker: Worker, clock: Clock, scheduled, catcher: Catcher, said: list[str]
) -> None:
    window = SendWindow(start="12:00", end="13:00")
    app.config = app.config.model_copy(update={"send": app.config.send.model_copy(update={"window": window})})
    scheduled()
    clock.time = MORNING + timedelta(hours=1, minutes=5)
    assert worker.once().started == ("2026-11",)
    assert "The sending window opens 2026-11-02 12:00" in said[-1]
    assert worker.once() == Round()
    assert worker._pause() == LOOK_SECONDS  # it does not spin over what is due and may not go
    assert (len(said), catcher.caught, issue_of(app).state) == (1, [], IssueState.SENDING)
    clock.time = MORNING + timedelta(hours=3, minutes=1)
    assert worker.once().sending == ("2026-11",)
    assert len(catcher.caught) == 3


def test_a_relay_that_is_away_pauses_and_is_tried_again(
    app: App, clock: Clock, scheduled, catcher: Catcher, said: list[str]
) -> None:
    scheduled()
    away = app.config.model_copy(update={"smtp": app.config.smtp.model_copy(update={"port": 1})})
    start_issue(app, issue_of(app).id)
    down = App(workspace=app.workspace, config=away, actor="chair", now=clock)
    done = Worker(down, said.append).once()
    down.close()
    assert (done.sending, done.troubles) == ((), ("2026-11",))
    assert issue_of(app).state is IssueState.PAUSED
    clock.time += timedelta(minutes=20)
    assert Worker(app, said.append).once().sending == ("2026-11",)
    assert len(catcher.caught) == 3


def test_once_with_nothing_due_says_so_and_ends_well(workspace: Workspace) -> None:
    done = CliRunner().invoke(cli, ["--workspace", str(workspace.root), "work", "--once"])
    assert done.exit_code == 0
    assert "Nothing is due." in done.stderr
    done = CliRunner().invoke(cli, ["--workspace", str(workspace.root), "work", "--once", "--json"])
    assert json.loads(done.stdout) == {"started": [], "sending": [], "troubles": [], "notices": 0}


def test_once_ends_with_code_4_when_an_issue_could_not_go_on(app: App, workspace: Workspace, scheduled) -> None:
    scheduled()
    start_issue(app, issue_of(app).id)
    words = ["--workspace", str(workspace.root), "work", "--once"]
    done = CliRunner().invoke(cli, words, env={"NEWSLETTER__SMTP__PORT": "1"}, standalone_mode=False)
    assert done.return_value == 4
    assert "2026-11 is paused" in done.stderr
    assert "127.0.0.1:1" in done.stderr


def test_sigterm_ends_the_worker_quietly(workspace: Workspace) -> None:
    command = [sys.executable, "-m", "newsletter.cli.main", "--workspace", str(workspace.root), "work"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    assert process.stderr
    assert "Working" in process.stderr.readline()
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in errors
