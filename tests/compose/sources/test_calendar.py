"""Calendars: each occurrence an item of its own, in the right zone; what is broken costs only itself."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from newsletter.compose.sources.calendar import Window, read_calendar
from newsletter.errors import SourceError

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
ODD_ZONE = """BEGIN:VTIMEZONE
TZID:Customized Time Zone
BEGIN:STANDARD
DTSTART:16010101T000000
TZOFFSETFROM:+0100
TZOFFSETTO:+0000
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:16010101T000000
TZOFFSETFROM:+0000
TZOFFSETTO:+0100
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3
END:DAYLIGHT
END:VTIMEZONE
"""


def event(*lines: str, uid: str = "a@example.org", summary: str = "Meeting") -> str:
    return "\n".join(["BEGIN:VEVENT", f"UID:{uid}", f"SUMMARY:{summary}", *lines, "END:VEVENT"]) + "\n"


def calendar(*events: str, head: str = "") -> bytes:
    return f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\n{head}{''.join(events)}END:VCALENDAR\n".encode()


def read(*events: str, head: str = "", **options: Any) -> Any:
    return read_calendar(calendar(*events, head=head), timezone="Europe/London", now=NOW, **options)


def test_a_timed_event_is_told_whole() -> None:
    item = read(
        event(
            "DTSTART;TZID=Europe/Paris:20261210T140000", "DTEND;TZID=Europe/Paris:20261210T160000", "SEQUENCE:3",
            "LOCATION:Town Hall\\, Dudley", "URL:https://e.org/m?utm_source=ics", "CATEGORIES:Training,Police",
            "DESCRIPTION:Come along.\\nBook at https://www.eventbrite.co.uk/e/123.",
            "ORGANIZER;CN=Jo Bloggs:mailto:j@e.org",
            "CREATED:20261001T080000Z",
        )
    ).items[0]  # fmt: skip
    assert (item.guid, item.uid, item.recurrence_id, item.sequence) == ("a@example.org", "a@example.org", None, 3)
    assert item.starts.isoformat() == "2026-12-10T14:00:00+01:00"
    assert item.ends.isoformat() == "2026-12-10T16:00:00+01:00"
    assert (item.timezone, item.place, item.url) == ("Europe/Paris", "Town Hall, Dudley", "https://e.org/m")
    assert item.booking_url == "https://www.eventbrite.co.uk/e/123"
    assert (item.categories, item.authors) == (("Training", "Police"), ("Jo Bloggs",))
    assert item.published == datetime(2026, 10, 1, 8, 0, tzinfo=UTC)


def test_whole_days_end_on_their_last_day() -> None:
    one, several, same = read(
        event("DTSTART;VALUE=DATE:20261201", uid="1"),
        event("DTSTART;VALUE=DATE:20261202", "DTEND;VALUE=DATE:20261205", uid="2"),
        event("DTSTART;VALUE=DATE:20261206", "DTEND;VALUE=DATE:20261206", uid="3"),
    ).items
    assert (one.starts, one.starts_on, one.ends_on) == (None, date(2026, 12, 1), date(2026, 12, 1))
    assert (several.starts_on, several.ends_on) == (date(2026, 12, 2), date(2026, 12, 4))
    assert (same.starts_on, same.ends_on) == (date(2026, 12, 6), date(2026, 12, 6))


def test_a_duration_gives_the_end_and_several_days_are_kept() -> None:
    item = read(event("DTSTART:20261210T140000Z", "DURATION:P2DT1H")).items[0]
    assert item.ends - item.starts == timedelta(days=2, hours=1)


@pytest.mark.parametrize(
    ("start", "head", "told", "zone"),
    [
        ("DTSTART:20270701T100000", "", "2027-07-01T10:00:00+01:00", "Europe/London"),
        ("DTSTART:20270701T100000", "X-WR-TIMEZONE:Europe/Paris\n", "2027-07-01T10:00:00+02:00", "Europe/Paris"),
        ("DTSTART:20270701T090000Z", "", "2027-07-01T10:00:00+01:00", "Europe/London"),
        ("DTSTART;TZID=GMT Standard Time:20270701T100000", "", "2027-07-01T10:00:00+01:00", "Europe/London"),
        (
            "DTSTART;TZID=/maker.example/20070129/Europe/Paris:20270701T100000",
            "",
            "2027-07-01T10:00:00+02:00",
            "Europe/Paris",
        ),
        ("DTSTART;TZID=Customized Time Zone:20270701T100000", ODD_ZONE, "2027-07-01T10:00:00+01:00", "Europe/London"),
        ("DTSTART;TZID=Nowhere/Atall:20270701T100000", "", "2027-07-01T10:00:00+01:00", "Europe/London"),
    ],
)
def test_times_are_told_in_the_zone_that_they_mean(start: str, head: str, told: str, zone: str) -> None:
    item = read(event(start), head=head).items[0]
    assert (item.starts.isoformat(), item.timezone) == (told, zone)


def test_two_calendars_may_call_different_zones_by_one_name() -> None:
    other = ODD_ZONE.replace("TZOFFSETFROM:+0100\nTZOFFSETTO:+0000", "TZOFFSETFROM:+0600\nTZOFFSETTO:+0500")
    start = "DTSTART;TZID=Customized Time Zone:20261210T100000"
    assert read(event(start), head=ODD_ZONE).items[0].starts.astimezone(UTC).hour == 10
    assert read(event(start), head=other).items[0].starts.astimezone(UTC).hour == 5


def test_a_repeating_event_keeps_its_clock_over_the_change_of_hour() -> None:
    items = read(event("DTSTART;TZID=Europe/London:20270320T180000", "RRULE:FREQ=WEEKLY;COUNT=3")).items
    assert [i.starts.isoformat() for i in items] == [
        "2027-03-20T18:00:00+00:00", "2027-03-27T18:00:00+00:00", "2027-04-03T18:00:00+01:00",
    ]  # fmt: skip
    assert [i.recurrence_id for i in items] == ["20270320T180000Z", "20270327T180000Z", "20270403T170000Z"]
    assert len({i.guid for i in items}) == 3


def test_exdate_rdate_moved_and_cancelled_occurrences_are_followed() -> None:
    items = read(
        event(
            "DTSTART;TZID=Europe/London:20261201T100000", "DTEND;TZID=Europe/London:20261201T110000",
            "RRULE:FREQ=WEEKLY;COUNT=4", "EXDATE;TZID=Europe/London:20261208T100000",
            "RDATE;TZID=Europe/London:20270105T100000",
        ),
        event("RECURRENCE-ID;TZID=Europe/London:20261215T100000",
            "DTSTART;TZID=Europe/London:20261216T150000", "SEQUENCE:1"),
        event("RECURRENCE-ID:20261222T100000Z",
            "DTSTART;TZID=Europe/London:20261222T100000", "STATUS:CANCELLED", "SEQUENCE:1"),
    ).items  # fmt: skip
    assert [(i.recurrence_id, f"{i.starts:%m-%d %H}", i.cancelled) for i in items] == [
        ("20261201T100000Z", "12-01 10", False),
        ("20261215T100000Z", "12-16 15", False),
        ("20261222T100000Z", "12-22 10", True),
        ("20270105T100000Z", "01-05 10", False),
    ]


def test_a_cancelled_series_and_a_calendar_of_cancellations_cancel_all() -> None:
    assert all(
        i.cancelled
        for i in read(event("DTSTART:20261201T100000Z", "RRULE:FREQ=DAILY;COUNT=3", "STATUS:CANCELLED")).items
    )
    assert read(event("DTSTART:20261201T100000Z"), head="METHOD:CANCEL\n").items[0].cancelled


def test_of_two_versions_the_higher_sequence_holds_whatever_their_order() -> None:
    old = event("DTSTART:20261201T100000Z", "SEQUENCE:1", summary="Old")
    new = event("DTSTART:20261202T100000Z", "SEQUENCE:2", summary="New")
    assert [i.title for i in read(old, new).items] == ["New"]
    assert [i.title for i in read(new, old).items] == ["New"]


def test_an_event_without_a_start_is_named_and_the_others_go_on() -> None:
    reading = read(
        event(summary="Lost"),
        event("DTSTART:garbage", uid="2", summary="Odd"),
        event("DTSTART:20261201T100000Z", uid="3"),
    )
    assert [i.uid for i in reading.items] == ["3"]
    assert [p.split("'")[1] for p in reading.problems] == ["Lost", "Odd"]


def test_private_events_are_no_news() -> None:
    assert read(event("DTSTART:20261201T100000Z", "CLASS:PRIVATE")).items == ()


def test_what_is_over_long_ago_or_far_ahead_is_not_read() -> None:
    items = read(
        event("DTSTART:20260801T100000Z", uid="1"),
        event("DTSTART:20261020T100000Z", uid="2"),
        event("DTSTART:20290101T100000Z", uid="3"),
        event("DTSTART:20261201T100000Z", uid="4"),
    ).items
    assert [i.uid for i in items] == ["4", "2"]


def test_the_window_is_an_argument() -> None:
    window = Window.around(NOW, behind=timedelta(days=1), ahead=timedelta(days=10))
    items = read(event("DTSTART:20261101T100000Z", "RRULE:FREQ=DAILY"), window=window).items
    assert len(items) == 11


@pytest.mark.parametrize(
    "rule", ["FREQ=SECONDLY", "FREQ=MINUTELY;INTERVAL=5", "FREQ=HOURLY", "FREQ=DAILY;BYHOUR=1,2,3;BYMINUTE=1,2,3"]
)
def test_what_repeats_more_often_than_daily_is_left_out_at_once(rule: str) -> None:
    started = time.monotonic()
    reading = read(event("DTSTART:19700101T100000Z", f"RRULE:{rule}"), event("DTSTART:20261201T100000Z", uid="2"))
    assert time.monotonic() - started < 1
    assert [i.uid for i in reading.items] == ["2"]
    assert "more often than daily" in reading.problems[0]
    assert not reading.complete


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=31",
        "FREQ=WEEKLY;BYDAY=MO;BYMONTH=2;BYMONTHDAY=31;COUNT=3",
        "FREQ=MONTHLY;BYDAY=MO;BYSETPOS=300;UNTIL=20300101T000000Z",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
    ],
)
def test_a_rule_that_never_falls_due_costs_neither_time_nor_the_other_events(rule: str) -> None:
    started = time.process_time()
    weekly = event("DTSTART:20261201T100000Z", "RRULE:FREQ=WEEKLY;COUNT=2", uid="2")
    reading = read(event("DTSTART:20000131T100000Z", f"RRULE:{rule}"), weekly)
    assert time.process_time() - started < 2
    assert [i.uid for i in reading.items] == ["2", "2"]
    assert "never falls due" in reading.problems[0]


def test_a_daily_rule_of_more_than_a_century_is_left_out_and_a_leap_day_is_not() -> None:
    old = event("DTSTART:18000101T100000Z", "RRULE:FREQ=DAILY", uid="1")
    leap = event("DTSTART;VALUE=DATE:20240229", "RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", uid="2")
    reading = read(old, leap, window=Window(NOW, NOW + timedelta(days=1000)))
    assert [str(i.starts_on) for i in reading.items] == ["2028-02-29"]
    assert "repeats daily since 1800" in reading.problems[0]


def test_the_address_that_stands_for_a_picture_is_not_its_description() -> None:
    line = 'IMAGE;VALUE=URI;ALTREP="https://example.org/about":https://example.org/hall.jpg'
    (item,) = read(event("DTSTART:20261201T100000Z", line)).items
    assert (item.image_url, item.image_alt) == ("https://example.org/hall.jpg", None)


def test_an_endless_daily_event_is_cut_at_the_cap_with_the_next_ones_first() -> None:
    reading = read(event("DTSTART:20200101T100000Z", "RRULE:FREQ=DAILY"))
    assert len(reading.items) == 200
    assert f"{reading.items[0].starts:%Y-%m-%d}" == "2026-11-02"
    assert not reading.complete


@pytest.mark.parametrize(
    "ending", ["", "BEGIN:VEVENT\nUID:9\nDTSTART:2026", "BEGIN:VEVENT\nUID:9\nDTSTART:20261201T100000Z\n"]
)
def test_a_truncated_calendar_keeps_its_whole_events_and_says_so(ending: str) -> None:
    body = calendar(event("DTSTART:20261201T100000Z")).decode().replace("END:VCALENDAR\n", ending)
    reading = read_calendar(body.encode(), timezone="Europe/London", now=NOW)
    assert [i.uid for i in reading.items] == ["a@example.org"]
    assert "ends early" in reading.problems[0]
    assert not reading.complete


def test_a_line_that_is_no_line_costs_only_its_event() -> None:
    reading = read(
        event("this is no content line", "DTSTART:20261201T100000Z", uid="1"),
        event("DTSTART:20261201T100000Z", uid="2"),
    )
    assert "2" in [i.uid for i in reading.items]


@pytest.mark.parametrize("body", [b"", b"<html>", b"BEGIN:VCARD\nEND:VCARD"])
def test_what_is_no_calendar_is_an_error_in_words(body: bytes) -> None:
    with pytest.raises(SourceError, match="no calendar"):
        read_calendar(body, timezone="Europe/London", now=NOW)


@pytest.mark.parametrize("line_end", ["\r\n", "\n", "\r"])
def test_any_line_ends_and_folded_lines_are_read(line_end: str) -> None:
    body = calendar(event("DTSTART:20261201T100000Z", "LOCATION:A very long \n place")).replace(
        b"\n", line_end.encode()
    )
    assert read_calendar(body, timezone="Europe/London", now=NOW).items[0].place == "A very long place"


def test_a_whole_calendar_says_that_it_is_complete() -> None:
    assert read(event("DTSTART:20261201T100000Z")).complete
