"""Markdown folders: heads of two kinds, every kind of item, and nothing outside the folder."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from newsletter.compose.sources.front_matter import split_front_matter
from newsletter.compose.sources.item import Reading
from newsletter.compose.sources.markdown import read_markdown
from newsletter.errors import SourceError

LONDON = ZoneInfo("Europe/London")


def read(folder: Path, **files: str) -> Reading:
    for name, text in files.items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
    return read_markdown(folder, timezone="Europe/London")


def test_a_post_is_told_whole(tmp_path: Path) -> None:
    (tmp_path / "loaf.jpg").write_bytes(b"a picture")
    item = read(
        tmp_path,
        bread="---\ntitle: \"Bread: a 'how to'\"\ndate: 2026-10-01\nauthors: [Jo Bloggs, 'Ann, jr']\n"
        "tags:\n  - Food\n  - News\n"
        "url: https://e.org/bread?utm_source=x\nimage_credit: Sam  # by mail\n---\n"
        "![A loaf](loaf.jpg)\n\nWe *baked*.\n",
    ).items[0]
    assert (item.guid, item.kind, item.title) == ("bread.md", "post", "Bread: a 'how to'")
    assert (item.published, item.url) == (date(2026, 10, 1), "https://e.org/bread")
    assert (item.authors, item.categories) == (("Jo Bloggs", "Ann, jr"), ("Food", "News"))
    assert (item.image_url, item.image_alt, item.image_credit) == (str(tmp_path / "loaf.jpg"), "A loaf", "Sam")
    assert (item.summary, item.body_html) == ("We baked.", "<p>We <em>baked</em>.</p>")


def test_an_event_has_its_times_in_the_organisations_zone(tmp_path: Path) -> None:
    item = read(
        tmp_path,
        fair="+++\ntitle = 'Fair'\nkind = 'event'\nstarts = 2026-12-03T14:00:00\nends = 2026-12-03T16:00:00\n"
        "place = 'Town Hall'\nbooking_url = 'https://e.org/book'\n+++\nCome.",
    ).items[0]
    assert item.starts == datetime(2026, 12, 3, 14, 0, tzinfo=LONDON)
    assert item.ends == datetime(2026, 12, 3, 16, 0, tzinfo=LONDON)
    assert (item.timezone, item.place, item.booking_url) == ("Europe/London", "Town Hall", "https://e.org/book")


def test_days_another_zone_cancelled_and_the_first_heading_as_title(tmp_path: Path) -> None:
    item = read(
        tmp_path,
        x="---\nstarts: 2026-12-03\nends: 2026-12-04\ntimezone: Europe/Paris\ncancelled: yes\n---\n# A & B\n\nText",
    ).items[0]
    assert (item.kind, item.title, item.cancelled, item.timezone) == ("event", "A & B", True, "Europe/Paris")
    assert (item.starts_on, item.ends_on, item.summary) == (date(2026, 12, 3), date(2026, 12, 4), "Text")


def test_drafts_and_hidden_folders_are_not_read(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x.md").write_text("# X")
    assert read(tmp_path, a="---\ntitle: A\ndraft: true\n---\n", b="# B").items[0].title == "B"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("---\ntitle: A\n", "no closing ---"), ("---\ntitle A\n---\n", "Line 2"),
        ("---\ntitle: A\ntitle: B\n---\n", "second time"),
        ("---\ntitle: |\n---\n", r"Line 2.*'\|'"), ("---\ntitle: 'A\n---\n", "quote"), ("+++\ntitle = \n+++\n", "TOML"),
        ("---\ntitle: A\nkind: banana\n---\n", "none of"), ("---\ntitle: A\nstarts: soon\n---\n", "no ISO"),
        ("---\ntitle: A\ntimezone: Mars\nstarts: 2026-12-01\n---\n", "timezone"), ("no title", "no title"),
        ("---\ntitle: A\nstarts: 2026-12-03 14:00\nends: 2026-12-04\n---\n", "time for both"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_understood_is_named_and_the_others_stay(
    tmp_path: Path, text: str, complaint: str
) -> None:
    reading = read(tmp_path, bad=text, good="# Good")
    assert [item.title for item in reading.items] == ["Good"]
    with pytest.raises(SourceError, match=complaint):
        raise SourceError(reading.problems[0])
    assert reading.problems[0].startswith("bad.md: ")


@pytest.mark.parametrize("path", ["../secret.jpg", "/../secret.jpg", "a/../../secret.jpg"])
def test_a_picture_outside_the_folder_is_left_out_and_named(tmp_path: Path, path: str) -> None:
    folder = tmp_path / "posts"
    folder.mkdir()
    (tmp_path / "secret.jpg").write_bytes(b"x")
    reading = read(folder, a=f"# A\n\n![x]({path})")
    assert reading.items[0].image_url is None
    assert "outside the folder" in reading.problems[0]


def test_a_file_that_leads_out_of_the_folder_is_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "posts"
    folder.mkdir()
    (tmp_path / "secret.md").write_text("# Secret")
    (folder / "link.md").symlink_to(tmp_path / "secret.md")
    reading = read(folder)
    assert reading.items == ()
    assert "leads out of the folder" in reading.problems[0]


def test_a_picture_scheme_other_than_the_web_is_left_out(tmp_path: Path) -> None:
    reading = read(tmp_path, a="---\ntitle: A\nimage: file:///etc/passwd\n---\n")
    assert reading.items[0].image_url is None


def test_markup_in_a_file_is_cleaned(tmp_path: Path) -> None:
    assert "script" not in read(tmp_path, a="# A\n\n<script>alert(1)</script>Hi").items[0].body_html


def test_what_is_not_utf_8_and_unknown_keys_are_said(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes("# Café".encode("cp1252"))
    reading = read(tmp_path, b="---\ntitle: B\ntitel: C\n---\n")
    assert reading.problems == ("a.md: it is not UTF-8.", "b.md: 'titel' is no key that is read.")


def test_no_value_is_guessed_to_be_a_number_or_a_truth() -> None:
    head = split_front_matter("---\na: no\nb: 12:30\nc: 007\nd:\n---\n").head
    assert head == {"a": "no", "b": "12:30", "c": "007", "d": ""}
