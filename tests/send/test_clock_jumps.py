"""The clock is set forwards or backwards by hours while an issue goes out: leases, retries and rates survive it."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from newsletter.send.dispatch import send_issue
from newsletter.tables import Delivery, IssueState
from newsletter.tables import DeliveryState as S

HOURS = [timedelta(hours=7), timedelta(hours=-7)]


@pytest.fixture
def jumping(sending_app):
    """Return a function that makes an application whose clock jumps once so many copies are done."""

    def make(port, by, at, **options):
        app = sending_app(port, **options)
        jump = [timedelta()]
        app.now = lambda: datetime.now(UTC) + jump[0]

        def on_progress(progress):
            if progress.done >= at:
                jump[0] = by

        return app, on_progress

    return make


def everybody_once(count):
    return Counter({f"person{n}@example.com": 1 for n in range(1, count + 1)})


@pytest.mark.parametrize("by", HOURS)
def test_a_jump_doubles_nobody_and_loses_nobody(start_sink, jumping, plan_issue, by, monkeypatch):
    """Every lease is over at once, or lasts for hours; recovery looks at them meanwhile."""
    monkeypatch.setattr("newsletter.send.dispatch.RECOVER_SECONDS", 0.2)
    sink = start_sink(rules=[{"stage": "dot", "delay": 0.02}])
    app, on_progress = jumping(sink.port, by, 20)
    report = send_issue(app, plan_issue(app, 300), on_progress=on_progress)
    assert report.state is IssueState.SENT
    assert (report.counts["sent"], sink.accepted()) == (300, everybody_once(300))


@pytest.mark.parametrize("by", HOURS)
def test_a_jump_does_not_stop_a_paced_issue(start_sink, jumping, plan_issue, by):
    sink = start_sink()
    app, on_progress = jumping(sink.port, by, 5, per_minute=900)
    issue = plan_issue(app, 30)
    started = time.monotonic()
    report = send_issue(app, issue, on_progress=on_progress)
    assert (report.counts["sent"], sink.accepted()) == (30, everybody_once(30))
    assert time.monotonic() - started < 15


@pytest.mark.parametrize("by", HOURS)
def test_two_workers_with_clocks_hours_apart_double_nobody(start_sink, sending_app, plan_issue, by, monkeypatch):
    """One machine's clock is wrong: to it the other's leases are over, or it takes leases that are over already."""
    from concurrent.futures import ThreadPoolExecutor
    from copy import copy

    monkeypatch.setattr("newsletter.send.dispatch.RECOVER_SECONDS", 0.2)
    sink = start_sink(rules=[{"stage": "dot", "delay": 0.02}])
    app = sending_app(sink.port)
    issue, wrong = plan_issue(app, 200), copy(app)
    wrong.now = lambda: datetime.now(UTC) + by
    with ThreadPoolExecutor(2) as pool:
        for run in [pool.submit(send_issue, each, issue, handle_signals=False) for each in (app, wrong)]:
            run.result()
    counts = send_issue(app, issue).counts if sink.accepted().total() < 200 else None
    assert sink.accepted() == everybody_once(200)
    assert counts is None or counts["sent"] == 200


def test_a_clock_set_back_lets_what_is_deferred_wait_and_bounces_nobody(start_sink, jumping, plan_issue, deliveries):
    sink = start_sink(rules=[{"stage": "rcpt", "match": "person3@", "reply": "450 4.2.0 later", "times": 1}])
    app, on_progress = jumping(sink.port, timedelta(hours=-7), 2)
    issue = plan_issue(app, 6)
    report = send_issue(app, issue, on_progress=on_progress)
    assert (report.counts["sent"], report.counts["deferred"], report.counts["expired"]) == (5, 1, 0)
    with app.database.write() as session:
        session.execute(update(Delivery).where(Delivery.state == S.DEFERRED).values(retry_at=app.now()))
    assert send_issue(app, issue).counts["sent"] == 6
    assert sink.accepted() == everybody_once(6)
