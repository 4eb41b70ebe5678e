"""A copied database mails nobody until a person says that it is the live one; then nobody is mailed twice unseen."""

from __future__ import annotations

import shutil
import sqlite3
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from newsletter.app import App
from newsletter.paths import Workspace
from newsletter.send import control, instance, uncertain
from newsletter.send.dispatch import send_issue
from newsletter.tables import Delivery, Issue, IssueState
from newsletter.tables import DeliveryState as S
from newsletter.worker import Worker


@pytest.fixture
def copied(tmp_path):
    """Return a function that copies a workspace, keys and all, as an administrator would."""

    def copy(app: App) -> App:
        folder = tmp_path / "elsewhere"
        shutil.copytree(app.workspace.root, folder, ignore=shutil.ignore_patterns("*.sqlite3*"))
        with (
            sqlite3.connect(app.workspace.database) as source,
            sqlite3.connect(folder / "newsletter.sqlite3") as target,
        ):
            source.backup(target)
        return App(workspace=Workspace(folder), config=app.config, actor="tester", now=app.now)

    return copy


def noted(app: App) -> None:
    with app.database.write() as session:
        instance.note_place(session, app.now())


def states(app: App) -> dict[S, int]:
    with app.database.read() as session:
        return dict(session.execute(select(Delivery.state, func.count()).group_by(Delivery.state)).all())


def test_a_copy_refuses_to_send_and_to_plan_and_the_original_goes_on(start_sink, sending_app, plan_issue, copied):
    sink = start_sink()
    app = sending_app(sink.port)
    issue = plan_issue(app, 3)
    noted(app)
    copy = copied(app)
    with pytest.raises(instance.CopiedDatabase, match="copied, or restored") as refused:
        send_issue(copy, issue)
    assert "newsletter db adopt" in refused.value.hint
    with pytest.raises(instance.CopiedDatabase):
        Worker(copy, lambda _: None).once()
    assert sink.accepted() == {}
    assert send_issue(app, issue).counts["sent"] == 3
    copy.close()


def test_a_moved_workspace_is_no_copy(start_sink, sending_app, plan_issue, tmp_path):
    app = sending_app(start_sink().port)
    issue = plan_issue(app, 2)
    noted(app)
    app.close()
    folder = app.workspace.root.rename(tmp_path / "moved")
    moved = App(workspace=Workspace(folder), config=app.config, actor="tester", now=app.now)
    assert send_issue(moved, issue).counts["sent"] == 2
    moved.close()


def test_a_copy_taken_in_mid_send_doubts_all_that_it_holds_as_to_be_sent(start_sink, sending_app, plan_issue, copied):
    """The original finishes. Nobody gets a second copy without having been shown as uncertain."""
    sink = start_sink()
    app = sending_app(sink.port)
    issue = plan_issue(app, 6)
    noted(app)
    with app.database.write() as session:
        session.execute(update(Delivery).where(Delivery.id == 1).values(state=S.SENT))
        session.execute(update(Delivery).where(Delivery.id == 2).values(state=S.INTENT, owner=99, attempt=1))
        session.execute(update(Delivery).where(Delivery.id == 3).values(state=S.CLAIMED, owner=99, attempt=1))
    copy = copied(app)
    send_issue(app, issue)
    with copy.database.write() as session:
        adopted = instance.adopt(session, now=copy.now(), nothing_sent_since=False)
    assert (adopted.uncertain, adopted.paused) == (5, ("2026-11",))
    assert states(copy) == {S.SENT: 1, S.UNCERTAIN: 5}
    with copy.database.write() as session:
        control.resume(session, session.get_one(Issue, issue))
    assert send_issue(copy, issue).counts["uncertain"] == 5
    assert max(sink.accepted().values()) == 1
    copy.close()


def test_whoever_vouches_that_nothing_was_sent_goes_on(start_sink, sending_app, plan_issue, copied):
    sink = start_sink()
    app = sending_app(sink.port)
    issue = plan_issue(app, 4)
    noted(app)
    with app.database.write() as session:
        session.execute(update(Delivery).where(Delivery.id == 2).values(state=S.INTENT, owner=99, attempt=1))
    copy = copied(app)
    with copy.database.write() as session:
        assert instance.to_do(session) == {"2026-11": 4}
        assert instance.adopt(session, now=copy.now(), nothing_sent_since=True).uncertain == 1
        control.resume(session, session.get_one(Issue, issue))
    assert send_issue(copy, issue).counts["sent"] == 3
    copy.close()


def test_schedules_and_relay_pauses_of_a_copy_wait_for_a_person(sending_app, plan_issue, copied):
    app = sending_app(1)
    plan_issue(app, 1)
    noted(app)
    with app.database.write() as session:
        control.pause(session, session.get_one(Issue, 1), "away", now=app.now(), kind=control.PauseKind.RELAY)
        session.add(
            Issue(
                slug="2026-12",
                state=IssueState.SCHEDULED,
                scheduled_at=app.now(),
                created_at=app.now(),
                edited_at=app.now(),
                edited_by="tester",
            )
        )
    copy = copied(app)
    with copy.database.write() as session:
        assert instance.adopt(session, now=copy.now(), nothing_sent_since=True).paused == ("2026-12",)
        assert control.pause_kind(session, 1) is None
        assert {issue.state for issue in session.scalars(select(Issue))} == {IssueState.PAUSED}
    copy.close()


def test_all_uncertain_copies_of_an_issue_are_settled_at_once(start_sink, sending_app, plan_issue):
    sink = start_sink()
    app = sending_app(sink.port)
    issue = plan_issue(app, 5)
    with app.database.write() as session:
        session.execute(update(Delivery).values(state=S.UNCERTAIN))
        row = session.get_one(Issue, issue)
        row.state = IssueState.SENT
        assert uncertain.sum_uncertain(session)[0]["copies"] == 5
        assert uncertain.resolve_issue(session, row, as_sent=False, actor="ann", now=app.now()) == 5
    assert send_issue(app, issue).counts["sent"] == 5


def test_the_policy_leaves_alone_what_a_copied_database_left_in_doubt(sending_app, plan_issue):
    """It mailed the rest of the list a second time, as soon as its hours were over."""
    app = sending_app(1, send={"uncertain": "resend-after", "resend_after_hours": 1})
    issue, later = plan_issue(app, 3), app.now() + timedelta(hours=2)
    with app.database.write() as session:
        instance.adopt(session, now=app.now(), nothing_sent_since=False)
        assert uncertain.apply_policy(session, app.config, issue, later) == 0
        session.execute(update(Delivery).where(Delivery.id == 1).values(reason=None))
        session.execute(update(Delivery).where(Delivery.id == 2).values(reason="no reply to the dot"))
        control.resume(session, session.get_one(Issue, issue))
        assert uncertain.apply_policy(session, app.config, issue, later) == 2


@pytest.mark.journey
def test_on_postgresql_another_database_is_another_place(app_on_postgresql):
    app = app_on_postgresql
    noted(app)
    with app.database.write() as session:
        instance.require_live(session)
        value = session.get_one(instance.Setting, instance.SETTING)
        value.value = {**value.value, "place": {**value.value["place"], "database": 1}}
    with app.database.read() as session, pytest.raises(instance.CopiedDatabase):
        instance.require_live(session)


@pytest.mark.journey
def test_on_postgresql_an_older_dump_read_back_in_place_is_another_place(app_on_postgresql):
    """`pg_restore --clean` drops the tables and makes them again: the same server and database, an older list."""
    app = app_on_postgresql
    noted(app)
    table = Delivery.__table__
    with app.database.write() as session:
        instance.require_live(session)
        table.drop(session.connection())
        table.create(session.connection())
    with app.database.read() as session, pytest.raises(instance.CopiedDatabase):
        instance.require_live(session)
    with app.database.write() as session:
        instance.adopt(session, now=app.now(), nothing_sent_since=True)
        instance.require_live(session)
