"""Whole runs against the scripted server: what it took over is the truth."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter

import pytest
from sqlalchemy import select

from newsletter.errors import Conflict
from newsletter.send import control
from newsletter.send.dispatch import send_issue
from newsletter.send.status import issue_counts
from newsletter.tables import Delivery, DeliveryState, Issue, IssueState
from subscribers.suppression import suppress
from subscribers.tables import Subscription, SubscriptionState, Suppression


def adds_up(counts):
    names = ("sent", "bounced", "expired", "suppressed", "held", "cancelled", "uncertain")
    to_do = ("pending", "claimed", "intent", "deferred")
    return counts["planned"] == sum(counts[name] for name in (*names, *to_do))


@pytest.mark.parametrize(
    "flags", [(), ("--no-pipelining",), ("--bytewise",), ("--multiline",), ("--no-pipelining", "--bytewise")]
)
def test_everybody_gets_one_copy_however_the_server_talks(start_sink, sending_app, plan_issue, flags):
    sink = start_sink(*flags)
    app = sending_app(sink.port)
    issue = plan_issue(app, 40)
    report = send_issue(app, issue)
    assert report.state is IssueState.SENT
    assert report.exit_code == 0
    assert report.counts["sent"] == 40
    assert adds_up(report.counts)
    assert sink.accepted() == Counter({f"person{n}@example.com": 1 for n in range(1, 41)})


def test_a_connection_carries_no_more_than_its_limit(start_sink, sending_app, plan_issue):
    sink = start_sink()
    app = sending_app(sink.port, connections=2, messages_per_connection=5)
    report = send_issue(app, plan_issue(app, 30))
    assert report.counts["sent"] == 30
    carried = Counter(event["connection"] for event in sink.events("accepted"))
    assert max(carried.values()) <= 5


def test_an_unknown_mailbox_bounces_and_the_person_is_suppressed(start_sink, sending_app, plan_issue, deliveries):
    sink = start_sink(rules=[{"stage": "rcpt", "match": "person3@", "reply": "550 5.1.1 no such user"}])
    app = sending_app(sink.port)
    report = send_issue(app, plan_issue(app, 10))
    assert (report.counts["sent"], report.counts["bounced"], report.exit_code) == (9, 1, 4)
    row = deliveries(app)["person3@example.com"]
    assert (row.state, row.reply_code, row.reply_status) == (DeliveryState.BOUNCED, 550, "5.1.1")
    with app.database.read() as session:
        entry = session.query(Suppression).one()
        assert (entry.address, entry.reason) == ("person3@example.com", "hard bounce")
        assert "550 5.1.1" in entry.evidence


def test_a_4yz_is_deferred_and_a_later_run_delivers_it(start_sink, sending_app, plan_issue, deliveries):
    sink = start_sink(rules=[{"stage": "rcpt", "match": "person2@", "reply": "450 4.2.0 greylisted", "times": 1}])
    app = sending_app(sink.port)
    issue = plan_issue(app, 5)
    report = send_issue(app, issue)
    assert (report.counts["sent"], report.deferred, report.state) == (4, 1, IssueState.SENDING)
    assert report.exit_code == 0
    row = deliveries(app)["person2@example.com"]
    assert 200 < (row.retry_at - app.now()).total_seconds() < 400
    with app.database.write() as session:
        session.get(type(row), row.id).retry_at = app.now()
        session.commit()
    assert send_issue(app, issue).state is IssueState.SENT
    assert set(sink.accepted().values()) == {1}


def test_a_connection_cut_after_the_dot_makes_one_uncertain(start_sink, sending_app, plan_issue, deliveries):
    sink = start_sink(rules=[{"stage": "dot", "match": "person4@", "reply": None, "accept": True}])
    app = sending_app(sink.port)
    report = send_issue(app, plan_issue(app, 12))
    assert (report.counts["sent"], report.counts["uncertain"]) == (11, 1)
    assert deliveries(app)["person4@example.com"].state is DeliveryState.UNCERTAIN
    assert report.exit_code == 4
    assert set(sink.accepted().values()) == {1}


def test_a_421_to_the_dot_is_certain_and_only_defers(start_sink, sending_app, plan_issue, deliveries):
    sink = start_sink(rules=[{"stage": "dot", "match": "person4@", "reply": "421 4.3.2 shutting down"}])
    app = sending_app(sink.port)
    report = send_issue(app, plan_issue(app, 12))
    assert (report.counts["sent"], report.deferred) == (11, 1)
    assert deliveries(app)["person4@example.com"].attempt == 1


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
def test_a_421_before_the_body_charges_nobody(start_sink, sending_app, plan_issue, stage):
    sink = start_sink(rules=[{"stage": stage, "reply": "421 4.3.2 too many", "times": 2}])
    app = sending_app(sink.port)
    report = send_issue(app, plan_issue(app, 12))
    assert (report.counts["sent"], report.counts["uncertain"], report.state) == (12, 0, IssueState.SENT)
    assert set(sink.accepted().values()) == {1}


@pytest.mark.parametrize("reply", ["451 4.3.0 no space", "421 4.3.2 bye", None])
def test_a_reply_or_an_end_in_mid_body_is_certainly_not_accepted(
    start_sink, sending_app, plan_issue, monkeypatch, reply
):
    monkeypatch.setattr("newsletter.send.journal.PAUSE_AFTER_COMMIT_SECONDS", 0.05)  # so that the end comes first
    sink = start_sink(rules=[{"stage": "body", "match": "person5@", "reply": reply, "times": 1}])
    app = sending_app(sink.port)
    report = send_issue(app, plan_issue(app, 12))
    assert report.counts["uncertain"] == 0
    assert report.counts["sent"] + report.deferred == 12
    assert max(sink.accepted().values()) == 1


def test_a_refused_recipient_after_354_drops_the_connection(start_sink, sending_app, plan_issue):
    sink = start_sink(rules=[{"stage": "rcpt", "match": "person2@", "reply": "550 5.2.1 disabled"}])
    app = sending_app(sink.port, connections=1)
    report = send_issue(app, plan_issue(app, 6))
    assert (report.counts["sent"], report.counts["bounced"]) == (5, 1)
    assert "person2@example.com" not in sink.accepted()


def test_a_relay_that_is_away_pauses_and_later_delivers_all_once(start_sink, sending_app, plan_issue):
    sink = start_sink()
    sink.stop()
    app = sending_app(sink.port)
    issue = plan_issue(app, 60)
    report = send_issue(app, issue)
    assert report.state is IssueState.PAUSED
    assert "cannot be" in report.reason
    assert (report.counts["pending"], report.counts["sent"], report.exit_code) == (60, 0, 1)
    with pytest.raises(Conflict):
        send_issue(app, issue)
    start_sink(port=sink.port)
    with app.database.write() as session:
        control.resume(session, session.get(Issue, issue))
    assert send_issue(app, issue).counts["sent"] == 60
    assert sink.accepted() == Counter({f"person{n}@example.com": 1 for n in range(1, 61)})


def test_a_run_that_only_put_copies_back_has_not_gone_well(start_sink, sending_app, plan_issue):
    sink = start_sink(rules=[{"stage": "mail", "reply": "421 4.3.2 later", "delay": 0.6}])
    app = sending_app(sink.port)
    issue = plan_issue(app, 3)
    with app.database.write() as session:
        row = session.get(Issue, issue)
        for _ in range(3):
            control.pause(session, row, "away", now=app.now(), kind=control.PauseKind.RELAY)
            control.resume(session, row)
    stop = threading.Event()
    timer = threading.Timer(0.3, stop.set)
    timer.start()
    assert send_issue(app, issue, stop=stop).stopped
    timer.join()
    with app.database.read() as session:
        assert control.pause_note(session, issue)["tries"] == 3


def test_a_relay_that_comes_back_is_tried_again_by_the_worker(start_sink, sending_app, plan_issue):
    sink = start_sink(rules=[{"stage": "connect", "reply": "554 5.3.2 closed"}])
    app = sending_app(sink.port)
    issue = plan_issue(app, 3)
    assert send_issue(app, issue).state is IssueState.PAUSED
    with app.database.write() as session:
        now = app.now()
        assert control.issues_to_send(session, app.config, now) == []
        assert control.issues_to_send(session, app.config, now.replace(year=now.year + 1)) == [issue]


def test_policy_refusals_never_bounce_and_pause_when_they_go_on(start_sink, sending_app, plan_issue):
    sink = start_sink(rules=[{"stage": "dot", "reply": "550 5.7.26 unauthenticated mail"}])
    app = sending_app(sink.port)
    report = send_issue(app, plan_issue(app, 40, address=lambda n: f"p{n}@domain{n}.example"))
    assert report.state is IssueState.PAUSED
    assert "by policy" in report.reason
    assert (report.counts["bounced"], report.counts["sent"]) == (0, 0)
    assert adds_up(report.counts)


def test_one_provider_that_refuses_does_not_stop_the_others(start_sink, sending_app, plan_issue):
    sink = start_sink(rules=[{"stage": "rcpt", "match": "@strict", "reply": "550 5.7.1 blocked"}])
    app = sending_app(sink.port, connections=1)
    address = lambda n: f"p{n}@{'strict' if n % 2 else 'kind'}.example"  # noqa: E731
    report = send_issue(app, plan_issue(app, 40, address=address))
    assert (report.counts["sent"], report.deferred, report.counts["bounced"]) == (20, 20, 0)
    assert len(sink.events("refused")) == 1


def test_a_refused_sender_pauses_and_charges_nobody(start_sink, sending_app, plan_issue):
    sink = start_sink(rules=[{"stage": "mail", "reply": "550 5.1.8 unknown sender domain"}])
    app = sending_app(sink.port)
    report = send_issue(app, plan_issue(app, 20))
    assert report.state is IssueState.PAUSED
    assert "sender" in report.reason
    assert report.counts["pending"] == 20


def test_content_refused_three_times_pauses(start_sink, sending_app, plan_issue):
    sink = start_sink(rules=[{"stage": "dot", "reply": "554 5.6.0 malformed"}])
    app = sending_app(sink.port, connections=1)
    report = send_issue(app, plan_issue(app, 20))
    assert report.state is IssueState.PAUSED
    # One more envelope was on its way with the dot of the third.
    assert 3 <= report.counts["held"] <= 4
    assert adds_up(report.counts)


def test_an_unsubscribe_while_sending_stops_that_copy(start_sink, sending_app, plan_issue):
    """The body is on the wire when the answer of the intent says no: the dot never leaves."""
    sink = start_sink(rules=[{"stage": "dot", "delay": 0.15}])
    app = sending_app(sink.port, connections=1)
    issue, left = plan_issue(app, 6), []

    def leave(_progress):
        if left:
            return
        with app.database.write() as session:
            in_hand = session.scalars(select(Delivery).where(Delivery.state == DeliveryState.CLAIMED)).all()
            left.append(in_hand[-1].address)
            row = session.query(Subscription).filter_by(subscriber_id=in_hand[-1].subscriber_id).one()
            row.state = SubscriptionState.UNSUBSCRIBED

    report = send_issue(app, issue, on_progress=leave)
    assert (report.counts["sent"], report.counts["suppressed"]) == (5, 1)
    assert left[0] not in sink.accepted()


def test_a_suppression_before_the_claim_keeps_the_copy_off_the_wire(start_sink, sending_app, plan_issue, deliveries):
    sink = start_sink()
    app = sending_app(sink.port)
    issue = plan_issue(app, 6)
    with app.database.write() as session:
        suppress(
            session,
            pepper=app.keys.pepper,
            address="person1@example.com",
            reason="by hand",
            evidence="letter",
            at=app.now(),
        )
    report = send_issue(app, issue)
    assert (report.counts["sent"], report.counts["suppressed"]) == (5, 1)
    assert not sink.events("aborted")
    assert deliveries(app)["person1@example.com"].reason == "suppressed"


def test_pause_is_effective_within_a_second_and_resume_goes_on(start_sink, sending_app, plan_issue):
    sink = start_sink(rules=[{"stage": "dot", "delay": 0.1}])
    app = sending_app(sink.port, connections=2)
    issue = plan_issue(app, 200)
    timer = threading.Timer(0.8, _pause, (app, issue))
    timer.start()
    started = time.monotonic()
    report = send_issue(app, issue)
    timer.join()
    assert time.monotonic() - started < 2.5
    assert (report.state, report.reason) == (IssueState.PAUSED, "the chair wants to wait")
    assert report.counts["claimed"] == report.counts["intent"] == 0
    assert 0 < report.counts["sent"] < 100
    assert adds_up(report.counts)
    assert sink.accepted().total() == report.counts["sent"]


def _pause(app, issue):
    with app.database.write() as session:
        control.pause(session, session.get(Issue, issue), "the chair wants to wait")


def test_cancel_stops_what_was_not_begun(start_sink, sending_app, plan_issue):
    sink = start_sink(rules=[{"stage": "dot", "delay": 0.1}])
    app = sending_app(sink.port, connections=2)
    issue = plan_issue(app, 100)
    timer = threading.Timer(0.6, _cancel, (app, issue))
    timer.start()
    report = send_issue(app, issue)
    timer.join()
    assert report.state is IssueState.CANCELLED
    assert report.counts["sent"] + report.counts["cancelled"] == 100
    assert sink.accepted().total() == report.counts["sent"]


def test_a_451_after_a_cancel_leaves_nothing_waiting(start_sink, sending_app, plan_issue):
    sink = start_sink(rules=[{"stage": "dot", "delay": 0.8, "reply": "451 4.3.0 later"}])
    app = sending_app(sink.port, connections=3)
    issue = plan_issue(app, 20)
    timer = threading.Timer(0.5, _cancel, (app, issue))
    timer.start()
    report = send_issue(app, issue)
    timer.join()
    assert report.state is IssueState.CANCELLED
    assert report.counts["cancelled"] == 20


def _cancel(app, issue):
    with app.database.write() as session:
        control.cancel(session, session.get(Issue, issue), now=app.now())


def test_a_stop_drains_and_the_next_run_finishes(start_sink, sending_app, plan_issue):
    sink = start_sink(rules=[{"stage": "dot", "delay": 0.05}])
    app = sending_app(sink.port)
    issue, stop = plan_issue(app, 60), threading.Event()
    threading.Timer(0.4, stop.set).start()
    report = send_issue(app, issue, stop=stop)
    assert report.stopped
    assert report.exit_code == 1
    assert (report.counts["uncertain"], report.counts["claimed"], report.counts["intent"]) == (0, 0, 0)
    assert send_issue(app, issue).counts["sent"] == 60
    assert set(sink.accepted().values()) == {1}


def test_a_copy_that_cannot_be_composed_is_held_and_others_go_on(start_sink, sending_app, plan_issue, deliveries):
    sink = start_sink()
    app = sending_app(sink.port)
    address = lambda n: "pers\u00f6n@example.com" if n == 2 else f"p{n}@example.com"  # noqa: E731
    report = send_issue(app, plan_issue(app, 5, address=address))
    assert (report.counts["sent"], report.counts["held"], report.exit_code) == (4, 1, 4)
    held = deliveries(app)["pers\u00f6n@example.com"]
    assert held.state is DeliveryState.HELD
    assert "ASCII" in held.reply_text


def test_too_many_held_copies_pause_the_issue(start_sink, sending_app, plan_issue):
    sink = start_sink()
    app = sending_app(sink.port)
    report = send_issue(app, plan_issue(app, 30, address=lambda n: f"pers\u00f6n{n}@example.com"))
    assert report.state is IssueState.PAUSED
    assert "held" in report.reason


def test_every_attempt_has_the_same_bytes(start_sink, sending_app, plan_issue):
    rule = {"stage": "dot", "match": "person1@", "reply": "451 4.3.0 later", "accept": True, "times": 1}
    sink = start_sink(rules=[rule])
    app = sending_app(sink.port)
    issue = plan_issue(app, 1)
    send_issue(app, issue)
    with app.database.write() as session:
        session.execute(Issue.__table__.metadata.tables["deliveries"].update().values(retry_at=app.now()))
    send_issue(app, issue)
    first, second = sink.events("accepted")
    assert first["sha256"] == second["sha256"]
    assert first["message_id"] == second["message_id"]


def test_retry_puts_failed_copies_back(start_sink, sending_app, plan_issue):
    sink = start_sink(rules=[{"stage": "rcpt", "match": "person3@", "reply": "550 5.2.1 disabled", "times": 1}])
    app = sending_app(sink.port)
    issue = plan_issue(app, 4)
    assert send_issue(app, issue).counts["bounced"] == 1
    with app.database.write() as session:
        assert control.retry_failed(session, session.get(Issue, issue), now=app.now()) == 1
    report = send_issue(app, issue)
    assert (report.counts["sent"], report.state) == (4, IssueState.SENT)


def test_a_rate_limit_spreads_messages(start_sink, sending_app, plan_issue):
    """300 a minute is one each fifth of a second: 12 need more than two seconds."""
    sink = start_sink()
    app = sending_app(sink.port, per_minute=300)
    started = time.monotonic()
    report = send_issue(app, plan_issue(app, 12))
    assert report.counts["sent"] == 12
    assert time.monotonic() - started > 2.0
    times = sorted(event["at"] for event in sink.events("accepted"))
    most = max(sum(t <= other < t + 1 for other in times) for t in times)
    assert most <= 9  # five, and those that a busy machine held up


def test_progress_is_told_and_reaches_the_end(start_sink, sending_app, plan_issue):
    sink = start_sink(rules=[{"stage": "dot", "delay": 0.05}])
    app = sending_app(sink.port)
    told = []
    send_issue(app, plan_issue(app, 30), on_progress=told.append)
    assert len(told) >= 2
    assert (told[-1].done, told[-1].planned, told[-1].sent) == (30, 30, 30)
    assert all(a.done <= b.done for a, b in itertools.pairwise(told))


def test_status_of_a_finished_issue_adds_up(start_sink, sending_app, plan_issue):
    sink = start_sink()
    app = sending_app(sink.port)
    issue = plan_issue(app, 3)
    send_issue(app, issue)
    with app.database.read() as session:
        counts = issue_counts(session, issue)
    assert adds_up(counts)
    assert (counts["issue"], counts["state"], counts["planned"]) == ("2026-11", "sent", 3)
    assert counts["finished_at"] is not None
