"""The interface is what its description says: schemathesis asks all that it allows, and much that it does not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from newsletter import api_tokens
from newsletter.api_tokens import Scope
from newsletter.app import App
from newsletter.web.api import door
from subscribers import consent, lists, people, segments, suppression
from subscribers.tables import Basis

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
SEED = "20261102"
EXAMPLES = os.environ.get("NEWSLETTER_API_EXAMPLES", "12")
FEWEST_REQUESTS = 800

# What a description cannot say (which lists there are, what a segment may name) is refused with 422 although it fits.
SETTINGS = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "409", "412", "422"]

[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "409", "412", "413", "415", "422", "428"]

[checks.missing_required_header]
expected-statuses = ["401", "422", "428"]
"""


def fill(app: App) -> str:
    """Put something behind every resource, and return a token for all of it."""
    with app.database.write() as session:
        members = lists.create(session, "members", at=NOW)
        members.open = True
        for number in range(5):
            person = people.add(session, pepper=app.keys.pepper, address=f"a{number}@example.org", name="A B", at=NOW)
            consent.grant(
                session, person, members, basis=Basis.CONSENT, source="test", actor="tester", evidence="form", at=NOW
            )
        segments.create(session, "ours", "list 'members'", at=NOW)
        suppression.suppress(session, domain="example.net", reason="by hand", evidence="letter", at=NOW)
        return api_tokens.create(session, "everything", scopes=tuple(Scope), by="tester", now=NOW)


@pytest.fixture(params=["sqlite", "postgresql"])
def on_either(request: pytest.FixtureRequest) -> App:
    found: App = request.getfixturevalue("app" if request.param == "sqlite" else "app_on_postgresql")
    return found


def test_schemathesis_finds_nothing(
    on_either: App, serve: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Examples, corners, and invented requests for every operation and for chains of them, with every check on."""
    monkeypatch.setattr(door, "REQUESTS_PER_MINUTE", 1_000_000)
    monkeypatch.setattr(door, "FAILURES_PER_MINUTE", 1_000_000)
    app = on_either
    token = fill(app)
    (tmp_path / "schemathesis.toml").write_text(SETTINGS)
    with serve(app) as address:  # type: ignore[attr-defined]
        command = [
            str(Path(sys.executable).parent / "schemathesis"), "--config-file", str(tmp_path / "schemathesis.toml"),
            "run", f"{address}/api/v1/openapi.json", "--url", f"{address}/api/v1",
            "--header", f"Authorization: Bearer {token}", "--checks", "all", "--mode", "all", "--seed", SEED,
            "--max-examples", EXAMPLES, "--no-shrink", "--continue-on-failure", "--generation-database", "none",
            "--report-json-path", str(tmp_path / "report.json"), "--warnings", "off",
        ]  # fmt: skip
        ended = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=240, env={**os.environ, "NO_COLOR": "1"}
        )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.search(r"Selected: (\d+)/\1\n\s+Tested: \1\n", ended.stdout), ended.stdout
    passed = re.search(r"(\d+) generated, \1 passed", ended.stdout)
    assert passed, ended.stdout
    assert int(passed[1]) >= FEWEST_REQUESTS
