"""The library: each item once, what the chair set stays, and changes at the source are told and never silent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter.app import App
from newsletter.compose.library import StoreResult, changes_since, snapshot, store_reading
from newsletter.compose.library_editing import set_fields
from newsletter.compose.library_listing import find_items
from newsletter.compose.sources.item import Reading, SourceItem
from newsletter.errors import InvalidValue
from newsletter.tables import Item, ItemState, Source, SourceKind

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
LONDON = ZoneInfo("Europe/London")
START = datetime(2026, 12, 10, 14, 0, tzinfo=UTC)


def post(guid: str = "1", title: str = "Bread and roses", **values: Any) -> SourceItem:
    return SourceItem(**{"guid": guid, "kind": "post", "title": title, "published": date(2026, 10, 1), **values})


def event(guid: str = "e", title: str = "Meeting", **values: Any) -> SourceItem:
    given = {"guid": guid, "kind": "event", "title": title, "starts": START, "timezone": "Europe/London"}
    return SourceItem(**{**given, **values})


@pytest.fixture
def look(app: App) -> Callable[..., StoreResult]:
    """Store what a source offers; a new name is a new source."""

    def store(name: str, *items: SourceItem, at: datetime = NOW, **reading: Any) -> StoreResult:
        kind = SourceKind.CALENDAR if name.startswith("calendar") else SourceKind.FEED
        with app.database.write() as session:
            source = session.scalars(select(Source).where(Source.name == name)).first()
            if source is None:
                source = Source(name=name, kind=kind, location=name, created_at=NOW)
                session.add(source)
                session.flush()
            return store_reading(session, source, Reading(items, **reading), at, timezone="Europe/London")

    return store


@pytest.fixture
def items(app: App) -> Callable[[], list[Item]]:
    def read() -> list[Item]:
        with app.database.read() as session:
            found = list(session.scalars(select(Item).order_by(Item.id)))
            for item in found:
                assert item.sightings is not None
            return found

    return read


Look = Callable[..., StoreResult]
Items = Callable[[], list[Item]]


def test_the_same_look_twice_stores_once(look: Look, items: Items) -> None:
    assert look("a", post(), post("2", "Other")).new == 2
    assert look("a", post(), post("2", "Other")) == StoreResult(unchanged=2)
    assert len(items()) == 2


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (post("https://e.org/?p=1"), post("https://e.org/?p=1", "A better title", published=date(2026, 10, 5))),
        (post(url="https://e.org/x"), post("other", "Another title", url="https://e.org/x")),
        (post(title="Bread & Roses!"), post("other", "bread roses")),
        (post(published=datetime(2026, 10, 1, 9, tzinfo=UTC)), post("other", published=date(2026, 10, 1))),
        (post(published=None), post("other")),
        (post(), post("other", published=None)),
        (event(uid="u@x", guid="u@x"), event(uid="u@x", guid="u@x", title="New name")),
        (event(), event("other", starts=None, stated={"day": "12-10"})),
    ],
    ids=["guid", "url", "title", "time and day", "unknown here", "unknown there", "uid", "stated day"],
)
def test_the_same_item_by_two_sources_is_stored_once(
    look: Look, items: Items, first: SourceItem, second: SourceItem
) -> None:
    look("a", first)
    assert look("b", second).merged == 1
    assert len(items()) == 1
    assert look("a", first) == StoreResult(unchanged=1)
    assert look("b", second) == StoreResult(unchanged=1)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (post(), post("other", published=date(2026, 10, 9))),
        (post(), post("other", kind="resource")),
        (post("7"), post("7", "Quite another")),
        (event(), event("other", starts=START + timedelta(days=7))),
        (event(), event("other", starts=None, stated={"day": "12-11"})),
        (post(url="https://e.org/x"), event(url="https://e.org/x", title="Bread and roses")),
        (event(url="https://e.org/x"), event("o", "Second", url="https://e.org/x", starts=START + timedelta(days=1))),
        (post(url="https://e.org/", title="A"), post("2", "B", url="https://e.org/")),
        (event(uid="1", guid="1"), event(uid="1", guid="1", title="Other", starts=START + timedelta(days=1))),
    ],
    ids=["day", "kind", "short guid", "start", "stated day", "post and event", "page of events", "front page", "uid 1"],
)
def test_what_only_looks_alike_stays_two(look: Look, items: Items, first: SourceItem, second: SourceItem) -> None:
    look("a", first)
    assert look("b", second).new == 1
    assert len(items()) == 2


def test_one_source_may_have_two_items_of_one_title(look: Look, items: Items) -> None:
    assert look("a", post("1"), post("2")).new == 2


def test_a_guid_that_changed_at_its_source_is_known_by_its_address(look: Look, items: Items) -> None:
    look("a", post("http://e.org/?p=1", url="https://e.org/x"))
    assert look("a", post("https://e.org/?p=1", "New title", url="https://e.org/x")).merged == 1
    assert [item.title for item in items()] == ["New title"]


def test_items_of_one_look_that_share_a_page_stay_apart(look: Look, items: Items) -> None:
    assert look("a", post("1", "A", url="https://e.org/news"), post("2", "B", url="https://e.org/news")).new == 2


def test_occurrences_of_a_repeating_event_are_items_of_their_own(look: Look, items: Items) -> None:
    series = [
        event(
            f"u@x/{n}", uid="u@x", recurrence_id=str(n), starts=START + timedelta(weeks=n), url="https://e.org/weekly"
        )
        for n in range(3)
    ]
    assert look("calendar", *series).new == 3
    assert look("calendar 2", *series).merged == 3
    assert look("calendar", *series).unchanged == 3
    assert len(items()) == 3


def test_the_first_source_has_the_word_and_others_fill_its_gaps(look: Look, items: Items) -> None:
    look("a", post(published=None, summary="Ours"))
    look("b", post("2", summary="Theirs", published=date(2026, 10, 1), image_url="https://e.org/a.jpg", image_alt="A"))
    item = items()[0]
    assert (item.summary, item.published_on, item.image_alt) == ("Ours", date(2026, 10, 1), "A")
    assert look("a", post(published=None, summary="Ours")).changed == 0
    assert items()[0].published_on == date(2026, 10, 1)


def test_a_change_at_the_source_is_told_field_by_field(app: App, look: Look) -> None:
    look("a", event(place="Hall"))
    with app.database.read() as session:
        taken = snapshot(session.scalars(select(Item)).one())
    assert look("a", event(place="Library", starts=START + timedelta(hours=1)), at=LATER).changed == 1
    with app.database.read() as session:
        item = session.scalars(select(Item)).one()
        assert changes_since(item, taken) == {
            "place": {"was": "Hall", "now": "Library"},
            "starts_at": {"was": "2026-12-10T14:00:00+00:00", "now": "2026-12-10T15:00:00+00:00"},
        }
        assert item.updated_at == LATER
        assert changes_since(item, snapshot(item)) == {}


def test_markup_that_says_the_same_is_no_change(app: App, look: Look) -> None:
    look("a", post(body_html="<p>Hi <b>all</b></p>"))
    with app.database.read() as session:
        taken = snapshot(session.scalars(select(Item)).one())
    look("a", post(body_html="<p>Hi <strong>all</strong></p>"))
    with app.database.read() as session:
        assert changes_since(session.scalars(select(Item)).one(), taken) == {}


def test_an_older_sequence_never_overwrites_a_newer_one(look: Look, items: Items) -> None:
    look("calendar", event("u@x", uid="u@x", sequence=1, place="Old"))
    look("calendar 2", event("u@x", uid="u@x", sequence=2, place="New", cancelled=True))
    assert look("calendar", event("u@x", uid="u@x", sequence=1, place="Old")).unchanged == 1
    assert (items()[0].place, items()[0].state) == ("New", ItemState.CANCELLED)


def test_a_cancelled_event_is_marked_and_may_come_back(look: Look, items: Items) -> None:
    look("calendar", event())
    look("calendar", event(cancelled=True))
    assert items()[0].state is ItemState.CANCELLED
    look("calendar", event())
    assert items()[0].state is ItemState.ACTIVE


def test_an_event_that_vanished_from_a_whole_calendar_is_off(look: Look, items: Items) -> None:
    past = event("past", "Past", starts=NOW - timedelta(days=1))
    look("calendar", event(), event("2", "Stays"), past, complete=True)
    assert look("calendar", event("2", "Stays")).withdrawn == 0
    assert look("calendar", event("2", "Stays"), complete=True).withdrawn == 1
    assert [item.state.value for item in items()] == ["cancelled", "active", "active"]
    assert look("calendar", event(), event("2", "Stays"), complete=True).changed == 1
    assert items()[0].state is ItemState.ACTIVE


def test_a_post_that_dropped_off_a_feed_stays(look: Look, items: Items) -> None:
    look("a", post("1"), post("2", "B"))
    look("a", post("2", "B"), complete=True)
    assert [item.state for item in items()] == [ItemState.ACTIVE, ItemState.ACTIVE]


def test_not_modified_changes_nothing_and_keeps_the_validators(app: App, look: Look) -> None:
    look("a", post(), etag='"1"')
    assert look("a", not_modified=True, at=LATER) == StoreResult()
    with app.database.read() as session:
        source = session.scalars(select(Source)).one()
        assert (source.etag, source.fetched_at) == ('"1"', LATER)


def test_an_undated_item_is_new_when_it_is_first_seen(look: Look, items: Items) -> None:
    look("a", post(published=None))
    item = items()[0]
    assert (item.published_at, item.published_on, item.first_seen_at) == (None, None, NOW)
    assert item.missing == ["published", "url"]


def edit(app: App, **values: str) -> list[str]:
    with app.database.write() as session:
        return set_fields(one(session), values, zone=LONDON, now=NOW)


def one(session: Session) -> Item:
    return session.scalars(select(Item)).one()


STATED = event(
    starts=None, timezone=None, missing=("year", "place"),
    stated={"day": "12-12", "weekday": "Thursday", "from": "14:00", "to": "17:00"},
)  # fmt: skip


def test_a_year_completes_what_the_source_stated(app: App, look: Look, items: Items) -> None:
    look("a", STATED)
    assert items()[0].missing == ["year", "url", "place"]
    edit(app, year="2019", place="Carrs Lane")
    item = items()[0]
    assert item.starts_at == datetime(2019, 12, 12, 14, 0, tzinfo=UTC)
    assert item.ends_at == datetime(2019, 12, 12, 17, 0, tzinfo=UTC)
    assert (item.timezone, item.missing) == ("Europe/London", ["url"])
    look("a", STATED)
    assert items()[0].starts_at == datetime(2019, 12, 12, 14, 0, tzinfo=UTC)


def test_a_year_that_contradicts_the_weekday_is_refused_with_those_that_fit(app: App, look: Look) -> None:
    look("a", STATED)
    with pytest.raises(InvalidValue) as caught:
        edit(app, year="2020")
    assert caught.value.message == "12 December 2020 is a Saturday, but the source states a Thursday."
    assert caught.value.hint == "Years that fit: 2019, 2024."


def test_what_the_chair_set_is_not_overwritten_by_its_source(app: App, look: Look, items: Items) -> None:
    look("a", post(summary="Theirs"))
    edit(app, title="Ours", state="hidden", date="2026-10-02", alt="A loaf")
    look("a", post(title="Theirs again", summary="New", published=date(2026, 10, 9), image_alt="x"))
    item = items()[0]
    assert (item.title, item.state, item.published_on) == ("Ours", ItemState.HIDDEN, date(2026, 10, 2))
    assert (item.summary, item.image_alt) == ("New", "A loaf")


def test_a_start_without_a_zone_means_the_organisations(app: App, look: Look, items: Items) -> None:
    look("a", event(timezone=None))
    edit(app, starts="2027-07-01T10:00", ends="2027-07-01T11:00")
    assert items()[0].starts_at == datetime(2027, 7, 1, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("titel", "x", "no field"), ("title", " ", "cannot be empty"), ("url", "javascript:x", "no web address"),
        ("date", "soon", "no ISO 8601"), ("year", "2026", "states no day"),
        ("ends", "2020-01-01T10:00", "before it starts"),
        ("ends", "2027-01-01", "a day and a time"), ("kind", "banana", "no kind"), ("state", "gone", "no state"),
        ("timezone", "Mars", "no time zone"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_is_refused_and_nothing_changes(
    app: App, look: Look, items: Items, field: str, value: str, complaint: str
) -> None:
    look("a", event())
    with pytest.raises(InvalidValue, match=complaint):
        edit(app, summary="changed", **{field: value})
    assert items()[0].summary == ""


def test_an_event_without_a_page_of_its_own_is_nothing_to_fill_in(app: App, look: Look) -> None:
    look("a", event(url=None, place="Town Hall"), SourceItem("p", "post", "A post", summary="Words."))
    with app.database.read() as session:
        assert [item.title for item in find_items(session, gaps_at=NOW)] == ["A post"]
