"""The doctor says when the last backup is old, and whether the file of who is never mailed can be relied on."""

from __future__ import annotations

from datetime import timedelta

import pytest

from newsletter.app import App
from newsletter.doctor.backups import check_backups, judge_age
from newsletter.doctor.findings import Level
from newsletter.migrations import open_and_upgrade
from subscribers import suppression
from subscribers.never_mail.file import NeverMailFile
from tests.conftest import NOW


@pytest.mark.parametrize(
    ("days", "level", "words"),
    [(None, Level.WARN, "No backup was ever made"), (8, Level.WARN, "8 days ago"), (7, Level.OK, "2026-10-26")],
)
def test_an_old_backup_or_none_is_told(days: int | None, level: Level, words: str) -> None:
    found = judge_age(NOW - timedelta(days=days) if days is not None else None, NOW)
    assert found.level is level
    assert words in found.message


@pytest.fixture
def upgraded(app: App) -> App:
    for path in app.workspace.root.glob("newsletter.sqlite3*"):
        path.unlink()
    app.database.close()
    open_and_upgrade(app.database_url)
    return app


def told(app: App) -> list[tuple[str, Level]]:
    return [(finding.check, finding.level) for finding in check_backups(app.workspace, app.database_url, NOW)]


def test_a_file_that_is_absent_open_to_others_or_damaged_is_told(upgraded: App) -> None:
    app = upgraded
    assert told(app)[1] == ("never mailed", Level.OK)
    for n in range(3):
        with app.database.write() as session:
            suppression.suppress(session, address_hash=bytes([n]) * 16, reason="x", evidence="e", at=NOW)
    assert told(app)[1] == ("never mailed", Level.WARN)
    app.keeper.keep(now=NOW)
    assert told(app)[1] == ("never mailed", Level.OK)
    path = app.workspace.never_mail
    path.chmod(0o644)
    assert told(app)[1] == ("never mailed", Level.WARN)
    path.chmod(0o600)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"x"', b'"y"', 1))
    assert told(app)[1] == ("never mailed", Level.FAIL)
    path.write_bytes(b"{}\n" + whole)
    assert told(app)[1] == ("never mailed", Level.FAIL)
    path.unlink()
    NeverMailFile(path, b"another pepper" * 3).append([], None)
    assert told(app)[1] == ("never mailed", Level.FAIL)


def test_a_database_that_is_absent_is_not_made(app: App) -> None:
    app.database.close()
    for path in app.workspace.root.glob("newsletter.sqlite3*"):
        path.unlink()
    assert told(app) == []
    assert not app.workspace.database.exists()
