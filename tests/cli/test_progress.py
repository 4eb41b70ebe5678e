"""How far a run is, in words that fit a terminal of 80 columns."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from newsletter.cli.progress import Progress, rate_words, time_left_words
from newsletter.send.report import RecentRate


@pytest.mark.parametrize(
    ("a_second", "words"),
    [(5_432.4, "5,432 a second"), (12.0, "12 a second"), (3.25, "3.2 a second"), (0.49, "29.4 a minute")],
)  # fmt: skip
def test_a_rate_is_told_as_people_say_it(a_second, words):
    assert rate_words(a_second) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "less than a minute left"),
        (55, "about 1 minute left"),
        (200, "about 3 minutes left"),
        (3_600, "about 1 hour left"),
        (40_000, "about 11 hours left"),
        (400_000, "about 5 days left"),
    ],
)
def test_the_time_left_is_no_more_exact_than_it_can_be_known(seconds, words):
    assert time_left_words(seconds) == words


def test_the_rate_is_of_late_and_not_since_the_start():
    rate = RecentRate(0.0)
    for second in range(1, 101):
        rate.after(second * 10, float(second))
    assert rate.after(1_000, 100.0) == pytest.approx(10, rel=0.1)
    for second in range(101, 131):
        now = rate.after(1_000 + (second - 100) * 50, float(second))
    assert now == pytest.approx(50, rel=0.1)


def test_the_bar_of_a_large_issue_fits_eighty_columns():
    written = io.StringIO()
    console = Console(file=written, width=80, force_terminal=True, color_system=None)
    with Progress("Sending 2026-11", None, visible=True, console=console) as bar:
        bar.update(123_456, total=500_000, detail=rate_words(5_432), seconds_left=69)
    shown = written.getvalue()
    line = next(line for line in shown.replace("\r", "\n").splitlines() if "123456/500000" in line)
    assert "5,432 a second" in line
    assert "about 1 minute left" in line
    assert "Sending 2026-11" in line
