"""The commands that show what sending heeds of people's choices: audience, draft, render, test, preview, report."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from newsletter.cli import audience, issue
from newsletter.cli.main import Context
from newsletter.cli.output import Output
from newsletter.publishing import start_issue
from newsletter.send.dispatch import send_issue
from tests.send.chosen import Network
from tests.send.conftest import RunningSink, _network, start_sink  # noqa: F401  (a fixture)

Run = Callable[..., str]


@pytest.fixture
def network(app, tmp_path: Path, start_sink: Callable[..., RunningSink]) -> Network:  # noqa: F811
    made = _network(app, tmp_path, start_sink)
    made.person("amina")
    made.person("ben", frequency="monthly")
    made.person("carys", paused_until=date(2027, 1, 1))
    made.person("dan", discreet=True)
    return made


@pytest.fixture
def run(network: Network) -> Run:
    def invoke(*words: str, code: int = 0, **output: bool) -> str:
        context = Context(Output(**output))
        context.__dict__["app"] = network.app
        group: click.Group = {"issue": issue.command, "audience": audience.command}[words[0]]
        result = CliRunner().invoke(group, list(words[1:]), obj=context)
        assert result.exit_code == code, result.output
        return result.output

    return invoke


def test_the_audience_tells_who_is_left_out_by_choice(network: Network, run: Run) -> None:
    network.issue("one")
    shown = json.loads(run("audience", "show", "one", as_json=True))
    assert {name: shown[name] for name in ("matched", "paused", "monthly", "suppressed", "mailed")} == {
        "matched": 4, "paused": 1, "monthly": 1, "suppressed": 0, "mailed": 2
    }  # fmt: skip
    told = " ".join(run("audience", "show", "one").split())
    assert "paused 1" in told
    assert "monthly 1" in told


def test_a_dry_run_names_the_discreet_variant_and_who_gets_it_later(network: Network, run: Run) -> None:
    network.issue("one")
    facts = json.loads(run("issue", "send", "one", "--dry-run", as_json=True))
    assert [(each["people"], each["discreet"]) for each in facts["variants"]] == [(1, False), (1, True)]
    assert facts["monthly"] == 1
    told = run("issue", "send", "one", "--dry-run")
    assert "discreet" in told
    assert "1 person by the monthly digest" in told


def test_the_report_tells_whom_the_plan_left_out(network: Network, run: Run) -> None:
    issue_id = network.issue("one")
    start_issue(network.app, issue_id)
    network.choose("amina", paused_until=date(2027, 1, 1))
    send_issue(network.app, issue_id)
    told = " ".join(run("issue", "report", "one").split())
    assert "Left out 1 paused by themselves, 1 with the monthly digest instead" in told
    assert "suppressed, paused by the person" in told
    assert json.loads(run("issue", "report", "one", as_json=True))["left_out"]["monthly"] == 1
    page = network.app.workspace.root / "report.html"
    run("issue", "report", "one", "--html", str(page))
    assert "1 with the monthly digest instead" in page.read_text()


@pytest.mark.parametrize("planned", [False, True])
def test_the_discreet_form_can_be_looked_at(network: Network, run: Run, tmp_path: Path, planned: bool) -> None:
    network.choose("dan", discreet=False)  # also where nobody gets it
    issue_id = network.issue("one")
    if planned:
        start_issue(network.app, issue_id)
    run("issue", "render", "one", "--out", str(tmp_path / "out"), "--discreet")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["issue.txt", "sample.eml"]
    mail = (tmp_path / "out" / "sample.eml").read_text()
    assert "From: Updates <news@example.org>" in mail
    assert "Subject: Your update\n" in mail
    run("issue", "test", "one", "--to", "chair@reader.example", "--discreet")
    (sent,) = network.mails("chair")
    assert sent["Subject"] == "[Test] Your update"
    assert sent.get_content_type() == "text/plain"


def test_a_variant_that_is_discreet_is_rendered_as_text_alone(network: Network, run: Run, tmp_path: Path) -> None:
    network.issue("one")
    run("issue", "render", "one", "--out", str(tmp_path / "out"))
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["issue.2.txt", "issue.html", "issue.txt", "sample.eml"]
    run("issue", "preview", "one")
    page = (network.app.workspace.outbox / "preview-one.2.html").read_text()
    assert "<b>Your update</b>" in page
    assert "<span>Updates</span>" in page
    assert "<iframe" not in page


def test_a_digest_is_drafted_by_command(network: Network, run: Run) -> None:
    assert "Nobody is owed a digest" in run("issue", "draft", "--monthly")
    network.send("one", items=[network.item("A new hall")])
    assert "gathers a month's issues" in run("issue", "draft", "--monthly", "--since", "2026-11-01", code=2)
    told = " ".join(run("issue", "draft", "--monthly").split())
    assert "digest-2026-11 draft" in told
    assert "letter: News of one" in told
    assert "only for: issue 'one' monthly" in told
    shown = json.loads(run("issue", "show", "digest-2026-11", as_json=True))
    assert (shown["digest_of"], shown["subject"]) == ("2026-11", "November 2026 in one email")
    letter = next(block["id"] for part in shown["sections"] for block in part["blocks"] if block["kind"] == "letter")
    run("issue", "set", "digest-2026-11", f"{letter}.title=From our chair", "subject=All of November")
    assert json.loads(run("audience", "show", "digest-2026-11", as_json=True))["mailed"] == 1
    run("audience", "set", "digest-2026-11", "--list", "members", code=1)


def test_a_check_of_a_digest_finds_nothing_that_blocks(network: Network, run: Run) -> None:
    network.send("one", items=[network.item("A new hall")])
    run("issue", "draft", "--monthly")
    report = json.loads(run("issue", "check", "digest-2026-11", as_json=True))
    assert report["blocks"] == []
    assert "used-in-last-issue" not in {warning["rule"] for warning in report["warnings"]}
