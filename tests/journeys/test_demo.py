"""`newsletter demo` does the main job from sources to inboxes, and its report is true."""

from __future__ import annotations

import email
import functools
import json
import os
import shutil
import subprocess
import sys
from email import policy
from email.message import EmailMessage
from pathlib import Path

import pytest

pytestmark = pytest.mark.journey
KEYS = [
    "posts",
    "events",
    "subscribers",
    "planned",
    "sent",
    "bounced",
    "unsubscribed",
    "received_by_catcher",
    "seconds",
]
REFUSED, LEFT = "jo.harper@coldwell-council.example", "rowan.ellis@post.example"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Run the demonstration once, with somebody's own settings in the environment, and yield its folder and words."""
    folder = tmp_path_factory.mktemp("journey") / ".demo"
    command = [sys.executable, "-m", "newsletter.cli.main", "--no-color", "demo", str(folder)]
    environment = {**os.environ, "NEWSLETTER__SMTP__PORT": "9", "NEWSLETTER_CONFIG": "/nowhere/config.toml"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return folder, done.stdout


@functools.cache
def mails(folder: Path) -> dict[str, EmailMessage]:
    found = {}
    for path in folder.glob("*.eml"):
        message = email.message_from_bytes(path.read_bytes(), policy=policy.default)
        assert isinstance(message, EmailMessage)
        found[message["To"].addresses[0].addr_spec.lower()] = message
    return found


def issues(folder: Path) -> list[Path]:
    return sorted(p for p in (folder / "caught").iterdir() if p.name != "test")


def test_the_report_has_its_keys_and_its_numbers_agree_with_the_files(demo: tuple[Path, str]) -> None:
    folder, _ = demo
    report = json.loads((folder / "report.json").read_text())
    assert list(report) == KEYS
    assert report["subscribers"] == report["planned"] == 500
    assert report["sent"] == report["received_by_catcher"] == len(mails(issues(folder)[0])) == 499
    assert (report["bounced"], report["unsubscribed"]) == (1, 1)
    assert report["posts"] >= 4
    assert report["events"] >= 4


def test_what_it_names_is_there(demo: tuple[Path, str]) -> None:
    folder, said = demo
    for name in ("issue.html", "issue.2.html", "issue.txt", "sample.eml", "report.json"):
        assert (folder / name).stat().st_size > 0
    for line in said.split("Look at", 1)[1].splitlines():
        if line.startswith(f"  {folder}"):
            assert Path(line.split()[0]).exists(), line


def test_the_second_issue_skips_who_bounced_and_who_left(demo: tuple[Path, str]) -> None:
    first, second = (mails(path) for path in issues(demo[0]))
    assert set(first) - set(second) == {LEFT}
    assert REFUSED not in first
    assert REFUSED not in second
    assert set(second) <= set(first)


def test_some_read_what_others_do_not_get(demo: tuple[Path, str]) -> None:
    first = mails(issues(demo[0])[0])
    with_briefing = [a for a, m in first.items() if "Briefing for duty teams" in m.get_body(("plain",)).get_content()]
    assert 0 < len(with_briefing) < len(first)
    assert all(a.endswith(("council.example", "valepolice.example")) for a in with_briefing)


def test_every_mail_is_for_one_person_and_can_be_left(demo: tuple[Path, str]) -> None:
    first = mails(issues(demo[0])[0])
    links = set()
    for address, message in first.items():
        assert len(message["To"].addresses) == 1
        assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        links.add(message["List-Unsubscribe"])
        others = {REFUSED, LEFT} - {address}
        assert not [other for other in others if other in message.as_string().lower()]
    assert len(links) == len(first)


def test_the_mail_is_accessible_and_fits_every_client_it_is_measured_for(
    demo: tuple[Path, str], shared: Path, chromium: str, tmp_path: Path
) -> None:
    """Every version passes the audit: contrast in both schemes, client support, no overflow, size."""
    audit = tmp_path / "audit"
    shutil.copytree(shared / "tools" / "mail-audit", audit)
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed: the audit of rendered mail needs it")
    fetched = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund"], cwd=audit, capture_output=True, text=True, timeout=200
    )
    if fetched.returncode != 0:
        pytest.skip(f"the audit's packages cannot be fetched: {fetched.stderr[-300:]}")
    pages = [str(p) for p in sorted(demo[0].glob("issue*.html"))]
    assert len(pages) == 4
    environment = {**os.environ, "CHROMIUM": chromium}
    done = subprocess.run(["node", "audit.mjs", *pages], cwd=audit, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
