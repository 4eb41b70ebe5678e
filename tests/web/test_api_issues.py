"""Issues and their copies, as programs see them: counts that add up, and no address without a scope for it."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest
from sqlalchemy import select

from newsletter.api_tokens import Scope
from newsletter.app import App
from newsletter.cli.issue_text import summary_row
from newsletter.send.reporting import report_document, report_issue
from newsletter.send.status import issue_counts
from newsletter.tables import Delivery, DeliveryState, Issue
from subscribers import lists
from subscribers.tables import MailingList
from tests.send.conftest import plan_issue  # noqa: F401  (a fixture)
from tests.web.api_client import NOW, caller, kind, make_lists

SAID = "mailbox of person2@example.com is full, Person Two"


@pytest.fixture
def sent(app: App, plan_issue: Callable[..., int]) -> int:  # noqa: F811 (a fixture)
    """An issue for five: one sent, one refused, one erased, two waiting; the last one went by another list."""
    number = plan_issue(app, 5)
    with app.database.write() as session:
        other = lists.create(session, "other", at=NOW)
        first, second, third, _, last = session.scalars(select(Delivery).order_by(Delivery.id)).all()
        first.state, first.reply_code, first.reply_text = DeliveryState.SENT, 250, "2.0.0 Ok"
        second.state, second.reply_code, second.reply_text = DeliveryState.BOUNCED, 552, SAID
        third.address, third.slots = "", {}
        last.list_id = other.id
        session.flush()
    return number


def test_issues_are_listed_with_the_keys_of_the_command_line(app: App, site: httpx.Client, sent: int) -> None:
    reader = caller(app, site, Scope.ISSUES_READ)
    with app.database.read() as session:
        issue = session.get_one(Issue, sent)
        row = json.loads(json.dumps(summary_row(issue), default=lambda moment: moment.isoformat()))
        counts = json.loads(json.dumps(issue_counts(session, sent), default=lambda moment: moment.isoformat()))
    assert reader.all("/issues", limit=1) == [row]
    assert reader("GET", "/issues/2026-11").json() == row
    assert reader("GET", "/issues", params={"state": "draft"}).json() == []
    status = reader("GET", "/issues/2026-11/status").json()
    assert status == counts
    states = [state.value for state in DeliveryState]
    assert sum(status[state] for state in states) == status["planned"] == 5
    assert reader("GET", "/issues/2026").status_code == 404  # no beginning of a slug, and no `latest`
    assert kind(reader("GET", "/issues/2026-11/report")) == "scope-missing"


def test_issues_are_paged_the_newest_first(app: App, site: httpx.Client) -> None:
    with app.database.write() as session:
        for number in range(5):
            session.add(Issue(slug=f"i{number}", created_at=NOW, edited_at=NOW, edited_by="x", section_order=[]))
    found = caller(app, site, Scope.ISSUES_READ).all("/issues", limit=2)
    assert [each["issue"] for each in found] == ["i4", "i3", "i2", "i1", "i0"]


def test_copies_show_masked_addresses_and_no_words_about_people(app: App, site: httpx.Client, sent: int) -> None:
    reader = caller(app, site, Scope.DELIVERIES_READ)
    found = reader.all("/deliveries", issue="2026-11", limit=2)
    assert [each["address"] for each in found] == [
        "p***@example.com", "p***@example.com", None, "p***@example.com", "p***@example.com",
    ]  # fmt: skip
    assert "person2" not in json.dumps(found)
    assert found[1]["reply"].startswith("552 mailbox of (somebody)")
    [bounced] = reader.all("/deliveries", issue="2026-11", state="bounced")
    assert bounced["delivery"] == found[1]["delivery"]
    whole = caller(app, site, Scope.DELIVERIES_READ, Scope.DELIVERIES_ADDRESSES, name="whole")
    assert whole.all("/deliveries", issue="2026-11")[1]["address"] == "person2@example.com"
    only = caller(app, site, Scope.DELIVERIES_ADDRESSES, name="only")
    assert kind(only("GET", "/deliveries", params={"issue": "2026-11"})) == "scope-missing"
    assert reader("GET", "/deliveries", params={"issue": "nothing"}).status_code == 422
    assert reader("GET", "/deliveries").status_code == 422


def test_the_report_is_that_of_the_command_line_without_people(app: App, site: httpx.Client, sent: int) -> None:
    report = caller(app, site, Scope.DELIVERIES_READ)("GET", "/issues/2026-11/report")
    with app.database.read() as session:
        whole = report_issue(session, session.get_one(Issue, sent), zone=app.config.organisation.zone)
    expected = json.loads(json.dumps(report_document(whole), default=lambda moment: moment.isoformat()))
    del expected["people"]
    assert report.json() == expected
    assert "person2" not in report.text


def test_a_token_for_one_list_counts_the_copies_of_that_list(app: App, site: httpx.Client, sent: int) -> None:
    make_lists(app, "third")
    with app.database.read() as session:
        names = [name for name in session.scalars(select(MailingList.name)) if name not in ("other", "third")]
    reading = (Scope.ISSUES_READ, Scope.DELIVERIES_READ)
    own = caller(app, site, *reading, name="own", only=(names[0],))
    other = caller(app, site, *reading, name="other", only=("other",))
    none = caller(app, site, *reading, name="none", only=("third",))
    for program, count in ((own, 4), (other, 1)):
        assert len(program.all("/deliveries", issue="2026-11", limit=1)) == count
        assert program("GET", "/issues/2026-11").json()["planned"] == count
        status = program("GET", "/issues/2026-11/status").json()
        assert status["planned"] == count == sum(status[state.value] for state in DeliveryState)
        assert kind(program("GET", "/issues/2026-11/report")) == "list-required"
    assert none("GET", "/issues").json() == []
    assert none("GET", "/issues/2026-11").status_code == none("GET", "/issues/2026-11/status").status_code == 404
    assert none("GET", "/deliveries", params={"issue": "2026-11"}).status_code == 422
