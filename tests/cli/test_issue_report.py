"""`issue report`, as a person sees it: on a terminal of 80 columns, without colour, as JSON, as a page."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from newsletter.app import App
from newsletter.cli.report_text import bar
from newsletter.tables import DeliveryState as S
from tests.cli.test_platform import on_a_terminal
from tests.send.test_reporting import issue_with

COPIES = [
    *({"state": S.SENT, "reply_code": 250, "reply_status": "2.0.0", "seconds": n * 7} for n in range(60)),
    *(
        {
            "state": S.BOUNCED,
            "domain": f"{'long-' * 8}{n}.example",
            "reply_code": 550,
            "reply_text": "<person61@x.example>",
        }
        for n in range(12)
    ),
    {"state": S.HELD, "reason": "content refused", "slots": {"name": "Zoë\x1b[31m"}},
    {"state": S.UNCERTAIN, "reason": "no reply to the dot"},
    {"state": S.DEFERRED, "reason": "try again later"},
]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    from newsletter.app import utc_now
    from newsletter.config.loading import load_config
    from newsletter.paths import Workspace

    newsletter(tmp_path, "init", "ws", "--name", "Vale", "--from-address", "news@vale.example",
               "--postal-address", "1 High Street", "--web-url", "https://news.vale.example")  # fmt: skip
    folder = Workspace(tmp_path / "ws")
    app = App(folder, load_config(folder.config, {}).config, actor="tester", now=utc_now)
    issue_with(app, COPIES)
    app.close()
    return folder.root


def newsletter(folder: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NEWSLETTER")} | environ
    command = [sys.executable, "-m", "newsletter", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


def test_off_a_terminal_the_numbers_stand_in_words(workspace: Path) -> None:
    said = newsletter(workspace, "issue", "report", "2026-11", COLUMNS="80").stdout
    assert re.search(r"Planned +75\nSent +60\n", said)
    assert "█" not in said
    assert "\x1b" not in said
    assert sum(int(n) for n in re.findall(r"^\d\d:\d\d:\d\d +(\d+) sent$", said, re.MULTILINE)) == 60
    assert [line for line in said.splitlines() if len(line) > 80] == []
    assert "person61" not in said.partition("Held back")[0]
    assert "newsletter uncertain resolve" in said
    assert "3 more domains: 3 planned, 3 bounced" in said
    assert "example.org: 63 planned, 60 sent, 1 deferred, 2 other" in said


def test_it_fits_a_terminal_of_40_columns(workspace: Path) -> None:
    said = newsletter(workspace, "issue", "report", "2026-11", COLUMNS="40").stdout
    long = [line for line in said.splitlines() if len(line) > 40]
    assert [line for line in long if "newsletter" not in line and "long-" not in line] == []


def test_on_a_terminal_bars_are_drawn_and_not_without_colour(workspace: Path) -> None:
    said = on_a_terminal(["issue", "report", "2026-11"], "", workspace)
    assert "█" in said
    plain = on_a_terminal(["--no-color", "issue", "report", "2026-11"], "", workspace)
    assert "█" not in plain
    assert "\x1b[" not in plain
    assert " sent" in plain


def test_json_has_all_of_it(workspace: Path) -> None:
    found = json.loads(newsletter(workspace, "issue", "report", "2026-11", "--json").stdout)
    assert found["planned"] == sum(found[state.value] for state in S) == 75
    assert len(found["domains"]) == 13
    assert {person["state"] for person in found["people"]} == {"held", "uncertain", "deferred"}


def test_the_page_is_for_its_owner_only(workspace: Path) -> None:
    page = workspace / "report.html"
    page.write_text("an old page")
    page.chmod(0o644)
    said = newsletter(workspace, "issue", "report", "2026-11", "--html", "report.html")
    assert said.stdout == ""
    assert page.stat().st_mode & 0o077 == 0
    assert "Zoë" in page.read_text()


@pytest.mark.parametrize(
    ("count", "drawn"), [(0, ""), (1, "▏"), (500, "██"), (1000, "████"), (800, "███▎"), (999, "████")]
)
def test_a_bar_is_as_long_as_its_number(count: int, drawn: str) -> None:
    assert bar(count, 1000, 4) == drawn
