"""`newsletter source`: adding, fetching, listing and removing, with the words and exit codes that scripts rely on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.gathering_commands import Said, commands  # noqa: F401  (a fixture)

Run = Callable[..., Said]
RSS = "<rss version='2.0'><channel><item><title>{0}</title><guid>{0}</guid></item></channel></rss>"


@pytest.fixture
def run(commands: Run) -> Run:  # noqa: F811  (the fixture)
    return commands


def test_a_source_is_added_fetched_listed_and_removed(run: Run, tmp_path: Path) -> None:
    feed = tmp_path / "news.xml"
    feed.write_text(RSS.format("One"))
    assert run("source", "add", "feed", str(feed), "--json").data["name"] == "news"
    fetched = run("source", "fetch", "--json")
    assert (fetched.code, fetched.data[0]["new"], fetched.data[0]["state"]) == (0, 1, "fetched")
    listed = run("source", "list", "--json").data[0]
    assert (listed["name"], listed["kind"], listed["items"], listed["error"]) == ("news", "feed", 1, None)
    assert run("source", "remove", "news").code == 0
    assert run("source", "list", "--json").data == []
    assert len(run("library", "list", "--json").data) == 1


def test_a_source_that_was_removed_and_added_again_makes_no_doubles(run: Run, tmp_path: Path) -> None:
    feed = tmp_path / "news.xml"
    feed.write_text(RSS.format("One"))
    for _time in range(2):
        run("source", "add", "feed", str(feed))
        run("source", "fetch", "--quiet")
        run("source", "remove", "news")
    assert len(run("library", "list", "--json").data) == 1


def test_some_failed_is_exit_4_and_the_others_are_stored(run: Run, tmp_path: Path) -> None:
    (tmp_path / "good.xml").write_text(RSS.format("One"))
    run("source", "add", "feed", str(tmp_path / "good.xml"))
    run("source", "add", "feed", "http://127.0.0.1/feed", "--name", "inside")
    fetched = run("source", "fetch", "--json")
    assert fetched.code == 4
    assert [row["state"] for row in fetched.data] == ["fetched", "failed"]
    assert "not a public address" in fetched.data[1]["error"]
    assert "inside: 127.0.0.1 leads to 127.0.0.1" in fetched.err
    assert "Traceback" not in fetched.err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("feed", "file:///etc/passwd"), "neither an https address nor a path"),
        (("feed", "nowhere.xml"), "There is no file"),
        (("markdown", "https://example.org/"), "is a path, not an address"),
        (("feed", "https://example.org/feed", "--name", "../x"), "cannot name a source"),
    ],
)
def test_a_location_that_cannot_be_is_refused_in_words(run: Run, words: tuple[str, ...], complaint: str) -> None:
    said = run("source", "add", *words, "--json")
    assert said.code == 1
    assert complaint in json.loads(said.err)["error"]["message"]


def test_the_same_location_or_name_twice_is_refused(run: Run) -> None:
    run("source", "add", "feed", "https://example.org/feed", "--name", "news")
    assert "That is source 'news' already" in run("source", "add", "feed", "https://example.org/feed").err
    assert "There is a source 'news'" in run("source", "add", "feed", "https://e.org/", "--name", "news").err


def test_an_unknown_kind_is_a_usage_error_and_an_unknown_name_suggests_the_nearest(run: Run) -> None:
    assert run("source", "add", "gopher", "x").code == 2
    run("source", "add", "feed", "https://example.org/feed", "--name", "news")
    assert "Did you mean 'news'?" in run("source", "fetch", "nwes").err


@pytest.mark.parametrize("verb", [(), ("add",), ("list",), ("fetch",), ("remove",)])
def test_every_help_gives_an_example(run: Run, verb: tuple[str, ...]) -> None:
    assert "Example: newsletter source" in run("source", *verb, "-h").out
