"""The demonstration's folder is made anew, and nobody's files pay for it."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from newsletter.demo.place import MARK, prepared
from newsletter.errors import WorkspaceError

TODAY = date(2026, 11, 23)


def test_a_second_run_starts_from_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with prepared(folder, TODAY):
        (folder / "left-over").mkdir()
        (folder / "left-over" / "file").write_text("x")
    with prepared(folder, TODAY) as place:
        assert not (folder / "left-over").exists()
        assert (place.handbook / "allotment.png").stat().st_size > 1000


def test_a_folder_of_somebody_else_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(WorkspaceError, match="not empty"), prepared(tmp_path, TODAY):
        pytest.fail("it must not get here")
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("x")
    with pytest.raises(WorkspaceError), prepared(tmp_path / "demo", TODAY):
        pytest.fail("it must not get here")


def test_two_at_once_in_one_folder_are_refused(tmp_path: Path) -> None:
    with prepared(tmp_path / "demo", TODAY) as place:
        with pytest.raises(WorkspaceError, match="Another demonstration"), prepared(tmp_path / "demo", TODAY):
            pytest.fail("it must not get here")
        assert (place.network / "members.csv").is_file()


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    treasure = tmp_path / "treasure"
    treasure.mkdir()
    (treasure / "gold").write_text("x")
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / MARK).write_text("")
    (folder / "link").symlink_to(treasure)
    with prepared(folder, TODAY):
        pass
    assert (treasure / "gold").exists()
