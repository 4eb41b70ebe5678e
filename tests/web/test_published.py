"""What the site shows of an issue: its page, its pictures, its events' calendar files."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, date, datetime, timedelta

import httpx
import icalendar
import pytest
from lxml import html
from sqlalchemy import select

from newsletter.app import App
from newsletter.render.links import event_mark
from newsletter.tables import Issue, Item, ItemState, Picture
from newsletter.web.calendar_file import calendar_file, sequence_number
from newsletter.web.published import media_path
from tests.web.conftest import NOW, make_event
from tests.web.test_protection import SCRIPT, digest


def read(content: bytes | None) -> icalendar.Calendar:
    assert content is not None
    found = icalendar.Calendar.from_ical(content)
    assert isinstance(found, icalendar.Calendar)
    return found


def file_of(item: Item) -> bytes | None:
    return calendar_file(item, host="news.example.org", fallback_timezone="Europe/London")


def test_a_calendar_file_names_zone_uid_and_method() -> None:
    content = file_of(make_event(starts_at=datetime(2026, 7, 3, 13, 0, tzinfo=UTC), ends_at=None))
    assert content
    text = content.decode()
    assert "DTSTART;TZID=Europe/London:20260703T140000" in text
    assert "BEGIN:VTIMEZONE" in text
    calendar = read(content)
    event = calendar.events[0]
    assert calendar["method"] == "PUBLISH"
    assert event["uid"] == "event-7@news.example.org"
    assert str(event["location"]) == "Library, Mill Lane"
    assert str(event["description"]) == "Bring letters.\nAsk anything."
    assert all(len(line) <= 75 for line in content.split(b"\r\n"))


def test_the_last_day_of_an_all_day_event_is_in_it() -> None:
    item = make_event(starts_at=None, ends_at=None, starts_on=date(2026, 12, 3), ends_on=date(2026, 12, 4))
    event = read(file_of(item)).events[0]
    assert event["dtstart"].dt == date(2026, 12, 3)
    assert event["dtend"].dt == date(2026, 12, 5)


def test_an_event_whose_day_is_not_known_has_no_file() -> None:
    assert file_of(make_event(starts_at=None, ends_at=None)) is None


def test_a_cancelled_event_says_so_under_the_same_uid() -> None:
    before, after = (read(file_of(make_event(state=s))).events[0] for s in (ItemState.ACTIVE, ItemState.CANCELLED))
    assert after["status"] == "CANCELLED"
    assert before["uid"] == after["uid"]


def test_the_sequence_rises_with_each_change_whoever_made_it() -> None:
    by_hand = sequence_number(0, NOW, NOW + timedelta(hours=1))
    at_source = sequence_number(1, NOW, NOW + timedelta(hours=2))
    assert 0 == sequence_number(0, NOW, NOW) < by_hand < at_source


@pytest.mark.parametrize(
    "name", ["../config.toml", "x.jpg", "a" * 64 + ".svg", "a" * 64 + ".jpg/", "A" * 64 + ".jpg", "a" * 64 + ".jpg\n"]
)
def test_only_a_name_that_is_a_hash_reaches_the_folder(app: App, name: str) -> None:
    assert media_path(app.workspace.media, name) is None


def test_a_picture_is_served_for_ever_with_its_type(app: App, site: httpx.Client) -> None:
    data = b"\xff\xd8\xff not quite a picture"
    name = hashlib.sha256(data).hexdigest() + ".jpg"
    (app.workspace.media / name).write_bytes(data)
    answer = site.get(f"/media/{name}")
    assert (answer.status_code, answer.content) == (200, data)
    assert answer.headers["content-type"] == "image/jpeg"
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert site.head(f"/media/{name}").headers["content-length"] == str(len(data))


@pytest.mark.parametrize("path", ["/media/..%2f..%2fsecrets%2flinks.key", "/media/%2e%2e/secrets/links.key"])
def test_no_path_leaves_the_media_folder(site: httpx.Client, path: str) -> None:
    assert site.get(path).status_code == 404


def test_the_page_of_an_issue_holds_what_is_for_everybody_and_nothing_personal(site, issue) -> None:
    answer = site.get(f"/view/{issue()}")
    assert answer.status_code == 200
    assert "For all" in answer.text
    assert "Dear friend," in answer.text
    assert "Police only" not in answer.text
    assert "/unsubscribe/" not in answer.text
    assert "sandbox" in answer.headers["content-security-policy"]
    policy = answer.headers["content-security-policy"]
    assert re.findall("script-src ([^;]*)", policy) == [f"'{digest(SCRIPT.search(answer.text))}'"]
    assert "allow-same-origin" not in policy
    assert "allow-forms" not in policy


def test_the_title_of_an_issues_page_is_neutral_and_has_the_way_out(site, issue) -> None:
    page = html.fromstring(site.get(f"/view/{issue()}").content)
    assert page.findtext(".//title") == "Newsletter, Monday 2 November 2026"
    assert page.findtext(".//h1") == "November for friend"
    leave = page.find(".//header//a[@class='exit']")
    assert (leave.get("href"), leave.get("rel")) == ("https://www.bbc.co.uk/weather", "noreferrer nofollow")
    assert [e.tag for e in page.iter("header", "main", "footer")] == ["header", "main", "footer"]


def test_the_pictures_of_the_page_come_from_the_same_site(app: App, site, issue) -> None:
    name = issue()
    with app.database.write() as session:
        picture = Picture(source_url="x", file_name="a" * 64 + ".jpg", width=64, height=64, bytes=9, fetched_at=NOW)
        session.add(picture)
        session.flush()
        session.scalars(select(Issue)).one().letter_picture_id = picture.id
    text = site.get(f"/view/{name}").text
    assert f'src="../media/{"a" * 64}.jpg"' in text
    assert "news.example.org/media" not in text


def test_the_page_of_an_issue_needs_its_mark(site: httpx.Client, issue) -> None:
    name = issue()
    wrong = [name[:-1] + ("A" if name[-1] != "A" else "B"), "2026-11", "2026-11-", "-" + name[-16:], name + "x"]
    assert {site.get(f"/view/{w}").status_code for w in wrong} == {404}


@pytest.mark.parametrize(("planned", "tested", "status"), [(True, False, 200), (False, True, 200), (False, False, 404)])
def test_a_draft_that_nobody_got_shows_neither_page_nor_events(app, site, issue, planned, tested, status) -> None:
    name = issue(planned=planned, tested=tested)
    assert site.get(f"/view/{name}").status_code == status
    assert site.get(calendar_path(app, 1)).status_code == status


def test_an_event_of_an_issue_has_a_calendar_file_and_others_have_none(app: App, site, issue) -> None:
    issue()
    with app.database.write() as session:
        session.add(make_event(id=99, title="Not announced"))
    answer = site.get(calendar_path(app, 1))
    assert answer.headers["content-type"].startswith("text/calendar")
    assert read(answer.content).events[0]["uid"] == "event-1@news.example.org"
    number = "9" * 20
    names = [calendar_path(app, n) for n in (99, 100)] + [
        "/events/abc.ics",
        f"/events/{number}.ics",
        f"/events/{number}-x.ics",
    ]
    assert {site.get(path).status_code for path in names} == {404}


def test_an_event_is_not_found_by_counting(app: App, site, issue) -> None:
    issue()
    stolen = calendar_path(app, 2).replace("/2-", "/1-")
    assert {site.get(path).status_code for path in ("/events/1.ics", "/events/1-.ics", stolen)} == {404}


def calendar_path(app: App, item_id: int) -> str:
    return f"/events/{item_id}-{event_mark(app.keys.marks.current, item_id)}.ics"
