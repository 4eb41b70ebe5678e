"""How tables give way on narrow terminals."""

from __future__ import annotations

import pytest

from newsletter.cli.output import Output
from newsletter.cli.table_layout import GAP, NARROWEST, fitted_widths

ROW = {"id": 12, "kind": "event", "title": "How a long title keeps its words whole on a terminal", "state": "active"}
COLUMNS = ("id", "kind", "title", "state")


def test_what_fits_is_left_as_it_is() -> None:
    assert fitted_widths([2, 5, 30], 80) == [2, 5, 30]


def test_only_the_widest_give_way_and_alike() -> None:
    assert fitted_widths([4, 90, 8, 50], 80) == [4, 31, 8, 31]
    assert fitted_widths([3, 10_000], 80) == [3, 80 - GAP - 3]


def test_a_column_too_narrow_to_read_is_no_column() -> None:
    assert fitted_widths([NARROWEST, 60, NARROWEST], 40) is None


@pytest.mark.parametrize("width", [30, 40, 50, 80])
def test_words_stay_whole_and_lines_fit(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    Output(color=False).table([ROW, {**ROW, "id": 13}], COLUMNS, empty="")
    out = capsys.readouterr().out
    assert all(len(line.rstrip()) <= width for line in out.splitlines())
    assert {*ROW["title"].split(), "12", "13", "event", "active"} <= set(out.split())  # type: ignore[attr-defined]
