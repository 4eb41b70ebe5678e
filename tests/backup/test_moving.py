"""Everything moves from SQLite to PostgreSQL and back; at no moment do two databases send."""

from __future__ import annotations

import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, insert, null, select, text, update

from newsletter.app import App
from newsletter.backup import moving
from newsletter.send import instance
from newsletter.tables import Setting, Source, SourceKind, Worker
from subscribers.db import Base, Database, UtcDateTime
from subscribers.tables import ImportBatch, NeverMailChange, Subscriber
from tests.backup.changes import in_file, join, leave, suppress
from tests.conftest import NOW


def fill_every_table(connection: Connection) -> None:
    """Put two odd rows into every table: each kind of value that a column can hold, and nulls where it can."""
    for table in Base.metadata.sorted_tables:
        for n in (7, 900):  # not the ids that would be given out
            row = {column.name: value_for(connection, column, n) for column in table.columns}
            connection.execute(insert(table).values(row))


def value_for(connection: Connection, column: Any, n: int) -> Any:
    kind = column.type
    if column.foreign_keys:
        target = next(iter(column.foreign_keys)).column
        found = connection.execute(select(target).where(target.in_((7, 900))).order_by(target)).scalars().all()
        return found[0 if n == 7 else -1] if found else None
    if column.nullable and n == 900:
        return null()
    if hasattr(kind, "enums"):
        return kind.python_type(kind.enums[-1 if n == 7 else 0])
    name = type(kind).__name__
    if isinstance(kind, UtcDateTime):
        return NOW + timedelta(microseconds=n)
    simple = {
        "Integer": n, "Boolean": n == 7, "Double": 0.1 * n, "Date": NOW.date(), "JSON": {"é": [n, None, 1.5, "\u2028"]},
        "LargeBinary": bytes([0, 255]) + str(n).encode(),
    }  # fmt: skip
    if name in simple:
        return simple[name]
    assert name in ("String", "Text"), name
    return f"{n} it's “é” \U0001f600\t\\ %s :x"[: kind.length or 200]


@pytest.fixture
def filled(live: App, run) -> App:
    join(live, "ann", "bob", "cid")
    leave(live, "ann", "members")
    suppress(live, "bob")
    with live.database.write() as session:
        fill_every_table(session.connection())
        session.execute(update(Source).values(kind=SourceKind.FEED))
    run("lists", "list")
    return live


def contents(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, as the program reads it, save what says where the database lies and how it is set."""
    database = Database(url)
    found = {}
    with database.read() as session:
        for table in Base.metadata.sorted_tables:
            keys = [tuple(row) for row in session.execute(select(*table.columns))]
            found[table.name] = sorted(
                (r for r in keys if r[0] not in ("instance", "sent-mark", "configuration")), key=repr
            )
    database.close()
    return found


def take_out(found: dict[str, list[tuple[Any, ...]]], action: str) -> int:
    """Take the entries of one action out of the audit log; return how many there were."""
    rows = found["audit_entries"]
    found["audit_entries"] = [row for row in rows if row[3] != action]
    return len(rows) - len(found["audit_entries"])


@pytest.mark.journey
def test_everything_arrives_there_and_back(filled: App, run, opened, postgresql_url: str, tmp_path: Path) -> None:
    near = filled.database_url
    before = contents(near)
    filled.close()
    told = run("db", "migrate-to", postgresql_url, "--yes")
    assert told["config_changed"]
    assert set(told["counts"]) == {table.name for table in Base.metadata.sorted_tables}
    assert all(count >= 2 for count in told["counts"].values())
    arrived = contents(postgresql_url)
    assert take_out(arrived, "database.moved") == 1
    assert arrived == before
    assert "# ours" in filled.workspace.config.read_text()
    assert tomllib.loads(filled.workspace.config.read_text())["database"]["url"] == postgresql_url

    far = opened(filled.workspace.root)
    with far.database.write() as session:
        assert instance.is_live(session)
        for made in (Worker(host="h", pid=1, started_at=NOW), ImportBatch(**batch(session))):
            session.add(made)
            session.flush()
            assert made.id == 901
        session.execute(text("DELETE FROM workers WHERE id = 901"))
        session.execute(text("DELETE FROM import_batches WHERE id = 901"))
    again = contents(postgresql_url)
    far.close()

    back = f"sqlite:///{tmp_path / 'back.sqlite3'}"
    run("db", "migrate-to", back, "--yes")
    found = contents(back)
    # The first move changed the configuration, which the next command has recorded.
    assert [take_out(found, action) for action in ("settings.changed", "database.moved")] == [2, 2]
    for action in ("settings.changed", "database.moved"):
        take_out(again, action)
    for name in before:  # numbers are of PostgreSQL alone
        if name != "never_mail_changes":
            assert found[name] == again[name], name
    assert (tmp_path / "back.sqlite3").stat().st_mode & 0o077 == 0


def batch(session: Any) -> dict[str, Any]:
    row = session.scalars(select(ImportBatch)).first()
    return {c.name: getattr(row, c.name) for c in ImportBatch.__table__.columns if c.name != "id"}


@pytest.mark.journey
def test_the_old_database_sends_nothing_and_the_file_goes_on(live, run, opened, postgresql_url: str) -> None:
    join(live, "ann", "bob")
    leave(live, "ann", "members")
    run("lists", "create", "events")
    live.close()
    run("db", "migrate-to", postgresql_url, "--yes")
    with live.database.read() as session:
        assert not instance.is_live(session)
    lines = len(in_file(live))
    app = opened(live.workspace.root)
    leave(app, "bob", "members")
    app.keeper.keep(now=NOW)
    assert [change.kind for change in in_file(live)[lines:] if change] == ["left"]


@pytest.mark.journey
def test_triggers_work_on_the_far_side_and_copied_rows_are_no_changes(live, run, opened, postgresql_url) -> None:
    join(live, "ann", "bob")
    leave(live, "ann", "members")
    with live.database.read() as session:
        before = session.scalar(select(func.count()).select_from(NeverMailChange))
    live.close()
    run("db", "migrate-to", postgresql_url, "--yes")
    app = opened(live.workspace.root)
    with app.database.write() as session:
        assert session.scalar(select(func.count()).select_from(NeverMailChange)) == before
        session.execute(text("DELETE FROM subscribers WHERE address LIKE 'bob%'"))
    with app.database.read() as session:
        assert session.scalar(select(func.count()).select_from(NeverMailChange)) == before + 1


@pytest.mark.journey
def test_a_value_that_cannot_be_kept_there_stops_it_and_leaves_nothing(live, run, postgresql_url: str) -> None:
    join(live, "ann")
    with live.database.write() as session:
        session.execute(update(Subscriber).values(name="a\0b"))
    live.close()
    said = run("db", "migrate-to", postgresql_url, "--yes", code=1)
    assert "subscribers cannot be kept" in said
    far = Database(postgresql_url)
    with far.read() as session:
        assert session.scalar(text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")) == 0
    far.close()
    with live.database.read() as session:
        assert instance.is_live(session)
    assert "url" not in live.workspace.config.read_text().partition("[web]")[0]


def test_what_arrives_changed_is_found(live: App, run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    join(live, "ann")
    live.close()
    copy = moving._copy_table

    def spoil(source: Connection, target: Connection, table: Any, tell: Any) -> Any:
        sent = copy(source, target, table, tell)
        if table.name == "subscribers":
            target.execute(update(table).values(name="other"))
        return sent

    monkeypatch.setattr(moving, "_copy_table", spoil)
    assert "Table subscribers arrived" in run(
        "db", "migrate-to", f"sqlite:///{tmp_path / 'b.sqlite3'}", "--yes", code=1
    )
    with live.database.read() as session:
        assert instance.is_live(session)


def test_a_stop_at_any_commit_leaves_no_two_that_send(live: App, run, tmp_path: Path, monkeypatch) -> None:
    """The far side is committed first and sends nothing; then the near one ends; then the far one begins."""
    join(live, "ann")
    with live.database.write() as session:
        instance.note_place(session, NOW)
    live.close()
    url = f"sqlite:///{tmp_path / 'b.sqlite3'}"

    class Killed(BaseException):
        pass

    def kill(*_: object, **__: object) -> None:
        raise Killed

    for name in ("declare_live",):
        monkeypatch.setattr(moving, name, kill)
        with pytest.raises(Killed):
            moving.move(live.database, url, live.workspace.locks, audit=live.audit, now=NOW, tell=lambda _: None)
    far = Database(url)
    for database in (live.database, far):
        with database.read() as session:
            assert not instance.is_live(session)
    far.close()


def test_a_database_that_is_not_empty_or_in_use_is_refused(live: App, run, tmp_path: Path, opened) -> None:
    other = f"sqlite:///{tmp_path / 'other.sqlite3'}"
    database = Database(other)
    with database.write() as session:
        Base.metadata.create_all(session.connection())
    database.close()
    assert "not empty" in run("db", "migrate-to", other, "--yes", code=1)
    with live.database.read() as session:
        session.scalar(select(Setting))
        assert "open" in run("db", "migrate-to", f"sqlite:///{tmp_path / 'new.sqlite3'}", "--yes", code=1)
    live.close()
    assert "That is the database in use" in run("db", "migrate-to", live.database_url, "--yes", code=1)
    for url in ("mysql://x", "sqlite:///relative", "postgresql://x"):
        assert "must begin with" in run("db", "migrate-to", url, "--yes", code=1)


@pytest.mark.journey
def test_a_password_in_the_url_shows_nowhere_but_in_the_configuration(live: App, run, postgresql_url: str) -> None:
    live.close()
    canary = "canary-password"
    said = run("db", "migrate-to", postgresql_url.replace("@", f":{canary}@"), "--yes", as_json=False)
    assert canary not in said
    assert live.workspace.config.stat().st_mode & 0o077 == 0
