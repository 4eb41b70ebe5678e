"""Rows become content: the chair's words first, else the snapshot; nothing of a source can act as a tag or markup."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from newsletter.compose.assemble import Addresses, assemble, default_preheader, layout_of
from newsletter.compose.content import Button, Divider, Event, Post, Quote
from newsletter.compose.language import direction_of
from newsletter.compose.sections import add_ornament
from newsletter.config.settings import DEFAULT_SECTIONS, SectionRule
from newsletter.tables import BlockKind, ItemKind, ItemState, Picture

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
ADDRESSES = Addresses(
    view="https://news.example.org/view/x",
    media=lambda name: f"https://news.example.org/media/{name}",
    calendar=lambda item_id: f"https://news.example.org/events/{item_id}.ics",
)


@pytest.fixture
def contents(app: Any) -> Any:
    def make(session: Any, issue: Any, **values: Any) -> Any:
        session.flush()
        return assemble(session, issue, config=app.config, addresses=ADDRESSES, **values)

    return make


def test_a_post_is_shown_as_it_was_accepted(app: Any, make_item: Any, make_issue: Any, contents: Any) -> None:
    with app.database.write() as session:
        item = make_item(
            session, "Plain", summary="One <b>\nTwo", url="https://e.org/p", published_at=NOW, truncated=True
        )
        issue = make_issue(session, items=[("news", item)])
        item.title = "Changed behind our back"
        (section,) = contents(session, issue).sections
        assert section.blocks == (
            Post(
                title="Plain",
                blurb_html="<p>One &lt;b&gt;</p><p>Two</p>",
                url="https://e.org/p",
                published=date(2026, 11, 2),
                truncated=True,
                item_id=item.id,
            ),
        )


def test_the_chairs_words_win_and_count_as_typed(app: Any, make_item: Any, make_issue: Any, contents: Any) -> None:
    with app.database.write() as session:
        issue = make_issue(session, items=[("news", make_item(session, truncated=True))])
        issue.blocks[0].headline = "Ours"
        issue.blocks[0].blurb = "Dear *{{first_name|friend}}* <script>alert(1)</script>"
        post = contents(session, issue).sections[0].blocks[0]
        assert (post.title, post.blurb_is_typed, post.truncated) == ("Ours", True, False)
        assert "<em>{{first_name|friend}}</em>" in post.blurb_html
        assert "script" not in post.blurb_html


def test_a_sources_braces_are_never_typed(app: Any, make_item: Any, make_issue: Any, contents: Any) -> None:
    with app.database.write() as session:
        issue = make_issue(session, items=[("news", make_item(session, summary="{{first_name}} {{7*7}}"))])
        assert contents(session, issue).sections[0].blocks[0].blurb_is_typed is False


def test_an_event_keeps_its_zone_place_and_links(app: Any, make_item: Any, make_issue: Any, contents: Any) -> None:
    with app.database.write() as session:
        item = make_item(
            session,
            "Call",
            kind=ItemKind.EVENT,
            starts_at=NOW + timedelta(days=3),
            timezone="Europe/London",
            place="Town Hall",
            booking_url="https://e.org/book",
        )
        issue = make_issue(session, items=[("events", item)])
        event = contents(session, issue).sections[0].blocks[0]
        assert isinstance(event, Event)
        assert (event.starts, event.timezone, event.place) == (NOW + timedelta(days=3), "Europe/London", "Town Hall")
        assert event.calendar_url == f"https://news.example.org/events/{item.id}.ics"
        assert not event.cancelled
        item.state = ItemState.CANCELLED
        assert contents(session, issue).sections[0].blocks[0].cancelled


def test_an_event_without_a_day_has_no_calendar_file(app: Any, make_item: Any, make_issue: Any, contents: Any) -> None:
    with app.database.write() as session:
        issue = make_issue(session, items=[("events", make_item(session, kind=ItemKind.EVENT))])
        assert contents(session, issue).sections[0].blocks[0].calendar_url is None


def test_a_section_without_visible_blocks_is_absent(app: Any, make_item: Any, make_issue: Any, contents: Any) -> None:
    with app.database.write() as session:
        issue = make_issue(session, items=[("news", make_item(session)), ("resources", make_item(session, "R"))])
        add_ornament(issue, BlockKind.DIVIDER, "resources", {})
        session.flush()
        shown = [block for block in issue.blocks if block.section == "news" or block.kind is BlockKind.DIVIDER]
        assert [section.name for section in contents(session, issue, blocks=shown).sections] == ["news"]


def test_ornaments_are_values(app: Any, make_issue: Any, contents: Any) -> None:
    with app.database.write() as session:
        issue = make_issue(session)
        add_ornament(issue, BlockKind.QUOTE, "news", {"text": "So", "by": "Me"})
        add_ornament(issue, BlockKind.DIVIDER, "news", {})
        add_ornament(issue, BlockKind.BUTTON, "news", {"label": "Join", "url": "https://e.org"})
        blocks = contents(session, issue).sections[0].blocks
        assert blocks == (Quote("So", "Me"), Divider(), Button("Join", "https://e.org"))


def test_the_letter_is_clean_markdown_with_a_photograph(app: Any, make_issue: Any, contents: Any) -> None:
    with app.database.write() as session:
        picture = Picture(source_url="/a", file_name="a.jpg", width=96, height=96, bytes=9, fetched_at=NOW)
        session.add(picture)
        session.flush()
        issue = make_issue(session, letter="Dear **all**", letter_name="Ann Lee", letter_picture_id=picture.id)
        letter = contents(session, issue).letter
        assert letter.body_html.strip() == "<p>Dear <strong>all</strong></p>"
        assert (letter.photograph.url, letter.photograph.alt) == ("https://news.example.org/media/a.jpg", "Ann Lee")
        issue.letter = " "
        assert contents(session, issue).letter is None


def test_a_picture_is_the_one_that_was_accepted_and_a_failed_one_is_left_out(
    app: Any, make_item: Any, make_issue: Any, contents: Any
) -> None:
    with app.database.write() as session:
        session.add(Picture(source_url="https://e.org/1.jpg", file_name="1.jpg", width=536, height=300, fetched_at=NOW))
        session.add(Picture(source_url="https://e.org/2.jpg", error="too large", fetched_at=NOW))
        good = make_item(session, "1", image_url="https://e.org/1.jpg", image_alt="A hall")
        bad = make_item(session, "2", image_url="https://e.org/2.jpg", image_alt="A hall")
        first, second = contents(session, make_issue(session, items=[("news", good), ("news", bad)])).sections[0].blocks
        assert (first.image.url, first.image.width) == ("https://news.example.org/media/1.jpg", 536)
        assert second.image is None


def test_without_a_preheader_each_variant_has_its_own_titles_and_no_tags(
    app: Any, make_item: Any, make_issue: Any, contents: Any
) -> None:
    with app.database.write() as session:
        titles = ("Fine", "For some", "Hi {{first_name}}", "News")
        issue = make_issue(session, items=[("news", make_item(session, title)) for title in titles])
        assert contents(session, issue).preheader == "Fine · For some"
        assert contents(session, issue, blocks=[b for b in issue.blocks if b.position != 2]).preheader == "Fine"
        issue.preheader = "Ours"
        assert contents(session, issue).preheader == "Ours"
    assert len(default_preheader(["long " * 50], "News")) <= 100


def test_layout_and_direction_follow_kind_and_language() -> None:
    assert [layout_of(rule) for rule in DEFAULT_SECTIONS] == ["cards", "events", "resources", "resources"]
    assert layout_of(SectionRule(name="m", title="M", kinds=("post", "event"))) == "cards"
    assert [direction_of(tag) for tag in ("en-GB", "ur", "pa-Arab", "ur-Latn")] == ["ltr", "rtl", "rtl", "ltr"]
