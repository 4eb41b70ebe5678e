"""`newsletter library`: the documented JSON, filling in gaps, and refusals in words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.gathering_commands import Said, commands  # noqa: F401  (a fixture)

Run = Callable[..., Said]
KEYS = {
    "id", "kind", "title", "summary", "url", "source", "published", "authors", "categories", "image", "starts", "ends",
    "timezone", "place", "booking_url", "state", "truncated", "missing", "used_in", "stated",
}  # fmt: skip
ARCHIVE = """Blog

Join us on 12 December for our birthday!

The event takes place on: Thursday 12th December, 2pm to 5pm at the Town Hall, which is in the middle of town...

What we did this year

We worked with partners across the region on many things, and this is what came of it in the end...
"""


@pytest.fixture
def run(commands: Run, tmp_path: Path) -> Run:  # noqa: F811  (the fixture)
    """A library that holds a post, an event, and what a listing page says."""
    folder = tmp_path / "posts"
    folder.mkdir()
    (folder / "a.md").write_text(
        "---\ntitle: Bread\ndate: 2026-10-01\nurl: https://e.org/a\nauthor: Jo\n---\nWe baked."
    )
    (folder / "b.md").write_text(
        "---\ntitle: Fair\nstarts: 2027-07-01 10:00\nplace: Hall\nurl: https://e.org/b\n---\nCome."
    )
    (tmp_path / "blog.txt").write_text(ARCHIVE)
    commands("source", "add", "markdown", str(folder), "--name", "posts")
    commands("source", "add", "archive-text", str(tmp_path / "blog.txt"), "--name", "blog")
    commands("source", "fetch", "--quiet")
    return commands


def titled(run: Run, word: str) -> Any:
    return run("library", "list", "--search", word, "--json").data[0]


def test_every_item_has_the_documented_keys(run: Run) -> None:
    rows = run("library", "list", "--json").data
    assert len(rows) == 4
    for row in rows:
        assert set(row) == KEYS


def test_a_post_and_an_event_are_told_as_documented(run: Run) -> None:
    bread, fair = titled(run, "bread"), titled(run, "fair")
    assert (bread["kind"], bread["published"], bread["source"]) == ("post", "2026-10-01", "posts")
    assert (bread["authors"], bread["starts"], bread["used_in"], bread["state"]) == (["Jo"], None, [], "active")
    assert (fair["starts"], fair["timezone"], fair["place"]) == ("2027-07-01T10:00:00+01:00", "Europe/London", "Hall")


def test_a_kind_and_words_choose_items(run: Run) -> None:
    assert {row["kind"] for row in run("library", "list", "--kind", "event", "--json").data} == {"event"}
    assert run("library", "list", "--state", "hidden", "--json").data == []
    assert run("library", "list", "--search", "nothing%like_this", "--json").data == []


def test_an_unknown_year_stays_unknown_until_the_chair_gives_it(run: Run) -> None:
    row = titled(run, "birthday")
    assert row["starts"] is None
    assert "year" in row["missing"]
    assert row["stated"]["day"] == "12-12"
    assert any(gap["id"] == row["id"] for gap in run("library", "missing", "--json").data)
    wrong = run("library", "set", str(row["id"]), "year=2020")
    assert (wrong.code, "Years that fit: 2019, 2024." in wrong.err) == (1, True)
    done = run("library", "set", str(row["id"]), "year=2024", "--json").data
    assert done["starts"] == "2024-12-12T14:00:00+00:00"
    assert "year" not in done["missing"]
    run("source", "fetch", "--quiet")
    assert titled(run, "birthday")["starts"] == done["starts"]


def test_setting_is_all_or_nothing(run: Run) -> None:
    row = titled(run, "bread")
    said = run("library", "set", str(row["id"]), "title=New", "url=javascript:x")
    assert said.code == 1
    assert titled(run, "bread")["title"] == "Bread"
    assert run("library", "set", str(row["id"]), "title").code == 2


def test_show_tells_one_item_and_an_unknown_id_is_refused(run: Run) -> None:
    row = titled(run, "bread")
    assert "title: Bread" in run("library", "show", str(row["id"])).out
    assert run("library", "show", str(row["id"]), "--json").data["body_html"] == "<p>We baked.</p>"
    missing = run("library", "show", "999", "--json")
    assert (missing.code, json.loads(missing.err)["error"]["code"]) == (1, "not_found")


def test_a_narrow_terminal_still_shows_the_table(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    said = run("library", "list")
    assert said.code == 0
    assert all(len(line) <= 40 for line in said.out.splitlines())


@pytest.mark.parametrize("verb", [(), ("list",), ("show",), ("set",), ("missing",)])
def test_every_help_gives_an_example(run: Run, verb: tuple[str, ...]) -> None:
    assert "Example: newsletter library" in run("library", *verb, "-h").out
