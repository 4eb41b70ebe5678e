"""What waits too long, and what waits for a person, is told with the command that ends it."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import update

from newsletter.app import App
from newsletter.config.settings import Send
from newsletter.doctor.belongings import largest_copy
from newsletter.doctor.findings import Finding, Level
from newsletter.doctor.waiting import check_waiting
from newsletter.send.control import PauseKind, pause
from newsletter.tables import Delivery, Issue, IssueState
from newsletter.tables import DeliveryState as S
from tests.conftest import NOW
from tests.send.conftest import plan_issue  # noqa: F401  (a fixture)

LATER = NOW + timedelta(hours=3)


def look(app: App, now: datetime = LATER) -> list[Finding]:
    return list(check_waiting(app.database, Send(), now))


def set_state(app: App, state: S, *, at: datetime = NOW, **values: object) -> None:
    with app.database.write() as session:
        session.execute(update(Delivery).values(state=state, state_at=at, **values))


def test_nothing_waits_in_a_fresh_workspace(app: App) -> None:
    assert [(f.level, f.fix) for f in look(app)] == [(Level.OK, "")]


def test_copies_that_nobody_sends_are_told_after_a_while(app: App, plan_issue) -> None:  # noqa: F811
    plan_issue(app, 3)
    assert [f.level for f in look(app, NOW + timedelta(minutes=5))] == [Level.OK]
    [found] = look(app)
    assert found.level is Level.WARN
    assert found.message == "3 copies of issue 2026-11 waiting since 2026-11-02 09:30 UTC."
    assert "newsletter work" in found.fix


def test_a_long_issue_that_moves_is_well(app: App, plan_issue) -> None:  # noqa: F811
    plan_issue(app, 3)
    with app.database.write() as session:
        recent = LATER - timedelta(minutes=1)
        session.execute(update(Delivery).where(Delivery.id == 1).values(state=S.SENT, state_at=recent))
    assert [f.level for f in look(app)] == [Level.OK]


def test_deferred_copies_wait_rightly_until_their_time_is_past(app: App, plan_issue) -> None:  # noqa: F811
    plan_issue(app, 1)
    set_state(app, S.DEFERRED, retry_at=LATER + timedelta(minutes=5))
    [found] = look(app)
    assert (found.level, "2026-11-02 12:35 UTC" in found.message) == (Level.OK, True)
    [found] = look(app, LATER + timedelta(hours=2))
    assert (found.level, "1 copy" in found.message) == (Level.WARN, True)


def test_a_paused_issue_says_why_and_how_to_go_on(app: App, plan_issue) -> None:  # noqa: F811
    issue_id = plan_issue(app, 1)
    with app.database.write() as session:
        pause(session, session.get_one(Issue, issue_id), "The relay is down.", now=NOW, kind=PauseKind.RELAY)
    [found] = look(app)
    assert found.message == "Issue 2026-11 is paused: The relay is down."
    assert "newsletter issue resume 2026-11" in found.fix


@pytest.mark.parametrize(
    ("state", "command"), [(S.UNCERTAIN, "uncertain list --issue 2026-11"), (S.HELD, "report 2026-11")]
)
def test_copies_that_wait_for_a_person_are_told(app: App, plan_issue, state: S, command: str) -> None:  # noqa: F811
    plan_issue(app, 2)
    set_state(app, state)
    [found] = look(app)
    assert found.message.startswith("2 copies of issue 2026-11")
    assert command in found.fix


def test_uncertain_copies_of_a_finished_issue_still_wait(app: App, plan_issue) -> None:  # noqa: F811
    plan_issue(app, 1)
    set_state(app, S.UNCERTAIN)
    with app.database.write() as session:
        session.execute(update(Issue).values(state=IssueState.SENT))
    assert [f.level for f in look(app)] == [Level.WARN]


def test_a_missed_schedule_is_told_after_its_grace(app: App) -> None:
    with app.database.write() as session:
        session.add(
            Issue(
                slug="spring",
                state=IssueState.SCHEDULED,
                scheduled_at=NOW,
                created_at=NOW,
                edited_at=NOW,
                edited_by="x",
            )
        )
    assert [f.level for f in look(app, NOW + timedelta(minutes=30))] == [Level.OK]
    [found] = look(app)
    assert "issue send spring" in found.fix


def test_the_largest_copy_is_measured_by_what_was_frozen(app: App, plan_issue) -> None:  # noqa: F811
    assert largest_copy(app.database_url) is None
    plan_issue(app, 1)
    assert largest_copy(app.database_url) is None  # the tables are there, without a version
    with app.database.write() as session:
        from sqlalchemy import text

        from newsletter.migrations import HEAD

        session.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        session.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})
    size = largest_copy(app.database_url)
    assert size is not None
    assert 500 < size < 5000
