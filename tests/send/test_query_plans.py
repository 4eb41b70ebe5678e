"""A claim reads the rows that it takes and no others, however long the list is: the index gives them in order."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from newsletter.send.statements import Statements
from newsletter.tables import DeliveryState as S

CLAIMS = [(state, keyed) for state in (S.PENDING, S.DEFERRED) for keyed in (False, True)]


@pytest.fixture(params=["sqlite", "postgresql"])
def crowded(request, app, plan_issue):
    """An application with an issue for 3,000 people, on each database."""
    if request.param == "postgresql":
        app = request.getfixturevalue("app_on_postgresql")
    plan_issue(app, 3_000)
    with app.database.write() as session:
        session.execute(text("ANALYZE"))
    return app


def plan_of(app, state: S, keyed: bool) -> str:
    with app.database.read() as session:
        connection = session.connection()
        sql = Statements(connection.dialect)
        statement = sql.candidates[state, keyed]
        values = statement.values(issue=1, now=sql.moment(datetime(2026, 11, 25, tzinfo=UTC)), most=50, key="x.example")
        explain = "EXPLAIN QUERY PLAN" if sql.is_sqlite else "EXPLAIN"
        if not sql.is_sqlite:
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        cursor = connection.connection.cursor()
        cursor.execute(f"{explain} {statement.text}", values)
        return "\n".join(str(row) for row in cursor.fetchall())


@pytest.mark.parametrize(("state", "keyed"), CLAIMS)
def test_a_claim_sorts_nothing(crowded, state, keyed):
    plan = plan_of(crowded, state, keyed)
    assert "ix_deliveries_work" in plan
    assert "TEMP B-TREE" not in plan
    assert "Sort" not in plan
