"""Only the sets of items that occur in the audience become variants."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import func, select

from newsletter.compose.variants import TooManyVariants, occurring
from subscribers.audience import Audience, select_audience
from subscribers.segments import SegmentError
from subscribers.tables import Subscriber

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)


def sets_of(session: Any, issue: Any, lists: tuple[str, ...] = ("members",)) -> Any:
    chosen = select_audience(session, Audience(lists=lists), now=NOW, timezone="Europe/London") if lists else None
    return occurring(session, chosen, issue.blocks, now=NOW, timezone="Europe/London")


@pytest.fixture
def issue_of(make_item: Any, make_issue: Any) -> Any:
    def make(session: Any, *audiences: str | None) -> Any:
        issue = make_issue(session, items=[("news", make_item(session, f"Post {n}")) for n, _ in enumerate(audiences)])
        for block, audience in zip(issue.blocks, audiences, strict=True):
            block.audience = audience
        session.flush()
        return issue

    return make


def test_without_item_audiences_there_is_one_variant_for_everybody(app: Any, issue_of: Any, make_members: Any) -> None:
    with app.database.write() as session:
        make_members(session, (), ())
        (only,) = sets_of(session, issue_of(session, None, None))
        assert (only.condition, only.people, len(only.blocks)) == (None, 2, 2)


def test_sets_that_nobody_has_are_not_rendered(app: Any, issue_of: Any, make_members: Any) -> None:
    with app.database.write() as session:
        make_members(session, ("a",), ("a", "b"), (), ())
        issue = issue_of(session, None, "tag 'a'", "tag 'b'", "tag 'c'")
        found = sets_of(session, issue)
        ids = [block.id for block in issue.blocks]
        assert [(each.number, each.people, each.blocks) for each in found] == [
            (1, 2, frozenset({ids[0]})),
            (2, 1, frozenset(ids[:3])),
            (3, 1, frozenset(ids[:2])),
        ]


def test_the_conditions_divide_the_audience_without_rest_or_overlap(app: Any, issue_of: Any, make_members: Any) -> None:
    with app.database.write() as session:
        make_members(session, ("a",), ("a", "b"), (), ("b",))
        found = sets_of(session, issue_of(session, "tag 'a'", "tag 'b'"))
        reached = [set(session.scalars(select(Subscriber.id).where(each.condition))) for each in found]
        assert sum(len(each) for each in reached) == 4 == len(set().union(*reached))
        assert [len(each) for each in reached] == [each.people for each in found]


def test_two_blocks_with_one_audience_make_one_question(app: Any, issue_of: Any, make_members: Any) -> None:
    with app.database.write() as session:
        make_members(session, ("a",), ())
        assert len(sets_of(session, issue_of(session, "tag 'a'", "tag 'a'"))) == 2


def test_more_than_sixty_four_sets_are_refused(app: Any, issue_of: Any, make_members: Any) -> None:
    with app.database.write() as session:
        make_members(session, *[tuple(f"t{bit}" for bit in range(7) if number >> bit & 1) for number in range(65)])
        assert session.scalar(select(func.count(Subscriber.id))) == 65
        issue = issue_of(session, *[f"tag 't{bit}'" for bit in range(7)])
        with pytest.raises(TooManyVariants, match="64"):
            sets_of(session, issue)


def test_without_an_audience_or_people_the_whole_issue_can_be_looked_at(
    app: Any, issue_of: Any, make_members: Any
) -> None:
    with app.database.write() as session:
        make_members(session)
        issue = issue_of(session, None, "tag 'a'")
        for lists, people in (((), None), (("members",), 0)):
            (only,) = sets_of(session, issue, lists)
            assert (len(only.blocks), only.people) == (2, people)


def test_an_item_audience_that_cannot_be_read_is_an_error(app: Any, issue_of: Any, make_members: Any) -> None:
    with app.database.write() as session:
        make_members(session, ())
        with pytest.raises(SegmentError):
            sets_of(session, issue_of(session, "tag = ="))
