"""The archive shows what everybody got of the issues that were published, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date, timedelta

import feedparser
import httpx
import icalendar
import pytest
from lxml import etree, html
from sqlalchemy import select

from newsletter.app import App
from newsletter.compose import archive
from newsletter.config.settings import Config
from newsletter.errors import Conflict
from newsletter.publishing.archiving import publish_issue
from newsletter.render.links import event_mark
from newsletter.tables import ArchiveText, Block, BlockKind, Issue, IssueState, Item, ItemState
from newsletter.web.atom import Entry, atom_feed
from tests.conftest import smallest_config
from tests.web.conftest import NOW, make_event
from tests.web.test_protection import HTML, SCRIPT, SNAPSHOT, STRICT, STYLE, carried, digest

HOSTILE = '</script><script>alert(1)</script> & "x" <b>\u2028'


@pytest.fixture
def config() -> Config:
    return smallest_config(archive={"enabled": True})


@pytest.fixture
def publish(app: App) -> Callable[..., None]:
    """Return a function that puts an issue into the archive."""

    def do(slug: str = "2026-11", *, indexed: bool | None = None, state: IssueState = IssueState.SENT) -> None:
        with app.database.write() as session:
            found = session.scalars(select(Issue).where(Issue.slug == slug)).one()
            found.state = state
            publish_issue(app, session, found, indexed=indexed)

    return do


@pytest.fixture
def published(issue, publish) -> None:
    """One issue with an event for all and one for some, in the archive."""
    issue()
    publish()


def add_issues(app: App, count: int, *, subject: str = "Issue {n}") -> None:
    with app.database.write() as session:
        for n in range(count):
            made = Issue(
                slug=f"old-{n:03}", state=IssueState.SENT, subject=subject.format(n=n), created_at=NOW, edited_at=NOW,
                edited_by="tester", planned_at=NOW - timedelta(days=n + 1),
            )  # fmt: skip
            session.add(made)
            session.flush()
            publish_issue(app, session, made, indexed=None)


def change_item(app: App, called: str, /, **values: object) -> None:
    with app.database.write() as session:
        item = session.scalars(select(Item).where(Item.title == called)).one()
        for name, value in values.items():
            setattr(item, name, value)


def test_what_was_not_published_is_nowhere_in_the_archive(site: httpx.Client, issue) -> None:
    issue()
    everything = [site.get(p).text for p in ("/archive", "/archive?q=november", "/archive/feed.atom")]
    assert "2026-11" not in "".join(everything)
    assert "BEGIN:VEVENT" not in site.get("/archive/events.ics").text
    assert site.get("/archive/2026-11").status_code == 404


def test_where_the_archive_is_off_it_does_not_exist(app: App, published, serve) -> None:
    app.config = smallest_config()
    with serve(app) as address, httpx.Client(base_url=address, trust_env=False) as client:
        for path in ("/archive", "/archive/2026-11", "/archive/feed.atom", "/archive/events.ics"):
            assert (path, client.get(path).status_code) == (path, 404)
        assert "Allow" not in client.get("/robots.txt").text


def test_only_what_members_got_can_be_published(issue, publish) -> None:
    issue(planned=False, tested=True)
    with pytest.raises(Conflict, match="a draft"):
        publish(state=IssueState.DRAFT)
    with pytest.raises(Conflict):
        publish(state=IssueState.SENT)  # it has no plan


def test_a_monthly_digest_is_no_issue_of_the_archive(app: App, issue, publish) -> None:
    """It holds what each of its readers is owed, parts for some only among it."""
    issue()
    with app.database.write() as session:
        session.scalars(select(Issue)).one().digest_of = "2026-11"
    with pytest.raises(Conflict, match="monthly digest"):
        publish()


def test_the_list_shows_subject_day_and_preview_line(site: httpx.Client, published) -> None:
    page = html.fromstring(site.get("/archive").content)
    row = page.find(".//ol/li")
    assert row.find("a").get("href") == "archive/2026-11"
    assert " ".join("".join(row.itertext()).split()) == "November for friend Monday, 2 November 2026 What is on"
    assert page.findtext(".//title") == "Past issues"


def test_nothing_for_some_readers_only_is_shown_anywhere(app: App, site: httpx.Client, published) -> None:
    """Neither on a page, nor in feed and calendar, nor as the answer of a search."""
    paths = ["/archive", "/archive/2026-11", "/archive/feed.atom", "/archive/events.ics", "/archive?q=police"]
    answers = {path: site.get(path).text for path in paths}
    assert [path for path, text in answers.items() if "Police" in text] == []
    assert "For all" in answers["/archive/2026-11"]
    assert "0 issues found" in answers["/archive?q=police"]
    assert "2026-11" not in answers["/archive?q=police"]
    with app.database.read() as session:
        assert "police" not in " ".join(session.scalars(select(ArchiveText.words)))


def test_the_page_of_an_issue_has_landmarks_nothing_personal_and_a_way_back(site: httpx.Client, published) -> None:
    answer = site.get("/archive/2026-11")
    page = html.fromstring(answer.content)
    assert [e.tag for e in page.iter("header", "main", "footer")] == ["header", "main", "footer"]
    links = [a.get("href") for a in page.iterfind(".//footer//a")]
    assert links[0] == "../archive"
    assert all(link.endswith("/requests") for link in links[1:])
    assert "Dear friend," in answer.text
    assert "unsubscribe" not in answer.text.lower()
    assert "/preferences" not in answer.text


def test_search_engines_are_kept_out_until_somebody_lets_them_in(site: httpx.Client, issue, publish) -> None:
    issue()
    publish()
    before = site.get("/archive/2026-11")
    assert before.headers["x-robots-tag"] == "noindex, nofollow"
    assert 'content="noindex' in before.text
    assert site.get("/archive").headers["x-robots-tag"] == "noindex, nofollow"
    publish(indexed=True)
    after = site.get("/archive/2026-11")
    assert after.headers["x-robots-tag"] == "all"
    assert "noindex" not in after.text
    assert site.get("/archive").headers["x-robots-tag"] == "noindex, follow"
    publish(indexed=None)
    assert site.get("/archive/2026-11").headers["x-robots-tag"] == "all"


def test_an_issue_taken_out_is_gone_at_once(app: App, site: httpx.Client, published) -> None:
    assert site.get("/archive/2026-11").status_code == 200
    with app.database.write() as session:
        archive.unpublish(session, session.scalars(select(Issue)).one())
    assert site.get("/archive/2026-11").status_code == 404
    assert "2026-11" not in site.get("/archive?q=november").text
    assert "VEVENT" not in site.get("/archive/events.ics").text


def test_an_item_that_the_chair_hides_leaves_the_archive_and_a_cancelled_event_says_so(
    app: App, site: httpx.Client, published
) -> None:
    assert "For all" in site.get("/archive/2026-11").text
    change_item(app, "For all", state=ItemState.CANCELLED, updated_at=NOW + timedelta(hours=1))
    assert "Cancelled: For all" in site.get("/archive/2026-11").text
    assert "STATUS:CANCELLED" in site.get("/archive/events.ics").text
    change_item(app, "For all", state=ItemState.HIDDEN)
    assert "For all" not in site.get("/archive/2026-11").text
    assert "For all" not in site.get("/archive").text
    assert "VEVENT" not in site.get("/archive/events.ics").text
    assert "0 issues found" in site.get("/archive?q=all").text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("november", True),
        ("NOV", True),
        ("ovember", False),
        ("november welcome", True),
        ("november absent", False),
        ("friend", True),
        ("first_name", False),
        ("library mill", True),
        ("%", True),  # no word at all: the whole list
        ("nov%", True),
        ("no_ember", False),
        ("'; DROP TABLE issues --", False),
        ("\x00november", True),
        ("ŃÓVEMBER", True),
    ],
)
@pytest.mark.parametrize("where", ["sqlite", pytest.param("postgresql", marks=pytest.mark.journey)])
def test_search_finds_every_word_by_its_beginning(request, where: str, query: str, found: bool) -> None:
    app = searchable(request, where)
    with app.database.read() as session:
        page = archive.listed(session, query, 1)
        assert page is not None
        assert bool(page.issues) == found


def searchable(request: pytest.FixtureRequest, where: str) -> App:
    app: App = request.getfixturevalue("app" if where == "sqlite" else "app_on_postgresql")
    with app.database.write() as session:
        made = Issue(
            slug="2026-11", state=IssueState.SENT, subject="November for {{first_name|friend}}", letter="Wélcome.",
            created_at=NOW, edited_at=NOW, edited_by="tester", planned_at=NOW,
        )  # fmt: skip
        session.add(made)
        item = make_event(id=1)
        snapshot = {"kind": "event", "title": "Drop-in", "place": "Library, Mill Lane"}
        made.blocks.append(Block(section="events", position=1, kind=BlockKind.ITEM, item=item, snapshot=snapshot))
        session.flush()
        publish_issue(app, session, made, indexed=None)
    return app


@pytest.mark.parametrize("where", ["sqlite", pytest.param("postgresql", marks=pytest.mark.journey)])
def test_both_databases_know_the_same_coming_events(request, where: str) -> None:
    app = searchable(request, where)
    with app.database.read() as session:
        zone = app.config.organisation.zone
        coming = archive.coming_events(session, now=NOW, zone=zone)
        assert [item.id for item in coming] == [1]
        assert archive.coming_events(session, now=NOW + timedelta(days=60), zone=zone) == []
        assert archive.is_indexed_event(session, 1) is False
        assert archive.has_indexed(session) is False


def test_scripts_without_spaces_are_found_in_the_middle(app: App) -> None:
    add_issues(app, 1, subject="十一月通讯")
    with app.database.read() as session:
        assert [archive.listed(session, query, 1).total for query in ("月通", "通月")] == [1, 0]  # type: ignore[union-attr]


def test_what_was_searched_is_shown_as_text_only(site: httpx.Client, published) -> None:
    answer = site.get("/archive", params={"q": HOSTILE})
    field = html.fromstring(answer.content).find(".//input[@name='q']")
    assert field.get("value") == HOSTILE.strip()
    assert "alert(1)</script>" not in answer.text


def test_the_list_has_pages_and_none_beyond_the_last(app: App, site: httpx.Client) -> None:
    add_issues(app, archive.PAGE_LENGTH + 2)
    first, second = site.get("/archive"), site.get("/archive?page=2")
    assert [len(html.fromstring(a.content).findall(".//ol/li")) for a in (first, second)] == [archive.PAGE_LENGTH, 2]
    assert 'href="archive?page=2"' in first.text
    assert 'href="archive?page=1"' in second.text
    assert "archive?page=3" not in second.text
    for page in ("3", "0", "-1", "x", "99999999999999999999", "1e3"):
        assert site.get(f"/archive?page={page}").status_code == 404
    assert "archive?q=issue&amp;page=2&amp;lang=en-GB" in site.get("/archive?q=issue&lang=en").text


def test_what_a_reader_has_already_is_not_sent_again(app: App, site: httpx.Client, published) -> None:
    event = event_path(app, 1)
    paths = ["/archive", "/archive/2026-11", "/archive/feed.atom", "/archive/events.ics", event, f"{event}.ics"]
    for path in paths:
        answer = site.get(path)
        assert answer.headers["cache-control"] == "no-cache"
        again = site.get(path, headers={"if-none-match": f'"other", W/{answer.headers["etag"]}'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", answer.headers["etag"])
        assert without_length(again) == without_length(answer), path  # a browser lays these over what it has kept
        assert site.get(path, headers={"if-none-match": '"other"'}).status_code == 200
        assert site.head(path).headers["etag"] == answer.headers["etag"]


def without_length(answer: httpx.Response) -> dict[str, str]:
    return {n: v for n, v in answer.headers.items() if n not in ("date", "content-length", "content-type")}


def test_a_date_counts_only_where_no_tag_is_given(site: httpx.Client, published) -> None:
    path = "/archive/2026-11"
    modified = site.get(path).headers["last-modified"]
    assert modified == "Mon, 02 Nov 2026 09:30:00 GMT"
    assert site.get(path, headers={"if-modified-since": modified}).status_code == 304
    assert site.get(path, headers={"if-modified-since": "Mon, 02 Nov 2026 09:29:59 GMT"}).status_code == 200
    assert site.get(path, headers={"if-modified-since": "yesterday"}).status_code == 200
    assert site.get(path, headers={"if-modified-since": modified, "if-none-match": '"x"'}).status_code == 200


def test_a_page_is_rendered_once_until_something_on_it_changes(app: App, site: httpx.Client, published) -> None:
    before = site.get("/archive/2026-11").headers["etag"]
    with app.database.write() as session:
        session.scalars(select(Issue)).one().letter = "Changed without a trace"  # nobody can: it is frozen
    assert site.get("/archive/2026-11").headers["etag"] == before
    change_item(app, "For all", updated_at=NOW + timedelta(hours=1))
    assert site.get("/archive/2026-11").headers["etag"] != before


def test_the_feed_is_read_by_a_feed_reader(site: httpx.Client, published) -> None:
    answer = site.get("/archive/feed.atom")
    assert answer.headers["content-type"] == "application/atom+xml"
    feed = feedparser.parse(answer.content)
    assert not feed.bozo
    assert (feed.version, feed.feed.title, feed.feed.author) == ("atom10", "Example Network", "Example Network")
    entry = feed.entries[0]
    assert (entry.title, entry.link) == ("November for friend", "https://news.example.org/archive/2026-11")
    assert (entry.id, entry.summary) == ("tag:example.org,2026:newsletter/1", "What is on")
    assert entry.updated == "2026-11-02T09:30:00Z"


def test_a_feed_holds_whatever_a_subject_holds() -> None:
    title = HOSTILE + "\x00\x0b\ufffe\ud800]]>"
    entries = [Entry(1, "x", title, title, "ar", NOW)]
    content = atom_feed(entries, web_url="https://a.example", domain="a.example", name=title, empty_since=NOW)
    assert etree.fromstring(content).findtext("{*}entry/{*}title") == '</script><script>alert(1)</script> & "x" <b> ]]>'


def test_the_calendar_asks_to_be_read_again_and_its_events_are_those_of_their_files(
    app: App, site: httpx.Client, published
) -> None:
    answer = site.get("/archive/events.ics")
    assert answer.headers["content-type"].startswith("text/calendar")
    assert "REFRESH-INTERVAL;VALUE=DURATION:PT6H" in answer.text
    assert "X-PUBLISHED-TTL:PT6H" in answer.text
    assert "BEGIN:VTIMEZONE" in answer.text
    calendar = icalendar.Calendar.from_ical(answer.content)
    alone = icalendar.Calendar.from_ical(site.get(event_path(app, 1) + ".ics").content)
    assert [e.to_ical() for e in calendar.events] == [e.to_ical() for e in alone.events]


def test_a_changed_event_replaces_the_one_in_the_calendar(app: App, site: httpx.Client, published) -> None:
    def event() -> icalendar.Event:
        return icalendar.Calendar.from_ical(site.get("/archive/events.ics").content).events[0]

    before = event()
    change_item(app, "For all", place="Town Hall", updated_at=NOW + timedelta(seconds=5))
    after = event()
    assert before["uid"] == after["uid"]
    assert after["sequence"] > before["sequence"]
    assert after["location"] == "Town Hall"


def test_a_past_event_leaves_the_calendar_and_one_of_today_stays(app: App, site: httpx.Client, published) -> None:
    change_item(app, "For all", starts_at=None, ends_at=None, starts_on=date(2026, 11, 1), ends_on=date(2026, 11, 2))
    assert "VEVENT" in site.get("/archive/events.ics").text
    change_item(app, "For all", ends_on=date(2026, 11, 1))
    assert "VEVENT" not in site.get("/archive/events.ics").text


def event_path(app: App, item_id: int) -> str:
    return f"/events/{item_id}-{event_mark(app.keys.marks.current, item_id)}"


def test_an_event_has_a_page_that_machines_read(app: App, site: httpx.Client, published) -> None:
    answer = site.get(event_path(app, 1))
    page = html.fromstring(answer.content)
    data = json.loads(page.findtext(".//script[@type='application/ld+json']"))
    assert (data["@type"], data["name"], data["startDate"]) == ("Event", "For all", "2026-12-03T14:00:00+00:00")
    assert data["location"]["name"] == "Library, Mill Lane"
    assert [dd.text_content() for dd in page.iterfind(".//dd")] == [
        "Thursday, 3 December 2026",
        "14:00–16:00 GMT",
        "Library, Mill Lane",
    ]
    assert page.findtext(".//title") == "Event"
    calendar = page.xpath("//a[contains(@href, '.ics')]/@href")[0]
    assert site.get(f"/events/{calendar}").status_code == 200


def test_what_others_wrote_into_an_event_runs_nowhere(app: App, site: httpx.Client, published) -> None:
    change_item(app, "For all", title=HOSTILE, summary=HOSTILE, place=HOSTILE, url="javascript:alert(1)")
    answer = site.get(event_path(app, 1))
    page = html.fromstring(answer.content)
    assert json.loads(page.findtext(".//script[@type='application/ld+json']"))["name"] == HOSTILE
    assert len(page.findall(".//script")) == 2
    assert "javascript:" not in "".join(page.xpath("//@href"))
    assert "javascript:" not in site.get(f"{event_path(app, 1)}.ics").text


def test_an_event_may_be_found_by_engines_only_through_an_issue_that_may(
    app: App, site: httpx.Client, issue, publish
) -> None:
    issue()
    publish()
    assert site.get(event_path(app, 1)).headers["x-robots-tag"] == "noindex, nofollow"
    publish(indexed=True)
    allowed, of_some = site.get(event_path(app, 1)), site.get(event_path(app, 2))
    assert allowed.headers["x-robots-tag"] == "all"
    assert "noindex" not in allowed.text
    assert of_some.headers["x-robots-tag"] == "noindex, nofollow"
    assert 'content="noindex' in of_some.text


def test_an_event_is_not_found_by_counting(site: httpx.Client, published) -> None:
    assert {site.get(f"/events/{name}").status_code for name in ("1", "1-", "1-AAAAAAAAAAAAAAAA", "x")} == {404}


def test_robots_may_read_an_open_archive_where_each_page_says_what_may_be_kept(site: httpx.Client) -> None:
    assert site.get("/robots.txt").text.splitlines() == [
        "User-agent: *",
        "Allow: /archive",
        "Allow: /events/",
        "Allow: /media/",
        "Disallow: /",
    ]


def test_links_of_the_archive_are_relative_so_that_it_works_below_a_path(site: httpx.Client, published) -> None:
    for path in ("/archive", "/archive/2026-11"):
        ours = [h for h in html.fromstring(site.get(path).content).xpath("//@href | //@action") if ":" not in h]
        assert ours
        assert [h for h in ours if re.match("/", h)] == []


ARCHIVE_HEADERS = {
    "/archive": {**HTML, "cache-control": "no-cache"},
    "/archive/2026-11": {**SNAPSHOT["/view/{name}"], "cache-control": "no-cache"},
    "/archive/feed.atom": {"content-type": "application/atom+xml", "cache-control": "no-cache"},
    "/archive/events.ics": {
        "content-type": "text/calendar; charset=utf-8; method=PUBLISH",
        "cache-control": "no-cache",
    },
    "EVENT": {**HTML, "cache-control": "no-cache"},
}


def test_the_headers_of_the_archive(app: App, site: httpx.Client, published) -> None:
    page = site.get("/nothing").text
    script, style = digest(SCRIPT.search(page)), digest(STYLE.search(page))
    for path, headers in ARCHIVE_HEADERS.items():
        answer = site.get(path.replace("EVENT", event_path(app, 1)))
        assert (path, answer.status_code, carried(answer, script, style)) == (path, 200, {**STRICT, **headers})
