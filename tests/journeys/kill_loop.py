"""
The process that the kill loop kills: send an issue of a workspace and report progress; run by test_kill_loop.py.

    python kill_loop.py WORKSPACE ISSUE_ID PORT CONNECTIONS

Each line on standard output is the number of copies done, so that kills are timed by progress and not by the clock.
With KILL_AT set to a number the process kills itself at that commit of its journal, just after or (KILL_BEFORE) before.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from newsletter.app import App
from newsletter.config import Config
from newsletter.paths import Workspace
from newsletter.send import journal
from newsletter.send.dispatch import send_issue


def config(port: int, connections: int) -> Config:
    return Config.model_validate(
        {
            "organisation": {
                "name": "Example Network",
                "postal_address": "1 High Street, Dudley DY1 1AA",
                "from_address": "news@example.org",
            },
            "smtp": {"host": "127.0.0.1", "port": port, "tls": "none", "connections": connections},
            "web": {"url": "https://news.example.org"},
        }
    )


def die_at_commit(number: int, before: bool) -> None:
    """Replace the journal's commit by one that ends the process at its *number*-th run: every boundary can be hit."""
    original = journal.Journal._guarded
    seen = 0

    def guarded(self, connection, function, *begin):
        nonlocal seen
        seen += 1
        if seen == number and before:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(self, connection, function, *begin)
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    journal.Journal._guarded = guarded  # type: ignore[method-assign]


def main() -> None:
    workspace, issue_id, port, connections = Path(sys.argv[1]), *map(int, sys.argv[2:5])
    if "KILL_AT" in os.environ:
        die_at_commit(int(os.environ["KILL_AT"]), "KILL_BEFORE" in os.environ)
    app = App(workspace=Workspace(workspace), config=config(port, connections), actor="kill loop")
    report = send_issue(app, issue_id, on_progress=lambda p: print(p.done, flush=True))
    app.close()
    print("finished", report.state.value, flush=True)


if __name__ == "__main__":
    main()
