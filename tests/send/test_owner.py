"""A row on which its sender crashes again and again is held; whom it shared a hand with is not."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta

import pytest
from click.testing import CliRunner
from sqlalchemy import select, update

from newsletter.cli.main import Context
from newsletter.cli.output import Output
from newsletter.cli.uncertain import command as uncertain_command
from newsletter.send.dispatch import send_issue
from newsletter.send.left_behind import settle_left_behind
from newsletter.send.owner import Owner, Recovered
from newsletter.tables import Delivery, Issue, IssueState, Worker
from newsletter.tables import DeliveryState as S

CRASHING = """
import os, sys
from pathlib import Path
from newsletter.app import App
from newsletter.config.settings import Config
from newsletter.paths import Workspace
from newsletter.send import copies
from newsletter.send.dispatch import send_issue

make = copies.CopyMaker.make
def crash(self, row, *rest):
    if row.address.startswith("person7@"):
        os.kill(os.getpid(), 9)
    return make(self, row, *rest)
copies.CopyMaker.make = crash
config = Config.model_validate_json(sys.stdin.read())
send_issue(App(workspace=Workspace(Path(sys.argv[1])), config=config, actor="tester"), int(sys.argv[2]))
"""


def settings_of(app) -> str:
    """Return the configuration as the child reads it."""
    return json.dumps(app.config.model_dump(mode="json", exclude={"smtp": {"password", "accounts"}}))


def test_a_row_on_which_its_sender_crashed_three_times_is_held_and_all_others_go_out(
    start_sink, sending_app, plan_issue, deliveries
):
    sink = start_sink()
    app = sending_app(sink.port)
    issue = plan_issue(app, 20)
    config = settings_of(app)
    for _ in range(3):
        words = [sys.executable, "-c", CRASHING, str(app.workspace.root), str(issue)]
        assert subprocess.run(words, input=config, text=True, check=False).returncode == -9
    report = send_issue(app, issue)
    row = deliveries(app)["person7@example.com"]
    assert (row.state, row.reason) == (S.HELD, "its sender crashed on it three times")
    assert (report.counts["sent"] + report.counts["uncertain"], report.counts["held"]) == (19, 1)
    assert set(sink.accepted().values()) == {1}
    with app.database.read() as session:
        assert len(session.scalars(select(Worker.id)).all()) == 4
        assert all(r.attempt <= 1 for r in session.scalars(select(Delivery)))


@pytest.mark.parametrize("state", [IssueState.PAUSED, IssueState.CANCELLED, IssueState.SENT])
@pytest.mark.parametrize("server", ["app", pytest.param("app_on_postgresql", marks=pytest.mark.journey)])
def test_what_a_dead_sender_had_in_hand_is_settled_where_nobody_sends(request, plan_issue, deliveries, server, state):
    app = request.getfixturevalue(server)
    issue = plan_issue(app, 4)
    with Owner(app.database, app.workspace.locks, app.now) as alive:
        with Owner(app.database, app.workspace.locks, app.now) as dead, app.database.write() as session:
            for person, owner, at in ((1, dead, S.INTENT), (2, alive, S.INTENT), (3, alive, S.CLAIMED)):
                values = {"state": at, "owner": owner.id, "attempt": 1, "lease_until": app.now() + timedelta(hours=1)}
                session.execute(update(Delivery).where(Delivery.subscriber_id == person).values(**values))
            session.get(Issue, issue).state = state
        context = Context(Output(as_json=True))
        context.__dict__["app"] = app
        listed = CliRunner().invoke(uncertain_command, ["list"], obj=context)
        assert [row["address"] for row in json.loads(listed.stdout)] == ["person1@example.com"]
        assert settle_left_behind(app) == Recovered(0, 0)
    states = [deliveries(app)[f"person{n}@example.com"].state for n in (1, 2, 3)]
    assert states == [S.UNCERTAIN, S.INTENT, S.CLAIMED]
