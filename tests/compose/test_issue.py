"""An issue's names, states and approval."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from newsletter.compose import issue as issues
from newsletter.compose.dates import parse_end, parse_moment, parse_start
from newsletter.config.settings import Config
from newsletter.errors import Conflict, InvalidValue, NotFound
from newsletter.tables import IssueState
from subscribers import segments

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)


def four_eyes(config: Config) -> Config:
    return config.model_copy(update={"issue": config.issue.model_copy(update={"approval": "four-eyes"})})


def test_an_issue_is_found_by_name_by_latest_and_by_a_beginning(app: Any, make_issue: Any) -> None:
    with app.database.write() as session:
        make_issue(session, "2026-10", created_at=NOW - timedelta(days=30))
        make_issue(session, "2026-11")
        make_issue(session, "2026-11-2", created_at=NOW + timedelta(days=1), state=IssueState.CANCELLED)
        assert issues.find(session, "2026-11").slug == "2026-11"
        assert issues.find(session, "latest").slug == "2026-11"
        assert issues.find(session, "2026-10").slug == "2026-10"
        assert issues.find(session, "2026-11-").slug == "2026-11-2"
        with pytest.raises(Conflict, match="can mean"):
            issues.find(session, "2026")
        with pytest.raises(NotFound) as caught:
            issues.find(session, "2026-12")
        assert "Did you mean" in caught.value.hint


def test_every_state_has_its_transitions_and_the_cancelled_are_final() -> None:
    assert set(issues.TRANSITIONS) == set(IssueState)
    assert issues.TRANSITIONS[IssueState.CANCELLED] == frozenset()
    reached = set().union(*issues.TRANSITIONS.values())
    assert reached == set(IssueState)


@pytest.mark.parametrize("state", [IssueState.SENDING, IssueState.SENT, IssueState.CANCELLED])
def test_frozen_content_cannot_be_edited(app: Any, make_issue: Any, state: IssueState) -> None:
    with app.database.write() as session, pytest.raises(Conflict):
        issues.check_editable(make_issue(session, state=state))


def test_an_edit_voids_approval_and_schedule_and_says_so(app: Any, make_issue: Any, config: Config) -> None:
    with app.database.write() as session:
        issue = make_issue(session)
        issues.approve(issue, config, actor="bea", now=NOW)
        issues.schedule(issue, config, at=NOW + timedelta(hours=1), now=NOW)
        issue.subject = "Other"
        assert not issues.is_approved(issue, config)
        note = issues.mark_edited(issue, actor="ann", now=NOW)
        assert note is not None
        assert "scheduled" in note
        assert (issue.state, issue.approved_by, issue.scheduled_at) == (IssueState.DRAFT, None, None)


def test_the_hash_follows_words_blocks_audience_and_organisation(
    app: Any, make_issue: Any, make_item: Any, config: Config
) -> None:
    with app.database.write() as session:
        issue = make_issue(session, items=[("news", make_item(session))])
        seen = {issues.content_hash(issue, config)}
        assert issues.content_hash(issue, config) in seen
        for change in (
            lambda: setattr(issue, "preheader", "x"),
            lambda: setattr(issue.blocks[0], "audience", "tag 'x'"),
            lambda: setattr(issue, "audience", {"lists": ["members"]}),
        ):
            change()
            seen.add(issues.content_hash(issue, config))
        organisation = config.organisation.model_copy(update={"helpline": "Call 08000 121 700"})
        seen.add(issues.content_hash(issue, config.model_copy(update={"organisation": organisation})))
    assert len(seen) == 5


def test_the_hash_follows_what_named_segments_mean_also_through_others(
    app: Any, make_issue: Any, make_item: Any, config: Config
) -> None:
    with app.database.write() as session:
        for name, text in (("north", "town = 'Dudley'"), ("wide", "segment 'north' or tag 'x'"), ("other", "tag 'y'")):
            segments.create(session, name, text, at=NOW)
        issue = make_issue(session, items=[("news", make_item(session))], audience={"segments": ["wide"]})
        issue.blocks[0].audience = "not segment 'other'"
        issues.approve(issue, config, actor="bea", now=NOW)
        issues.schedule(issue, config, at=NOW + timedelta(hours=1), now=NOW)
        segments.create(session, "unused", "tag 'z'", at=NOW)
        assert issues.is_approved(issue, config)
        for name in ("north", "other"):
            segments.create(session, name, "tag 'changed'", at=NOW, replace=True)
            assert not issues.is_approved(issue, config)
            assert issues.no_longer_approved(session, config) == [issue]
            issues.approve(issue, config, actor="bea", now=NOW)
            assert (issue.state, issues.is_approved(issue, config)) == (IssueState.SCHEDULED, True)


def test_with_four_eyes_the_last_editor_cannot_approve(app: Any, make_issue: Any, config: Config) -> None:
    strict = four_eyes(config)
    with app.database.write() as session:
        issue = make_issue(session, edited_by="ann")
        with pytest.raises(Conflict, match="somebody else"):
            issues.approve(issue, strict, actor="ann", now=NOW)
        issues.approve(issue, strict, actor="bea", now=NOW)
        assert issues.is_approved(issue, strict)
        issue.edited_by = "bea"
        assert not issues.is_approved(issue, strict)


def test_approving_twice_keeps_the_first_approval(app: Any, make_issue: Any, config: Config) -> None:
    with app.database.write() as session:
        issue = make_issue(session)
        issues.submit(issue)
        issues.submit(issue)
        issues.approve(issue, config, actor="bea", now=NOW)
        issues.approve(issue, config, actor="cas", now=NOW)
        assert issue.approved_by == "bea"


def test_a_schedule_must_be_ahead_and_approved(app: Any, make_issue: Any, config: Config) -> None:
    with app.database.write() as session:
        issue = make_issue(session)
        with pytest.raises(InvalidValue, match="past"):
            issues.schedule(issue, config, at=NOW, now=NOW)
        with pytest.raises(Conflict, match="not approved"):
            issues.schedule(issue, config, at=NOW + timedelta(minutes=1), now=NOW)
        with pytest.raises(Conflict, match="not scheduled"):
            issues.unschedule(issue)


def test_times_without_a_zone_are_the_organisations(config: Config) -> None:
    zone = config.organisation.zone
    assert parse_moment("2026-07-01T10:00", zone) == datetime(2026, 7, 1, 9, 0, tzinfo=UTC)
    assert parse_moment("2026-07-01T10:00+00:00", zone) == datetime(2026, 7, 1, 10, 0, tzinfo=UTC)
    assert parse_start("2026-07-01", zone) == datetime(2026, 6, 30, 23, 0, tzinfo=UTC)
    assert parse_end("2026-07-01", zone) == datetime(2026, 7, 1, 23, 0, tzinfo=UTC)


@pytest.mark.parametrize("text", ["soon", "2026-11-25", "2026-13-01T10:00", "2026-03-29T01:30", ""])
def test_what_is_no_time_is_refused(config: Config, text: str) -> None:
    with pytest.raises(InvalidValue):
        parse_moment(text, config.organisation.zone)
