"""The forms in which listings, dates, times and places are written, one rule a test."""

from __future__ import annotations

from datetime import date, datetime, time
from zoneinfo import ZoneInfo

import pytest

from newsletter.compose.sources.archive_text import read_archive_text
from newsletter.compose.sources.archive_text.dates import find_dates, find_times, proves_day_first
from newsletter.compose.sources.item import Reading, SourceItem

LONDON = ZoneInfo("Europe/London")


def reading(text: str) -> Reading:
    return read_archive_text(text, timezone="Europe/London")


def only(text: str) -> SourceItem:
    (item,) = reading(text).items
    return item


def titles(text: str) -> list[str]:
    return [item.title for item in reading(text).items]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("on 6th May 2021 at", date(2021, 5, 6)),
        ("the 22 February 2018 from", date(2018, 2, 22)),
        ("(2 Nov 18)", date(2018, 11, 2)),
        ("October 18th, 2017", date(2017, 10, 18)),
        ("Wednesday, 18 October 2017", date(2017, 10, 18)),
        ("1st of June 2019.", date(2019, 6, 1)),
        ("2018-11-02", date(2018, 11, 2)),
        ("31/12/2019", date(2019, 12, 31)),
        ("12/31/2019", date(2019, 12, 31)),
        ("4.4.2020", date(2020, 4, 4)),
        ("18.10.2017", date(2017, 10, 18)),
        ("29 February 2024", date(2024, 2, 29)),
    ],
)
def test_a_whole_date_is_read_in_any_common_form(text: str, expected: date) -> None:
    assert [stated.full for stated in find_dates(text)] == [expected]


@pytest.mark.parametrize("text", ["31 February 2020", "29 February 2023", "in 4 may be", "99 March", "section 3.12"])
def test_what_is_no_date_is_not_read_as_one(text: str) -> None:
    assert [stated for stated in find_dates(text) if stated.day is not None] == []


def test_two_digits_in_a_sentence_are_no_year() -> None:
    (stated,) = find_dates("On 5 Nov 20 volunteers came")
    assert (stated.month_and_day, stated.year, stated.full, stated.last) == ("11-05", None, None, None)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("14 - 18 October 2019", date(2019, 10, 14), date(2019, 10, 18)),
        ("30 May to 2 June 2021", date(2021, 5, 30), date(2021, 6, 2)),
        ("12th & 13th March 2020", date(2020, 3, 12), date(2020, 3, 13)),
        ("March 12-13, 2020", date(2020, 3, 12), date(2020, 3, 13)),
    ],
)
def test_a_span_of_days_keeps_both_ends(text: str, first: date, last: date) -> None:
    (stated,) = find_dates(text)
    assert (stated.full, stated.last) == (first, last)


def test_two_dates_in_a_list_are_no_span() -> None:
    assert len(find_dates("5 June 2020 and 3 May 2020")) == 2
    assert len(find_dates("5 June 2019 to 7 June 2020")) == 2


def test_a_month_a_period_and_a_season_are_kept_as_such() -> None:
    month, period, season = find_dates("May 2019; July to September 2017; Spring 2020")
    assert month.months == ("2019-05", "2019-05")
    assert period.months == ("2017-07", "2017-09")
    assert season.season == "spring 2020"


def test_a_numeric_date_is_day_first_only_where_its_page_proves_it() -> None:
    assert find_dates("03/04/2019")[0].as_written == "03/04/2019"
    assert find_dates("03/04/2019", day_first=True)[0].full == date(2019, 4, 3)
    assert proves_day_first("31/12/2019 and 03/04/2019")
    assert not proves_day_first("31/12/2019 and 03/14/2019")
    assert not proves_day_first("03/04/2019")


@pytest.mark.parametrize(
    ("text", "starts", "ends"),
    [
        ("2pm to 5pm", time(14), time(17)),
        ("2 to 5pm", time(14), time(17)),
        ("11-1pm", time(11), time(13)),
        ("09.00hrs - 13.00hrs", time(9), time(13)),
        ("9:30 am until 12 noon", time(9, 30), time(12)),
        ("18:00–20:30", time(18), time(20, 30)),
        ("7.30 p.m.", time(19, 30), None),
        ("1400 hrs", time(14), None),
        ("midday", time(12), None),
        ("12.15am", time(0, 15), None),
        ("10pm to 2am", time(22), None),
    ],
)
def test_a_time_is_read_in_any_common_form(text: str, starts: time, ends: time | None) -> None:
    (found,) = find_times(text)
    assert (found.starts, found.ends) == (starts, ends)


@pytest.mark.parametrize(
    "text", ["2 to 5", "2.30 - 4.30", "£10.50", "25pm", "13pm", "10:75", "page 18.00", "2-4 people", "5 to 25:00"]
)
def test_what_may_be_no_time_is_not_read_as_one(text: str) -> None:
    assert list(find_times(text)) == []


def test_a_title_directly_above_its_text_needs_no_blank_line() -> None:
    text = "First title\nThe first text has a full stop.\n\nSecond title\nThe second text has one too.\n"
    assert titles(text) == ["First title", "Second title"]


def test_hard_wrapped_paragraphs_are_joined() -> None:
    text = (
        "Winter shelter opens its doors\n\n"
        "The shelter in Cross Street is open from tonight, with thirty beds and a meal\n"
        "for everybody. Volunteers are needed for the early shift, from five to nine in\nthe morning.\n"
    )
    assert only(text).summary.endswith("from five to nine in the morning.")


def test_marked_headings_are_titles_whatever_they_end_with() -> None:
    text = (
        "# Blog\n\n## We have moved.\n\nThe office is at the mill now.\n\nUnderlined\n======\nIts text stands here.\n"
    )
    assert titles(text) == ["We have moved.", "Underlined"]


def test_a_date_above_each_title_belongs_to_the_title_below() -> None:
    text = "3 May 2021\n\nA first post\n\nIts text is here.\n\n12 April 2021\n\nA second post\n\nIts text is there.\n"
    assert [(item.title, item.published) for item in reading(text).items] == [
        ("A first post", date(2021, 5, 3)),
        ("A second post", date(2021, 4, 12)),
    ]


def test_author_and_categories_are_read_from_the_lines_beside_a_post() -> None:
    text = (
        "How we count\n\nby Maya Singh and Jo Roe | 3 June 2022 | News\n\n"
        "Counting people is not easy.\n\nFiled under: Data, Streets\n"
    )
    item = only(text)
    assert (item.authors, item.published) == (("Maya Singh", "Jo Roe"), date(2022, 6, 3))
    assert item.categories == ("News",)


def test_a_text_that_its_page_cut_closes_its_post() -> None:
    """Only there may the next line be a title although it ends with a full stop."""
    text = "A first post\n\nThe text begins […]\n\nWe have moved.\n\nThe office is now at the old mill in Dock Road.\n"
    assert titles(text) == ["A first post", "We have moved."]


@pytest.mark.parametrize("mark", ["...", "…", "[...]", "[…]", " (…)", "… Read more", "... Continue reading →"])
def test_each_mark_of_a_cut_text_is_kept_as_truncated(mark: str) -> None:
    item = only(f"A title\n\nThe shelter is open from tonight and{mark}\n")
    assert (item.truncated, item.summary) == (True, "The shelter is open from tonight and")


def test_four_dots_are_a_full_stop_and_a_cut() -> None:
    item = only("A title\n\nThe first sentence....\n")
    assert (item.truncated, item.summary) == (True, "The first sentence.")


def test_the_lines_around_posts_are_no_posts() -> None:
    around = (
        "Skip to content\nHome | News | Contact us\nLatest news\nSearch\n\nA title\n\nA text.\n\nRead more\n\n"
        "Share this\n\n3 Comments\n\nOlder posts\n\n1 2 3 … 14 Next »\n\n© 2020 Someone\nPrivacy policy\n"
    )
    assert titles(around) == ["A title"]


def test_a_text_without_a_title_is_named_and_not_given_an_invented_one() -> None:
    read = reading("A first post\n\nThe text was cut...\n\n" + "This long text lost its title. " * 8)
    assert [item.title for item in read.items] == ["A first post"]
    assert read.problems[0].startswith("Left out, because no title stands above it: 'This long text lost")


def test_titles_without_texts_are_posts_without_a_summary() -> None:
    items = reading("Archive\n\nNew roof for the shelter\nNewsletter March 2020\n").items
    assert [(item.kind, item.title, item.summary) for item in items] == [
        ("post", "New roof for the shelter", ""),
        ("past-issue", "Newsletter March 2020", ""),
    ]


def test_a_title_above_a_sentence_with_a_number_stays_a_title() -> None:
    assert titles("Volunteers needed\n\nCall Jo on 0121 496 0000\n") == ["Volunteers needed"]


@pytest.mark.parametrize(
    ("title", "text"),
    [
        ("Safe Haven e-bulletin, spring 2024", "What the houses did."),
        ("The Lantern – October edition", "In this issue: new beds and a recipe."),
        ("Our summer newsletter is out!", "Read it with a cup of tea."),
        ("Members' digest no. 14", "All that happened."),
        ("News from the kitchen, June 2022", "Read our June newsletter to learn about the new ovens."),
    ],
)
def test_newsletters_of_the_past_are_past_issues(title: str, text: str) -> None:
    assert only(f"{title}\n\n{text}\n").kind == "past-issue"


@pytest.mark.parametrize(
    ("title", "text"),
    [
        ("Sign up to our newsletter by post", "We print forty copies for those without a computer."),
        ("Could you be a trustee?", "We need two trustees. Join us! Apply by 12 June."),
        ("Housing consultation", "The council's consultation closes on 4 April 2026. Tell them what you think."),
        ("Photos from the open day (16 August 2025)", "Rain held off."),
        ("Summer fair raises £900", "The fair was held on 6 July. Thank you to everyone who came."),
        ("Opening hours at Christmas", "We are closed from 24 December until 2 January."),
        ("New helpline launched", "Our new helpline is open from today: call 0808 157 0190, 24 hours a day."),
        ("Material wanted", "Leaflets needed: report from the committee."),
    ],
)
def test_what_only_resembles_them_is_a_post(title: str, text: str) -> None:
    assert only(f"{title}\n\n{text}\n").kind == "post"


@pytest.mark.parametrize(
    ("title", "text"),
    [
        ("A new leaflet for schools", "It explains in plain words what a refuge is."),
        ("Annual report 2022/23", "Our year in figures."),
        ("Plain words about debt", "We have produced a short guide for families. It has six pages."),
        ("What the street count found", "The newly released statistics show sixty-one people."),
        ("Cooking for one", "Download our free recipe cards."),
    ],
)
def test_papers_are_resources(title: str, text: str) -> None:
    assert only(f"{title}\n\n{text}\n").kind == "resource"


def test_a_call_after_a_look_back_takes_the_day_of_the_next() -> None:
    item = only(
        "Summer fair\n\nThe summer fair was held on 6 July and raised £900."
        " Our next fair will be held on 7 December 2025, 11am to 3pm, at the depot.\n"
    )
    assert (item.kind, item.starts) == ("event", datetime(2025, 12, 7, 11, tzinfo=LONDON))


def test_details_on_lines_of_their_own_make_an_event() -> None:
    item = only(
        "Food parcel packing day\n\nDate: Saturday 14 February 2026\nTime: 10am - 1pm\n"
        "Venue: Unit 4, Dock Road, Grimsby\nBook: https://example.org/pack?utm_source=x#top\n"
    )
    assert (item.kind, item.published, item.missing) == ("event", None, ())
    assert item.starts == datetime(2026, 2, 14, 10, tzinfo=LONDON)
    assert item.place == "Unit 4, Dock Road, Grimsby"
    assert item.booking_url == "https://example.org/pack"


def test_a_span_of_days_without_a_time_is_all_of_them() -> None:
    item = only("Conference: homes for all\n\nIt takes place on 12-13 March 2026 at the Royal Armouries, Leeds.\n")
    assert (item.starts_on, item.ends_on, item.place) == (
        date(2026, 3, 12),
        date(2026, 3, 13),
        "Royal Armouries, Leeds",
    )


def test_an_event_whose_day_is_to_be_told_asks_for_it() -> None:
    item = only("Annual conference\n\nBook your place now. Speakers will be announced soon.\n")
    assert (item.kind, item.missing) == ("event", ("date", "time", "place"))


THEMED = """\
Harbour Youth Network
Messing about in boats since 1987
Home
About
Contact
Boat week is back
by Lena Marsh | Mar 3, 2024 | News | 0 comments
We will take 60 young people out on the water this summer...
Youth worker training – Thursday 18 April 2024, 9.30am to 4pm
by Lena Marsh | Mar 1, 2024 | Training & events | 0 comments
At the Quay Hub, 3 Dock Road, Plymouth. Lunch is included...
E-news, issue 7 (January 2024)
by admin | Feb 2, 2024 | Newsletters, Updates | 2 comments
In this issue: the new skate park and a thank you to our drivers...
Safeguarding toolkit for clubs
by admin | Jan 20, 2024 | Resources | 0 comments
Download the toolkit, with checklists for trips (PDF, 1.2 MB)
Read the rest of this entry »
If you are in crisis call Samaritans on 116 123, free, day or night.
Recent posts
Boat week is back
Safeguarding toolkit for clubs
Archives
March 2024
Proudly powered by WordPress
© 2024 Harbour Youth Network
"""


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\n\n"])
def test_what_a_blog_theme_puts_around_and_beside_posts_is_none_of_them(ends: str) -> None:
    items = read_archive_text(THEMED.replace("\n", ends), timezone="Europe/London").items
    assert [(i.kind, i.title[:20], i.published and i.published.isoformat(), i.authors) for i in items] == [
        ("post", "Boat week is back", "2024-03-03", ("Lena Marsh",)),
        ("event", "Youth worker trainin", "2024-03-01", ("Lena Marsh",)),
        ("past-issue", "E-news, issue 7 (Jan", "2024-02-02", ()),
        ("resource", "Safeguarding toolkit", "2024-01-20", ()),
        ("notice", "If you are in crisis", None, ()),
    ]
    assert items[1].place == "Quay Hub, 3 Dock Road, Plymouth"
    assert items[2].categories == ("Newsletters", "Updates")
    assert items[3].summary.startswith("Download the toolkit")


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ("takes place on Thursday 30 March 2023 at 6pm on Zoom. All welcome.", "Online (Zoom)"),
        ("is on Wed 20 Nov 2024, 1pm - 2.30pm, online (Microsoft Teams). Register now.", "Online (Microsoft Teams)"),
        ("is held on 3 May 2023 at 7pm at the Town Hall.", "Town Hall"),
    ],
)
def test_a_clock_time_is_no_place(words: str, place: str) -> None:
    assert only(f"Annual general meeting\n\nOur annual general meeting {words}\n").place == place


def test_a_place_may_follow_the_time_in_a_title() -> None:
    title = "Cook-along – Friday 9 January 2026, 5.30pm, St Luke's Hall, Gateshead"
    assert only(f"{title}\n\nCook together, eat together. No need to book.\n").place == "St Luke's Hall, Gateshead"


def test_an_event_of_whole_days_has_the_zone_of_its_days() -> None:
    item = only("Carers conference\n\nJoin us for the conference on 12 May 2027 at the Town Hall. To book, ring us.\n")
    assert (item.kind, str(item.starts_on), item.timezone) == ("event", "2027-05-12", "Europe/London")


def test_an_ambiguous_numeric_day_is_kept_as_written_and_asked_for() -> None:
    item = only("Trustee meeting 12/05/2021\n\nThe meeting is held on 12/05/2021 at 7pm at the Town Hall.\n")
    assert (item.kind, item.starts, item.stated["as_written"]) == ("event", None, "12/05/2021")
    assert item.missing == ("date",)


def test_a_weekday_that_contradicts_its_date_is_reported_and_nothing_is_changed() -> None:
    read = reading("Annual meeting\n\nJoin us at the Guildhall on Wednesday 9 July 2026 at 2pm.\n")
    assert read.items[0].starts == datetime(2026, 7, 9, 14, tzinfo=LONDON)
    assert "Wednesday 2026-07-09, which is a Thursday" in read.problems[0]


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ("at St. Mary's Hall, Church Street.", "St. Mary's Hall, Church Street"),
        ("at our warehouse on Mill Lane, from 2pm.", "our warehouse on Mill Lane"),
        ("at the Guildhall on Sunday.", "Guildhall"),
        ("in Birmingham.", "Birmingham"),
        ("online via Zoom.", "Online (Zoom)"),
        ("at no cost to you.", None),
    ],
)
def test_a_place_is_the_name_after_at(words: str, place: str | None) -> None:
    assert only(f"Training day\n\nJoin us on 4 March 2024 {words}\n").place == place


def test_a_place_that_the_page_cut_is_asked_for() -> None:
    item = only("Training day\n\nJoin us on 4 March 2024, 2pm to 3pm, at Holy Trinity...\n")
    assert (item.place, item.stated["place"], item.missing) == (None, "Holy Trinity", ("place",))


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("The map is here: https://example.org/map.", "https://example.org/map"),
        ("Read more at example.org.uk/map", "https://example.org.uk/map"),
        ("See https://a.example.org and https://b.example.org.", None),
        ("They use https://example.org every day of the week.", None),
        ("Write to jo@example.org about it.", None),
        ("The map is here: https://example.org/ma...", None),
        ("It is here: https://localhost/x.", None),
        ("It is here: http://[::1 and gone.", None),
    ],
)
def test_a_post_has_an_address_only_when_its_text_points_to_one(text: str, url: str | None) -> None:
    assert only(f"Where help is\n\nWe drew a map. {text}\n").url == url


def test_words_of_the_page_are_escaped_in_the_body() -> None:
    assert (
        only("A title\n\n<script>alert(1)</script> & more.\n").body_html
        == "<p>&lt;script&gt;alert(1)&lt;/script&gt; &amp; more.</p>"
    )


def test_a_guid_survives_quotes_dashes_and_spacing() -> None:
    plain = only('What\'s new - today\n\nIt is "open" now.\n')
    typeset = only("What’s  new – today\n\n\nIt is “open” now.\n")
    assert plain.guid == typeset.guid


def test_a_notice_below_its_own_question_is_one_notice() -> None:
    (notice,) = reading(
        "Need help tonight?\n\nCall the Larder Line on 0808 157 0190. In an emergency dial 999.\n"
    ).items
    assert (notice.kind, notice.title) == ("notice", "Need help tonight?")
    assert notice.summary.endswith("dial 999.")


def test_a_notice_between_posts_leaves_both_whole() -> None:
    items = reading(
        "A first post\n\nIts text is here.\n\nIn danger? Ring the Larder Line on 0808 157 0190 or dial 999.\n\n"
        "A second post\n\nIts text is there.\n"
    ).items
    assert [(item.kind, item.title) for item in items] == [
        ("post", "A first post"),
        ("post", "A second post"),
        ("notice", "In danger?"),
    ]


def test_a_name_above_a_number_is_no_title_unless_the_text_above_was_cut() -> None:
    whole = "A first post\n\nThe text is whole.\n\nJo Roe, coordinator\n\n0121 496 0000\n"
    assert titles(whole) == ["A first post"]
    cut = "A first post\n\nThe text was cut...\n\nJo Roe, coordinator\n\n0121 496 0000\n"
    assert titles(cut) == ["A first post", "Jo Roe, coordinator"]


def test_a_wrapped_line_goes_on_although_the_next_begins_with_a_capital() -> None:
    text = (
        "Bed count\n\nThe shelter in Cross Street is open from tonight, with thirty beds, as\n"
        "announced. It was built by the volunteers of the parish and of the Friends\n"
        "Meeting House in Bridge Street.\n"
    )
    assert only(text).body_html.count("<p>") == 1


def test_a_heading_inside_a_long_post_is_no_post_where_titles_keep_their_distance() -> None:
    post = "Title {0}\n\nA first paragraph.\n\nA second one.\n\nA heading within\n\nA third one."
    items = reading("\n\n\n\n".join(post.format(number) for number in range(6))).items
    assert [item.title for item in items] == [f"Title {number}" for number in range(6)]
    assert all("<h3>A heading within</h3>" in item.body_html for item in items)


def test_a_weekday_may_follow_its_date() -> None:
    assert find_dates("12 December (Thursday)")[0].weekday == "Thursday"


def test_a_line_about_someone_is_no_byline() -> None:
    assert titles("By the numbers\n\nFour hundred households answered.\n") == ["By the numbers"]


def test_a_bracket_around_an_address_is_not_part_of_it() -> None:
    assert only("A map\n\nWe drew a map (here: https://example.org/map).\n").url == "https://example.org/map"


def test_a_summary_too_long_for_a_card_is_cut_and_its_body_is_whole() -> None:
    item = only("A title\n\n" + "Many words follow each other here, " * 100 + "and end.\n")
    assert (len(item.summary) <= 2000, item.truncated, item.body_html.endswith("and end.</p>")) == (True, True, True)


def test_an_ambiguous_date_in_a_title_is_kept_as_written() -> None:
    item = only("Statement of 03/04/2019\n\nWe stand by our neighbours.\n")
    assert (item.published, item.stated) == (None, {"as_written": "03/04/2019"})


def test_emoji_made_of_several_characters_stay_whole() -> None:
    assert only("Family day 👨‍👩‍👧 is back\n\nMore soon.\n").title == "Family day 👨‍👩‍👧 is back"


def test_two_days_are_no_span_and_both_are_stated() -> None:
    item = only(
        "First aid course\n\nBook your place on our course on 4 and 11 October at the fire station in Wisbech.\n"
    )
    assert item.stated == {"day": "10-04", "also": "10-11"}
    assert item.place == "fire station in Wisbech"


def test_a_region_far_from_the_day_is_no_place() -> None:
    item = only(
        "Open day\n\nJoin us on 4 March 2024 to hear how eleven pantries began to work together in Yorkshire.\n"
    )
    assert item.place is None


def test_a_place_may_follow_the_time_after_a_comma() -> None:
    item = only(
        "Summit, 21 November 2018\n\nSave the date. 10.00am - 3.30pm, The Maltings, Ely. Speakers to be told.\n"
    )
    assert item.place == "The Maltings, Ely"


def test_a_person_after_the_time_is_no_place() -> None:
    assert only("Open day\n\nJoin us on 4 March 2024. From 2pm, Pat will talk about bees.\n").place is None
