"""Gathering: many sources side by side, each on its own; one that is broken costs only itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import select

from newsletter.app import App
from newsletter.compose.gathering import gather_sources
from newsletter.compose.pictures import fetch_pictures
from newsletter.compose.sources.reading import SourceSpec, check_location, read_source
from newsletter.errors import InvalidValue, NotFound
from newsletter.tables import Source, SourceKind

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
RSS = b"<rss version='2.0'><channel><item><title>A post</title><guid>1</guid></item></channel></rss>"


def add(app: App, name: str, kind: SourceKind, location: str) -> None:
    with app.database.write() as session:
        session.add(Source(name=name, kind=kind, location=location, created_at=NOW))


def test_a_broken_source_stops_no_other_and_its_error_is_kept_until_it_works(app: App, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.xml", tmp_path / "bad.xml"
    good.write_bytes(RSS)
    bad.write_bytes(b"<!DOCTYPE html><html>")
    add(app, "bad", SourceKind.FEED, str(bad))
    add(app, "gone", SourceKind.CALENDAR, str(tmp_path / "none.ics"))
    add(app, "private", SourceKind.FEED, "https://127.0.0.1/feed")
    add(app, "good", SourceKind.FEED, str(good))
    told: list[str] = []
    outcomes = gather_sources(app.database, timezone="Europe/London", now=NOW, on_read=told.append)
    assert [(o.source, o.error is None) for o in outcomes] == [
        ("bad", False), ("gone", False), ("private", False), ("good", True),
    ]  # fmt: skip
    assert outcomes[3].counts.new == 1
    assert sorted(told) == ["bad", "gone", "good", "private"]
    bad.write_bytes(RSS.replace(b"A post", b"Another").replace(b">1<", b">2<"))
    gather_sources(app.database, ["bad"], timezone="Europe/London", now=NOW)
    with app.database.read() as session:
        errors = {s.name: s.error for s in session.scalars(select(Source))}
    assert errors["bad"] is None
    assert "There is no file" in (errors["gone"] or "")


def test_an_unknown_name_is_refused_before_anything_is_fetched(app: App) -> None:
    add(app, "events", SourceKind.CALENDAR, "https://example.org/x.ics")
    with pytest.raises(NotFound) as caught:
        gather_sources(app.database, ["event"], timezone="Europe/London", now=NOW)
    assert caught.value.hint == "Did you mean 'events'?"


async def test_a_source_is_asked_with_its_validators_and_may_answer_not_modified(site: Any, fetcher: Any) -> None:
    def answer(_path: str, headers: dict[str, str]) -> bytes:
        if headers.get("if-none-match") == '"1"':
            return site.response(status="304 Not Modified")
        return site.response(RSS, ETag='"1"')

    site.answers["/feed"] = answer
    spec = SourceSpec(SourceKind.FEED, site.url("/feed"))
    first = await read_source(spec, fetcher=fetcher, timezone="UTC", now=NOW)
    assert len(first.items) == 1
    again = SourceSpec(spec.kind, spec.location, etag=first.etag)
    second = await read_source(again, fetcher=fetcher, timezone="UTC", now=NOW)
    assert (second.not_modified, second.etag) == (True, '"1"')


async def test_a_feed_beyond_the_cap_is_read_as_far_as_it_goes_and_not_remembered(site: Any, fetcher: Any) -> None:
    item = b"<item><title>" + b"x" * 30_000 + b"</title></item>"
    site.say("/feed", RSS.replace(b"</channel></rss>", item * 100 + b"</channel></rss>"), ETag='"1"')
    spec = SourceSpec(SourceKind.FEED, site.url("/feed"))
    reading = await read_source(spec, fetcher=fetcher, timezone="UTC", now=NOW)
    assert len(reading.items) == 2  # the long ones are alike, so they are one
    assert "ends early" in reading.problems[0]
    assert reading.etag is None


@pytest.mark.parametrize(
    ("kind", "name", "body"),
    [
        (SourceKind.FEED, "a.xml", RSS),
        (SourceKind.WORDPRESS, "a.json", b'[{"id": 1, "title": {"rendered": "T"}, "content": {"rendered": "x"}}]'),
        (
            SourceKind.CALENDAR,
            "a.ics",
            b"BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:1\nDTSTART:20261201T100000Z\nEND:VEVENT\nEND:VCALENDAR",
        ),
        (SourceKind.MARKDOWN, "a.md", b"# T"),
    ],
)
async def test_every_kind_can_be_a_file(tmp_path: Path, fetcher: Any, kind: SourceKind, name: str, body: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(body)
    reading = await read_source(SourceSpec(kind, str(path)), fetcher=fetcher, timezone="UTC", now=NOW)
    assert len(reading.items) == 1


async def test_a_listing_page_saved_as_text_is_read(tmp_path: Path, fetcher: Any) -> None:
    path = tmp_path / "blog.txt"
    path.write_text(
        "Blog\n\nA first title\n\nSome words about it that go on for a while...\n\nA second title\n\nMore words...\n"
    )
    reading = await read_source(
        SourceSpec(SourceKind.ARCHIVE_TEXT, str(path)), fetcher=fetcher, timezone="UTC", now=NOW
    )
    assert reading.items


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "gopher://x/", "webcal://e.org/x.ics", "https://", "nowhere.xml", ""]
)
def test_a_location_is_a_web_address_or_an_existing_path(tmp_path: Path, location: str) -> None:
    with pytest.raises(InvalidValue):
        check_location(SourceKind.FEED, location, here=tmp_path / "none" if not location else tmp_path)


def test_a_path_is_stored_whole_and_a_folder_is_no_address(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_bytes(RSS)
    assert check_location(SourceKind.FEED, "a.xml", here=tmp_path) == str(tmp_path / "a.xml")
    with pytest.raises(InvalidValue, match="is a path"):
        check_location(SourceKind.MARKDOWN, "https://example.org/", here=tmp_path)


def test_a_moved_workspace_still_finds_its_own_files_and_no_item_changes(app: App, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    (first / "handbook").mkdir(parents=True)
    (first / "handbook" / "a.md").write_text("---\nimage: a.png\nimage_alt: A hall\n---\n# T\n\nWords.\n")
    Image.new("RGB", (200, 150)).save(first / "handbook" / "a.png")
    stored = check_location(SourceKind.MARKDOWN, "first/handbook", here=tmp_path, workspace=first)
    assert stored == "handbook"
    add(app, "handbook", SourceKind.MARKDOWN, stored)
    gather_sources(app.database, timezone="UTC", now=NOW, workspace=first)
    first.rename(second)
    (outcome,) = gather_sources(app.database, timezone="UTC", now=NOW, workspace=second)
    assert (outcome.error, outcome.counts.unchanged) == (None, 1)
    (picture,) = fetch_pictures(app.database, media=second / "media", now=NOW)
    assert (picture.source_url, picture.error) == ("handbook/a.png", None)


def test_a_look_stores_when_it_happened(app: App, tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_bytes(RSS)
    add(app, "a", SourceKind.FEED, str(tmp_path / "a.xml"))
    gather_sources(app.database, timezone="UTC", now=NOW + timedelta(hours=1))
    with app.database.read() as session:
        assert session.scalars(select(Source)).one().fetched_at == NOW + timedelta(hours=1)
