"""Importing from the command line: columns are agreed and kept; a dry run says what would change for whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from newsletter.cli.import_text import difference_lines
from subscribers.imports.diff import CHANGED, Difference
from tests.cli.test_subscribers import WHY, Run, app, filled, run  # noqa: F401  (fixtures)

UNSUBSCRIBED = "Email Address,OPTIN_TIME,UNSUB_TIME,LEID,EUID\nann@example.org,2024-01-01,2025-01-01,1,a\n"
SUBSCRIBED = "Email Address,OPTIN_TIME,LEID,EUID\nann@example.org,2024-01-01,1,a\nzoe@example.org,2024-01-01,2,b\n"


@pytest.fixture
def given(tmp_path: Path) -> Any:
    def write(content: str, name: str = "more.csv") -> str:
        (tmp_path / name).write_text(content)
        return str(tmp_path / name)

    return write


def test_a_profile_is_saved_used_shown_and_removed(filled: Run, given: Any) -> None:  # noqa: F811
    path = given("Contact,Ort,Kept private\nzoe@example.org,Halle,secret\n")
    mapped = ("--map", "Contact=address", "--map", "Ort=town", "--map", "Kept private=ignore")
    filled("subscribers", "import", path, *WHY, *mapped, "--save-profile", "monthly")
    (listed,) = filled("profiles", "list")
    columns = {"Contact": "address", "Ort": "town", "Kept private": "ignore"}
    assert (listed["profile"], listed["columns"]) == ("monthly", columns)
    assert filled("profiles", "show", "monthly")["columns"] == columns
    path = given("Contact,Ort,Kept private\nyan@example.org,Halle,secret\n")
    assert filled("subscribers", "import", path, *WHY, "--profile", "monthly")["new"] == 1
    (found,) = filled("subscribers", "list", "--search", "yan@")
    assert found["attributes"] == {"town": "Halle"}
    other = given("Contact,Town\nyan@example.org,Halle\n")
    assert "no column 'Ort'" in filled("subscribers", "import", other, *WHY, "--profile", "monthly", code=1)
    assert "Did you mean 'monthly'" in filled("subscribers", "import", path, *WHY, "--profile", "montly", code=1)
    filled("profiles", "remove", "monthly")
    assert filled("profiles", "list") == []
    assert "no profile 'monthly'" in filled("profiles", "show", "monthly", code=1)


def test_off_a_terminal_a_doubtful_guess_imports_nobody(filled: Run, given: Any) -> None:  # noqa: F811
    path = given("Email,E-mail,Town\nzoe@example.org,yan@example.org,Halle\n")
    said = filled("subscribers", "import", path, *WHY, code=2)
    assert "--map 'Email=address'" in said
    assert filled("subscribers", "list", "--search", "zoe@") == []
    filled("subscribers", "import", path, *WHY, "--map", "E-mail=address")
    assert len(filled("subscribers", "list", "--search", "yan@")) == 1


CHANGES = (
    "email,name,town,tags\nann@example.org,Ann Smith,Walsall,press\nbob@example.org,Bob Khan,Walsall,\n"
    "zoe@example.org,Zoe,,\n"
)


def test_a_dry_run_says_what_would_change_for_whom(filled: Run, given: Any) -> None:  # noqa: F811
    filled("subscribers", "unsubscribe", "bob@example.org")
    path = given(CHANGES)
    shown = filled("subscribers", "import", path, *WHY, "--dry-run", as_json=False)
    assert "  ann@example.org  name 'Ann Jones' -> 'Ann Smith', town 'Dudley' -> 'Walsall'," in shown
    assert "      tags +press" in shown
    assert "  zoe@example.org  name 'Zoe'" in shown
    assert "Kept out:\n  bob@example.org  unsubscribed" in shown
    assert "1 unsubscribed" in shown
    assert max(map(len, shown.split("\n\n")[1].splitlines())) <= 80
    document = filled("subscribers", "import", path, *WHY, "--dry-run", "--diff")
    assert [(one["address"], one["what"]) for one in document["diff"]] == [
        ("ann@example.org", "changed"),
        ("bob@example.org", "suppressed"),
        ("zoe@example.org", "new"),
    ]
    assert document["diff"][0]["changes"]["town"] == {"before": "Dudley", "after": "Walsall"}
    assert "diff" not in filled("subscribers", "import", path, *WHY, "--dry-run")


def test_many_differences_are_counted_and_hostile_values_cannot_steer_a_terminal() -> None:
    many = [Difference(n, f"p{n}@example.org", CHANGED, {"note": ("a\x1b[2J", "x" * 300)}) for n in range(3)]
    lines = list(difference_lines(many, {CHANGED: 1003}))
    assert lines[-1] == "  and 1,000 more; all of them with: --diff"
    assert "\x1b" not in "".join(lines)
    assert max(map(len, lines)) <= 80


def test_files_of_people_who_left_are_imported_before_the_others(filled: Run, given: Any) -> None:  # noqa: F811
    """Ann is in both: whichever file is named first, she stays out."""
    paths = given(SUBSCRIBED, "subscribed.csv"), given(UNSUBSCRIBED, "unsubscribed.csv")
    left, joined = filled("subscribers", "import", *paths, *WHY, "--from", "mailchimp")
    assert (left["suppressed"], left["batch"]) == (1, 2)
    assert (joined["new"], joined["suppressed"]) == (1, 1)
    assert [p["state"] for p in filled("subscribers", "list", "--search", "ann@")] == ["suppressed"]
    assert filled("imports", "show", "2")["kept_out"] == {"unsubscribed, says the file": 1}


def test_a_whole_file_may_be_said_to_have_bounced(filled: Run, given: Any) -> None:  # noqa: F811
    path = given("email\nann@example.org\n")
    assert filled("subscribers", "import", path, *WHY, "--state", "bounced")["suppressed"] == 1
    (entry,) = filled("suppressions", "list")
    assert (entry["address"], entry["reason"]) == ("ann@example.org", "hard bounce")


def test_people_are_exported_by_segment_as_a_sheet_or_as_lines(filled: Run, tmp_path: Path) -> None:  # noqa: F811
    filled("subscribers", "export", str(tmp_path / "out.jsonl"), "--segment", "town = 'Dudley'")
    assert (tmp_path / "out.jsonl").read_text().count("\n") == 1
    filled("subscribers", "export", str(tmp_path / "out.csv"), "--segment", "town = 'Dudley'")
    again = filled("subscribers", "import", str(tmp_path / "out.csv"), *WHY, "--map", "state=ignore", "--map",
                   "lists=ignore", "--dry-run")  # fmt: skip
    assert (again["read"], again["unchanged"]) == (1, 1)


def test_each_batch_says_what_it_did(filled: Run) -> None:  # noqa: F811
    (batch,) = filled("imports", "list")
    assert (batch["new"], batch["refused"], batch["state"]) == (2, 1, "finished")
    assert filled("imports", "show", "1")["columns"]["email"] == "address"
    filled("imports", "undo", "1", "--reason", "wrong", "--yes")
    assert "was undone" in filled("imports", "undo", "1", "--reason", "wrong", "--yes", code=1)
