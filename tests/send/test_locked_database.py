"""Another program keeps the database locked while an issue goes out: for seconds, and for longer than anybody waits."""

from __future__ import annotations

import itertools
import sqlite3
import threading
import time
from collections import Counter
from datetime import timedelta

import pytest

from newsletter.send.dispatch import send_issue
from newsletter.tables import IssueState
from subscribers.db import Database
from subscribers.errors import DatabaseUnavailable

EVERYBODY = Counter({f"person{n}@example.com": 1 for n in range(1, 61)})


class Intruder:
    """Locks the database once so many copies are done, for so many seconds, as a backup tool or a shell may."""

    def __init__(self, app, at, seconds):
        self._app, self._at, self._seconds = app, at, seconds
        self.thread = None

    def __call__(self, progress):
        if progress.done >= self._at and self.thread is None:
            locked = threading.Event()
            self.thread = threading.Thread(target=self._lock, args=(locked,))
            self.thread.start()
            locked.wait(10)

    def _lock(self, locked):
        other = sqlite3.connect(self._app.workspace.database, isolation_level=None, timeout=10)
        other.execute("BEGIN IMMEDIATE")
        locked.set()
        time.sleep(self._seconds)
        other.execute("ROLLBACK")
        other.close()


@pytest.fixture
def impatient(sending_app, monkeypatch):
    """Return a function that makes an application whose driver waits for no more than a tenth of a second."""

    def make(port, **options):
        app = sending_app(port, **options)
        app.close()
        monkeypatch.setattr("subscribers.db.BUSY_TIMEOUT_MS", 100)
        app.__dict__["database"] = Database(app.database_url)
        return app

    return make


def test_a_lock_of_seconds_is_waited_out(start_sink, impatient, plan_issue):
    """Longer than the driver waits, again and again, and with replies that come meanwhile."""
    sink = start_sink(rules=[{"stage": "dot", "delay": 0.05}])
    app = impatient(sink.port)
    intruder = Intruder(app, 9, 2.0)
    looks = [time.monotonic()]
    report = send_issue(app, plan_issue(app, 60), on_progress=intruder, on_look=lambda: looks.append(time.monotonic()))
    intruder.thread.join()
    assert (report.counts["sent"], report.state) == (60, IssueState.SENT)
    assert len(looks) > 2
    assert (
        max(b - a for a, b in itertools.pairwise(looks)) > 1.5
    )  # while it stands still nobody is told that it goes on
    assert sink.accepted() == EVERYBODY


def test_a_lock_that_does_not_end_is_told_and_the_next_run_loses_nobody(start_sink, impatient, plan_issue, monkeypatch):
    monkeypatch.setattr("newsletter.send.journal.LOCKED_FOR", timedelta(seconds=0.5))
    sink = start_sink(rules=[{"stage": "dot", "delay": 0.05}])
    app = impatient(sink.port)
    issue, intruder = plan_issue(app, 60), Intruder(app, 9, 3.0)
    started = time.monotonic()
    with pytest.raises(DatabaseUnavailable, match="locked by another program"):
        send_issue(app, issue, on_progress=intruder)
    assert time.monotonic() - started < 8
    intruder.thread.join()
    report = send_issue(app, issue)
    assert report.state is IssueState.SENT
    assert report.counts["sent"] + report.counts["uncertain"] == 60
    assert report.counts["uncertain"] <= 3
    assert sink.accepted() == EVERYBODY


def test_overdue_replies_and_the_wish_to_stop_are_noticed_while_it_is_locked(start_sink, impatient, plan_issue):
    sink = start_sink(rules=[{"stage": "dot", "match": r"person1[0-9]@", "delay": 30}])
    app = impatient(sink.port, dot_timeout_seconds=1)
    intruder, ticks = Intruder(app, 3, 2.5), []

    def on_progress(progress):
        intruder(progress)
        ticks.append(time.monotonic())

    issue, stop = plan_issue(app, 30), threading.Event()
    threading.Timer(1.0, stop.set).start()
    report = send_issue(app, issue, on_progress=on_progress, stop=stop)
    intruder.thread.join()
    assert report.stopped
    assert max(b - a for a, b in itertools.pairwise(ticks)) < 2.0
