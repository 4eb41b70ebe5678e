"""Limits, windows, breakers and several accounts in whole runs; the servers' logs are the truth."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from sqlalchemy import select, update

from newsletter.send import control
from newsletter.send.breaker import OPEN_FOR
from newsletter.send.claims import Claimed
from newsletter.send.dispatch import send_issue
from newsletter.send.pool import Pool
from newsletter.send.throttle import LATE_SECONDS
from newsletter.tables import Delivery, DeliveryState, IssueState
from tests.send.test_claims import most_in_a_window

MONDAY = datetime(2026, 11, 2, 16, 59, 58, tzinfo=UTC)


def running_from(moment: datetime):
    """Return a clock that begins at *moment* and runs."""
    started = time.monotonic()
    return lambda: moment + timedelta(seconds=time.monotonic() - started)


def account(port: int, name: str, **values) -> dict:
    return {"name": name, "host": "127.0.0.1", "port": port, "tls": "none", "connections": 2, **values}


def times(sink, address: str = "") -> list[float]:
    return sorted(event["at"] for event in sink.events("accepted") if address in event["to"])


def two_domains(n: int) -> str:
    return f"p{n}@{'slow' if n % 4 == 0 else 'other'}.example"


# -- limits by receiving domain


def test_a_limited_domain_is_paced_and_keeps_nobody_else(start_sink, sending_app, plan_issue):
    sink = start_sink()
    app = sending_app(sink.port, send={"domains": [{"domain": "slow.example", "per_minute": 300}]})
    report = send_issue(app, plan_issue(app, 60, address=two_domains))
    assert report.counts["sent"] == 60
    slow, other = times(sink, "@slow"), times(sink, "@other")
    assert slow[-1] - slow[0] >= 14 * 0.205 - LATE_SECONDS
    assert other[-1] - other[0] < slow[-1] - slow[0]
    assert sum(time < slow[4] for time in other) == 45


def test_a_domain_has_no_more_copies_on_the_wire_than_its_connections(start_sink, sending_app, plan_issue):
    sink = start_sink(rules=[{"stage": "dot", "match": "@slow", "delay": 0.1}])
    app = sending_app(sink.port, connections=5, send={"domains": [{"domain": "slow.example", "connections": 1}]})
    report = send_issue(app, plan_issue(app, 40, address=two_domains))
    assert report.counts["sent"] == 40
    slow = times(sink, "@slow")
    assert all(b - a >= 0.1 for a, b in pairwise(slow))
    assert len([time for time in times(sink, "@other") if time < slow[2]]) == 30


def test_a_connection_carries_no_more_to_a_domain_than_its_limit(start_sink, sending_app, plan_issue):
    sink = start_sink()
    app = sending_app(
        sink.port, connections=2, send={"domains": [{"domain": "slow.example", "messages_per_connection": 2}]}
    )
    report = send_issue(app, plan_issue(app, 60, address=two_domains))
    assert report.counts["sent"] == 60
    carried = Counter(event["connection"] for event in sink.events("accepted") if "@slow" in event["to"])
    assert max(carried.values()) == 2
    assert sink.accepted().total() == 60


def test_a_server_that_takes_its_time_gets_neither_more_nor_much_less(start_sink, sending_app, plan_issue):
    """Each envelope takes longer than a slot: copies are begun earlier then, and the dot waits for its slot."""
    sink = start_sink(rules=[{"stage": "rcpt", "delay": 1.8}])
    app = sending_app(sink.port, per_minute=300, connections=30)
    started = time.monotonic()
    report = send_issue(app, plan_issue(app, 25))
    assert report.counts["sent"] == 25
    assert time.monotonic() - started < 15
    assert most_in_a_window(times(sink), 3) <= (3 + LATE_SECONDS) / 0.205 + 1


def test_two_workers_keep_one_rate_together(start_sink, sending_app, plan_issue):
    sink = start_sink()
    app = sending_app(sink.port, per_minute=600, connections=3)
    issue = plan_issue(app, 50)
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(send_issue, app, issue, handle_signals=False) for _ in range(2)]
        [run.result() for run in runs]
    assert sink.accepted().total() == 50
    assert max(sink.accepted().values()) == 1
    assert most_in_a_window(times(sink), 2) <= (2 + LATE_SECONDS) / 0.1025 + 1


def test_the_last_copy_of_a_spent_rate_ends_the_run(start_sink, sending_app, plan_issue):
    sink = start_sink()
    app = sending_app(sink.port, per_hour=5)
    started = time.monotonic()
    assert send_issue(app, plan_issue(app, 5)).state is IssueState.SENT
    assert time.monotonic() - started < 5


def test_rows_with_a_slot_ahead_keep_no_other_from_going():
    clock = [100.0]
    pool = Pool(lambda: clock[0])
    rows = [
        Claimed(n, 1, 1, f"p{n}@example.com", "example.com", b"", {}, MONDAY, f"{n}@example.org", 1) for n in range(4)
    ]
    pool.add(rows[:3], [103.0, 0.0, 101.0])
    pool.put_first(rows[3], 0.0)
    assert [pool.take(0.5), pool.take(0.5), pool.take(0.5)] == [(rows[3], 0.0), (rows[1], 0.0), None]
    assert pool.seconds_until_next(0.5) == pytest.approx(0.5)
    clock[0] = 100.5
    assert pool.take(0.5) == (rows[2], 101.0)
    assert list(pool.empty()) == [rows[0]]
    assert pool.seconds_until_next(0.5) is None


# -- several accounts


@pytest.fixture
def two_sinks(start_sink):
    return start_sink(name="first"), start_sink(name="second")


@pytest.mark.parametrize("limit", [{"per_minute": 60}, {"per_hour": 3}])
def test_when_one_account_is_at_its_limit_the_other_takes_over(two_sinks, sending_app, plan_issue, limit):
    first, second = two_sinks
    accounts = [account(first.port, "first", **limit), account(second.port, "second")]
    app = sending_app(25, accounts=accounts)
    started = time.monotonic()
    report = send_issue(app, plan_issue(app, 300))
    took = time.monotonic() - started
    assert report.counts["sent"] == 300
    assert took < 60  # alone, half of it would take the first one minutes, or days
    assert first.accepted().total() <= 3 + took * limit.get("per_minute", 0) / 60
    assert max((first.accepted() + second.accepted()).values()) == 1


def test_accounts_share_by_their_weight(start_sink, sending_app, plan_issue):
    slow = [{"stage": "dot", "delay": 0.01}]
    first, second = start_sink(rules=slow, name="first"), start_sink(rules=slow, name="second")
    app = sending_app(25, accounts=[account(first.port, "first", weight=3), account(second.port, "second")])
    assert send_issue(app, plan_issue(app, 400)).counts["sent"] == 400
    assert 240 <= first.accepted().total() <= 350


def test_when_one_account_is_down_its_rows_go_by_the_other(two_sinks, sending_app, plan_issue, monkeypatch):
    monkeypatch.setattr("newsletter.send.relay.DOWN_AFTER_SECONDS", 0.3)
    first, second = two_sinks
    first.stop()
    app = sending_app(25, accounts=[account(first.port, "first"), account(second.port, "second")])
    report = send_issue(app, plan_issue(app, 120))
    assert (report.counts["sent"], report.state) == (120, IssueState.SENT)
    assert second.accepted() == Counter({f"person{n}@example.com": 1 for n in range(1, 121)})


def test_an_account_that_comes_back_takes_its_share_and_not_more(start_sink, sending_app, plan_issue, monkeypatch):
    monkeypatch.setattr("newsletter.send.relay.DOWN_AFTER_SECONDS", 0.2)
    monkeypatch.setattr("newsletter.send.feeding.DOWN_RELAY_RETRY_SECONDS", 0.3)
    slow = [{"stage": "dot", "delay": 0.02}]
    first, second = start_sink(rules=slow, name="first"), start_sink(rules=slow, name="second")
    first.stop()
    app = sending_app(25, accounts=[account(first.port, "first"), account(second.port, "second")])
    issue = plan_issue(app, 600)
    back = threading.Timer(1.5, lambda: start_sink(rules=slow, name="first", port=first.port))
    back.start()
    report = send_issue(app, issue)
    back.join()
    assert report.counts["sent"] == 600
    # From its return on it had half, so the other one never stood still for it.
    assert 100 <= first.accepted().total() <= 320
    waits = [b - a for a, b in pairwise(times(second))]
    assert max(waits) < 1.5


def test_a_wrong_password_of_one_account_pauses_at_once(start_sink, sending_app, plan_issue):
    refusing = start_sink(rules=[{"stage": "auth", "reply": "535 5.7.8 wrong"}], name="first")
    other = start_sink(rules=[{"stage": "dot", "delay": 0.05}], name="second")
    secret = {"username": "news", "password": "wrong"}
    app = sending_app(25, accounts=[account(refusing.port, "first", **secret), account(other.port, "second")])
    issue = plan_issue(app, 200)
    report = send_issue(app, issue)
    assert report.state is IssueState.PAUSED
    assert "refuses the user or password" in report.reason
    assert report.counts["sent"] < 100


# -- the window


WINDOW = {"window": {"days": ["mon", "tue"], "start": "09:00", "end": "17:00"}}


def test_when_the_window_closes_what_is_on_the_wire_finishes_and_the_rest_waits(start_sink, sending_app, plan_issue):
    sink = start_sink(rules=[{"stage": "dot", "delay": 0.1}])
    app = sending_app(sink.port, send=WINDOW)
    issue = plan_issue(app, 200)
    app.now = running_from(MONDAY)
    report = send_issue(app, issue)
    assert report.seconds < 4
    assert (report.state, report.exit_code) == (IssueState.SENDING, 0)
    assert report.goes_on_at == datetime(2026, 11, 3, 9, tzinfo=UTC)
    assert report.counts["claimed"] == report.counts["intent"] == report.counts["uncertain"] == 0
    assert 0 < report.counts["sent"] < 200
    assert sink.accepted().total() == report.counts["sent"]
    with app.database.write() as session:
        assert control.issues_to_send(session, app.config, app.now()) == []
        assert control.next_due_at(session, app.config, app.now()) == report.goes_on_at
        assert control.issues_to_send(session, app.config, report.goes_on_at) == [issue]


def test_outside_the_window_nothing_is_done(start_sink, sending_app, plan_issue, deliveries):
    sink = start_sink()
    app = sending_app(sink.port, send=WINDOW)
    issue = plan_issue(app, 5)
    app.now = running_from(MONDAY + timedelta(hours=1))
    report = send_issue(app, issue)
    assert (report.state, report.exit_code, report.counts["pending"]) == (IssueState.SENDING, 0, 5)
    assert report.goes_on_at == datetime(2026, 11, 3, 9, tzinfo=UTC)
    assert not sink.events("connect")


# -- breakers


def test_a_breaker_opens_for_all_runs_and_closes_by_one_trial(start_sink, sending_app, plan_issue, deliveries):
    sink = start_sink(rules=[{"stage": "dot", "match": "@slow", "reply": "550 5.7.1 blocked", "times": 1}])
    app = sending_app(sink.port, connections=1)
    issue = plan_issue(app, 40, address=two_domains)
    assert send_issue(app, issue).deferred == 10
    assert send_issue(app, issue).deferred == 10
    assert len(sink.events("refused")) == 1
    app.now = running_from(datetime.now(UTC) + OPEN_FOR[0] + timedelta(seconds=5))
    assert send_issue(app, issue).deferred == 9
    app.now = running_from(app.now() + timedelta(minutes=15))
    assert send_issue(app, issue).state is IssueState.SENT
    assert {row.attempt for row in deliveries(app).values()} == {1}
    assert sink.accepted().total() == 40


def test_a_breaker_and_a_pause_of_days_expire_nobody(start_sink, sending_app, plan_issue, deliveries):
    sink = start_sink(rules=[{"stage": "dot", "match": "@slow", "reply": "550 5.7.1 blocked"}])
    app = sending_app(sink.port, connections=1)
    issue = plan_issue(app, 8, address=two_domains)
    begun = datetime.now(UTC)
    for day in range(1, 7):
        report = send_issue(app, issue)
        if report.state is IssueState.PAUSED:
            with app.database.write() as session:
                control.resume(session, session.get_one(control.Issue, issue), now=app.now())
        app.now = running_from(begun + timedelta(days=day))
    found = deliveries(app)
    slow = [row for address, row in found.items() if "@slow" in address]
    assert {(row.state, row.attempt) for row in slow} == {(DeliveryState.DEFERRED, 0)}


def test_a_trial_that_was_killed_is_followed_by_another(start_sink, sending_app, plan_issue):
    """The trial is a row in hand, and recovery puts a dead owner's rows back: a breaker never waits for ever."""
    sink = start_sink(rules=[{"stage": "dot", "match": "@slow", "reply": "550 5.7.1 blocked", "times": 1}])
    app = sending_app(sink.port, connections=1)
    issue = plan_issue(app, 8, address=two_domains)
    send_issue(app, issue)
    app.now = running_from(datetime.now(UTC) + timedelta(hours=1))
    with app.database.write() as session:
        row = session.scalar(select(Delivery).where(Delivery.state == DeliveryState.DEFERRED).limit(1))
        values = {"state": DeliveryState.CLAIMED, "owner": 999, "attempt": 1, "lease_until": app.now()}
        session.execute(update(Delivery).where(Delivery.id == row.id).values(**values))
    assert send_issue(app, issue).state is IssueState.SENDING
    app.now = running_from(app.now() + timedelta(hours=1))
    assert send_issue(app, issue).state is IssueState.SENT
