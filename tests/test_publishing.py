"""Starting an issue: only what was judged is frozen, and only by somebody's order."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from newsletter.compose import issue as issues
from newsletter.errors import PreflightRefused
from newsletter.publishing import issue_audience, prepare, start_issue
from newsletter.publishing.headers import sender_id
from newsletter.tables import Delivery, Issue, IssueState, Variant
from subscribers import consent, lists, people, segments
from subscribers.tables import Basis, Tag
from tests.conftest import smallest_config

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)


@pytest.fixture
def issue_id(app: Any) -> int:
    """An issue with a letter for the three members of a list; one of them is tagged."""
    with app.database.write() as session:
        members = lists.create(session, "members", title="Members", at=NOW)
        session.flush()
        for number in range(3):
            person = people.add(session, pepper=app.keys.pepper, address=f"p{number}@example.org", at=NOW)
            session.flush()
            consent.grant(session, person, members, basis=Basis.CONSENT, source="t", actor="t", evidence="e", at=NOW)
            if not number:
                session.add(Tag(subscriber_id=person.id, tag="north"))
        issue = Issue(
            slug="spring", state=IssueState.DRAFT, subject="Our news", preheader="", language="en-GB",
            letter="Dear all", letter_name="Ann", letter_role="Chair", section_order=[], planned=0,
            audience={"lists": ["members"]}, created_at=NOW, edited_at=NOW, edited_by="ann",
        )  # fmt: skip
        session.add(issue)
        session.flush()
        return int(issue.id)


def state_of(app: Any, issue_id: int) -> tuple[IssueState, int, int]:
    with app.database.read() as session:
        issue = session.get_one(Issue, issue_id)
        return issue.state, session.query(Delivery).count(), session.query(Variant).count()


def test_an_order_where_one_person_decides_is_the_approval(app: Any, issue_id: int) -> None:
    assert start_issue(app, issue_id, approve_as="ann") == 3
    assert state_of(app, issue_id) == (IssueState.SENDING, 3, 1)


def test_the_worker_starts_only_what_is_approved(app: Any, issue_id: int) -> None:
    with pytest.raises(PreflightRefused, match="not approved"):
        start_issue(app, issue_id)
    assert state_of(app, issue_id) == (IssueState.DRAFT, 0, 0)
    with app.database.write() as session:
        issues.approve(session.get_one(Issue, issue_id), app.config, actor="bea", now=NOW)
    assert start_issue(app, issue_id) == 3


def test_an_issue_that_paused_at_its_time_can_be_started(app: Any, issue_id: int) -> None:
    with app.database.write() as session:
        session.get_one(Issue, issue_id).state = IssueState.PAUSED
    assert start_issue(app, issue_id, approve_as="ann") == 3


def test_what_blocks_is_named_and_nothing_is_planned(app: Any, issue_id: int) -> None:
    with app.database.write() as session:
        session.get_one(Issue, issue_id).subject = ""
    with pytest.raises(PreflightRefused, match="spring") as caught:
        start_issue(app, issue_id, approve_as="ann")
    assert "subject" in caught.value.message
    assert state_of(app, issue_id) == (IssueState.DRAFT, 0, 0)


def test_an_edit_while_it_is_rendered_is_rendered_again(
    app: Any, issue_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from newsletter.publishing import start

    seen: list[str] = []

    def edited_meanwhile(*arguments: Any, **options: Any) -> Any:
        prepared = prepare(*arguments, **options)
        seen.append(prepared.variants[0].rendered.subject)
        return prepared

    def refuse_then_edit(report: Any) -> None:
        if len(seen) == 1:
            with app.database.write() as session:
                session.get_one(Issue, issue_id).subject = "Corrected news"

    monkeypatch.setattr(start, "prepare", edited_meanwhile)
    monkeypatch.setattr(start, "refuse", refuse_then_edit)
    assert start_issue(app, issue_id, approve_as="ann") == 3
    assert seen == ["Our news", "Corrected news"]
    with app.database.read() as session:
        assert session.query(Variant).one().subject == "Corrected news"


def test_an_audience_that_cannot_be_read_is_a_finding_and_no_error(app: Any, issue_id: int) -> None:
    with app.database.write() as session:
        issue = session.get_one(Issue, issue_id)
        issue.audience = {"lists": ["gone"]}
        report = prepare(app, session, issue).report
    assert "audience" in {finding.rule for finding in report.blocks}


def test_nobody_is_mailed_by_default(app: Any, issue_id: int) -> None:
    with app.database.write() as session:
        issue = session.get_one(Issue, issue_id)
        issue.audience = None
        assert issue_audience(issue, app.config).is_empty
        assert "no-audience" in {finding.rule for finding in prepare(app, session, issue).report.blocks}


def test_a_segment_that_is_redefined_after_the_approval_sends_to_nobody(app: Any, issue_id: int) -> None:
    with app.database.write() as session:
        segments.create(session, "some", "tag 'north'", at=NOW)
        issue = session.get_one(Issue, issue_id)
        issue.audience = {"segments": ["some"]}
        issues.approve(issue, app.config, actor="bea", now=NOW)
        segments.create(session, "some", "not tag 'north'", at=NOW, replace=True)
    with pytest.raises(PreflightRefused, match="not approved"):
        start_issue(app, issue_id)
    assert state_of(app, issue_id) == (IssueState.APPROVED, 0, 0)


def test_what_should_be_signed_and_cannot_be_does_not_start(app: Any, issue_id: int) -> None:
    app.config = smallest_config(dkim={"enabled": True})
    with pytest.raises(PreflightRefused, match="newsletter dkim keygen"):
        start_issue(app, issue_id, approve_as="ann")
    assert state_of(app, issue_id) == (IssueState.DRAFT, 0, 0)
    app.keys.dkim.create("a")
    assert start_issue(app, issue_id, approve_as="ann") == 3
    with app.database.read() as session:
        (variant,) = session.query(Variant)
        assert variant.headers["dkim"]["selectors"] == ["a-rsa", "a-ed25519"]


@pytest.mark.parametrize(
    "domain", ["a.uk", "x.org", "example.org", "fifteen-ch.org", "sixteen-cha.org", "community-safety.dudley.gov.uk"]
)
def test_gmail_knows_the_organisation_by_5_to_15_characters(domain: str) -> None:
    """Source: the rules of Feedback-ID, which is left out of account when its last part is longer or shorter."""
    assert 5 <= len(sender_id(domain)) <= 15
    assert sender_id(domain) == sender_id(domain) != sender_id("x" + domain)
    assert ":" not in sender_id(domain)
