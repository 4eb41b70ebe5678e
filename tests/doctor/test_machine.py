"""The machine and who can read what lies on it."""

from __future__ import annotations

from pathlib import Path

from newsletter.app import App
from newsletter.doctor.belongings import check_privacy
from newsletter.doctor.findings import Level
from newsletter.doctor.machine import judge_fsync


def test_the_speed_of_the_disk_says_what_it_bounds() -> None:
    """Connections divided by the time of one durable write."""
    found = judge_fsync(200.0, 10)
    assert found.level is Level.OK
    assert "with 10 connections an issue goes at 2,000 messages a second at most" in found.message
    assert judge_fsync(20.0, 10).level is Level.WARN
    assert "at most" not in judge_fsync(200.0).message


def test_every_file_that_holds_people_or_secrets_is_looked_at(app: App, tmp_path: Path) -> None:
    root = app.workspace.root
    root.chmod(0o755)
    (root / "secrets" / "dkim").mkdir(mode=0o700)
    names = ["secrets/dkim/s1.pem", "outbox/errors.csv", "newsletter.sqlite3-wal"]
    for name in names:
        (root / name).touch()
        (root / name).chmod(0o644)
    (root / "newsletter.sqlite3").chmod(0o600)
    (root / "newsletter.sqlite3-shm").chmod(0o600)
    findings = list(check_privacy(app.workspace))
    assert {f.message.removeprefix(f"Others can read {root}/").rstrip(".") for f in findings} == set(names)
    assert {f.level for f in findings if "secrets" in f.message} == {Level.FAIL}
    root.chmod(0o700)
    assert [f.message for f in check_privacy(app.workspace) if f.fix and "secrets" not in f.message] == []
    elsewhere = tmp_path / "list.sqlite3"
    elsewhere.touch(mode=0o644)
    elsewhere.chmod(0o644)
    assert any(str(elsewhere) in f.message for f in check_privacy(app.workspace, elsewhere))


def test_many_files_are_told_by_their_number(app: App) -> None:
    app.workspace.root.chmod(0o755)
    for number in range(20):
        path = app.workspace.outbox / f"{number}.html"
        path.touch()
        path.chmod(0o644)
    (app.workspace.database).chmod(0o600)
    findings = list(check_privacy(app.workspace))
    assert len(findings) <= 6
    assert "more files" in findings[-1].message
