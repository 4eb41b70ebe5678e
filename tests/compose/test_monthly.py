"""Months and when their digests are due: each month once, each issue in one, whatever the clock of the zone does."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from newsletter.compose import monthly
from newsletter.config.choices import Digest

LONDON = ZoneInfo("Europe/London")
NAMES = ["Europe/London", "Pacific/Kiritimati", "America/St_Johns", "Pacific/Apia", "UTC"]
ZONES = st.sampled_from(NAMES).map(ZoneInfo)
MOMENTS = st.integers(1_104_537_600, 2_840_140_800).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
RULES = st.builds(
    Digest,
    day=st.integers(1, 28),
    time=st.builds("{:02d}:{:02d}".format, st.integers(0, 23), st.integers(0, 59)),
)


def test_a_digest_is_due_in_the_month_after_on_the_clock_of_the_zone() -> None:
    assert monthly.due_at(date(2026, 11, 1), Digest(), LONDON) == datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
    assert monthly.due_at(date(2026, 5, 1), Digest(), LONDON) == datetime(2026, 6, 1, 8, 0, tzinfo=UTC)
    assert monthly.due_at(date(2026, 12, 1), Digest(day=15), LONDON) == datetime(2027, 1, 15, 9, 0, tzinfo=UTC)


def test_a_moment_belongs_to_the_month_of_the_zone() -> None:
    new_year = datetime(2026, 12, 31, 23, 30, tzinfo=UTC)
    assert monthly.month_of(new_year, LONDON) == date(2026, 12, 1)
    assert monthly.month_of(new_year, ZoneInfo("Europe/Paris")) == date(2027, 1, 1)


def test_an_issue_that_came_after_the_digest_of_its_month_is_in_the_next() -> None:
    november, december = date(2026, 11, 1), date(2026, 12, 1)
    late = [(7, datetime(2026, 11, 30, 23, 59, tzinfo=UTC))]
    assert monthly.assign(late, set(), november, LONDON) == {november: [7]}
    assert monthly.assign(late, {november}, november, LONDON) == {}
    assert monthly.assign(late, {november}, december, LONDON) == {december: [7]}


@given(MOMENTS, RULES, ZONES)
def test_the_last_month_that_is_due_is_due_and_the_next_is_not(now: datetime, rule: Digest, zone: ZoneInfo) -> None:
    last = monthly.last_due(now, rule, zone)
    assert monthly.due_at(last, rule, zone) <= now < monthly.due_at(monthly.month_after(last), rule, zone)


@given(st.dates(date(2005, 1, 1), date(2060, 1, 1)), RULES, ZONES)
def test_a_digest_is_due_once_its_month_is_over_and_before_the_next_is(day: date, rule: Digest, zone: ZoneInfo) -> None:
    month = day.replace(day=1)
    due = monthly.due_at(month, rule, zone)
    assert monthly.month_of(due, zone) == monthly.month_after(month)
    assert due < monthly.due_at(monthly.month_after(month), rule, zone)
    assert timedelta(days=27) < monthly.due_at(monthly.month_after(month), rule, zone) - due < timedelta(days=33)


@given(st.lists(MOMENTS, unique=True), st.sets(st.dates(date(2005, 1, 1), date(2060, 1, 1))), MOMENTS, ZONES)
def test_every_issue_is_in_one_digest_of_a_free_month(
    moments: list[datetime], days: set[date], now: datetime, zone: ZoneInfo
) -> None:
    taken, last = {day.replace(day=1) for day in days}, monthly.month_of(now, zone)
    found = monthly.assign(list(enumerate(moments)), taken, last, zone)
    assert not taken & set(found)
    assert list(found) == sorted(found)
    held = [number for numbers in found.values() for number in numbers]
    assert len(held) == len(set(held))
    for number, moment in enumerate(moments):
        assert (number in held) or monthly.month_of(moment, zone) > last or monthly.month_of(moment, zone) in taken
    for month, numbers in found.items():
        assert all(monthly.month_of(moments[number], zone) <= month <= last for number in numbers)
