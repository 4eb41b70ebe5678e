"""What the documents tell people to type works as typed, and shows what they say it shows."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from newsletter.cli.main import NOUNS
from tests.peers.fixtures import free_port

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```console\n(.*?)^```", re.M | re.S)
NAMED_COMMAND = re.compile(r"`newsletter ([a-z]+)(?: ([a-z][a-z-]*))?[^`]*`")
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


class Step(NamedTuple):
    """One command of a document, and the lines that it promises; ``...`` stands for any number of lines."""

    command: str
    promised: list[str]


def steps(text: str) -> list[Step]:
    found: list[Step] = []
    for block in BLOCK.findall(text):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(Step(line[2:], []))
            elif line.strip() != "...":
                found[-1].promised.append(line)
    return found


def run_in_order(commands: list[str], folder: Path) -> list[tuple[int, str]]:
    """Run commands in one shell, as somebody at a terminal does; return how each ended and what it showed."""
    script = "\n".join(f'{command}\necho "@@ {number} $?"' for number, command in enumerate(commands))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NEWSLETTER")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    with tempfile.TemporaryFile() as shown:
        shell = subprocess.Popen(
            ["bash", "-c", script], cwd=folder, env=environment, stdout=shown, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            shell.wait(300)
        finally:
            with suppress(ProcessLookupError):  # nothing was left running
                os.killpg(shell.pid, signal.SIGTERM)
        shown.seek(0)
        parts = re.split(r"^@@ \d+ (\d+)\n", shown.read().decode(), flags=re.M)
    return [(int(code), said) for said, code in zip(parts[0::2], parts[1::2], strict=False)]


def plain(line: str) -> str:
    """Make lines comparable: numbers change from month to month, and widths of columns with them."""
    return re.sub(r"\s+", " ", re.sub(r"\d+", "#", line)).strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder that looks like the checkout to somebody who follows the tutorial."""
    shutil.copytree(ROOT / "docs" / "tutorial", tmp_path / "docs" / "tutorial")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").write_text("")  # the test's own environment is active
    return tmp_path


@pytest.mark.journey
def test_the_tutorial_works_as_typed(checkout: Path) -> None:
    text = (ROOT / "docs" / "tutorial.md").read_text().replace("2525", str(free_port()))
    planned = steps(text)
    # The mail server needs a moment that a person takes to type the next command.
    commands = [f"{s.command}\nsleep 2" if s.command.endswith("&") else s.command for s in planned]
    ended = run_in_order([*commands, "newsletter issue status latest --json 2>/dev/null"], checkout)
    assert len(ended) == len(planned) + 1, ended[-1]
    for step, (code, said) in zip(planned, ended, strict=False):
        assert code == 0, f"{step.command}\n{said}"
        assert "Traceback" not in said
        shown = {plain(line) for line in said.splitlines()}
        assert [line for line in step.promised if plain(line) not in shown] == [], f"{step.command}\n{said}"
    status = json.loads(ended[-1][1])
    assert (status["planned"], status["sent"], status["state"]) == (9, 9, "sent")
    caught = (checkout / "my-network" / "caught.txt").read_text()
    assert caught.count("X-RcptTo:") + caught.count("X-Peer:") >= 10
    assert "{{first_name" not in caught


@pytest.mark.journey
def test_a_real_archive_becomes_an_issue_by_the_tutorials_commands(shared: Path, tmp_path: Path) -> None:
    """Posts, resources and past issues stand in their sections, and no event of the past is among them."""
    archives = sorted((shared / "seeds").glob("*.txt"))
    commands = ["newsletter init ws", "cd ws"]
    commands += [f"newsletter source add archive-text '{path}'" for path in archives]
    commands += ["newsletter source fetch", "newsletter issue draft"]
    commands += ["newsletter issue show latest --json 2>/dev/null"]
    ended = run_in_order(commands, tmp_path)
    assert [code for code, _ in ended] == [0] * len(commands), ended
    sections = json.loads(ended[-1][1])["sections"]
    kinds = {section["name"]: {block["item_kind"] for block in section["blocks"]} for section in sections}
    assert kinds == {"news": {"post"}, "resources": {"resource"}, "past-issues": {"past-issue"}}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", document.read_text())
    assert [target for target in targets if not (document.parent / target).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_that_is_named_exists(document: Path) -> None:
    import importlib

    import click

    for noun, verb in NAMED_COMMAND.findall(document.read_text()):
        assert noun in NOUNS, f"newsletter {noun}"
        command = importlib.import_module(NOUNS[noun]).command
        if isinstance(command, click.Group) and verb:
            assert verb in command.commands, f"newsletter {noun} {verb}"
