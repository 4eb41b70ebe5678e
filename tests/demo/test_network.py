"""The sample network is always as of this week."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from newsletter.demo.network import NETWORK, WRITTEN_ON, copy_network, shift_dates, weeks_until

WEEK = timedelta(weeks=1)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<pubDate>Thu, 26 Feb 2026 09:30:00 GMT</pubDate>", "<pubDate>Thu, 05 Mar 2026 09:30:00 GMT</pubDate>"),
        ('"date": "2026-02-27T11:00:00"', '"date": "2026-03-06T11:00:00"'),
        ("date: 2026-02-28", "date: 2026-03-07"),
        ("DTSTART;TZID=Europe/London:20260224T140000\r\n", "DTSTART;TZID=Europe/London:20260303T140000\r\n"),
        ("DTSTART;VALUE=DATE:20260326\r\n", "DTSTART;VALUE=DATE:20260402\r\n"),
        ("DTSTAMP:20260223T090000Z\r\n", "DTSTAMP:20260302T090000Z\r\n"),
        ("RRULE:FREQ=WEEKLY;INTERVAL=2;COUNT=6", "RRULE:FREQ=WEEKLY;INTERVAL=2;COUNT=6"),
        ("Telephone 0808 157 0192, order 12345678", "Telephone 0808 157 0192, order 12345678"),
    ],
)
def test_every_spelling_of_a_date_moves_and_nothing_else(before: str, after: str) -> None:
    assert shift_dates(before, WEEK) == after


@pytest.mark.parametrize("today", [WRITTEN_ON, date(2026, 11, 22), date(2026, 11, 23), date(2028, 2, 29)])
def test_the_move_is_whole_weeks_to_the_monday_of_this_week(today: date) -> None:
    shift = weeks_until(today)
    assert shift.days % 7 == 0
    assert today - timedelta(days=6) <= WRITTEN_ON + shift <= today


def test_the_copy_keeps_line_ends_and_leaves_the_bundle_alone(tmp_path: Path) -> None:
    before = (NETWORK / "calendar.ics").read_bytes()
    copy_network(tmp_path, date(2026, 11, 23))
    copied = (tmp_path / "calendar.ics").read_bytes()
    assert copied.count(b"\r\n") == copied.count(b"\n") == before.count(b"\n")
    assert b"20261203T100000" in copied
    assert (NETWORK / "calendar.ics").read_bytes() == before
    assert (tmp_path / "members.csv").read_bytes() == (NETWORK / "members.csv").read_bytes()


def test_nobody_in_the_bundle_could_be_real() -> None:
    lines = (NETWORK / "members.csv").read_text(encoding="utf-8-sig").splitlines()[1:]
    addresses = [line.split(",")[0] for line in lines]
    assert len({a.lower() for a in addresses}) == 500
    assert all(address.endswith(".example") for address in addresses)
