"""
The process that tests kill: send an issue of a workspace. It runs by itself, or forked by a test (`send`).

    python kill_loop.py WORKSPACE ISSUE_ID PORT CONNECTIONS

With `kill_at` the process kills itself at that commit, of whichever connection, just `before` it or just after, so
that every boundary of a run can be hit.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from newsletter.app import App
from newsletter.config.settings import Config
from newsletter.paths import Workspace
from newsletter.send import dispatch, journal


@dataclass(frozen=True)
class Run:
    """
    One process to be.

    Attributes:
        lease_seconds: 0 leaves the default; a short one also makes the process look for stopped workers more often.
        without_intent: Break the engine on purpose: the dot leaves with nothing written down before.
    """

    workspace: Path
    issue_id: int
    port: int
    connections: int
    database_url: str = ""
    lease_seconds: float = 0
    per_minute: int = 0
    kill_at: int = 0
    before: bool = False
    without_intent: bool = False

    def config(self) -> Config:
        smtp = {"host": "127.0.0.1", "port": self.port, "tls": "none", "connections": self.connections}
        config = Config.model_validate(
            {
                "organisation": {
                    "name": "Example Network",
                    "postal_address": "1 High Street, Dudley DY1 1AA",
                    "from_address": "news@example.org",
                },
                "smtp": {**smtp, "per_minute": self.per_minute},
                "web": {"url": "https://news.example.org"},
                "database": {"url": self.database_url},
            }
        )
        if not self.lease_seconds:
            return config
        # Shorter than a configuration may say: a test cannot wait that long.
        send = config.send.model_copy(update={"lease_seconds": self.lease_seconds})
        return config.model_copy(update={"send": send})

    def app(self) -> App:
        return App(workspace=Workspace(self.workspace), config=self.config(), actor="kill loop")


def send(run: Run) -> None:
    """Send the issue, as `newsletter issue send` does, or die as *run* says; words go to a file of the workspace."""
    with (run.workspace / "child.err").open("ab", buffering=0) as words:
        os.dup2(words.fileno(), 2)
    if run.kill_at:
        die_at_commit(run.kill_at, run.before)
    if run.without_intent:
        journal.Journal.intend = _granted_at_once  # type: ignore[method-assign]
    if run.lease_seconds:
        dispatch.RECOVER_SECONDS = run.lease_seconds / 2
    app = run.app()
    report = dispatch.send_issue(app, run.issue_id)
    app.close()
    print("finished", report.state.value, flush=True)


def _granted_at_once(self: journal.Journal, _delivery_id: int) -> asyncio.Future[journal.Granted]:
    future: asyncio.Future[journal.Granted] = asyncio.get_running_loop().create_future()
    future.set_result(journal.Granted.YES)
    return future


def die_at_commit(number: int, before: bool) -> None:
    """Let the drivers' commit end the process at its *number*-th run in a transaction."""
    seen = 0

    def counted(commit: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == number and before:
            os.kill(os.getpid(), signal.SIGKILL)
        commit()
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)

    class SqliteConnection(sqlite3.Connection):
        def commit(self) -> None:
            counted(super().commit) if self.in_transaction else super().commit()

    connect, commit = sqlite3.dbapi2.connect, psycopg.Connection.commit
    sqlite3.dbapi2.connect = lambda *words, **more: connect(*words, **{**more, "factory": SqliteConnection})  # type: ignore[assignment]
    idle = psycopg.pq.TransactionStatus.IDLE

    def commit_on_postgresql(self: psycopg.Connection[Any]) -> None:
        if self.info.transaction_status == idle:
            commit(self)
        else:
            counted(lambda: commit(self))

    psycopg.Connection.commit = commit_on_postgresql  # type: ignore[method-assign]


def main() -> None:
    workspace, *numbers = sys.argv[1:5]
    run = Run(Path(workspace), *map(int, numbers))
    app = run.app()
    report = dispatch.send_issue(app, run.issue_id)
    app.close()
    print("finished", report.state.value, flush=True)


if __name__ == "__main__":
    main()
