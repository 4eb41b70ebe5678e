"""The command line on a workspace of its own, as the tests of `source` and `library` drive it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from newsletter.cli.main import main
from newsletter.keys import create_keys
from newsletter.migrations import open_and_upgrade
from newsletter.paths import Workspace

CONFIG = """
[organisation]
name = "Example Network"
postal_address = "1 High Street"
from_address = "news@example.org"
[smtp]
host = "127.0.0.1"
[web]
url = "https://news.example.org"
"""


@dataclass(frozen=True)
class Said:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        assert self.out, self.err
        return json.loads(self.out)


@pytest.fixture
def commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Return a function that runs the command line, with a migrated database and no terminal."""
    workspace = Workspace(tmp_path / "workspace")
    for folder in (workspace.root, workspace.media, workspace.outbox, workspace.locks):
        folder.mkdir()
    workspace.config.write_text(CONFIG)
    create_keys(workspace.secrets)
    open_and_upgrade(f"sqlite:///{workspace.database}")

    def command(*words: str) -> Said:
        with pytest.raises(SystemExit) as ended:
            main(["--workspace", str(workspace.root), *words])
        said = capsys.readouterr()
        return Said(int(ended.value.code or 0), said.out, said.err)

    return command
