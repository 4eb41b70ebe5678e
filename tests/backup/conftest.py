"""A workspace that commands made, and the commands themselves."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from newsletter.app import App
from newsletter.cli.main import main
from newsletter.config.loading import load_config
from newsletter.keys import create_keys
from newsletter.migrations import open_and_upgrade
from newsletter.paths import Workspace

CONFIG = """\
# ours
[organisation]
name = "Example Network"
postal_address = "1 High Street, Dudley DY1 1AA"
from_address = "news@example.org"
[smtp]
host = "127.0.0.1"
port = 2525
tls = "none"
[web]
url = "https://news.example.org"
"""
Run = Callable[..., Any]


@pytest.fixture
def opened() -> Iterator[Callable[[Path], App]]:
    """Open the application of a workspace as its configuration says; closed at the end."""
    made: list[App] = []

    def open_app(root: Path) -> App:
        app = App(workspace=Workspace(root), config=load_config(root / "config.toml", {}).config, actor="tester")
        made.append(app)
        return app

    yield open_app
    for app in made:
        app.close()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with a database that the migrations made, a picture and a template of its own."""
    made = Workspace(tmp_path / "ws")
    for folder in (made.root, made.outbox, made.media, made.templates / "email"):
        folder.mkdir(mode=0o700, parents=True)
    create_keys(made.secrets)
    made.config.write_text(CONFIG)
    made.config.chmod(0o600)
    (made.media / "abc.png").write_bytes(b"picture" * 1000)
    (made.templates / "email" / ("long-" * 30 + "é.html.j2")).write_text("{{ title }}")
    open_and_upgrade(f"sqlite:///{made.database}")
    return made


@pytest.fixture
def live(workspace: Workspace, opened: Callable[[Path], App]) -> App:
    return opened(workspace.root)


@pytest.fixture
def run(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in the workspace; returns its JSON, or (with `code`) what it says."""
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    def run_command(*words: object, code: int = 0, as_json: bool = True, root: Path | None = None) -> Any:
        out, err = io.StringIO(), io.StringIO()
        arguments = ["--workspace", str(root or workspace.root), "--as", "tester", *(["--json"] if as_json else [])]
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main([*arguments, *map(str, words)])
        assert ended.value.code == code, out.getvalue() + err.getvalue()
        return json.loads(out.getvalue()) if as_json and not code else out.getvalue() + err.getvalue()

    return run_command
