"""The report of an issue: numbers that add up whatever the states are, on both databases, and words without people."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, text

from newsletter.app import App
from newsletter.send.masking import without_people
from newsletter.send.reporting import MOST_BUCKETS, bucket_for, report_document, report_issue, step_words
from newsletter.tables import Delivery, Issue, IssueState, Variant
from newsletter.tables import DeliveryState as S
from subscribers.tables import MailingList

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
LONDON = ZoneInfo("Europe/London")

COPY = st.fixed_dictionaries(
    {
        "state": st.sampled_from(list(S)),
        "domain": st.sampled_from(["gmail.com", "police.uk", "dudley.gov.uk", "a.example", "b.example"]),
        "reply_code": st.sampled_from([None, 250, 451, 550]),
        "reply_status": st.sampled_from([None, "2.0.0", "5.1.1"]),
        "reason": st.sampled_from([None, "refused", "unknown mailbox"]),
        "seconds": st.integers(0, 400_000),
    }
)


def issue_with(app: App, copies: Sequence[dict[str, Any]]) -> int:
    """Put an issue with these copies in the place of all others; return its id."""
    with app.database.write() as session:
        for table in (Delivery, Variant, Issue, MailingList):
            session.execute(delete(table))
        mailing_list = MailingList(name="members", title="Members", created_at=NOW)
        issue = Issue(
            slug="2026-11", subject="News", state=IssueState.SENDING, planned=len(copies), planned_at=NOW,
            created_at=NOW, edited_at=NOW, edited_by="tester",
        )  # fmt: skip
        session.add_all([mailing_list, issue])
        session.flush()
        variant = Variant(issue_id=issue.id, number=1, subject="", html="", text="", content_hash="", headers={})
        session.add(variant)
        session.flush()
        rows = [_row(number, copy, issue.id, variant.id, mailing_list.id) for number, copy in enumerate(copies, 1)]
        if rows:
            session.execute(insert(Delivery), rows)
        return issue.id


def _row(number: int, copy: dict[str, Any], issue_id: int, variant_id: int, list_id: int) -> dict[str, Any]:
    values = {"reply_text": None, "retry_at": None, "slots": {"name": f"Name {number}"}, "reply_code": None,
              "reply_status": None, "reason": None, "domain": "example.org", **copy}  # fmt: skip
    seconds = values.pop("seconds", number)
    return {
        "issue_id": issue_id,
        "variant_id": variant_id,
        "list_id": list_id,
        "address": f"person{number}@{values['domain']}",
        "address_hash": number.to_bytes(16, "big"),
        "token_id": number.to_bytes(16, "big"),
        "date": NOW,
        "message_id": f"{number}@example.org",
        "state_at": NOW + timedelta(seconds=seconds),
        "attempt": 1,
        **values,
    }


def document(app: App, issue_id: int) -> dict[str, Any]:
    with app.database.read() as session:
        return report_document(report_issue(session, session.get_one(Issue, issue_id), zone=LONDON))


def check_sums(copies: Sequence[dict[str, Any]], found: dict[str, Any]) -> None:
    """Every part of the report tells the same copies."""
    states = Counter(copy["state"].value for copy in copies)
    assert {s.value: found[s.value] for s in S} == {s.value: states[s.value] for s in S}
    assert sum(found[s.value] for s in S) == found["planned"] == len(copies)
    for state in S:
        assert sum(d[state.value] for d in found["domains"]) == states[state.value]
        assert sum(r["count"] for r in found["replies"] if r["state"] == state.value) == states[state.value]
    assert all(d["planned"] == sum(d[s.value] for s in S) for d in found["domains"])
    assert [d["planned"] for d in found["domains"]] == sorted((d["planned"] for d in found["domains"]), reverse=True)
    assert sum(bucket["sent"] for bucket in found["timeline"]["buckets"]) == states["sent"]
    assert len(found["timeline"]["buckets"]) <= MOST_BUCKETS
    named = Counter(person["state"] for person in found["people"])
    assert named == {name: states[name] for name in ("held", "uncertain", "deferred") if states[name]}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(copies=st.lists(COPY, max_size=40))
def test_all_parts_add_up_whatever_came_of_it(app: App, copies: list[dict[str, Any]]) -> None:
    check_sums(copies, document(app, issue_with(app, copies)))


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(copies=st.lists(COPY, min_size=1, max_size=60))
def test_both_databases_give_the_same_report(app: App, app_on_postgresql: App, copies: list[dict[str, Any]]) -> None:
    found = [document(one, issue_with(one, copies)) for one in (app, app_on_postgresql)]
    for one in found:
        check_sums(copies, one)
        for person in one["people"]:  # numbered anew in each round
            del person["delivery"], person["command"]
    assert json.dumps(found[0], default=str) == json.dumps(found[1], default=str)


def test_a_report_on_postgresql_is_of_one_moment(app_on_postgresql: App) -> None:
    """While it is made, copies go on; its parts must still add up."""
    app = app_on_postgresql
    issue_id = issue_with(app, [{"state": S.PENDING}] * 3)
    with app.database.read() as session:
        issue = session.get_one(Issue, issue_id)
        with app.database.write() as other:
            other.execute(text("UPDATE deliveries SET state = 'sent'"))
        found = report_document(report_issue(session, issue, zone=LONDON))
    assert (found["pending"], found["sent"]) == (3, 0)
    check_sums([{"state": S.PENDING}] * 3, found)


def test_an_issue_that_was_never_planned_has_an_empty_report(app: App) -> None:
    found = document(app, issue_with(app, []))
    assert (found["planned"], found["domains"], found["replies"], found["people"]) == (0, [], [], [])
    assert found["timeline"]["buckets"] == []


def test_small_domains_are_summed(app: App) -> None:
    copies = [{"state": S.SENT, "domain": f"d{n}.example"} for n in range(5) for _ in range(5 - n)]
    issue_id = issue_with(app, copies)
    with app.database.read() as session:
        report = report_issue(session, session.get_one(Issue, issue_id), zone=LONDON)
    shown = report.largest_domains(2)
    assert [(d.domain, d.planned, d.merged) for d in shown] == [("d0.example", 5, 1), ("d1.example", 4, 1), ("", 6, 3)]
    assert report.largest_domains(5) == report.domains


def test_an_example_shows_nobody(app: App) -> None:
    said = "5.1.1 <person1@example.org>: no mailbox person1 here, Name 1 has left; ask postmaster@example.org"
    copy = {"state": S.BOUNCED, "reply_code": 550, "reply_status": "5.1.1", "reply_text": said}
    [group] = document(app, issue_with(app, [copy]))["replies"]
    assert group["example"] == ("5.1.1 <(somebody)>: no mailbox (somebody) here, (somebody) has left; ask (somebody)")


def test_a_person_is_named_with_the_reason_and_what_to_do(app: App) -> None:
    copies = [
        {"state": S.HELD, "reason": "content refused", "reply_code": 554, "reply_text": "5.6.0 for other@example.com"},
        {"state": S.UNCERTAIN, "reason": "no reply to the dot"},
        {"state": S.DEFERRED, "reason": "try again later", "retry_at": NOW + timedelta(hours=2)},
        {"state": S.DEFERRED, "reason": "try again later", "retry_at": NOW + timedelta(hours=1)},
        {"state": S.BOUNCED},
    ]
    held, uncertain, sooner, later = document(app, issue_with(app, copies))["people"]
    assert (held["name"], held["address"], held["reason"]) == ("Name 1", "person1@example.org", "content refused")
    assert held["reply"] == "554 5.6.0 for (somebody)"
    assert held["command"] == "newsletter issue retry 2026-11 --failed"
    assert uncertain["command"] == f"newsletter uncertain resolve {uncertain['delivery']} --sent (or --resend)"
    assert (sooner["name"], later["name"]) == ("Name 4", "Name 3")
    assert sooner["command"] is None


def test_few_can_be_named_while_all_are_counted(app: App) -> None:
    issue_id = issue_with(app, [{"state": S.HELD}] * 5)
    with app.database.read() as session:
        report = report_issue(session, session.get_one(Issue, issue_id), zone=LONDON, most_people=2)
    assert (len(report.in_state(S.HELD)), report.counts["held"]) == (2, 5)


def test_steps_begin_at_full_hours_here(app: App) -> None:
    """A zone with half an hour: its days and hours are cut where its clocks strike."""
    copies = [{"state": S.SENT, "seconds": hours * 3600} for hours in (0, 20, 40)]
    issue_id = issue_with(app, copies)
    with app.database.read() as session:
        zone = ZoneInfo("Asia/Kolkata")
        timeline = report_issue(session, session.get_one(Issue, issue_id), zone=zone).timeline
    assert timeline.step == timedelta(hours=2)
    assert {bucket.start.astimezone(zone).minute for bucket in timeline.buckets} == {0}
    assert {bucket.start.astimezone(zone).hour % 2 for bucket in timeline.buckets} == {0}


@given(st.timedeltas(min_value=timedelta(), max_value=timedelta(days=4000)))
def test_every_span_is_cut_into_few_steps(span: timedelta) -> None:
    step = bucket_for(span)
    assert span <= step * (MOST_BUCKETS - 1)
    assert step_words(step)


@pytest.mark.parametrize(
    ("seconds", "words"), [(1, "second"), (10, "10 seconds"), (300, "5 minutes"), (3600, "hour"), (172_800, "2 days")]
)
def test_a_step_is_told_in_words(seconds: int, words: str) -> None:
    assert step_words(timedelta(seconds=seconds)) == words


@pytest.mark.parametrize(
    "said",
    [
        "550 <bob.smith@example.org> unknown",
        "550 unknown: BOB.SMITH@EXAMPLE.ORG",
        'rfc822; "bob smith"@example.org',
        "no such user: bob.smith",
        "SRS0=abc=tt=example.org=bob.smith@forwarder.example rejected",
        "bounce-bob.smith=example.org@list.example",
        "http://x.example/?u=bob.smith%40example.org",
        "(bob.smith@example.org)",
        "bob.smith@example.org:bob.smith",
    ],
)
def test_no_dress_of_an_address_comes_through(said: str) -> None:
    masked = without_people(said, "bob.smith@example.org", ["Bob Smith"]).lower()
    assert "bob" not in masked
    assert "smith" not in masked


@given(st.text(max_size=60), st.emails(), st.text(max_size=60))
def test_no_address_comes_through_any_words(before: str, address: str, after: str) -> None:
    masked = without_people(f"{before} <{address}> {after}", address)
    assert f"<{address}>" not in masked


def test_words_without_people_stay() -> None:
    said = "4.7.1 Greylisting in action, please come back at 12:30 (see https://example.org/help)"
    assert without_people(said, "al@example.org", ["Al"]) == said


def test_the_people_are_found_by_an_index(app: App) -> None:
    issue_id = issue_with(app, [{"state": S.SENT}] * 10)
    with app.database.read() as session:
        wanted = select(Delivery.id).where(Delivery.issue_id == issue_id, Delivery.state == S.HELD)
        sql = wanted.compile(session.get_bind(), compile_kwargs={"literal_binds": True})
        plan = " ".join(row[3] for row in session.execute(text(f"EXPLAIN QUERY PLAN {sql}")))
    assert "ix_deliveries_work (issue_id=? AND state=?)" in plan
