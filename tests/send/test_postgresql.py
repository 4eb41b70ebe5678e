"""The same engine on PostgreSQL, several workers at once."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise

import psycopg
import pytest
from sqlalchemy import select, update

from newsletter.config.settings import DomainRate
from newsletter.errors import Conflict
from newsletter.send import control
from newsletter.send.dispatch import send_issue
from newsletter.send.plan import name_limits
from newsletter.send.receivers import DomainLimits
from newsletter.send.throttle import EARLY_SECONDS, LATE_SECONDS
from newsletter.tables import Delivery, DeliveryState, Issue, IssueState
from subscribers.db import Base, Database
from subscribers.errors import DatabaseUnavailable
from subscribers.tables import Subscription, SubscriptionState
from tests.send.test_claims import most_in_a_window


@pytest.fixture
def on_postgresql(postgresql_url, sending_app):
    """Return a function that points the application at a port, on a fresh PostgreSQL database."""

    def point(port: int, **options):
        app = sending_app(port, **options)
        app.close()
        app.__dict__["database"] = Database(postgresql_url)
        with app.database.write() as session:
            Base.metadata.create_all(session.connection())
        return app

    return point


def test_two_workers_share_an_issue_and_nobody_gets_two(start_sink, on_postgresql, plan_issue):
    sink = start_sink(rules=[{"stage": "rcpt", "match": "person7@", "reply": "550 5.1.1 no such user"}])
    app = on_postgresql(sink.port)
    issue = plan_issue(app, 400)
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(send_issue, app, issue, handle_signals=False) for _ in range(2)]
        reports = [run.result() for run in runs]
    assert sorted(report.counts["sent"] for report in reports)[-1] == 399
    assert sink.accepted() == Counter({f"person{n}@example.com": 1 for n in range(1, 401) if n != 7})


def test_recovery_suppression_deferral_and_rates_work_there_too(start_sink, on_postgresql, plan_issue, deliveries):
    sink = start_sink(rules=[{"stage": "rcpt", "match": "person5@", "reply": "450 4.2.0 later"}])
    app = on_postgresql(sink.port, per_minute=600)
    issue = plan_issue(app, 6)
    with app.database.write() as session:
        for number, state in ((1, DeliveryState.CLAIMED), (2, DeliveryState.INTENT)):
            values = {"state": state, "owner": 999, "attempt": 1, "lease_until": app.now()}
            session.execute(update(Delivery).where(Delivery.subscriber_id == number).values(**values))
        gone = {"state": SubscriptionState.UNSUBSCRIBED}
        session.execute(update(Subscription).where(Subscription.subscriber_id == 3).values(**gone))
    counts = send_issue(app, issue).counts
    assert (counts["sent"], counts["uncertain"], counts["suppressed"], counts["deferred"]) == (3, 1, 1, 1)
    assert deliveries(app)["person5@example.com"].retry_at > app.now()


def test_two_workers_keep_every_limit_together(start_sink, on_postgresql, plan_issue):
    """Both begin with limits that have no row yet, so that both want to make it."""
    sink = start_sink(rules=[{"stage": "dot", "match": "@slow", "delay": 0.05}])
    domains = [{"domain": "slow.example", "connections": 1}, {"domain": "paced.example", "per_minute": 600}]
    app = on_postgresql(sink.port, per_minute=1200, send={"domains": domains})
    names = ("slow", "paced", "other")
    issue = plan_issue(app, 60, address=lambda n: f"p{n}@{names[n % 3]}.example")
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(send_issue, app, issue, handle_signals=False) for _ in range(2)]
        [run.result() for run in runs]
    assert sink.accepted() == Counter({f"p{n}@{names[n % 3]}.example": 1 for n in range(1, 61)})
    slow, paced, all_of_them = (times_of(sink, name) for name in ("@slow", "@paced", "@"))
    assert all(b - a >= 0.05 for a, b in pairwise(slow))
    assert most_in_a_window(paced, 1) <= (1 + LATE_SECONDS + EARLY_SECONDS) / 0.1025 + 1
    assert most_in_a_window(all_of_them, 1) <= (1 + LATE_SECONDS) / 0.05125 + 1


def test_a_breaker_opens_and_closes_there_too(start_sink, on_postgresql, plan_issue):
    sink = start_sink(rules=[{"stage": "dot", "match": "@strict", "reply": "550 5.7.1 blocked", "times": 1}])
    app = on_postgresql(sink.port, connections=1)
    issue = plan_issue(app, 12, address=lambda n: f"p{n}@{'strict' if n % 2 else 'kind'}.example")
    assert send_issue(app, issue).deferred == 6
    began = app.now()
    app.now = lambda: began + timedelta(minutes=31)
    assert send_issue(app, issue).deferred == 5
    app.now = lambda: began + timedelta(minutes=50)
    assert send_issue(app, issue).counts["sent"] == 12


def test_rows_are_named_anew_when_the_limits_have_changed(start_sink, on_postgresql, plan_issue):
    sink = start_sink()
    app = on_postgresql(sink.port, send={"domains": [{"domain": "a.example", "per_minute": 6000}]})
    issue = plan_issue(app, 9, address=lambda n: f"p{n}@{('a.example', 'mail.b.example', 'c-d.example')[n % 3]}")
    names = ("b.example", "mail.b.example", "d.example")
    limits = DomainLimits([DomainRate(domain=name, per_minute=6000) for name in names])
    with app.database.write() as session:
        assert [limit.name for limit in name_limits(session, issue, limits)] == ["mail.b.example"]
        assert set(session.scalars(select(Delivery.rate_key))) == {None, "mail.b.example"}
        assert name_limits(session, issue, DomainLimits()) == ()
        assert set(session.scalars(select(Delivery.rate_key))) == {None}
    assert send_issue(app, issue).counts["sent"] == 9


def times_of(sink, address: str) -> list[float]:
    return sorted(event["at"] for event in sink.events("accepted") if address in event["to"])


def test_a_worker_stopped_in_mid_transaction_stops_no_other(on_postgresql, plan_issue, start_sink):
    """It keeps the locks of its rows until it wakes: others leave these rows alone, and send all others."""
    app = on_postgresql(start_sink().port)
    issue = plan_issue(app, 6)
    with app.database.write() as session:
        values = {"state": DeliveryState.CLAIMED, "owner": 999, "attempt": 1, "lease_until": app.now()}
        session.execute(update(Delivery).where(Delivery.subscriber_id == 1).values(**values))
    with app.database.engine.connect() as stopped:
        stopped.execute(update(Delivery).where(Delivery.subscriber_id == 1).values(attempt=1))
        counts = send_issue(app, issue, handle_signals=False).counts
        assert (counts["sent"], counts["claimed"]) == (5, 1)
    assert send_issue(app, issue).counts["sent"] == 6


@pytest.mark.parametrize("decision", ["pause", "resume", "retry of the relay"])
def test_a_cancel_is_never_overwritten_by_who_read_the_issue_before(on_postgresql, plan_issue, decision):
    app = on_postgresql(1)
    issue = plan_issue(app, 3)
    if decision != "pause":
        with app.database.write() as session:
            control.pause(session, session.get(Issue, issue), "away", now=app.now(), kind=control.PauseKind.RELAY)
    later = app.now() + timedelta(hours=1)
    cancelling = threading.Event()

    def cancel():
        with app.database.write() as session:
            control.cancel(session, session.get(Issue, issue), now=app.now())
            cancelling.set()
            time.sleep(0.4)  # until the other has read the issue, and waits for it or writes

    with ThreadPoolExecutor(1) as pool, app.database.write() as session:
        read = session.get(Issue, issue)
        done = pool.submit(cancel)
        cancelling.wait(5)
        if decision == "retry of the relay":
            assert control.issues_to_send(session, app.config, later) == []
        else:
            decide = (lambda: control.pause(session, read, "x")) if decision == "pause" else None
            with pytest.raises(Conflict, match="cancelled"):
                decide() if decide else control.resume(session, read, now=later)
        done.result()
    with app.database.read() as session:
        assert session.get(Issue, issue).state is IssueState.CANCELLED


def _end_other_connections(app):
    url = app.database.url
    with psycopg.connect(
        host=url.query.get("host", url.host), port=url.port, user=url.username, password=url.password,
        dbname=url.database, autocommit=True,
    ) as other:  # fmt: skip
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


@pytest.mark.parametrize("way", ["read", "write"])
def test_a_server_that_ends_a_connection_is_away_and_not_a_fault(on_postgresql, way):
    app = on_postgresql(1)

    def look():
        with getattr(app.database, way)() as session:
            session.execute(select(Issue.id))
            _end_other_connections(app)
            session.execute(select(Issue.id))

    with pytest.raises(DatabaseUnavailable, match="ended the connection"):
        look()
    with app.database.read() as session:
        assert session.execute(select(Issue.id)).all() == []


def test_a_server_that_restarts_while_an_issue_goes_out_ends_the_run_in_words(start_sink, on_postgresql, plan_issue):
    sink = start_sink(rules=[{"stage": "dot", "delay": 0.2}])
    app = on_postgresql(sink.port)
    issue = plan_issue(app, 40)
    timer = threading.Timer(0.8, _end_other_connections, (app,))
    timer.start()
    with pytest.raises(DatabaseUnavailable):
        send_issue(app, issue)
    timer.join()
    assert send_issue(app, issue).counts["sent"] > 30
    assert set(sink.accepted().values()) == {1}
