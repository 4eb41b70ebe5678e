"""The commands of the list, run as processes of users run them: JSON as documented, errors with a hint, no prompt."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from newsletter.app import App
from newsletter.cli.main import main
from newsletter.config.settings import Config
from newsletter.keys import create_keys
from newsletter.migrations import open_and_upgrade
from newsletter.paths import Workspace
from newsletter.tables import Issue, IssueState
from subscribers.attributes import declare
from subscribers.segments.sql import BUILT_IN
from subscribers.tables import AttributeKind, ConsentEvent, LeavingReason, WhyLeft

CONFIG = """
[organisation]
name = "Example Network"
postal_address = "1 High Street, Dudley DY1 1AA"
from_address = "news@example.org"
[smtp]
host = "127.0.0.1"
tls = "none"
[web]
url = "https://news.example.org"
"""
PEOPLE = (
    "email,name,town,tags\nann@example.org,Ann Jones,Dudley,volunteer\nbob@example.org,Bob Khan,Walsall,\nbad,x,y,\n"
)
WHY = ("--list", "members", "--basis", "consent", "--evidence", "forms of October")
Run = Callable[..., Any]


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """A workspace whose database the migrations made, as commands demand."""
    workspace = Workspace(tmp_path / "ws")
    for folder in (workspace.root, workspace.outbox):
        folder.mkdir()
    create_keys(workspace.secrets)
    open_and_upgrade(f"sqlite:///{workspace.database}")
    made = App(workspace=workspace, config=smallest(), actor="tester")
    yield made
    made.close()


def smallest() -> Config:
    return Config.model_validate(tomllib.loads(CONFIG))


@pytest.fixture
def run(app: App, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in the workspace; returns its JSON, or (with `code`) what it says on standard error."""
    app.workspace.config.write_text(CONFIG)
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    def run_command(*words: str, code: int = 0, as_json: bool = True) -> Any:
        out, err = io.StringIO(), io.StringIO()
        arguments = ["--workspace", str(app.workspace.root), "--as", "tester", *(["--json"] if as_json else []), *words]
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == code, err.getvalue()
        if code or not as_json:
            return out.getvalue() + err.getvalue()
        return json.loads(out.getvalue())

    return run_command


@pytest.fixture
def filled(run: Run, tmp_path: Path) -> Run:
    (tmp_path / "people.csv").write_text(PEOPLE)
    run("lists", "create", "members")
    run("subscribers", "import", str(tmp_path / "people.csv"), *WHY)
    return run


def test_an_import_reports_exactly_what_is_documented(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text(PEOPLE)
    run("lists", "create", "members")
    keys = ["batch", "read", "new", "changed", "unchanged", "refused", "suppressed", "errors_file"]
    dry = run("subscribers", "import", str(path), *WHY, "--dry-run")
    real = run("subscribers", "import", str(path), *WHY)
    assert list(dry) == list(real) == keys
    assert (dry["batch"], real["batch"]) == (None, 1)
    assert {**dry, "batch": 1, "errors_file": real["errors_file"]} == real
    assert (real["read"], real["new"], real["refused"]) == (3, 2, 1)
    assert "is not an address" in Path(real["errors_file"]).read_text()


def test_an_import_says_what_each_column_is_taken_for(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("E-mail,Vorname,Ort\nann@example.org,Ann,Halle\n")
    run("lists", "create", "members")
    said = run("subscribers", "import", str(path), *WHY, "--map", "Vorname=first_name", as_json=False)
    assert "E-mail is address, Vorname is first_name, Ort is ort" in said


@pytest.mark.parametrize(("answer", "code", "people"), [("n", 1, 0), ("y", 0, 2)])
def test_on_a_terminal_the_columns_are_confirmed_before_anybody_is_imported(
    run: Run, app: App, tmp_path: Path, answer: str, code: int, people: int
) -> None:
    path = tmp_path / "people.csv"
    path.write_text(PEOPLE)
    run("lists", "create", "members")
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    words = ["--workspace", str(app.workspace.root), "subscribers", "import", str(path), *WHY]
    done = subprocess.run(
        [sys.executable, "-m", "newsletter", *words], stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, check=False
    )
    shown = os.read(ours, 65536).decode()
    for descriptor in (ours, theirs):
        os.close(descriptor)
    assert done.returncode == code, shown
    assert "email is address" in shown
    assert "Is that right?" in shown
    assert len(run("subscribers", "list")) == people


def test_people_are_listed_with_the_documented_keys_and_filtered(filled: Run) -> None:
    (ann,) = filled("subscribers", "list", "--segment", "town = 'dudley'")
    assert ann == {
        "id": 1,
        "address": "ann@example.org",
        "name": "Ann Jones",
        "state": "subscribed",
        "lists": ["members"],
        "tags": ["volunteer"],
        "attributes": {"town": "Dudley"},
    }
    assert [p["id"] for p in filled("subscribers", "list", "--search", "KHAN")] == [2]
    assert [p["id"] for p in filled("subscribers", "list", "--limit", "1", "--offset", "1")] == [2]
    filled("subscribers", "unsubscribe", "ann@example.org")
    assert [p["id"] for p in filled("subscribers", "list", "--state", "unsubscribed")] == [1]
    assert [p["state"] for p in filled("subscribers", "list", "--state", "suppressed")] == ["suppressed"]
    assert filled("subscribers", "list", "--state", "none") == []


def test_showing_a_person_tells_why_they_are_on_a_list(filled: Run) -> None:
    shown = filled("subscribers", "show", "ann@example.org")
    (line,) = shown["ledger"]
    assert (line["source"], line["evidence"], line["actor"]) == (
        "import 1, people.csv, row 2",
        "forms of October",
        "tester",
    )
    words = filled("subscribers", "show", "ann@example.org", as_json=False)
    assert "granted" in words


def test_nothing_that_others_wrote_steers_a_terminal(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("lists", "create", "members", "--description", "a\x1b]0;title\x07b")
    (tmp_path / "people.csv").write_text("email\nann@example.org\n")
    evidence = ("--evidence", "form\x1b[2J\u202e")
    run("subscribers", "import", str(tmp_path / "people.csv"), "--list", "members", "--basis", "consent", *evidence)
    monkeypatch.setattr("click.utils.should_strip_ansi", lambda *_given, **_named: False)  # as on a terminal
    for words in (("subscribers", "show", "ann@example.org"), ("lists", "show", "members"), ("imports", "show", "1")):
        shown = run(*words, as_json=False)
        assert not [c for c in shown if not c.isprintable() and c != "\n"]


def test_segments_count_list_and_explain_as_documented(filled: Run) -> None:
    filled("segments", "create", "dudley", "town = 'Dudley' and not tag 'press'")
    assert filled("segments", "count", "dudley") == {"count": 1}
    assert filled("segments", "subscribers", "dudley") == [{"id": 1, "address": "ann@example.org", "name": "Ann Jones"}]
    assert filled("segments", "explain", "dudley", "bob@example.org") == {
        "member": False,
        "clauses": [
            {"clause": "town = 'Dudley'", "holds": False, "value": "Walsall"},
            {"clause": "not tag 'press'", "holds": True, "value": []},
        ],
    }
    error = json.loads(filled("segments", "count", "twon = 'x'", code=1))["error"]
    assert (error["code"], error["hint"]) == ("segment", "Did you mean 'town'?")
    assert "^^^^" in error["message"]


def test_suppressions_are_listed_lifted_and_carried_over_by_file(filled: Run, tmp_path: Path) -> None:
    filled("suppressions", "add", "ann@example.org", "--evidence", "letter")
    filled(
        "suppressions", "add", "blocked.example", "--evidence", "letter", "--list", "members", "--until", "2099-01-01"
    )
    filled("subscribers", "erase", "bob@example.org", "--evidence", "letter", "--yes")
    rows = filled("suppressions", "list")
    assert [list(row) for row in rows] == [["address", "scope", "reason", "since", "evidence", "expires"]] * 3
    assert [(row["address"], row["scope"]) for row in rows] == [
        ("ann@example.org", "all"),
        ("*@blocked.example", "members"),
        (None, "all"),
    ]
    path = str(tmp_path / "suppressions.csv")
    filled("suppressions", "export", path)
    assert "bob" not in Path(path).read_text()
    filled("suppressions", "lift", "ann@example.org", "--reason", "asked")
    again = filled("suppressions", "import", path, "--evidence", "backup")
    assert (again["read"], again["added"], again["known"], again["refused"]) == (3, 1, 2, [])


def test_an_audience_is_set_and_voids_an_approval(filled: Run, app: App) -> None:
    now = app.now()
    with app.database.write() as session:
        session.add(
            Issue(
                slug="2026-11", state=IssueState.APPROVED, created_at=now, edited_at=now, edited_by="x", approved_by="y"
            )
        )
    shown = filled("audience", "set", "2026-11", "--list", "members", "--exclude-segment", "town = 'Walsall'")
    assert (shown["matched"], shown["excluded"], shown["mailed"]) == (2, 1, 1)
    with app.database.read() as session:
        issue = session.scalars(select(Issue)).one()
    assert (issue.state, issue.approved_by, issue.edited_by) == (IssueState.DRAFT, None, "tester")
    assert issue.audience == {
        "lists": ["members"],
        "segments": [],
        "exclude_lists": [],
        "exclude_segments": ["town = 'Walsall'"],
    }
    assert filled("audience", "show", "2026-11")["mailed"] == 1
    assert "needs a list or a segment" in filled("audience", "set", "2026-11", code=2)
    assert "no list 'membres'" in filled("audience", "set", "2026-11", "--list", "membres", code=1)


@pytest.mark.parametrize("how", ["--segment", "--exclude-segment"])
def test_a_segment_that_an_issue_waits_for_is_not_removed(filled: Run, app: App, how: str) -> None:
    """Else the issue fails at its time, or nobody knows any more whom it was to leave out."""
    now = app.now()
    with app.database.write() as session:
        session.add(Issue(slug="2026-11", state=IssueState.DRAFT, created_at=now, edited_at=now, edited_by="x"))
    filled("segments", "create", "north", "town = 'Dudley'")
    filled("segments", "create", "wider", "segment 'north' or tag 'press'")
    filled("audience", "set", "2026-11", "--list", "members", how, "wider")
    assert "audience of 2026-11" in filled("segments", "remove", "wider", code=1)
    assert "audience of 2026-11" in filled("segments", "remove", "north", code=1)
    filled("audience", "set", "2026-11", "--list", "members")
    assert filled("segments", "remove", "wider") == {"removed": "wider"}


def test_archiving_a_list_says_which_issue_was_to_go_to_it(filled: Run, app: App) -> None:
    now = app.now()
    with app.database.write() as session:
        session.add(Issue(slug="2026-11", state=IssueState.DRAFT, created_at=now, edited_at=now, edited_by="x"))
    filled("audience", "set", "2026-11", "--list", "members")
    assert "2026-11 was to go to it" in filled("lists", "archive", "members", as_json=False)
    assert "2026-11" not in filled("lists", "archive", "members", "--undo", as_json=False)


def test_the_audience_of_a_sent_issue_stays(filled: Run, app: App) -> None:
    now = app.now()
    with app.database.write() as session:
        session.add(Issue(slug="2026-10", state=IssueState.SENT, created_at=now, edited_at=now, edited_by="x"))
    assert "conflict" in filled("audience", "set", "2026-10", "--list", "members", code=1)


def test_an_import_is_undone_only_when_somebody_says_yes(filled: Run) -> None:
    assert "--yes" in filled("imports", "undo", "1", "--reason", "wrong", code=2)
    assert filled("imports", "undo", "1", "--reason", "wrong", "--yes") == {
        "batch": 1,
        "removed": 2,
        "restored": 0,
        "lifted": 0,
        "kept": [],
    }
    assert filled("subscribers", "list") == []
    assert filled("imports", "show", "1")["state"] == "undone"


def test_an_undo_says_which_later_import_read_the_same_people(filled: Run, tmp_path: Path) -> None:
    """They go with the record that the earlier import made, and nobody would miss them."""
    (tmp_path / "again.csv").write_text(PEOPLE)
    assert filled("subscribers", "import", str(tmp_path / "again.csv"), *WHY)["unchanged"] == 2
    told = filled("imports", "undo", "1", "--reason", "wrong", "--yes", as_json=False)
    assert "Import 2 found people as they were" in told
    assert filled("subscribers", "import", str(tmp_path / "again.csv"), *WHY)["new"] == 2


def test_a_person_is_added_changed_moved_merged_and_removed(filled: Run) -> None:
    filled("lists", "create", "events")
    why = ("--basis", "corporate", "--evidence", "contract")
    filled("subscribers", "add", "cy@example.org", "--name", "Cy Lee", "--tag", "Press", "--list", "members", *why)
    filled("subscribers", "set", "cy@example.org", "town=Dudley", "language=cy", "address=cy@example.net")
    filled("subscribers", "tag", "cy@example.net", "press", "--remove")
    filled("subscribers", "move", "cy@example.net", "--from", "members", "--to", "events", "--evidence", "joined up")
    (cy,) = filled("subscribers", "list", "--search", "cy@")
    assert (cy["lists"], cy["tags"], cy["attributes"]) == (["events"], [], {"town": "Dudley"})
    filled("subscribers", "merge", "ann@example.org", "cy@example.net", "--yes")
    (ann,) = filled("subscribers", "list", "--search", "ann")
    assert ann["lists"] == ["events"], "members was left under the other address"
    filled("subscribers", "remove", "ann@example.org", "--yes")
    assert "not_found" in filled("subscribers", "show", "ann@example.org", code=1)
    assert "no attribute 'twon'" in filled("subscribers", "set", "bob@example.org", "twon=x", code=1)


def test_a_move_to_the_same_list_takes_nobody_off_it(filled: Run) -> None:
    twice = ("--from", "members", "--to", "members", "--evidence", "slip")
    assert "named twice" in filled("subscribers", "move", "ann@example.org", *twice, code=2)
    assert filled("subscribers", "list", "--search", "ann")[0]["lists"] == ["members"]


@pytest.mark.parametrize("scope", [(), ("--list", "members")], ids=["everywhere", "one list"])
def test_whoever_is_suppressed_is_not_listed_or_exported_as_subscribed(
    filled: Run, tmp_path: Path, scope: tuple[str, ...]
) -> None:
    """Such a file goes to whoever mails by other means."""
    filled("suppressions", "add", "ann@example.org", *scope, "--evidence", "letter")
    of_list = ("--list", "members")
    assert [p["id"] for p in filled("subscribers", "list", *of_list, "--state", "subscribed")] == [2]
    assert [p["state"] for p in filled("subscribers", "list", *of_list)] == ["suppressed", "subscribed"]
    assert [p["id"] for p in filled("subscribers", "list", *of_list, "--state", "suppressed")] == [1]
    assert [p["id"] for p in filled("subscribers", "list", "--state", "subscribed")] == [2]
    path = tmp_path / "out.csv"
    filled("subscribers", "export", str(path), *of_list, "--state", "subscribed")
    assert "ann@" not in path.read_text()


def test_with_a_list_the_state_is_that_on_the_list(filled: Run) -> None:
    filled("lists", "create", "events")
    filled("subscribers", "subscribe", "ann@example.org", "events", *WHY[2:])
    filled("subscribers", "unsubscribe", "ann@example.org", "members")
    (ann,) = filled("subscribers", "list", "--list", "members", "--state", "unsubscribed")
    assert (ann["state"], ann["lists"]) == ("unsubscribed", ["events"])
    assert filled("subscribers", "list", "--search", "ann")[0]["state"] == "subscribed"


def test_whoever_unsubscribed_is_not_subscribed_by_a_slip(filled: Run) -> None:
    filled("subscribers", "unsubscribe", "ann@example.org")
    words = filled("subscribers", "subscribe", "ann@example.org", *WHY[1:2], *WHY[2:], code=1)
    assert "suppressions lift" in words


def test_exports_are_private_and_complete(filled: Run, tmp_path: Path) -> None:
    path = tmp_path / "people.jsonl"
    assert filled("subscribers", "export", str(path), "--list", "members")["written"] == 2
    assert [json.loads(line)["address"] for line in path.read_text().splitlines()] == [
        "ann@example.org",
        "bob@example.org",
    ]
    assert path.stat().st_mode & 0o077 == 0
    page = tmp_path / "ann.html"
    filled("subscribers", "export", str(page), "--person", "ann@example.org", as_json=False)
    assert "forms of October" in page.read_text()
    assert "--person ann@example.org" in filled("subscribers", "export", "ann@example.org", code=2, as_json=False)
    held = filled("subscribers", "export", "--person", "ann@example.org")
    assert {"ledger", "subscriptions", "suppressions", "deliveries"} <= set(held)


def test_lists_are_made_shown_and_archived(filled: Run) -> None:
    (row,) = filled("lists", "list")
    assert (row["name"], row["subscribed"]) == ("members", 2)
    filled("lists", "archive", "members")
    assert filled("lists", "list") == []
    assert "archived" in filled("subscribers", "subscribe", "ann@example.org", "members", *WHY[2:], code=1)
    filled("lists", "archive", "members", "--undo")
    assert filled("lists", "show", "members")["archived"] is None
    assert "cannot name a list" in filled("lists", "create", "Our Members", code=1)


def test_a_list_is_offered_on_the_site_and_has_a_form_for_others(filled: Run) -> None:
    assert filled("lists", "create", "press", "--open")["open"] is True
    assert "not open" in filled("lists", "form", "members", code=1)
    changed = filled("lists", "set", "members", "--open", "--title", "Members' news", "--description", "Monthly.")
    assert changed == {"name": "members", "title": "Members' news", "description": "Monthly.", "open": True}
    assert "news.example.org/sign-up" in filled("lists", "set", "members", "--open", as_json=False)
    assert [(row["name"], row["open"]) for row in filled("lists", "list")] == [("members", True), ("press", True)]
    html = filled("lists", "form", "members", "--page", "https://charity.example/")["html"]
    assert '<form action="https://news.example.org/sign-up" method="post"' in html
    assert filled("lists", "set", "members", "--closed")["open"] is False
    assert "needs a title" in filled("lists", "set", "members", "--title", " ", code=1)
    assert "what to change" in filled("lists", "set", "members", code=2)
    filled("lists", "archive", "press")
    assert "archived" in filled("lists", "set", "press", "--open", code=1)


def test_what_somebody_chose_is_set_shown_and_written_down(filled: Run, app: App) -> None:
    until = f"{app.now() + timedelta(days=30):%Y-%m-%d}"
    filled("subscribers", "set", "ann@example.org", f"paused_until={until}", "frequency=monthly", "discreet=yes")
    shown = filled("subscribers", "show", "ann@example.org")
    assert (shown["paused_until"], shown["frequency"], shown["discreet"]) == (until, "monthly", True)
    assert [(each["field"], each["after"], each["actor"]) for each in shown["choices"]] == [
        ("paused_until", until, "tester"),
        ("frequency", "monthly", "tester"),
        ("discreet", "yes", "tester"),
    ]
    words = filled("subscribers", "show", "ann@example.org", as_json=False)
    assert "What was chosen" in words
    filled("subscribers", "set", "ann@example.org", "paused_until=", "frequency=", "discreet=", "language=cy")
    shown = filled("subscribers", "show", "ann@example.org")
    assert (shown["paused_until"], shown["frequency"], shown["discreet"]) == (None, "each", False)
    assert len(shown["choices"]) == 7
    assert "choices" not in filled("subscribers", "list")[0]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("paused_until=2020-01-01", "within a year"),
        ("paused_until=soon", "not a date"),
        ("frequency=montly", "Did you mean 'monthly'?"),
        ("discreet=perhaps", "yes or no"),
        ("language=klingon-language", "no language tag"),
    ],
)
def test_a_choice_that_makes_no_sense_is_refused_in_words(filled: Run, value: str, words: str) -> None:
    assert words in filled("subscribers", "set", "ann@example.org", value, code=1)
    assert filled("subscribers", "show", "ann@example.org")["choices"] == []


def test_why_somebody_left_is_shown_and_is_part_of_their_data(filled: Run, app: App) -> None:
    filled("subscribers", "unsubscribe", "ann@example.org", "members")
    with app.database.write() as session:
        event = session.scalars(select(ConsentEvent).where(ConsentEvent.action == "withdrawn")).one()
        reason = LeavingReason(
            subscriber_id=1, event_id=event.id, at=app.now(), choice=WhyLeft.TOO_MANY, words="Every day!"
        )
        session.add(reason)
    shown = filled("subscribers", "show", "ann@example.org")
    (told,) = shown["leaving_reasons"]
    assert (told["list"], told["reason"], told["words"]) == ("members", "too many", "Every day!")
    assert "Every day!" in filled("subscribers", "show", "ann@example.org", as_json=False)
    assert filled("subscribers", "export", "--person", "ann@example.org")["leaving_reasons"][0]["words"] == "Every day!"


def test_the_soft_opt_in_asks_whether_its_conditions_are_met(run: Run, app: App) -> None:
    """Whether somebody gave their details directly and could refuse, no program knows: a person states it, by name."""
    charity = CONFIG.replace("[smtp]", 'charity_number = "1234567"\n[smtp]')
    run("lists", "create", "members")
    app.workspace.config.write_text(charity)
    put = ("subscribers", "add", "ann@example.org", "--list", "members", "--basis", "soft-opt-in",
           "--evidence", "open day", "--collected-at", "2026-05-02")  # fmt: skip
    assert "were they offered a simple way to refuse" in " ".join(run(*put, code=2).split())
    run(*put, "--yes")
    (line,) = run("subscribers", "show", "ann@example.org")["ledger"]
    assert line["evidence"].startswith("open day; given directly")
    assert "as tester stated (given on 2026-05-02)" in line["evidence"]


def test_an_import_states_the_conditions_of_the_soft_opt_in_and_a_profile_keeps_them(
    run: Run, app: App, tmp_path: Path
) -> None:
    """They are told and written into the ledger each time, with who stated them: never silently."""
    run("lists", "create", "members")
    app.workspace.config.write_text(CONFIG.replace("[smtp]", 'charity_number = "1234567"\n[smtp]'))
    for name in ("ann", "bob", "cy"):
        (tmp_path / f"{name}.csv").write_text(f"email,Note\n{name}@example.org,x\n")
    of = ("--list", "members", "--evidence", "fair", "--collected-at", "2026-05-02", "--map", "Note=ignore")
    put = (*of, "--basis", "soft-opt-in")
    assert "simple way to refuse" in " ".join(
        run("subscribers", "import", str(tmp_path / "ann.csv"), *put, code=2).split()
    )
    words = "card of the stall: own hand, 'news of our work', box to refuse"
    run("subscribers", "import", str(tmp_path / "ann.csv"), *put, "--conditions", words, "--save-profile", "stall")
    assert run("profiles", "show", "stall")["conditions"] == words
    told = run(
        "--as", "other", "subscribers", "import", str(tmp_path / "bob.csv"), *put, "--profile", "stall", as_json=False
    )
    assert f"as tester stated: {words}" in told
    for name in ("ann", "bob"):
        (line,) = run("subscribers", "show", f"{name}@example.org")["ledger"]
        assert line["evidence"] == f"fair; conditions met, as tester stated: {words} (given on 2026-05-02)"
    wrong = ("--basis", "consent", "--conditions", words)
    assert "--basis soft-opt-in" in run("subscribers", "import", str(tmp_path / "cy.csv"), *of, *wrong, code=2)


def test_what_is_done_to_the_list_is_recorded_and_the_log_verified(filled: Run, app: App, tmp_path: Path) -> None:
    filled("suppressions", "add", "bob@example.org", "--evidence", "rang")
    filled("suppressions", "lift", "bob@example.org", "--reason", "rang again")
    filled("segments", "create", "dudley", "town = 'Dudley'")
    filled("subscribers", "export", str(tmp_path / "out.csv"), "--segment", "name = 'Ann Jones'")
    filled("subscribers", "export", "--person", "bob@example.org")
    filled("keys", "rotate", "marks")
    filled("imports", "undo", "1", "--reason", "wrong", "--yes")
    filled("subscribers", "erase", "ann@example.org", "--evidence", "letter", "--yes")
    found = filled("audit", "list")
    assert [entry["action"] for entry in reversed(found)] == [
        "settings.changed", "list.created", "import.begun", "import.done", "suppression.added", "suppression.lifted",
        "segment.saved", "export.people", "export.person", "key.rotated", "import.undone",
        "person.erased",
    ]  # fmt: skip
    assert {entry["actor"] for entry in found} == {"tester"}
    shown = filled("audit", "list", as_json=False) + json.dumps(found)
    assert [words for words in ("@", "Ann", "Jones", "rang") if words in shown] == []
    assert len(filled("audit", "list", "--action", "export", "--limit", "1")) == 1
    assert len(filled("audit", "list", "--person", "bob@example.org")) == 3
    assert "Did you mean 'export'?" in filled("audit", "list", "--action", "exprot", code=1)
    assert filled("audit", "verify") == {"whole": True, "entries": 12, "anchored": True, "flaws": [], "more": 0}
    with app.database.write() as session:
        connection = session.connection()
        connection.exec_driver_sql("DROP TRIGGER audit_entries_no_delete")
        connection.exec_driver_sql("DELETE FROM audit_entries WHERE number = 8")
    assert "Entry 8 is missing" in filled("audit", "verify", code=1, as_json=False)


def test_retention_is_counted_by_rule_and_says_what_each_keeps(filled: Run) -> None:
    rows = filled("retention", "run", "--dry-run")
    assert [row["rule"] for row in rows] == [
        "unconfirmed", "evidence", "imports", "journal", "digests", "raw", "reports", "notices", "requests", "links",
        "closed-requests", "files",
    ]  # fmt: skip
    assert {row["count"] for row in rows} == {0}
    assert filled("retention", "run") == rows
    assert "Nothing was changed." in filled("retention", "run", "--dry-run", as_json=False)


def test_every_field_is_shown_with_an_example_that_can_be_used(filled: Run, app: App) -> None:
    with app.database.write() as session:
        declare(session, "role", AttributeKind.SEVERAL, ("police", "women's aid"))
    filled("segments", "create", "name", "town = 'Dudley'")
    filled("lists", "create", "name")
    shown = {row["field"]: row for row in filled("segments", "fields")}
    assert set(BUILT_IN) < set(shown)
    assert shown["town"]["kind"] == "text"
    assert shown["role"]["choices"] == ["police", "women's aid"]
    for row in shown.values():
        if row["field"] != "issue":  # there is none yet
            filled("segments", "count", row["example"].replace("NAME", "name"))
    assert "lawful basis: consent, soft-opt-in" in " ".join(filled("segments", "fields", as_json=False).split())
