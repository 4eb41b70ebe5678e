"""`newsletter issue publish` and `unpublish`, typed as the chair types them."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from newsletter.app import App
from newsletter.cli.main import main
from newsletter.tables import Block, BlockKind, Issue, IssueState
from tests.conftest import NOW

CONFIG = """
[organisation]
name = "Example Network"
postal_address = "1 High Street, Dudley DY1 1AA"
from_address = "news@example.org"
[smtp]
host = "127.0.0.1"
[web]
url = "https://news.example.org"
"""
OPEN = "[archive]\nenabled = true\n"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(app: App, capsys: pytest.CaptureFixture[str]) -> Run:
    """A workspace with a sent issue, of which one block is for some readers only; and the command line on it."""
    from newsletter.migrations import HEAD

    app.workspace.config.write_text(CONFIG + OPEN)
    with app.database.write() as session:
        connection = session.connection()
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.exec_driver_sql(f"INSERT INTO alembic_version VALUES ('{HEAD}')")
        made = Issue(
            slug="2026-11", state=IssueState.SENT, subject="November", created_at=NOW, edited_at=NOW,
            edited_by="ann", planned_at=NOW, audience={"lists": ["members"]},
        )  # fmt: skip
        for position, audience in enumerate((None, None, "role = 'police'")):
            payload = {"text": "Words", "by": "Ann"}
            made.blocks.append(
                Block(section="news", position=position, kind=BlockKind.QUOTE, payload=payload, audience=audience)
            )
        session.add(made)

    def do(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["--workspace", str(app.workspace.root), "--as", "ann", "issue", *words])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return do


def state(run: Run) -> tuple[bool, bool]:
    issue = json.loads(run("list", "--json")[1])[0]
    return issue["published_at"] is not None, issue["indexed"]


def test_publishing_says_what_everybody_could_read_and_asks(run: Run) -> None:
    code, _, err = run("publish", "2026-11")
    assert code == 2  # nobody can be asked here
    said = " ".join(err.split())
    assert "2026-11 went to list members." in said
    assert "Everybody could read its subject, preview line and letter, and 2 parts of it." in said
    assert "Left out, because only some got it: 1." in said
    assert state(run) == (False, False)


def test_a_published_issue_has_an_address_and_is_kept_from_search_engines(run: Run) -> None:
    code, _, err = run("publish", "2026-11", "--yes")
    assert code == 0
    said = " ".join(err.split())
    assert "2026-11 is at https://news.example.org/archive/2026-11; search engines are asked to leave it out." in said
    assert state(run) == (True, False)
    assert "everybody may read it" in run("show", "2026-11")[1]


def test_search_engines_are_let_in_and_kept_out_again(run: Run) -> None:
    code, out, _ = run("publish", "2026-11", "--index", "--yes", "--json")
    assert code == 0
    assert json.loads(out) == {
        "issue": "2026-11", "published": True, "indexed": True, "shown": 2, "left_out": 1,
        "url": "https://news.example.org/archive/2026-11",
    }  # fmt: skip
    assert run("publish", "2026-11", "--no-index")[0] == 0  # nothing new is shown, so nobody is asked
    assert state(run) == (True, False)


def test_a_dry_run_changes_nothing(run: Run) -> None:
    code, out, _ = run("publish", "2026-11", "--dry-run", "--json")
    assert (code, json.loads(out)["left_out"]) == (0, 1)
    assert state(run) == (False, False)


def test_an_issue_is_taken_out_again(run: Run) -> None:
    run("publish", "2026-11", "--index", "--yes")
    code, _, err = run("unpublish", "2026-11")
    assert (code, state(run)) == (0, (False, False))
    assert "2026-11 is not in the archive." in err


def test_where_the_archive_is_off_that_is_said(app: App, run: Run) -> None:
    app.workspace.config.write_text(CONFIG)
    said = " ".join(run("publish", "2026-11", "--yes")[2].split())
    assert "2026-11 is published, but the archive is off" in said
    assert "enabled = true under [archive]" in said
