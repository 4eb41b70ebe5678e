"""A claim reads the rows that it takes and no others, however long the list is: the index gives them in order."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from newsletter.send.statements import Prepared, Statements
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


def plan_of(app, chosen: Callable[[Statements], Prepared], **given: Any) -> str:
    with app.database.read() as session:
        connection = session.connection()
        sql = Statements(connection.dialect)
        statement = chosen(sql)
        given = {"ids": sql.id_list([1, 2, 3]), **sql.at(datetime(2026, 11, 25, tzinfo=UTC)), **given}
        values = statement.values(**given)
        explain = "EXPLAIN QUERY PLAN" if sql.is_sqlite else "EXPLAIN"
        if not sql.is_sqlite:
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        cursor = connection.connection.cursor()
        cursor.execute(f"{explain} {statement.text}", values)
        return "\n".join(str(row) for row in cursor.fetchall())


@pytest.mark.parametrize(("state", "keyed"), CLAIMS)
def test_a_claim_sorts_nothing(crowded, state, keyed):
    plan = plan_of(crowded, lambda sql: sql.candidates[state, keyed], issue=1, most=50, key="x.example")
    assert "ix_deliveries_work" in plan
    assert "TEMP B-TREE" not in plan
    assert "Sort" not in plan


@pytest.mark.parametrize("name", ["suppress", "intent", "refuse"])
def test_what_a_person_chose_is_one_lookup_by_key(crowded, name):
    """The last questions before a dot look nobody up by reading a table."""
    plan = plan_of(crowded, lambda sql: getattr(sql, name), worker=1)
    if crowded.database.is_sqlite:
        assert "SEARCH subscribers USING INTEGER PRIMARY KEY" in plan
        # The list of ids is a table of its own, and suppressed domains are few and looked through.
        assert not re.search(r"SCAN (deliveries|subscribers|subscriptions|variants)\b", plan)
    else:
        assert "subscribers_pkey" in plan
        assert not re.search(r"Seq Scan on (deliveries|subscribers|subscriptions)\b", plan)
