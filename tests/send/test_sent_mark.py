"""A database that was put back from an older copy, in its old place and under its old name, sends nothing by itself."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections import Counter

import pytest

from newsletter.send import control, instance, sent_mark, uncertain
from newsletter.send.dispatch import send_issue
from newsletter.tables import Issue, IssueState
from newsletter.worker import Worker


def copy_of(app, folder):
    """Copy the database as a backup does, while it is in use."""
    path = folder / "backup.sqlite3"
    with sqlite3.connect(app.workspace.database) as source, sqlite3.connect(path) as target:
        source.backup(target)
    source.close()
    target.close()
    return path


def put_back(app, copy):
    """Copy a backup over the database: the file stays the same one for the system."""
    app.close()
    for suffix in ("-wal", "-shm"):
        app.workspace.database.with_name(app.workspace.database.name + suffix).unlink(missing_ok=True)
    shutil.copyfile(copy, app.workspace.database)


@pytest.mark.parametrize("ends", [True, False])
def test_a_copy_made_in_mid_send_and_put_back_mails_nobody_a_second_time(
    start_sink, sending_app, plan_issue, tmp_path, ends
):
    """The run went on after the copy was made, to its end or until it was stopped."""
    sink = start_sink(rules=[{"stage": "dot", "delay": 0.02}])
    app = sending_app(sink.port)
    issue, copies = plan_issue(app, 60), []

    def on_progress(progress):
        if progress.sent >= 3 and not copies:
            copies.append(copy_of(app, tmp_path))
        if copies and not ends and sink.accepted().total() >= 30:
            raise KeyboardInterrupt

    if ends:
        send_issue(app, issue, on_progress=on_progress)
    else:
        with pytest.raises(KeyboardInterrupt):
            send_issue(app, issue, on_progress=on_progress)
    time.sleep(0.3)  # what had left arrives
    received = sink.accepted()
    put_back(app, copies[0])
    with pytest.raises(instance.CopiedDatabase, match="restored"):
        send_issue(app, issue)
    with pytest.raises(instance.CopiedDatabase):
        Worker(app, lambda _: None).once()
    assert sink.accepted() == received
    with app.database.write() as session:
        assert instance.adopt(session, now=app.now(), nothing_sent_since=False).uncertain > 0
    with app.database.write() as session:
        listed = {row["address"] for row in uncertain.list_uncertain(session)}
        control.resume(session, session.get(Issue, issue))
    report = send_issue(app, issue)
    assert report.state is IssueState.SENT
    assert sink.accepted() == received, "somebody was mailed twice"
    assert report.counts["sent"] + report.counts["uncertain"] == 60
    assert set(received) | listed == {f"person{n}@example.com" for n in range(1, 61)}


def test_a_database_that_goes_on_is_never_taken_for_an_old_one(start_sink, sending_app, plan_issue):
    sink = start_sink()
    app = sending_app(sink.port)
    for number in range(3):
        assert send_issue(app, plan_issue(app, 8, slug=f"2026-1{number}")).counts["sent"] == 8
        app.close()
    assert Counter(sink.accepted().values()) == {3: 8}


def test_a_database_that_is_ahead_of_the_file_is_the_live_one(sending_app):
    """The file may be gone, or the machine lost power before it was written."""
    app = sending_app(1)
    with app.database.write() as session:
        instance.note_place(session, app.now())
        session.execute(sent_mark.text(sent_mark.RAISE))
    with app.database.read() as session:
        instance.require_live(session)
        assert sent_mark._stored(session) == 1


def test_the_mark_lies_beside_the_file_that_a_link_points_to(start_sink, sending_app, plan_issue, tmp_path):
    """It was written beside the link and looked for beside the file, so an older copy went unnoticed."""
    app = sending_app(start_sink().port)
    issue = plan_issue(app, 2)
    app.close()
    file = app.workspace.database.rename(tmp_path / "big-disk.sqlite3")
    app.workspace.database.symlink_to(file)
    assert send_issue(app, issue).counts["sent"] == 2
    assert file.with_name(f"{file.name}-sent").stat().st_size == sent_mark.BYTES
    assert not app.workspace.database.with_name(f"{app.workspace.database.name}-sent").exists()
