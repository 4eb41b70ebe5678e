"""The sending window: the clock on the wall decides, also when it jumps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newsletter.config.settings import SendWindow
from newsletter.send.window import DAYS, Window

LONDON = ZoneInfo("Europe/London")
MINUTE = timedelta(minutes=1)


def window(days: tuple[str, ...] = (), start: str = "09:00", end: str = "17:00", zone: ZoneInfo = LONDON) -> Window:
    made = Window.of(SendWindow(days=days, start=start, end=end), zone)
    assert made is not None
    return made


def local(text: str, zone: ZoneInfo = LONDON) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


def test_without_a_window_there_is_none():
    assert Window.of(None, LONDON) is None


@pytest.mark.parametrize(
    ("now", "is_open"),
    [
        ("2026-11-02T09:00", True),
        ("2026-11-02T08:59:59", False),
        ("2026-11-02T16:59:59", True),
        ("2026-11-02T17:00", False),
        ("2026-11-07T12:00", False),
        ("2026-07-01T09:00", True),
        ("2026-07-01T08:59", False),
    ],
)
def test_it_is_open_in_office_hours_of_its_zone(now, is_open):
    assert window(("mon", "tue", "wed", "thu", "fri")).is_open(local(now).astimezone(UTC)) is is_open


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-11-02T07:00", "2026-11-02T09:00"),
        ("2026-11-02T17:00", "2026-11-03T09:00"),
        ("2026-11-06T18:00", "2026-11-09T09:00"),
        ("2026-03-28T18:00", "2026-03-30T09:00"),
        ("2026-10-24T18:00", "2026-10-26T09:00"),
    ],
)
def test_it_opens_on_the_next_day_that_is_allowed(now, opens):
    weekdays = window(("mon", "tue", "wed", "thu", "fri"))
    assert weekdays.opens_at(local(now).astimezone(UTC)) == local(opens)


def test_an_open_window_opens_now():
    now = local("2026-11-02T12:00")
    assert window().opens_at(now) == now


def test_a_window_to_midnight_goes_on_into_the_next_day():
    assert window(start="00:00", end="24:00").is_open(local("2026-11-02T23:59:59"))
    assert window(("mon",), start="00:00", end="24:00").opens_at(local("2026-11-03T00:00")) == local("2026-11-09T00:00")


def test_a_start_that_the_clock_leaps_over_is_when_it_has_leapt():
    """In London 01:00 to 02:00 does not exist on 29 March 2026."""
    early = window(start="01:30", end="05:00")
    opens = early.opens_at(datetime(2026, 3, 28, 12, tzinfo=UTC))
    assert opens == datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert not early.is_open(opens - MINUTE)


def test_a_window_that_the_clock_leaps_over_whole_opens_a_day_later():
    assert window(start="01:10", end="01:50").opens_at(datetime(2026, 3, 28, 12, tzinfo=UTC)) == local(
        "2026-03-30T01:10"
    )


def test_a_start_that_comes_twice_opens_twice():
    """In London 01:00 to 02:00 comes twice on 25 October 2026."""
    early = window(start="01:30", end="05:00")
    assert early.opens_at(datetime(2026, 10, 24, 12, tzinfo=UTC)) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert early.opens_at(datetime(2026, 10, 25, 1, 10, tzinfo=UTC)) == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)


@settings(max_examples=60, deadline=None)
@given(
    st.sets(st.sampled_from(DAYS)),
    st.integers(0, 23 * 60),
    st.integers(1, 24 * 60),
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 (a zone is added)
    st.sampled_from(["Europe/London", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu"]),
)
def test_it_opens_when_it_says_and_not_before(days, start, length, now, zone):
    end = min(24 * 60, start + length)
    found = Window(tuple(days) or DAYS, start, end, ZoneInfo(zone))
    opens = found.opens_at(now)
    assert found.is_open(opens)
    assert opens >= now
    if opens > now:
        step = max(MINUTE, (opens - now) / 200)
        assert not any(found.is_open(now + n * step) for n in range(200) if now + n * step < opens)
        assert not found.is_open(opens - timedelta(seconds=1))
