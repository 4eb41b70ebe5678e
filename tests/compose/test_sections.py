"""Blocks keep whole positions in known sections; fields are checked before anything changes."""

from __future__ import annotations

from typing import Any

import pytest

from newsletter.compose import fields, sections
from newsletter.compose.review import accept, changed_blocks
from newsletter.config.settings import DEFAULT_SECTIONS
from newsletter.errors import InvalidValue, NotFound
from newsletter.tables import BlockKind


@pytest.fixture
def issue(app: Any, make_item: Any, make_issue: Any) -> Any:
    with app.database.write() as session:
        items = [make_item(session, f"Post {number}") for number in range(1, 4)]
        made = make_issue(session, items=[("news", item) for item in items])
        sections.add_ornament(made, BlockKind.QUOTE, "resources", fields.quotation("Well said", "A member"))
        session.flush()
        yield made


def order(issue: Any, section: str = "news") -> list[int]:
    return [b.id for s in sections.sections_of(issue, DEFAULT_SECTIONS) if s.rule.name == section for b in s.blocks]


def test_sections_come_in_the_order_of_the_configuration_until_the_issue_has_its_own(issue: Any) -> None:
    assert [s.rule.name for s in sections.sections_of(issue, DEFAULT_SECTIONS)] == ["news", "resources"]
    sections.order_sections(issue, ["resources"], DEFAULT_SECTIONS)
    assert [s.rule.name for s in sections.sections_of(issue, DEFAULT_SECTIONS)] == ["resources", "news"]


def test_a_section_that_the_configuration_lost_still_holds_its_blocks(issue: Any) -> None:
    assert [s.rule.title for s in sections.sections_of(issue, DEFAULT_SECTIONS[:1])] == ["News", "Resources"]


def test_moving_puts_a_block_where_it_is_told(issue: Any) -> None:
    one, two, three = order(issue)
    sections.move(issue, three, to=1, section="news")
    assert order(issue) == [three, one, two]
    sections.move(issue, three, to=99, section="news")
    assert order(issue) == [one, two, three]
    sections.move(issue, one, to=None, section="resources")
    assert [b.position for b in issue.blocks if b.section == "news"] == [1, 2]
    with pytest.raises(InvalidValue):
        sections.move(issue, one, to=0, section="news")


def test_removing_takes_all_or_none(issue: Any) -> None:
    one, two, three = order(issue)
    with pytest.raises(NotFound, match="99"):
        sections.remove(issue, [one, 99])
    assert order(issue) == [one, two, three]
    sections.remove(issue, [one, one])
    assert [b.position for b in issue.blocks if b.section == "news"] == [1, 2]


def test_an_unknown_section_names_the_nearest(issue: Any) -> None:
    with pytest.raises(NotFound) as caught:
        sections.section_named(issue, "resorces", DEFAULT_SECTIONS)
    assert "'resources'" in caught.value.hint


def test_a_block_without_a_named_section_goes_where_the_issue_ends(issue: Any) -> None:
    assert sections.section_named(issue, None, DEFAULT_SECTIONS) == "resources"


def set_all(issue: Any, *assignments: str) -> list[str]:
    return fields.set_fields(issue, assignments, check_segment=lambda _text: None)


def test_words_are_set_on_the_issue_and_on_blocks(issue: Any) -> None:
    block = issue.blocks[0]
    names = set_all(issue, "subject= Our news ", f"{block.id}.headline=Ours", f"{block.id}.audience=tag 'x'")
    assert names == ["subject", f"{block.id}.headline", f"{block.id}.audience"]
    assert (issue.subject, block.headline, block.audience) == ("Our news", "Ours", "tag 'x'")
    set_all(issue, f"{block.id}.headline=", f"{block.id}.audience=")
    assert (block.headline, block.audience) == (None, None)


@pytest.mark.parametrize(
    "wrong",
    ["subject", "sbject=x", "{quote}.url=x", "x.headline=y", "subject=a\nb", "language=english!", "{quote}.text="],
)
def test_one_mistake_changes_nothing(issue: Any, wrong: str) -> None:
    quote = next(b.id for b in issue.blocks if b.kind is BlockKind.QUOTE)
    with pytest.raises(InvalidValue):
        set_all(issue, "preheader=new", wrong.format(quote=quote))
    assert issue.preheader == ""


def test_a_segment_that_cannot_be_used_changes_nothing(issue: Any) -> None:
    def refuse(text: str) -> None:
        raise InvalidValue(f"no segment {text}")

    with pytest.raises(InvalidValue):
        fields.set_fields(issue, [f"{issue.blocks[0].id}.audience=x"], check_segment=refuse)
    assert issue.blocks[0].audience is None


@pytest.mark.parametrize("url", ["javascript:alert(1)", "example.org", "", "ftp://example.org/x"])
def test_a_button_needs_an_address_that_mail_may_link(url: str) -> None:
    with pytest.raises(InvalidValue):
        fields.button("Join", url)


def test_a_button_may_write_a_mail() -> None:
    assert fields.button("Write", "mailto:a@example.org")["url"] == "mailto:a@example.org"


def test_a_change_at_the_source_is_flagged_until_it_is_accepted(issue: Any) -> None:
    block = issue.blocks[0]
    assert changed_blocks(issue) == []
    block.item.title = "Mended"
    (changed,) = changed_blocks(issue)
    assert changed.changes["title"] == {"was": "Post 1", "now": "Mended"}
    assert "Mended" in changed.in_words()
    assert block.snapshot["title"] == "Post 1"
    accept(block)
    assert changed_blocks(issue) == []
    assert block.snapshot["title"] == "Mended"


def test_only_items_come_from_a_source(issue: Any) -> None:
    with pytest.raises(InvalidValue):
        accept(next(b for b in issue.blocks if b.kind is BlockKind.QUOTE))
