"""Backup and restore on PostgreSQL: consistent, private, atomic, and what stood is kept."""

from __future__ import annotations

import os
import stat
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import func, select, text

from newsletter.app import App
from newsletter.backup import restoring_postgresql
from newsletter.cli.main import main
from newsletter.migrations import open_and_upgrade
from newsletter.paths import Workspace
from newsletter.personal_data.erasing import erase_person
from newsletter.send import instance
from subscribers import people
from subscribers.tables import Subscriber
from tests.backup.changes import join, leave
from tests.backup.test_replay import standing
from tests.conftest import NOW

pytestmark = pytest.mark.journey


@pytest.fixture
def on_server(workspace: Workspace, opened, postgresql_url: str) -> App:
    """The workspace, with its database on a server."""
    workspace.config.write_text(workspace.config.read_text() + f'\n[database]\nurl = "{postgresql_url}"\n')
    workspace.database.unlink()
    open_and_upgrade(postgresql_url)
    app: App = opened(workspace.root)
    join(app, "ann", "bob", "cid", "dee")
    return app


@pytest.fixture
def other_url(postgresql_server: str) -> Iterator[str]:
    """Another empty database."""
    name = f"other_{os.getpid()}"
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
    yield postgresql_server.replace("postgresql://", "postgresql+psycopg://").replace("/postgres", f"/{name}")
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]


def test_a_restore_in_place_keeps_who_left_out_and_what_stood_aside(on_server, run, opened, tmp_path) -> None:
    app = on_server
    run("db", "backup", tmp_path / "a.tar.gz")
    leave(app, "ann", "members")
    leave(app, "bob")
    with app.database.write() as session:
        erase_person(session, people.find(session, "dee@example.com"), evidence="letter", at=NOW)
    app.close()
    assert "Nobody can be asked" in run("db", "restore", tmp_path / "a.tar.gz", "--replace", code=2)
    told = run("db", "restore", tmp_path / "a.tar.gz", "--replace", "--yes")
    assert (told["never_mail"]["left"], told["never_mail"]["erased"]) == (2, 1)
    back = opened(app.workspace.root)
    assert [standing(back, name) for name in ("ann", "bob", "cid", "dee")] == [
        "unsubscribed", "unsubscribed", "subscribed", None,
    ]  # fmt: skip
    with back.database.write() as session:
        assert not instance.is_live(session)
        assert session.scalar(text(f'SELECT count(*) FROM "{told["schema_aside"]}".subscribers')) == 3
    run("db", "adopt", "--yes")
    copies = run("subscribers", "erase", "cid@example.com", "--evidence", "letter", "--yes")["older_copies"]
    assert copies == [told["aside"], f"the schema {told['schema_aside']} of the database"]
    join(back, "new")
    leave(back, "new", "members")  # the triggers of the restored database write into the restored table
    with back.database.read() as session:
        assert instance.is_live(session)
    assert back.keeper.keep(now=NOW).appended >= 1


def test_a_restore_into_a_new_workspace_and_database(on_server, run, opened, other_url, tmp_path) -> None:
    run("db", "backup", tmp_path / "a.tar.gz")
    new = tmp_path / "new"
    run("db", "restore", tmp_path / "a.tar.gz", "--into", new, "--database", other_url, "--yes")
    app = opened(new)
    assert app.database_url == other_url
    assert standing(app, "ann") == "subscribed"
    with on_server.database.read() as session:
        assert session.scalar(select(func.count()).select_from(Subscriber)) == 4


def test_tables_that_stand_there_are_not_replaced_unless_told(on_server, run, tmp_path) -> None:
    """A backup that is tried elsewhere names the database in use in its configuration."""
    run("db", "backup", tmp_path / "a.tar.gz")
    on_server.close()
    said = run("db", "restore", tmp_path / "a.tar.gz", "--into", tmp_path / "new", "--yes", code=1)
    assert "holds tables already" in said
    assert not (tmp_path / "new" / "config.toml").exists()


def test_a_database_in_use_is_not_replaced(on_server, run, tmp_path) -> None:
    run("db", "backup", tmp_path / "a.tar.gz")
    with on_server.database.read() as session:
        session.scalar(select(1))
        said = run("db", "restore", tmp_path / "a.tar.gz", "--replace", "--yes", code=1)
    assert "connected to the database" in said


@pytest.mark.parametrize("stop", ["_move_aside", "load_dump", "settle", "place_files"])
def test_a_restore_that_is_killed_goes_on(on_server, run, opened, tmp_path, monkeypatch, stop: str) -> None:
    app = on_server
    run("db", "backup", tmp_path / "a.tar.gz")
    leave(app, "ann", "members")
    app.close()

    class Killed(BaseException):
        pass

    def kill(*_: object, **__: object) -> None:
        raise Killed

    module = restoring_postgresql if stop in ("_move_aside", "load_dump") else "newsletter.backup.restoring"
    with monkeypatch.context() as patched:
        if isinstance(module, str):
            patched.setattr(f"{module}.{stop}", kill)
        else:
            patched.setattr(module, stop, kill)
        words = ["--workspace", str(app.workspace.root), "db", "restore", str(tmp_path / "a.tar.gz")]
        with pytest.raises(Killed):
            main([*words, "--replace", "--yes"])
    assert "--continue" in run("lists", "list", code=1)
    told = run("db", "restore", "--continue", "--yes")
    assert told["schema_aside"]
    back = opened(app.workspace.root)
    assert standing(back, "ann") == "unsubscribed"
    assert standing(back, "bob") == "subscribed"


def test_a_backup_is_of_one_moment_while_others_write(on_server: App, run, tmp_path: Path) -> None:
    begun, stop = threading.Event(), threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            join(on_server, f"p{number}")
            begun.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert begun.wait(timeout=30)
        counts = run("db", "backup", tmp_path / "a.tar.gz")["counts"]
    finally:
        stop.set()
        writer.join()
    assert counts["subscribers"] == counts["subscriptions"] == counts["consent_events"] > 4


def test_a_password_is_in_no_argument_and_in_no_file_that_stays(on_server, run, tmp_path, monkeypatch) -> None:
    canary = "canary:of\\the-server"
    config = on_server.workspace.config
    from urllib.parse import quote

    config.write_text(config.read_text().replace("tester@", f"tester:{quote(canary)}@"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    (tmp_path / "bin").mkdir()
    real = "/usr/bin/pg_dump"
    spy = tmp_path / "bin" / "pg_dump"
    spy.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/seen\nstat -c %a "$PGPASSFILE" >> {tmp_path}/seen\n'
        f'cp "$PGPASSFILE" {tmp_path}/passed\nexec {real} "$@"\n'
    )
    spy.chmod(0o755)
    made = run("db", "backup", tmp_path / "a.tar.gz")
    seen = (tmp_path / "seen").read_text()
    assert "canary" not in seen
    assert seen.splitlines()[-1] == "600"
    assert (tmp_path / "passed").read_text() == "*:*:*:*:canary\\:of\\\\the-server\n"
    assert stat.S_IMODE(Path(made["file"]).stat().st_mode) == 0o600
    with tarfile.open(made["file"]) as archive:
        assert "pgpass" not in archive.getnames()


def test_a_client_that_is_missing_is_named(on_server: App, run, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "postgresql-client" in run("db", "backup", tmp_path / "a.tar.gz", code=1)
    assert not (tmp_path / "a.tar.gz").exists()
