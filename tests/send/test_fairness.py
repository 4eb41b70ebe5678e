"""While an issue goes out, others who use the same database get their turn: no timing here, only that they do."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading

from newsletter.send.dispatch import send_issue

COMMITTING = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
connection.execute("PRAGMA synchronous=FULL")
print("ready", flush=True)
for number in range(int(sys.argv[2])):
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO others VALUES (?)", (number,))
    connection.execute("COMMIT")
"""
COMMITS = 100


def test_another_process_commits_while_an_issue_goes_out_and_the_issue_goes_on(start_sink, sending_app, plan_issue):
    """All its commits are done before the issue is, and what the journal writes meanwhile is not lost."""
    sink = start_sink(rules=[{"stage": "dot", "delay": 0.005}])
    app = sending_app(sink.port)
    issue = plan_issue(app, 600)
    with sqlite3.connect(app.workspace.database) as connection:
        connection.execute("CREATE TABLE others (number INTEGER)")
    connection.close()
    words = [sys.executable, "-c", COMMITTING, str(app.workspace.database), str(COMMITS)]
    sent_when_others_were_done: list[int] = []
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"

        def wait() -> None:
            assert other.wait(60) == 0
            sent_when_others_were_done.append(sink.accepted().total())

        waiting = threading.Thread(target=wait)
        waiting.start()
        report = send_issue(app, issue)
        waiting.join()
    assert report.counts["sent"] == 600
    assert max(sink.accepted().values()) == 1
    assert sent_when_others_were_done[0] < 600
    connection = sqlite3.connect(app.workspace.database)
    assert connection.execute("SELECT count(*) FROM others").fetchone() == (COMMITS,)
    connection.close()
