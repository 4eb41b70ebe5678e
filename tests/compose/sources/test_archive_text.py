"""The archive text source on three archives: two real ones, and one of another network written for these tests."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from datetime import date, datetime
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newsletter.compose.sources.archive_text import read_archive_text
from newsletter.compose.sources.item import SourceItem

LONDON = ZoneInfo("Europe/London")
PANTRY = Path(__file__).parent / "data" / "pantry_network.txt"
LISTING = "000_9921a497e019595a.txt"
PAGE = "002_68679f84301062ee.txt"

# Kind, title, truncated, stated: written by hand from a reading of the archives.
LISTED = [
    ("post", "Open Response Question: Chapter 6 – Supporting Victims of Modern Slavery", True, {"date": "2021-05-06"}),
    ("resource", "Booklets now available in other languages", True, {}),
    ("resource", "Coronavirus – materials and information (various languages)", False, {}),
    ("post", "Modern Slavery Webinar Series", True, {"held": "2019-10-14/2019-10-18"}),
    (
        "event",
        "Join us 12 December for our 10-year anniversary celebration!",
        True,
        {"day": "12-12", "weekday": "Thursday", "from": "14:00", "to": "17:00"},
    ),
    ("past-issue", "WMASN Newsletter May 2019", True, {"month": "2019-05"}),
    (
        "event",
        "Join us for a Volunteer Interest Morning! (1st June 2019)",
        True,
        {"day": "06-01", "date": "2019-06-01"},
    ),
    ("post", "National Lottery funding to tackle modern slavery in the West Midlands", True, {}),
    ("past-issue", "WMASN Newsletter December 2018", True, {"month": "2018-12"}),
    ("resource", "WMASN article in the Journal of Public Health (2 Nov 18)", True, {"date": "2018-11-02"}),
    ("past-issue", "WMASN Newsletter August 2018", True, {"month": "2018-08"}),
    ("past-issue", "WMASN Newsletter April 2018", True, {"month": "2018-04"}),
    ("post", "LIBERATE: Ode to Freedom by John Hunter", True, {}),
    ("resource", "Post-NRM living", False, {}),
    ("resource", "Nurses, Midwives and Modern Slavery", False, {}),
    ("resource", "Migration Statistics Briefing Paper (22 February 2018)", True, {"date": "2018-02-22"}),
    ("resource", "Modern Slavery: A council guide", True, {}),
    (
        "resource",
        "National Referral Mechanism Statistics: July to September 2017",
        True,
        {"period": "2017-07/2017-09"},
    ),
    ("past-issue", "WMASN Newsletter December 2017", True, {"month": "2017-12"}),
    ("resource", "Modern slavery and public health", True, {}),
    ("post", "Local Government Modern Slavery Workshops: UK-wide in 2018", True, {}),
    ("resource", "Attitudes to the National Referral Mechanism for identifying modern slavery victims", True, {}),
    ("resource", "Where are anti-slavery activities taking place?", False, {}),
    ("post", "GLA’s Human Trafficking Media Summary: 24th November 2017", True, {"date": "2017-11-24"}),
    (
        "resource",
        "17 Types of Modern Slavery Offences in the UK: Home Office Report October 2017",
        True,
        {"month": "2017-10"},
    ),
    (
        "event",
        "WMASN Anti Slavery Day Conference – Does Slavery Exist in Your Supply Chain? (18th October 2017)",
        True,
        {"day": "10-18", "date": "2017-10-18", "from": "09:00", "to": "13:00"},
    ),
    ("post", "West Midlands Health Engagement event on Modern Slavery", False, {"held": "2016-11-15"}),
    ("resource", "Report into Modern Slavery and Homelessness", False, {}),
    ("post", "Anti Slavery Commissioner’s letter to MP Sarah Newton", False, {"date": "2017-01-20"}),
    ("post", "IOM Return and Reintegration Projects for Victims of Trafficking", True, {}),
    ("post", "New MSc in Safeguarding at Birmingham City University", True, {}),
    ("past-issue", "WMASN Newsletter December 2016", False, {"month": "2016-12"}),
    (
        "post",
        "Updates from the West Midlands Anti-Slavery Network – 16 June 2014",
        True,
        {"date": "2014-06-16"},
    ),
]
ON_PAGE = [
    (
        "resource",
        "RUSI report of Disrupting Human Trafficking: The role of financial insitutions",
        False,
        {},
    ),
    ("post", "West Midlands Health Engagement event on Modern Slavery", False, {"held": "2016-11-15"}),
    ("resource", "Report into Modern Slavery and Homelessness", False, {}),
    ("post", "Anti Slavery Commissioner’s letter to MP Sarah Newton", False, {"date": "2017-01-20"}),
    ("post", "IOM Return and Reintegration Projects for Victims of Trafficking", False, {}),
    ("past-issue", "WMASN Newsletter", False, {"year": "2016"}),
    ("post", "Independent Anti-Slavery Commissioner", False, {}),
    ("post", "New MSc in Safeguarding at Birmingham City University", False, {}),
    ("post", "Updates from the Network – 16 June 2014", False, {"date": "2014-06-16"}),
    ("notice", "Suspect someone is a victim of modern slavery?", False, {}),
]
OF_PANTRIES = [
    ("post", "Winter appeal: what our shelves are short of", True, {"date": "2025-11-04"}),
    ("past-issue", "The Ladle, Issue 31 (Autumn 2025)", True, {"date": "2025-10-12", "season": "autumn 2025"}),
    (
        "event",
        "Harvest supper at the Guildhall – Friday 7 November, 6.30pm to 9pm",
        False,
        {"day": "11-07", "weekday": "Friday", "from": "18:30", "to": "21:00"},
    ),
    (
        "event",
        "Food hygiene training day (Tuesday 20 January 2026)",
        False,
        {"day": "01-20", "weekday": "Tuesday", "date": "2026-01-20", "from": "09:30", "to": "16:30"},
    ),
    ("resource", "Cooking on one ring: a booklet for people in temporary rooms", False, {"date": "2025-09-15"}),
    ("resource", "What our neighbours told us: Household Costs Report 2025", True, {"date": "2025-09-02"}),
    (
        "post",
        "Forty people came to the allotment open day",
        True,
        {"date": "2025-08-21", "held": "2025-08-16"},
    ),
    ("post", "Two new trustees", False, {"date": "2025-08-03"}),
    ("post", "New on our website: a map of every pantry", False, {"date": "2025-07-18"}),
    ("past-issue", "The Ladle, Issue 30 (June 2025)", True, {"date": "2025-06-30", "month": "2025-06"}),
    ("post", "Can you drive a van on Thursdays?", False, {"date": "2025-06-11"}),
    (
        "event",
        "Pantry coordinators' get-together",
        True,
        {"day": "07-09", "weekday": "Wednesday", "from": "14:00", "to": "16:00"},
    ),
    ("post", "Two new trustees", False, {"date": "2023-05-14"}),
    ("notice", "Hungry tonight?", False, {}),
]


@cache
def read(text: str) -> tuple[SourceItem, ...]:
    return read_archive_text(text, timezone="Europe/London").items


def facts(items: tuple[SourceItem, ...]) -> list[tuple[str, str, bool, dict[str, str]]]:
    return [(item.kind, item.title, item.truncated, item.stated) for item in items]


def by_title(items: tuple[SourceItem, ...], beginning: str) -> SourceItem:
    return next(item for item in items if item.title.startswith(beginning))


def as_set(items: tuple[SourceItem, ...]) -> set[str]:
    return {repr(item) for item in items}


@pytest.fixture(scope="module")
def listing(shared: Path) -> str:
    return (shared / "seeds" / LISTING).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(shared: Path) -> str:
    return (shared / "seeds" / PAGE).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pantry() -> str:
    return PANTRY.read_text(encoding="utf-8")


@pytest.fixture(params=["listing", "page", "pantry"])
def archive(request: pytest.FixtureRequest) -> str:
    """Each of the three archives in turn."""
    text: str = request.getfixturevalue(request.param)
    return text


def test_a_listing_gives_every_post_with_kind_and_dates(listing: str) -> None:
    reading = read_archive_text(listing, timezone="Europe/London")
    assert facts(reading.items) == LISTED
    assert reading.problems == ()


def test_every_summary_of_a_listing_is_the_words_of_its_block(listing: str) -> None:
    """Title and summary alternate there, so what must come out can be said without the reader."""
    blocks = [" ".join(block.split()) for block in listing.strip().split("\n\n")][1:]
    expected = [(title, re.sub(r" ?\.{3}$", "", text)) for title, text in zip(blocks[::2], blocks[1::2], strict=True)]
    assert [(item.title, item.summary) for item in read(listing)] == expected


def test_a_page_of_whole_posts_gives_every_post_and_the_standing_notice(page: str) -> None:
    reading = read_archive_text(page, timezone="Europe/London")
    assert facts(reading.items) == ON_PAGE
    assert reading.problems == ()


def test_an_archive_in_the_words_of_another_network_is_read_as_well(pantry: str) -> None:
    reading = read_archive_text(pantry, timezone="Europe/London")
    assert facts(reading.items) == OF_PANTRIES
    assert reading.problems == ()


def test_a_missing_year_stays_missing_however_the_weekday_falls(listing: str) -> None:
    event = by_title(read(listing), "Join us 12 December")
    assert (event.starts, event.ends, event.starts_on, event.published) == (None, None, None, None)
    assert event.missing == ("year",)
    assert event.place == "Carrs Lane Conference Centre"


def test_a_stated_year_gives_an_aware_time_in_the_organisations_zone(listing: str) -> None:
    event = by_title(read(listing), "WMASN Anti Slavery Day Conference")
    assert event.starts == datetime(2017, 10, 18, 9, 0, tzinfo=LONDON)
    assert event.ends == datetime(2017, 10, 18, 13, 0, tzinfo=LONDON)
    assert event.timezone == "Europe/London"
    assert event.missing == ("place",)


def test_a_day_without_a_time_is_a_day_and_the_time_is_asked_for(listing: str) -> None:
    event = by_title(read(listing), "Join us for a Volunteer")
    assert (event.starts, event.starts_on, event.ends_on) == (None, date(2019, 6, 1), date(2019, 6, 1))
    assert event.missing == ("time", "place")


def test_a_month_is_no_date_of_publication(listing: str) -> None:
    assert by_title(read(listing), "WMASN Newsletter May 2019").published is None


def test_the_day_of_a_past_event_is_no_date_of_publication(page: str) -> None:
    report = by_title(read(page), "West Midlands Health Engagement")
    assert (report.kind, report.published, report.starts) == ("post", None, None)


def test_only_a_link_that_the_text_points_to_is_the_posts_own(listing: str, pantry: str) -> None:
    """The post with three links has none of its own; a bare host that is pointed to counts."""
    linked = {item.title: item.url for item in read(listing) if item.url}
    assert linked == {"Where are anti-slavery activities taking place?": "https://iascmap.nottingham.ac.uk/"}
    supper = by_title(read(pantry), "Harvest supper")
    assert supper.url is None
    assert supper.booking_url == "https://tickets.pantrynetwork.example.org/harvest"


def test_details_captions_and_contacts_stay_in_their_post(page: str) -> None:
    items = read(page)
    body = by_title(items, "IOM Return").body_html
    assert "<h3>Summary of IOM Voluntary Return and Reintegration Assistance Projects" in body
    assert body.endswith("<p>IOM Main Office</p><p>0207 811 6000</p>")
    assert "<h3>WMASN Newsletter 2016</h3>" in by_title(items, "WMASN Newsletter").body_html


def test_a_byline_is_the_author_and_leaves_the_text(page: str) -> None:
    update = by_title(read(page), "Updates from the Network")
    assert update.authors == ("Kerry Scarlett",)
    assert "Written by" not in update.body_html
    assert "first published" not in update.body_html


def test_the_notice_keeps_its_words(page: str) -> None:
    notice = by_title(read(page), "Suspect someone")
    assert notice.summary == " ".join(page.splitlines()[0].split())


def test_two_posts_of_one_title_with_different_texts_stay_two(pantry: str) -> None:
    guids = {item.guid for item in read(pantry) if item.title == "Two new trustees"}
    assert len(guids) == 2


def test_a_post_shown_twice_is_one(pantry: str) -> None:
    assert as_set(read(pantry + "\n\n" + pantry)) == as_set(read(pantry))


RESPACINGS: dict[str, Callable[[str], str]] = {
    "crlf": lambda text: text.replace("\n", "\r\n"),
    "cr": lambda text: text.replace("\n", "\r"),
    "line separators": lambda text: text.replace("\n", "\u2028"),
    "blank lines twice": lambda text: re.sub(r"\n{2,}", lambda match: match[0] * 2, text),
    "one blank line everywhere": lambda text: re.sub(r"\n{2,}", "\n\n", text),
    "no-break spaces": lambda text: text.replace(" ", "\u00a0"),
    "blanks at line ends": lambda text: text.replace("\n", " \t\u00a0\n"),
    "indented": lambda text: re.sub(r"(?m)^", "    ", text),
    "wide spaces": lambda text: text.replace(" ", "   "),
    "byte order mark": lambda text: "\ufeff" + text + "\n\n\n",
    "zero width spaces": lambda text: text.replace(". ", ".\u200b "),
}


@pytest.mark.parametrize("respace", RESPACINGS.values(), ids=RESPACINGS.keys())
def test_line_ends_and_spacing_change_no_item(archive: str, respace: Callable[[str], str]) -> None:
    assert as_set(read(respace(archive))) == as_set(read(archive))


@pytest.mark.parametrize("seed", range(8))
def test_blank_lines_added_anywhere_change_no_item(archive: str, seed: int) -> None:
    rng = random.Random(seed)
    respaced = re.sub(r"\n{2,}", lambda match: match[0] + "\n" * rng.choice([0, 0, 1, 2]), archive)
    assert as_set(read(respaced)) == as_set(read(archive))


def posts_of(archive: str) -> list[str]:
    """Cut an archive before each title that its reading found (the reading itself is checked above)."""
    squeezed = "\n".join(" ".join(line.split()) for line in archive.splitlines())
    starts = []
    for item in read(archive):
        found = re.compile(rf"^{re.escape(item.title)}(?:$|(?<=\?) )", re.MULTILINE).finditer(squeezed)
        starts += [match.start() for match in found]
    ends = [*sorted(set(starts))[1:], len(squeezed)]
    return [squeezed[start:end].strip() for start, end in zip(sorted(set(starts)), ends, strict=True)]


@pytest.mark.parametrize("seed", range(8))
def test_posts_in_another_order_and_fewer_of_them_are_the_same_items(archive: str, seed: int) -> None:
    rng = random.Random(seed)
    posts = posts_of(archive)
    kept = rng.sample(posts, rng.randint(3, len(posts)))
    expected = {repr(item) for item in read(archive) if any(is_in(item, post) for post in kept)}
    assert as_set(read("Blog\n\n" + "\n\n\n".join(kept))) == expected


def is_in(item: SourceItem, post: str) -> bool:
    """A post is told apart by its title line and the first words of its text."""
    if not re.match(rf"{re.escape(item.title)}(?:\n|(?<=\?) |$)", post):
        return False
    return item.summary[:40] in post


@given(st.text(max_size=400))
@settings(max_examples=80, deadline=None)
def test_any_text_gives_an_answer(text: str) -> None:
    reading = read_archive_text(text, timezone="Europe/London")
    assert len({item.guid for item in reading.items}) == len(reading.items)


FRAGMENTS = st.sampled_from(
    [
        "Blog",
        "A title",
        "Join us on 31 February 2020 at 25pm",
        "12 December",
        "1/2/2020",
        "Posted on 3 May 2021 by Jo Smith",
        "Read more",
        "Call 0808 157 0190 in an emergency",
        "Text that ends with a stop.",
        "Text that was cut...",
        "...",
        "[…]",
        "----",
        "# Heading",
        "Venue: ",
        "Date: 5 May",
        "by ",
        "http://[::1",
        "www.",
        "(",
        "",
    ]
)


@given(st.lists(FRAGMENTS, max_size=25), st.sampled_from(["\n", "\n\n", "\r\n", " ", "\n\n\n"]))
@settings(max_examples=80, deadline=None)
def test_any_mixture_of_what_pages_hold_gives_items_with_titles(parts: list[str], between: str) -> None:
    for item in read(between.join(parts)):
        assert item.title.strip()
        assert item.starts is None or item.starts.tzinfo is not None


@pytest.mark.parametrize(
    "part",
    [
        "word ",
        "1 to ",
        "12 and ",
        "May ",
        "at The Hall, ",
        "a.com ",
        "a@b.",
        "newsletter ",
        "news & ",
        "(",
        "x’-",
        "\n",
        "Jo\n",
    ],
)
def test_time_grows_with_length_and_no_faster(part: str) -> None:
    """Eight times the text may take at most some twenty times as long: quadratic reading would take sixty-four."""

    def seconds(length: int) -> float:
        text = "A title here\n\n" + part * (length // len(part))
        begun = time.process_time()
        read_archive_text(text, timezone="Europe/London")
        return time.process_time() - begun

    short = max(min(seconds(4_000) for _ in range(3)), 0.002)
    assert seconds(32_000) < 20 * short + 0.2


def test_a_text_of_endless_lines_is_read_to_a_limit_and_says_so() -> None:
    reading = read_archive_text("a\n" * 25_000, timezone="Europe/London")
    assert reading.problems[-1].startswith("Only the first 20,000 lines were read, of 25,000")
