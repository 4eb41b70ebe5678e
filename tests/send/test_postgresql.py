"""The same engine on PostgreSQL, several workers at once."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import update

from newsletter.send.dispatch import send_issue
from newsletter.tables import Delivery, DeliveryState
from subscribers.db import Base, Database
from subscribers.tables import Subscription, SubscriptionState


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
