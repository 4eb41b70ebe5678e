"""What a person types about an issue that is going out, about uncertain copies, and about a copied database."""

from __future__ import annotations

import io
import json
import shutil
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select, text, update

from newsletter.app import App
from newsletter.cli.issue_argument import go_on_command
from newsletter.cli.main import main
from newsletter.migrations import HEAD
from newsletter.send import control, instance
from newsletter.send.owner import Owner
from newsletter.tables import Delivery, Issue, IssueState
from newsletter.tables import DeliveryState as S
from subscribers import suppression
from subscribers.tables import Subscription

CONFIG = """
[organisation]
name = "Example Network"
postal_address = "1 High Street, Dudley DY1 1AA"
from_address = "news@example.org"
[smtp]
host = "127.0.0.1"
port = {port}
tls = "none"
[web]
url = "https://news.example.org"
"""
Newsletter = Callable[..., str]


@pytest.fixture
def newsletter(app: App, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Newsletter:
    """Return a function that runs a command on the application's workspace, off a terminal; it returns all it says."""

    with app.database.write() as session:
        session.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)"))
        session.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})

    def run(*words: str, code: int = 0, port: int = 1) -> str:
        app.workspace.config.write_text(CONFIG.format(port=port))
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        monkeypatch.setenv("COLUMNS", "80")
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["--workspace", str(app.workspace.root), "--as", "ann", *words])
        said = capsys.readouterr()
        assert ended.value.code == code, said
        return said.out if "--json" in words else said.out + said.err

    return run


def states(app: App) -> dict[S, int]:
    with app.database.read() as session:
        return dict(session.execute(select(Delivery.state, func.count()).group_by(Delivery.state)).all())


def put(app: App, state: S, *ids: int, **values: Any) -> None:
    with app.database.write() as session:
        session.execute(update(Delivery).where(Delivery.id.in_(ids)).values(state=state, **values))


def made_a_copy(app: App) -> None:
    """Let the database find itself elsewhere, as a copy does."""
    path = app.workspace.database
    app.close()
    shutil.copyfile(path, path.with_suffix(".copy"))
    path.with_suffix(".copy").rename(path)


def test_the_live_database_is_not_adopted(newsletter: Newsletter, sending_app: Any, plan_issue: Any) -> None:
    """Typed by mistake in mid-send, it made all that was left uncertain and paused everything."""
    app = sending_app(1)
    plan_issue(app, 3)
    with app.database.write() as session:
        instance.note_place(session, app.now())
    said = newsletter("db", "adopt", "--yes")
    assert "This is the live one already" in said
    assert states(app) == {S.PENDING: 3}
    assert json.loads(newsletter("db", "adopt", "--json"))["changed"] is False
    newsletter("db", "adopt", "--restored", "--yes")
    assert states(app) == {S.UNCERTAIN: 3}


def test_a_copy_is_not_adopted_under_a_worker_that_runs(
    newsletter: Newsletter, sending_app: Any, plan_issue: Any
) -> None:
    app = sending_app(1)
    plan_issue(app, 3)
    with app.database.write() as session:
        instance.note_place(session, app.now())
    with Owner(app.database, app.workspace.locks, app.now):
        made_a_copy(app)
        assert "A worker still runs on this database: process" in newsletter("db", "adopt", "--yes", code=1)
        assert states(app) == {S.PENDING: 3}
    newsletter("db", "adopt", "--yes")
    assert states(app) == {S.UNCERTAIN: 3}


@pytest.mark.journey
def test_on_postgresql_a_worker_that_runs_is_seen(app_on_postgresql: App) -> None:
    app = app_on_postgresql
    with (
        Owner(app.database, app.workspace.locks, app.now),
        app.database.read() as session,
        pytest.raises(instance.Conflict, match="still runs"),
    ):
        instance.require_no_sender(session, app.workspace.locks)
    with app.database.read() as session:
        instance.require_no_sender(session, app.workspace.locks)


def test_a_whole_issue_is_not_settled_as_sent_without_asking(
    newsletter: Newsletter, sending_app: Any, plan_issue: Any
) -> None:
    app = sending_app(1)
    plan_issue(app, 3)
    put(app, S.UNCERTAIN, 1, 2, 3, reason="no reply to the dot")
    said = newsletter("uncertain", "resolve", "--issue", "2026-11", "--sent", code=2)
    assert "3 copies: no reply to the dot" in said
    assert "Settle 3 copies of 2026-11 as sent, for good?" in said
    assert "--yes" in said
    assert states(app) == {S.UNCERTAIN: 3}
    newsletter("uncertain", "resolve", "1", "--sent")  # one by name is the person's word already
    newsletter("uncertain", "resolve", "--issue", "2026-11", "--sent", "--yes")
    assert states(app) == {S.SENT: 3}


def test_uncertain_copies_are_summed_and_the_list_has_an_end(
    newsletter: Newsletter, sending_app: Any, plan_issue: Any
) -> None:
    app = sending_app(1)
    plan_issue(app, 60)
    put(app, S.UNCERTAIN, *range(1, 61), reason="no reply to the dot")
    put(app, S.UNCERTAIN, 60, reason="its sender stopped between the dot and the reply")
    said = newsletter("uncertain", "list")
    assert said.index("59") < said.index("person1@example.com")
    with app.database.read() as session:
        message_id = session.get_one(Delivery, 7).message_id
    assert f"\n  {message_id}\n  no reply to the dot\n" in said, "a Message-ID stands whole on a line of its own"
    assert "and 10 more: newsletter uncertain list --all" in said
    assert max(map(len, said.splitlines())) <= 80
    assert said.count("@example.com") == 50
    assert newsletter("uncertain", "list", "--all").count("@example.com") == 60
    rows = json.loads(newsletter("uncertain", "list", "--json"))
    assert len(rows) == 60
    assert {"delivery", "issue", "address", "since", "owner"} <= set(rows[0])


def test_a_retry_says_whom_it_mails_and_asks(newsletter: Newsletter, sending_app: Any, plan_issue: Any) -> None:
    app = sending_app(1)
    issue = plan_issue(app, 5)
    put(app, S.SENT, 5)
    put(app, S.BOUNCED, 1, 2)
    put(app, S.HELD, 3)
    put(app, S.EXPIRED, 4)
    with app.database.write() as session:
        suppression.suppress(
            session, pepper=app.keys.pepper, address="person1@example.com", reason="complaint", evidence="e",
            at=app.now(),
        )  # fmt: skip
        session.execute(update(Subscription).where(Subscription.subscriber_id == 4).values(state="unsubscribed"))
        session.get_one(Issue, issue).state = IssueState.SENT
    said = newsletter("issue", "retry", "2026-11", "--failed", "--dry-run")
    assert "1 bounced, 1 held to be tried again. 2 more people are not mailed" in " ".join(said.split())
    facts = json.loads(newsletter("issue", "retry", "2026-11", "--failed", "--dry-run", "--json"))
    assert facts == {"issue": "2026-11", "state": "sent", "bounced": 1, "held": 1, "expired": 0, "not_mailed": 2}
    asked = newsletter("issue", "retry", "2026-11", "--failed", code=2)
    assert "Send to 2 people again?" in asked
    assert states(app)[S.BOUNCED] == 2
    said = newsletter("issue", "retry", "2026-11", "--failed", "--yes")
    assert "a running worker tries again at once, and so does newsletter issue send 2026-11" in " ".join(said.split())
    assert states(app)[S.PENDING] == 4, "whoever may not be mailed is found out again by the claim"
    assert "nothing failed" in newsletter("issue", "retry", "2026-11", "--failed")


def test_after_a_person_paused_resume_is_what_goes_on(
    newsletter: Newsletter, sending_app: Any, plan_issue: Any
) -> None:
    app = sending_app(1)
    issue = plan_issue(app, 4)
    put(app, S.HELD, 1)
    with app.database.write() as session:
        control.pause(session, session.get_one(Issue, issue), "a wrong date", now=app.now())
        row = session.get_one(Issue, issue)
        assert go_on_command(session, row) == "newsletter issue resume 2026-11"
    assert "newsletter issue resume 2026-11" in newsletter("issue", "retry", "2026-11", "--failed", "--yes")
    with app.database.write() as session:
        control.resume(session, session.get_one(Issue, issue))
        control.pause(session, session.get_one(Issue, issue), "away", now=app.now(), kind=control.PauseKind.RELAY)
        assert go_on_command(session, session.get_one(Issue, issue)) == "newsletter issue send 2026-11"


def test_a_pause_in_mid_send_is_told_with_what_ends_it(
    newsletter: Newsletter, start_sink: Any, sending_app: Any, plan_issue: Any
) -> None:
    """It said "Go on with: newsletter issue send", which then refused."""
    sink = start_sink(rules=[{"stage": "dot", "delay": 0.1}])
    app = sending_app(sink.port)
    issue = plan_issue(app, 60)

    def pause_soon() -> None:
        while not sink.accepted():
            time.sleep(0.01)
        with app.database.write() as session:
            control.pause(session, session.get_one(Issue, issue), "a wrong date", now=app.now())

    person = threading.Thread(target=pause_soon)
    person.start()
    said = newsletter("issue", "send", "2026-11", "--yes", port=sink.port, code=1)
    person.join()
    assert "Go on with: newsletter issue resume 2026-11" in said
    received = sink.accepted()
    newsletter("issue", "send", "2026-11", "--yes", port=sink.port, code=1)
    assert sink.accepted() == received, "a person's pause was ended by a later send"


def test_a_cancelled_issue_says_who_has_it_all_the_same(
    newsletter: Newsletter, sending_app: Any, plan_issue: Any
) -> None:
    app = sending_app(1)
    plan_issue(app, 6)
    put(app, S.SENT, 1)
    put(app, S.INTENT, 2, owner=99)
    put(app, S.UNCERTAIN, 3, 4)
    said = " ".join(newsletter("issue", "cancel", "2026-11", "--yes").split())
    assert "2 people will not get it. 1 person has it. 1 copy on the wire may still arrive. 2 copies may have" in said
