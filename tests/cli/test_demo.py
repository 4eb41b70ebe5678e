"""What `newsletter demo` refuses."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from newsletter.cli.demo_commands import _as_typed
from newsletter.cli.main import cli
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
