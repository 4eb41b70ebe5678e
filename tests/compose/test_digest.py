"""What a draft proposes, and what it never proposes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from newsletter.compose.digest import Candidate, Window, gather, horizon, last_drafted, propose
from newsletter.compose.drafting import Wishes, draft_issue
from newsletter.config.settings import DEFAULT_SECTIONS, SectionRule
from newsletter.errors import Conflict, InvalidValue, NotFound
from newsletter.tables import Issue, IssueState, ItemKind, ItemState

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
LONDON = ZoneInfo("Europe/London")
WINDOW = Window(now=NOW, horizon=NOW + timedelta(days=60))
DAY = timedelta(days=1)


def candidate(item_id: int, kind: str = "post", **values: Any) -> Candidate:
    title = values.pop("title", f"Title {item_id}")
    given = {"norm_title": title.casefold(), "first_seen": NOW - DAY, "sources": frozenset({1})}
    return Candidate(item_id=item_id, kind=kind, title=title, **{**given, **values})


def event(item_id: int, starts: datetime | None, **values: Any) -> Candidate:
    return candidate(item_id, "event", starts=starts, **values)


def test_each_kind_goes_to_its_section_and_empty_sections_are_absent() -> None:
    found = propose([candidate(1), candidate(2, "resource"), candidate(3, "past-issue")], WINDOW, DEFAULT_SECTIONS)
    assert dict(found.sections) == {"news": (1,), "resources": (2,), "past-issues": (3,)}


def test_events_come_in_date_order_and_posts_newest_first() -> None:
    items = [
        event(1, NOW + 9 * DAY),
        event(2, NOW + 2 * DAY),
        candidate(3, published=NOW - 5 * DAY),
        candidate(4, published=NOW - 2 * DAY),
    ]
    found = propose(items, WINDOW, DEFAULT_SECTIONS)
    assert found.sections["events"] == (2, 1)
    assert found.sections["news"] == (4, 3)


@pytest.mark.parametrize(
    "item",
    [
        candidate(1, used_in="2026-10"),
        candidate(1, state="hidden"),
        candidate(1, "notice"),
        event(1, NOW - timedelta(hours=1)),
        event(1, NOW + DAY, state="cancelled"),
        event(1, NOW + 61 * DAY),
        event(1, None),
        candidate(1, published=NOW + 5 * DAY),
    ],
    ids=["used", "hidden", "notice", "past", "cancelled", "beyond-horizon", "no-day", "from-the-future"],
)
def test_is_never_proposed(item: Candidate) -> None:
    assert propose([item], WINDOW, DEFAULT_SECTIONS).item_ids == ()


def test_an_event_of_several_days_that_has_begun_is_still_coming() -> None:
    assert propose([event(1, NOW - DAY, ends=NOW + DAY)], WINDOW, DEFAULT_SECTIONS).item_ids == (1,)


def test_an_event_without_a_day_is_named_for_the_chair() -> None:
    left = propose([event(1, None)], WINDOW, DEFAULT_SECTIONS).left_out
    assert [each.item_id for each in left] == [1]
    assert "library missing" in left[0].reason


def test_only_what_appeared_since_the_last_issue_is_new() -> None:
    window = replace(WINDOW, since=NOW - 10 * DAY)
    items = [candidate(1, published=NOW - 11 * DAY, first_seen=NOW - 20 * DAY), candidate(2, published=NOW - 9 * DAY)]
    assert propose(items, window, DEFAULT_SECTIONS).item_ids == (2,)


def test_an_undated_item_counts_from_when_it_was_first_seen() -> None:
    window = replace(WINDOW, since=NOW - 10 * DAY)
    items = [candidate(1, first_seen=NOW - 11 * DAY), candidate(2, first_seen=NOW - 9 * DAY)]
    assert propose(items, window, DEFAULT_SECTIONS).item_ids == (2,)


def test_a_post_dated_by_day_on_the_day_of_the_last_issue_is_new() -> None:
    window = replace(WINDOW, since=NOW - 10 * DAY)
    midnight = (NOW - 10 * DAY).replace(hour=0, minute=0)
    assert propose([candidate(1, published=midnight, by_day=True)], window, DEFAULT_SECTIONS).item_ids == (1,)


def test_what_arrives_late_is_told_and_not_lost_silently() -> None:
    window = replace(WINDOW, since=NOW - 10 * DAY)
    late = candidate(1, published=NOW - 30 * DAY, first_seen=NOW - DAY)
    assert "first seen after" in propose([late], window, DEFAULT_SECTIONS).left_out[0].reason


def test_until_bounds_posts() -> None:
    window = replace(WINDOW, until=NOW - 3 * DAY)
    items = [candidate(1, published=NOW - DAY), candidate(2, published=NOW - 4 * DAY)]
    assert propose(items, window, DEFAULT_SECTIONS).item_ids == (2,)


def test_the_same_title_from_two_sources_is_proposed_once_but_twice_from_one() -> None:
    apart = [candidate(1, title="Same"), candidate(2, title="Same", sources=frozenset({2}))]
    together = [candidate(1, title="Same"), candidate(2, title="Same")]
    assert propose(apart, WINDOW, DEFAULT_SECTIONS).item_ids == (1,)
    assert propose(together, WINDOW, DEFAULT_SECTIONS).item_ids == (1, 2)


def test_a_duplicate_of_what_an_issue_used_is_not_proposed() -> None:
    items = [candidate(1, title="Same", used_in="2026-10"), candidate(2, title="Same", sources=frozenset({2}))]
    assert propose(items, WINDOW, DEFAULT_SECTIONS).item_ids == ()


def test_occurrences_of_one_event_are_items_of_their_own() -> None:
    items = [event(1, NOW + DAY, title="Drop-in"), event(2, NOW + 8 * DAY, title="Drop-in", sources=frozenset({2}))]
    assert propose(items, WINDOW, DEFAULT_SECTIONS).item_ids == (1, 2)


def test_a_section_holds_at_most_its_cap_and_the_rest_is_told() -> None:
    rules = (SectionRule(name="news", title="News", kinds=("post",), most=1),)
    found = propose([candidate(1), candidate(2)], WINDOW, rules)
    assert found.item_ids == (1,)
    assert [each.item_id for each in found.left_out] == [2]


def test_what_a_full_section_turned_away_takes_the_room_that_new_items_leave() -> None:
    rules = (SectionRule(name="news", title="News", kinds=("post",), most=2),)
    old = [candidate(n, published=NOW - n * DAY) for n in (20, 21, 70)]
    window = replace(WINDOW, since=NOW - 10 * DAY, waiting=frozenset((20, 21, 70)))
    assert propose([*old, candidate(1, published=NOW - DAY)], window, rules).item_ids == (1, 20)
    assert propose([*old, candidate(1), candidate(2)], window, rules).item_ids == (1, 2)
    assert propose([replace(old[0], used_in="2026-10"), candidate(1)], window, rules).item_ids == (1,)


def test_what_was_turned_away_makes_no_issue_by_itself_but_is_told() -> None:
    found = propose([candidate(1, published=NOW - 20 * DAY)], replace(WINDOW, since=NOW, waiting=frozenset((1,))), ())
    assert found.item_ids == ()
    assert [(each.item_id, each.waits) for each in found.left_out] == [(1, True)]


def test_a_draft_remembers_what_it_turned_away_and_not_what_the_chair_took_out(app: Any, make_item: Any) -> None:
    with app.database.write() as session:
        for number in range(10):  # the news hold 8
            make_item(session, f"Post {number}", first_seen_at=NOW - (number + 1) * timedelta(hours=1))
    first = draft(app, slug="first")
    with app.database.write() as session:
        issue = session.get_one(Issue, first.issue.id)
        removed = issue.blocks[0].item_id
        issue.blocks.remove(issue.blocks[0])
    assert draft(app, slug="none").issue is None
    with app.database.write() as session:
        fresh = make_item(session, "New", first_seen_at=NOW).id
    second = draft(app, slug="second")
    assert removed not in second.proposal.item_ids
    assert len(second.proposal.item_ids) == 3
    assert fresh in second.proposal.item_ids


def test_a_rule_with_categories_is_asked_before_a_general_one() -> None:
    rules = (
        SectionRule(name="news", title="News", kinds=("post",)),
        SectionRule(name="training", title="Training", kinds=("post",), categories=("Training",)),
    )
    found = propose([candidate(1, categories=("training",)), candidate(2)], WINDOW, rules)
    assert dict(found.sections) == {"news": (2,), "training": (1,)}


def test_include_overrides_use_window_and_cap_and_exclude_takes_out() -> None:
    rules = (SectionRule(name="news", title="News", kinds=("post",), most=1),)
    items = [candidate(1), candidate(2, used_in="2026-10"), candidate(3)]
    assert set(propose(items, WINDOW, rules, include=[2, 3]).item_ids) == {2, 3}
    assert propose(items, WINDOW, rules, exclude=[1]).item_ids == (3,)


@pytest.mark.parametrize("item", [event(1, NOW - DAY), event(1, None), event(1, NOW + DAY, state="cancelled")])
def test_an_event_that_cannot_be_announced_cannot_be_included(item: Candidate) -> None:
    with pytest.raises(InvalidValue):
        propose([item], WINDOW, DEFAULT_SECTIONS, include=[1])


def test_an_unknown_item_is_named() -> None:
    with pytest.raises(NotFound, match="'7'"):
        propose([], WINDOW, DEFAULT_SECTIONS, include=[7])


def test_the_horizon_holds_the_whole_of_its_last_day() -> None:
    assert horizon(NOW, 1, LONDON) == datetime(2026, 11, 4, 0, 0, tzinfo=UTC)


def draft(app: Any, **wishes: Any) -> Any:
    with app.database.write() as session:
        return draft_issue(session, Wishes(**wishes), config=app.config, actor="ann", now=app.now())


def test_a_draft_holds_snapshots_under_the_month_as_its_name(app: Any, make_item: Any) -> None:
    with app.database.write() as session:
        make_item(session, "First")
        make_item(session, "Call", kind=ItemKind.EVENT, starts_on=date(2026, 11, 20))
    drafted = draft(app)
    assert drafted.issue.slug == "2026-11"
    assert drafted.issue.subject == "Example Network: November 2026"
    assert [b.snapshot["title"] for b in drafted.issue.blocks] == ["First", "Call"]


def test_nothing_new_writes_nothing(app: Any, make_item: Any) -> None:
    assert draft(app).issue is None
    with app.database.write() as session:
        make_item(session)
    assert draft(app).issue is not None
    assert draft(app).issue is None
    with app.database.read() as session:
        assert session.query(Issue).count() == 1


def test_items_of_a_cancelled_issue_are_free_again(app: Any, make_item: Any) -> None:
    with app.database.write() as session:
        make_item(session)
    first = draft(app).issue
    with app.database.write() as session:
        session.get_one(Issue, first.id).state = IssueState.CANCELLED
        assert last_drafted(session) is None
    assert draft(app).issue.slug == "2026-11-2"


def test_gather_knows_use_and_all_day_events(app: Any, make_item: Any, make_issue: Any) -> None:
    with app.database.write() as session:
        used = make_item(session, "Used")
        make_item(session, "Day", kind=ItemKind.EVENT, starts_on=date(2026, 11, 20), state=ItemState.HIDDEN)
        make_issue(session, items=[("news", used)])
        found = {each.title: each for each in gather(session, LONDON)}
    assert found["Used"].used_in == "2026-11"
    assert found["Day"].ends == datetime(2026, 11, 21, tzinfo=UTC)


def test_a_wanted_name_must_be_free_and_speakable(app: Any, make_item: Any) -> None:
    with app.database.write() as session:
        make_item(session, "One")
    draft(app, slug="special")
    with app.database.write() as session:
        make_item(session, "Two")
    with pytest.raises(Conflict):
        draft(app, slug="special")
    for slug in ("latest", "Not So", "-x", ""):
        with pytest.raises(InvalidValue):
            draft(app, slug=slug)
