"""What is frozen, what a person may do with it, and what is left of workers that died."""

from __future__ import annotations

import email
import re
import subprocess
import sys
import time
from datetime import timedelta

import pytest
from click.testing import CliRunner
from sqlalchemy import select, update

from newsletter.cli.main import Context
from newsletter.cli.output import Output
from newsletter.cli.uncertain import command as uncertain_command
from newsletter.errors import Conflict, NotFound
from newsletter.send import control, uncertain
from newsletter.send.dispatch import send_issue
from newsletter.send.owner import Owner
from newsletter.send.plan import freeze, stored_headers, stored_rendering
from newsletter.send.status import issue_counts
from newsletter.send.trial import NotDelivered, send_test_copy
from newsletter.tables import Delivery, DeliveryState, Issue, IssueState, Variant
from subscribers.tables import Subscription
from subscribers.tokens import read_unsubscribe_token


def test_the_freeze_stores_all_that_a_copy_is_made_of(sending_app, plan_issue):
    app = sending_app(1)
    issue_id = plan_issue(app, 3)
    with app.database.read() as session:
        issue, variant = session.get(Issue, issue_id), session.scalars(select(Variant)).one()
        rows = session.scalars(select(Delivery).order_by(Delivery.id)).all()
        assert (issue.state, issue.planned, len(issue.content_hash)) == (IssueState.SENDING, 3, 64)
        assert [row.slots for row in rows] == [{"first_name": "Name1"}, {}, {"first_name": "Name3"}]
        assert all(re.fullmatch(r"[0-9a-f]{32}@example\.org", row.message_id) for row in rows)
        assert len({row.message_id for row in rows}) == 3
        assert stored_rendering(variant).preheader == "What is on"
        assert stored_headers(variant).list_id == "members.news.example.org"


def freeze_another(app, audience, variants=()) -> None:
    with app.database.write() as session:
        other = Issue(slug="2026-12", created_at=app.now(), edited_at=app.now(), edited_by="tester")
        session.add(other)
        session.flush()
        freeze(session, other, audience=audience, variants=variants, keys=app.keys, config=app.config, now=app.now())


def everybody():
    return select(Subscription.subscriber_id, Subscription.list_id)


def test_an_issue_is_planned_once(sending_app, plan_issue):
    app = sending_app(1)
    issue_id = plan_issue(app, 2)
    options = {"variants": [], "keys": app.keys, "config": app.config, "now": app.now()}
    with pytest.raises(Conflict, match="planned before"), app.database.write() as session:
        freeze(session, session.get(Issue, issue_id), audience=everybody(), **options)


def test_a_plan_for_nobody_is_refused_and_changes_nothing(sending_app, plan_issue):
    app = sending_app(1)
    plan_issue(app, 2)
    with pytest.raises(Conflict, match="Nobody"):
        freeze_another(app, everybody().where(Subscription.list_id == 99))
    with app.database.read() as session:
        assert session.scalar(select(Issue).where(Issue.slug == "2026-12")) is None


def test_somebody_whom_no_variant_fits_stops_the_plan(sending_app, plan_issue):
    app = sending_app(1)
    plan_issue(app, 2)
    with pytest.raises(Conflict, match="No variant"):
        freeze_another(app, everybody())


def test_what_a_dead_worker_had_in_hand_is_settled(start_sink, sending_app, plan_issue, deliveries):
    """Claimed goes back and is sent; intent becomes uncertain, for a person."""
    sink = start_sink()
    app = sending_app(sink.port)
    issue = plan_issue(app, 5)
    with app.database.write() as session:
        lease = app.now() + timedelta(hours=1)
        for number, state in ((1, DeliveryState.CLAIMED), (2, DeliveryState.INTENT)):
            values = {"state": state, "owner": 999, "attempt": 1, "lease_until": lease}
            session.execute(update(Delivery).where(Delivery.id == number).values(**values))
    report = send_issue(app, issue)
    assert (report.counts["sent"], report.counts["uncertain"]) == (4, 1)
    assert "person2@example.com" not in sink.accepted()
    with app.database.read() as session:
        listed = uncertain.list_uncertain(session)
    assert [row["address"] for row in listed] == ["person2@example.com"]


def test_a_living_worker_keeps_its_rows(sending_app, plan_issue):
    """Its lock is held by another process; nobody may take what it has in hand."""
    app = sending_app(1)
    plan_issue(app, 2)
    program = (
        "import fcntl,os,sys,time;f=os.open(sys.argv[1],os.O_RDWR|os.O_CREAT);fcntl.flock(f,2);"
        "print('held',flush=True);time.sleep(60)"
    )
    path = app.workspace.locks / "worker-999.lock"
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with Owner(app.database, app.workspace.locks, app.now) as owner, app.database.write() as session:
            lease = app.now() + timedelta(hours=1)
            session.execute(update(Delivery).values(state=DeliveryState.INTENT, owner=999, lease_until=lease))
            assert not owner.is_dead(999)
            assert owner.recover(session, dot_timeout=timedelta(0)).uncertain == 0
            other.kill()
            other.wait()
            time.sleep(0.05)
            assert owner.is_dead(999)
            assert owner.recover(session, dot_timeout=timedelta(0)).uncertain == 2


def test_a_stopped_worker_loses_its_claims_after_the_lease(sending_app, plan_issue):
    app = sending_app(1)
    plan_issue(app, 2)
    with (
        Owner(app.database, app.workspace.locks, app.now) as stopped,
        Owner(app.database, app.workspace.locks, app.now) as owner,
        app.database.write() as session,
    ):
        values = {"state": DeliveryState.CLAIMED, "owner": stopped.id, "attempt": 1}
        session.execute(update(Delivery).values(lease_until=app.now() - timedelta(seconds=1), **values))
        assert owner.recover(session, dot_timeout=timedelta(minutes=10)).put_back == 2
        assert {row.attempt for row in session.scalars(select(Delivery))} == {0}


def make_uncertain(app, issue_id: int) -> None:
    with app.database.write() as session:
        session.execute(update(Delivery).values(state=DeliveryState.UNCERTAIN, state_at=app.now(), attempt=1))
        session.get(Issue, issue_id).state = IssueState.SENT


def test_a_person_settles_uncertain_copies(start_sink, sending_app, plan_issue):
    sink = start_sink()
    app = sending_app(sink.port)
    issue = plan_issue(app, 2)
    make_uncertain(app, issue)
    with app.database.write() as session:
        assert uncertain.resolve(session, [1], as_sent=True, actor="ann", now=app.now()) == 1
        assert uncertain.resolve(session, [2], as_sent=False, actor="ann", now=app.now()) == 1
        assert session.get(Issue, issue).state is IssueState.SENDING
    with pytest.raises(Conflict), app.database.write() as session:
        uncertain.resolve(session, [1], as_sent=False, actor="ann", now=app.now())
    with pytest.raises(NotFound), app.database.write() as session:
        uncertain.resolve(session, [99], as_sent=True, actor="ann", now=app.now())
    assert send_issue(app, issue).counts["sent"] == 2
    assert sink.accepted().total() == 1


def test_the_policy_resends_after_its_hours_and_hold_never_does(start_sink, sending_app, plan_issue):
    sink = start_sink()
    app = sending_app(sink.port)
    issue = plan_issue(app, 2)
    make_uncertain(app, issue)
    with app.database.write() as session:
        assert uncertain.apply_policy(session, app.config, issue, app.now() + timedelta(days=99)) == 0
    app = sending_app(sink.port, send={"uncertain": "resend-after", "resend_after_hours": 1})
    with app.database.write() as session:
        later = app.now() + timedelta(hours=2)
        assert uncertain.apply_policy(session, app.config, issue, app.now()) == 0
        assert control.issues_to_send(session, app.config, later) == [issue]
        assert uncertain.apply_policy(session, app.config, issue, later) == 2


def test_the_uncertain_command_lists_and_resolves(sending_app, plan_issue):
    app = sending_app(1)
    make_uncertain(app, plan_issue(app, 2))

    def run(*words: str, **output: bool):
        context = Context(Output(**output))
        context.__dict__["app"] = app
        return CliRunner().invoke(uncertain_command, words, obj=context)

    listed = run("list", as_json=True)
    assert listed.exit_code == 0
    assert '"address": "person1@example.com"' in listed.stdout
    assert run("resolve", "1", "2").exit_code == 2
    assert run("resolve", "1", "2", "--resend").exit_code == 2
    assert "2 settled as sent" in run("resolve", "1", "2", "--sent").stdout
    assert "No copy is uncertain" in run("list").stderr


def test_pause_resume_cancel_refuse_what_makes_no_sense(sending_app, plan_issue):
    app = sending_app(1)
    issue_id = plan_issue(app, 2)
    with app.database.write() as session:
        issue = session.get(Issue, issue_id)
        with pytest.raises(Conflict):
            control.resume(session, issue)
        control.pause(session, issue, "wait", now=app.now())
        assert control.pause_kind(session, issue_id) is control.PauseKind.PERSON
        with pytest.raises(Conflict):
            control.pause(session, issue, "again", now=app.now())
        assert control.issues_to_send(session, app.config, app.now() + timedelta(days=9)) == []
        assert control.cancel(session, issue, now=app.now()) == 2
        for refuse in (control.cancel, control.retry_failed):
            with pytest.raises(Conflict):
                refuse(session, issue, now=app.now())
        counts = issue_counts(session, issue_id)
    assert (counts["cancelled"], counts["planned"], counts["state"]) == (2, 2, "cancelled")


def test_an_unknown_issue_is_said(app):
    with pytest.raises(NotFound):
        send_issue(app, 4)


def test_a_test_copy_is_marked_and_unsubscribes_nobody(start_sink, sending_app, tmp_path, plan_issue):
    folder = tmp_path / "kept"
    folder.mkdir()
    sink = start_sink("--keep", str(folder))
    app = sending_app(sink.port)
    plan_issue(app, 1)
    with app.database.read() as session:
        variant = session.scalars(select(Variant)).one()
    reply = send_test_copy(app, stored_rendering(variant), stored_headers(variant), to="chair@example.net")
    assert reply.code == 250
    message = (folder / "1.eml").read_text()
    assert "Subject: [Test] November news\n" in message
    assert "X-Newsletter-Test: yes" in message
    assert "Auto-Submitted" not in message
    token = re.search(r"List-Unsubscribe: <https://news\.example\.org/unsubscribe/([^>]+)>", message)
    assert read_unsubscribe_token(app.keys.links, token[1]).subscriber_token_id == bytes(16)
    text = email.message_from_string(message).get_payload(0).get_payload(decode=True)
    assert b"Dear friend" in text


def test_a_refused_test_copy_says_the_servers_words(start_sink, sending_app, plan_issue):
    sink = start_sink(rules=[{"stage": "rcpt", "reply": "550 5.1.1 who is that"}])
    app = sending_app(sink.port)
    plan_issue(app, 1)
    with app.database.read() as session:
        variant = session.scalars(select(Variant)).one()
    with pytest.raises(NotDelivered, match="who is that"):
        send_test_copy(app, stored_rendering(variant), stored_headers(variant), to="chair@example.net")


def test_a_finished_run_leaves_no_lock_file(start_sink, sending_app, plan_issue):
    sink = start_sink()
    app = sending_app(sink.port)
    send_issue(app, plan_issue(app, 2))
    assert list(app.workspace.locks.glob("worker-*.lock")) == []


def test_nothing_of_a_cancelled_issue_is_put_back_by_the_policy(sending_app, plan_issue, deliveries):
    app = sending_app(1, send={"uncertain": "resend-after", "resend_after_hours": 1})
    issue = plan_issue(app, 2)
    with app.database.write() as session:
        session.execute(update(Delivery).values(state=DeliveryState.UNCERTAIN, state_at=app.now() - timedelta(hours=2)))
        session.get(Issue, issue).state = IssueState.CANCELLED
    with app.database.write() as session:
        assert uncertain.apply_policy(session, app.config, issue, app.now()) == 0
    with pytest.raises(Conflict, match="cancelled"):
        send_issue(app, issue)
    assert {row.state for row in deliveries(app).values()} == {DeliveryState.UNCERTAIN}
