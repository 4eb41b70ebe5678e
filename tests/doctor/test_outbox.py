"""Whether what is asked for on the site is answered, and whether sign-ups are mailed at all."""

from __future__ import annotations

from datetime import timedelta

from newsletter.app import App
from newsletter.asked.limits import may_mail_anybody
from newsletter.asked.requests import write_down
from newsletter.doctor.findings import Finding, Level
from newsletter.doctor.outbox import check_outbox
from newsletter.migrations import upgrade
from newsletter.tables import WebRequestKind
from subscribers.db import Base
from tests.conftest import NOW


def look(app: App, **later: float) -> list[Finding]:
    found = check_outbox(app.config, app.workspace, app.database_url, NOW + timedelta(**later))
    return [each for each in found if each.check == "site"]


def migrated(app: App) -> App:
    with app.database.write() as session:
        Base.metadata.drop_all(session.connection())
    upgrade(app.database)
    return app


def test_requests_that_nobody_answers_are_told_after_a_while(app: App) -> None:
    with migrated(app).database.write() as session:
        fields = {"email": "ann@example.org"}
        write_down(session, WebRequestKind.SIGN_UP, fields=fields, network="192.0.2.0/24", now=NOW)
    assert look(app, minutes=29) == []
    (found,) = look(app, minutes=31)
    assert found.level is Level.WARN
    assert found.message == "1 mail that was asked for on the site waits since 2026-11-02 09:30 UTC."
    assert "ann" not in found.message + found.fix


def test_a_breaker_that_is_open_is_told_until_it_closes(app: App) -> None:
    with migrated(app).database.write() as session:
        assert may_mail_anybody(session, 1, timedelta(hours=1), NOW)
        assert not may_mail_anybody(session, 1, timedelta(hours=1), NOW)
    (found,) = look(app, minutes=59)
    assert "until 2026-11-02 10:30 UTC" in found.message
    assert look(app, minutes=61) == []
