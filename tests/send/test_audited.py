"""What a send leaves in the audit log: a few entries, however many copies it has."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from newsletter.audit.anchor import Anchor
from newsletter.audit.log import walk
from newsletter.audit.verifying import verify
from newsletter.send import control
from newsletter.send.dispatch import send_issue
from newsletter.tables import AuditEntry, Issue


def told(app) -> list[tuple[str, str, dict[str, Any]]]:
    with app.database.read() as session:
        rows = session.scalars(select(AuditEntry).order_by(AuditEntry.number)).all()
        return [(row.action, row.subject, row.details) for row in rows]


def test_a_finished_send_is_one_entry_with_its_counts(start_sink, sending_app, plan_issue):
    sink = start_sink(rules=[{"match": "person3@", "stage": "rcpt", "reply": "550 5.1.1 no such user"}])
    app = sending_app(sink.port)
    send_issue(app, plan_issue(app, 60), handle_signals=False)
    ((action, subject, details),) = told(app)
    assert (action, subject, sum(details.values())) == ("send.finished", "issue 2026-11", 60)
    with app.database.read() as session:
        assert verify(walk(session), app.keys.audit, Anchor(app.workspace.audit_anchor).read()).is_whole


def test_a_pause_that_nobody_ordered_is_recorded_with_its_kind_and_without_words(sending_app, plan_issue):
    app = sending_app(1)  # nothing listens there
    issue_id = plan_issue(app, 3)
    send_issue(app, issue_id, handle_signals=False)
    assert told(app) == [("send.paused", "issue 2026-11", {"kind": "relay"})]


def test_a_relay_that_is_tried_again_is_recorded_as_a_resume(sending_app, plan_issue, monkeypatch):
    from datetime import timedelta

    from newsletter.worker import Worker

    app = sending_app(1)
    issue_id = plan_issue(app, 3)
    send_issue(app, issue_id, handle_signals=False)
    clock = app.now
    app.now = lambda: clock() + timedelta(minutes=2)
    worker = Worker(app, lambda _: None)
    assert [task.issue_id for task in worker._to_send()] == [issue_id]
    assert told(app)[-1] == ("send.resumed", "issue 2026-11", {"kind": "relay"})
    with app.database.read() as session:
        assert control.pause_kind(session, issue_id) is control.PauseKind.RELAY
        assert session.get_one(Issue, issue_id).state == "sending"
