"""An import whose process is killed goes on where it stopped: everybody is there once, every refused row told once."""

from __future__ import annotations

import csv
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from newsletter.keys import create_keys
from newsletter.migrations import open_and_upgrade
from newsletter.paths import Workspace

ROWS = 42_000
CONFIG = """
[organisation]
name = "Example Network"
postal_address = "1 High Street, Dudley DY1 1AA"
from_address = "news@example.org"
[smtp]
host = "127.0.0.1"
tls = "none"
[web]
url = "https://news.example.org"
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "ws")
    for folder in (made.root, made.outbox):
        folder.mkdir()
    create_keys(made.secrets)
    open_and_upgrade(f"sqlite:///{made.database}")
    made.config.write_text(CONFIG)
    return made


def _start(workspace: Workspace, *words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "newsletter", "--workspace", str(workspace.root), "--json", *words]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def _rows_done(database: Path) -> int:
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        found = connection.execute("SELECT max(rows_done) FROM import_batches").fetchone()
    return found[0] or 0


def test_a_killed_import_goes_on_where_it_stopped(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["email", "town", "tags"])
        writer.writerows(
            [f"p{n}@example.org" if n % 100 else "no address", "Dudley", "press"] for n in range(1, ROWS + 1)
        )
    _start(workspace, "lists", "create", "members").communicate()
    words = ("subscribers", "import", str(path), "--list", "members", "--basis", "consent", "--evidence", "forms")
    process = _start(workspace, *words)
    deadline = time.monotonic() + 60
    while not _rows_done(workspace.database) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    done = _rows_done(workspace.database)
    assert 0 < done < ROWS
    out, err = _start(workspace, *words).communicate()
    assert b'"new": 41580' in out, err
    with sqlite3.connect(workspace.database) as connection:
        ask = lambda query: connection.execute(query).fetchone()[0]  # noqa: E731
        assert ask("SELECT count(*) FROM import_batches") == 1
        for table in ("subscribers", "subscriptions", "consent_events", "subscriber_tags", "import_changes"):
            assert ask(f"SELECT count(*) FROM {table}") == 41_580, table
        assert ask("SELECT rows_done FROM import_batches") == ROWS
    with (workspace.outbox / "import-1-errors.csv").open(encoding="utf-8-sig", newline="") as file:
        told = Counter(row[0] for row in list(csv.reader(file))[1:])
    assert told == {str(n + 1): 1 for n in range(100, ROWS + 1, 100)}
