"""What `newsletter demo` refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from newsletter.cli.demo_commands import Commands, _as_typed
from newsletter.cli.main import cli
from newsletter.cli.output import Output
from newsletter.errors import WorkspaceError


def test_a_folder_with_files_of_somebody_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    done = CliRunner().invoke(cli, ["demo", str(tmp_path)])
    assert isinstance(done.exception, WorkspaceError)
    assert "demo-2" in done.exception.hint
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_commands_are_shown_as_a_person_would_quote_them() -> None:
    assert _as_typed("role in ('police')") == "\"role in ('police')\""
    assert _as_typed("it's $5") == "'it'\"'\"'s $5'"
    assert _as_typed("plain") == "plain"


@pytest.mark.parametrize("columns", [40, 80])
def test_what_is_told_fits_the_terminal_and_is_cut_between_words(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    told = (
        "     6 posts, 10 dates of events (1 called off), 3 resources; 1 story came twice and is kept once",
        "     answered by the running site at http://127.0.0.1:58269, which stands in for https://news.example",
    )
    commands = Commands(Output(), Path("demo"))
    for text in told:
        commands.say(text)
    commands.show("segments", "create", "young-people", "town in ('Harrowby', 'Stanmoor') or tag 'young people'")
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines) <= columns
    assert all(line.startswith("     ") for line in lines)
    assert " ".join(" ".join(lines).split()).startswith(" ".join(" ".join(told).split()))
