"""The rows of a plan: made by the database, and the same on SQLite and PostgreSQL as plain Python says."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update

from newsletter.send.plan import PlannedVariant, freeze
from newsletter.send.plan_rows import NoVariantFits, message_id
from newsletter.send.receivers import DomainLimits
from newsletter.tables import Delivery, DeliveryState, DigestEntry, Issue
from subscribers.db import Base, Database
from subscribers.tables import Subscriber, Subscription
from tests.send.conftest import HEADERS, RENDERED

DOMAINS = [{"domain": "slow.example", "per_minute": 60}, {"domain": "other.example", "per_minute": 60}]
HOSTS = ("example.com", "slow.example", "mail.slow.example", "notslow.example")


@pytest.fixture(params=["sqlite", "postgresql"])
def app(request, sending_app):
    app = sending_app(1, send={"domains": DOMAINS})
    if request.param == "postgresql":
        app.close()
        app.__dict__["database"] = Database(request.getfixturevalue("postgresql_url"))
        with app.database.write() as session:
            Base.metadata.create_all(session.connection())
    return app


def addresses(number: int) -> str:
    return f"person{number}@{HOSTS[number % len(HOSTS)]}"


def rows_of(app, issue_id):
    with app.database.read() as session:
        found = select(Delivery).where(Delivery.issue_id == issue_id).order_by(Delivery.subscriber_id)
        return session.scalars(found).all()


def freeze_again(app, variants, postponed=None):
    with app.database.write() as session:
        issue = Issue(slug="2026-12", created_at=app.now(), edited_at=app.now(), edited_by="tester")
        session.add(issue)
        session.flush()
        audience = select(Subscription.subscriber_id, Subscription.list_id)
        values = {"keys": app.keys, "config": app.config, "now": app.now(), "postponed": postponed}
        return freeze(session, issue, audience=audience, variants=variants, **values), issue.id


def test_the_database_makes_what_python_would(app, plan_issue):
    """Message-ID, personal values, limit, and the moment, of each row."""
    issue_id = plan_issue(app, 8, address=addresses)
    limits, rows = DomainLimits(app.config.send.domains), rows_of(app, issue_id)
    assert len(rows) == 8
    for row in rows:
        key, domain = app.keys.message_ids, app.config.bounce_domain
        assert row.message_id == message_id(key, issue_id, row.subscriber_id, domain)
        assert row.slots == ({"first_name": f"Name{row.subscriber_id}"} if row.subscriber_id % 2 else {})
        assert row.rate_key == limits.key_of(row.domain)
        assert (row.state, row.attempt, row.date) == (DeliveryState.PENDING, 0, app.now().replace(microsecond=0))


def test_an_empty_name_is_no_personal_value(app, plan_issue):
    plan_issue(app, 2)
    with app.database.write() as session:
        session.execute(update(Subscriber).values(first_name="", name='A "quoted" name'))
    _, issue_id = freeze_again(app, [PlannedVariant(1, None, RENDERED, HEADERS)])
    assert [row.slots for row in rows_of(app, issue_id)] == [{"name": 'A "quoted" name'}] * 2


def test_everybody_gets_a_delivery_or_waits_for_the_digest(app, plan_issue):
    plan_issue(app, 6)
    variants = [PlannedVariant(1, Subscriber.id < 4, RENDERED, HEADERS), PlannedVariant(2, None, RENDERED, HEADERS)]
    planned, issue_id = freeze_again(app, variants, Subscriber.id.in_((2, 5)))
    rows = rows_of(app, issue_id)
    assert planned == 4
    assert [row.subscriber_id for row in rows] == [1, 3, 4, 6]
    assert [row.variant_id - rows[0].variant_id for row in rows] == [0, 0, 1, 1]
    with app.database.read() as session:
        owed = select(DigestEntry.subscriber_id).where(DigestEntry.issue_id == issue_id)
        assert sorted(session.scalars(owed)) == [2, 5]


def test_somebody_whom_no_variant_fits_stops_the_plan(app, plan_issue):
    """Nobody is left out in silence, and nothing of the plan stays."""
    plan_issue(app, 3)
    with pytest.raises(NoVariantFits, match="2026-12"):
        freeze_again(app, [PlannedVariant(1, Subscriber.id < 3, RENDERED, HEADERS)])
    with app.database.read() as session:
        assert session.scalar(select(Issue).where(Issue.slug == "2026-12")) is None
