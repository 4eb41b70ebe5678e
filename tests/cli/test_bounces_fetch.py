"""`newsletter bounces fetch`: what it says, and how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from newsletter.cli.main import cli
from newsletter.keys import create_keys
from newsletter.migrations import open_and_upgrade
from newsletter.paths import Workspace
from tests.peers.fixtures import wait_until

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
MAILDIR = '\n[[bounces.mailboxes]]\nname = "{name}"\nprotocol = "maildir"\npath = "{path}"\n'
DSN = (
    b"From: MAILER-DAEMON@mx.example.net\nTo: b+1@example.org\nSubject: Undelivered Mail Returned to Sender\n"
    b"\n550 5.1.1 <gone@example.net>: user unknown\n"
)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "workspace")
    made.root.mkdir()
    made.config.write_text(CONFIG)
    create_keys(made.secrets)
    open_and_upgrade(f"sqlite:///{made.database}")
    return made


@pytest.fixture
def add(workspace: Workspace, tmp_path: Path):
    """Return a function that sets up a Maildir, or one that is not there."""

    def make(name: str, *, there: bool = True) -> Path:
        root = tmp_path / name
        for part in ("new", "cur", "tmp") if there else ():
            (root / part).mkdir(parents=True)
        with workspace.config.open("a") as file:
            file.write(MAILDIR.format(name=name, path=root))
        return root

    return make


def fetch(workspace: Workspace, *words: str):
    return CliRunner().invoke(
        cli, ["--workspace", str(workspace.root), "bounces", "fetch", *words], standalone_mode=False
    )


def test_each_mailbox_is_a_row_and_one_in_trouble_ends_with_code_4(workspace: Workspace, add) -> None:
    (add("good") / "new" / "1.host").write_bytes(DSN)
    add("broken", there=False)
    done = fetch(workspace, "--json")
    assert done.return_value == 4
    good, broken = json.loads(done.stdout)
    assert (good["mailbox"], good["unknown"], good["trouble"]) == ("good", 1, "")
    assert "is no Maildir" in broken["trouble"]
    assert "Mailbox broken: " in done.stderr


def test_only_the_named_ones_are_looked_into(workspace: Workspace, add) -> None:
    add("good")
    add("broken", there=False)
    assert fetch(workspace, "good", "--json").return_value == 0


def test_a_mailbox_that_is_not_set_up_is_told_with_the_known_ones(workspace: Workspace, add) -> None:
    done = fetch(workspace)
    assert "docs/install.md" in done.exception.hint
    add("good")
    assert fetch(workspace, "god").exception.hint == "Known: good."


def test_watching_takes_what_arrives_and_ends_with_sigterm(workspace: Workspace, add) -> None:
    root = add("good")
    words = [sys.executable, "-m", "newsletter", "--workspace", str(workspace.root), "bounces", "fetch", "--watch"]
    (root / "new" / "1.host").write_bytes(DSN)
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: not (root / "new" / "1.host").exists(), "nothing was taken")
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert said.splitlines() == [
        "Watching: returned mail is taken as it arrives. Stop it with Ctrl-C.",
        "Mailbox good: 1 unknown.",
    ]


def test_no_password_is_ever_shown(workspace: Workspace) -> None:
    with workspace.config.open("a") as file:
        file.write('\n[[bounces.mailboxes]]\nhost = "127.0.0.1"\nport = 1\nusername = "me"\npassword = "canary"\n')
    assert "others can read" in str(fetch(workspace).exception)
    workspace.config.chmod(0o600)
    done = fetch(workspace)
    assert "cannot be reached" in done.stderr
    shown = CliRunner().invoke(cli, ["--workspace", str(workspace.root), "config", "show"], standalone_mode=False)
    assert "canary" not in done.output + shown.output + str(shown.exception)
    assert "mailboxes" in shown.output
