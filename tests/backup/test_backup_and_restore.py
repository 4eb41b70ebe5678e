"""A backup is whole, private and comes back; what happened since the backup is not forgotten by it."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tarfile
import threading
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy import func, select, text

from newsletter import migrations
from newsletter.app import App
from newsletter.audit.log import Wanted, entries
from newsletter.backup import container, placing
from newsletter.backup.database_copy import check_sqlite
from newsletter.backup.manifest import Manifest, entry_of
from newsletter.cli.main import main
from newsletter.keys import load_keys
from newsletter.paths import Workspace
from newsletter.personal_data.erasing import erase_person
from newsletter.personal_data.never_mail import Keeper
from newsletter.send import instance
from subscribers import people
from subscribers.db import Database
from subscribers.never_mail.file import pepper_print
from subscribers.tables import Subscriber, Suppression
from tests.backup.changes import copy_sqlite, join, kinds, leave, suppress
from tests.backup.test_replay import reasons, standing
from tests.conftest import NOW


def tree(root: Path) -> dict[str, str]:
    """Every file below a folder with the hash of what is in it."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def names_in(path: Path) -> list[str]:
    with tarfile.open(path) as archive:
        return archive.getnames()


@pytest.fixture
def backed_up(live: App, run, tmp_path: Path) -> Path:
    """Four people on a list, then a backup."""
    join(live, "ann", "bob", "cid", "dee")
    run("db", "backup", tmp_path / "old.tar.gz")
    return tmp_path / "old.tar.gz"


def test_a_backup_holds_everything_and_is_private(live: App, run, backed_up: Path) -> None:
    assert stat.S_IMODE(backed_up.stat().st_mode) == 0o600
    held = names_in(backed_up)
    assert held[0] == "manifest.json"
    assert {"newsletter.sqlite3", "config.toml", "never-mail.jsonl", "media/abc.png", "secrets/pepper.key"} < set(held)
    assert not (live.workspace.root / ".backup").exists()
    assert [path.name for path in backed_up.parent.glob(".*")] == []


def test_a_backup_without_a_name_goes_into_the_workspace(live: App, run) -> None:
    join(live, "ann")
    made = run("db", "backup")
    path = Path(made["file"])
    assert (path.parent, made["counts"]["subscribers"]) == (live.workspace.backups, 1)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_the_file_is_private_from_its_first_byte(live: App, run, tmp_path: Path, monkeypatch) -> None:
    modes = []
    write = container.write

    def watched(target, *rest):
        modes.extend(stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "out").iterdir())
        modes.extend(stat.S_IMODE(path.stat().st_mode) for path in (live.workspace.root / ".backup").iterdir())
        write(target, *rest)

    monkeypatch.setattr("newsletter.backup.container.write", watched)
    (tmp_path / "out").mkdir()
    old = os.umask(0)
    try:
        run("db", "backup", tmp_path / "out" / "a.tar.gz")
    finally:
        os.umask(old)
    assert set(modes) == {0o600}
    assert len(modes) >= 4


def test_a_backup_is_never_written_over_another(run, backed_up: Path) -> None:
    before = backed_up.read_bytes()
    assert "exists already" in run("db", "backup", backed_up, code=1)
    assert backed_up.read_bytes() == before


def test_it_comes_back_elsewhere_with_all_that_was_in_it(live: App, run, opened, backed_up: Path, tmp_path) -> None:
    told = run("db", "restore", backed_up, "--into", tmp_path / "new")
    assert told["aside"] is None
    new = tmp_path / "new"
    for folder in ("secrets", "media", "templates"):
        assert tree(new / folder) == tree(live.workspace.root / folder)
    assert (new / "config.toml").read_text() == live.workspace.config.read_text()
    for path in (new, *new.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    with opened(new).database.read() as session:
        assert session.scalar(select(func.count()).select_from(Subscriber)) == 4
    assert not (new / "restoring").exists()


def test_whoever_left_or_was_erased_since_is_out_after_a_restore_in_place(live, run, opened, backed_up) -> None:
    leave(live, "ann", "members")
    leave(live, "bob")
    suppress(live, "cid")
    with live.database.write() as session:
        erase_person(session, people.find(session, "dee@example.com"), evidence="letter", at=NOW)
    live.close()  # without a last look at the file: the restore itself sees to it
    told = run("db", "restore", backed_up, "--replace", "--yes")
    assert (told["never_mail"]["left"], told["never_mail"]["erased"]) == (2, 1)
    app = opened(live.workspace.root)
    assert [standing(app, name) for name in ("ann", "bob", "cid", "dee")] == [
        "unsubscribed", "unsubscribed", "subscribed", None,
    ]  # fmt: skip
    assert (reasons(app, "bob"), reasons(app, "cid"), reasons(app, "dee")) == (
        ["unsubscribed"], ["hard bounce"], ["erased"],
    )  # fmt: skip
    aside = Path(told["aside"])
    with closing(sqlite3.connect(aside / "newsletter.sqlite3")) as old:
        assert old.execute("SELECT COUNT(*) FROM subscribers").fetchone() == (3,)
    assert (aside / "secrets" / "pepper.key").exists()


def test_a_damaged_database_is_replaced_with_what_its_file_knows(live: App, run, opened, backed_up: Path) -> None:
    """The usual reason to restore: the database can say nothing any more, the file beside it can."""
    leave(live, "ann", "members")
    Keeper(live.database, live.workspace, live.keys.pepper).keep(now=NOW)
    live.close()
    live.workspace.database.write_bytes(b"SQLite format 3\0" + b"\7" * 9000)
    assert run("db", "restore", backed_up, "--replace", "--yes")["never_mail"]["left"] == 1
    assert standing(opened(live.workspace.root), "ann") == "unsubscribed"


def test_a_newer_file_from_elsewhere_is_applied_too(live: App, run, opened, backed_up: Path, tmp_path: Path) -> None:
    leave(live, "ann", "members")
    Keeper(live.database, live.workspace, live.keys.pepper).keep(now=NOW)
    shutil.copy(live.workspace.never_mail, tmp_path / "saved.jsonl")
    run("db", "restore", backed_up, "--into", tmp_path / "new", "--never-mail", tmp_path / "saved.jsonl")
    app = opened(tmp_path / "new")
    assert standing(app, "ann") == "unsubscribed"
    assert len((tmp_path / "new" / "never-mail.jsonl").read_text().splitlines()) >= 2


def test_a_restore_that_cannot_know_who_left_since_says_so_and_can_be_told(
    live, run, opened, backed_up, tmp_path
) -> None:
    """Without a newer file whoever left comes back: that must not happen in silence, nor be the end of it."""
    leave(live, "ann", "members")
    with live.database.write() as session:
        erase_person(session, people.find(session, "dee@example.com"), evidence="letter", at=NOW)
    Keeper(live.database, live.workspace, live.keys.pepper).keep(now=NOW)
    told = run("db", "restore", backed_up, "--into", tmp_path / "one")
    assert told["left_unknown_since"] is not None
    said = run("db", "restore", backed_up, "--into", tmp_path / "two", as_json=False)
    assert "not known here" in " ".join(said.split())
    assert "db adopt --never-mail FILE" in " ".join(said.split())
    assert "lost: a pause" in " ".join(said.split())  # no file outside the database holds it
    newer = ("--never-mail", live.workspace.never_mail)
    assert run("db", "adopt", *newer, "--yes", root=tmp_path / "two")["never_mail"]["left"] == 1
    app = opened(tmp_path / "two")
    assert (standing(app, "ann"), standing(app, "dee")) == ("unsubscribed", None)
    assert run("db", "restore", backed_up, "--into", tmp_path / "three", *newer)["left_unknown_since"] is None
    live.close()
    assert run("db", "restore", backed_up, "--replace", "--yes")["left_unknown_since"] is None


def test_an_erasure_names_the_older_copies_that_still_hold_the_person(live, run, backed_up: Path) -> None:
    """Else what a restore put aside holds people who were erased for as long as nobody thinks of it."""
    made = run("db", "backup")["file"]
    live.close()
    aside = run("db", "restore", backed_up, "--replace", "--yes")["aside"]
    erased = run("subscribers", "erase", "ann@example.com", "--evidence", "letter", "--yes")
    assert erased["older_copies"] == [made, aside]
    said = run("subscribers", "erase", "bob@example.com", "--evidence", "letter", "--yes", as_json=False)
    assert "".join(aside.split()) in "".join(said.split())


def test_a_standing_workspace_is_not_replaced_unless_told(live: App, run, backed_up: Path) -> None:
    live.close()
    before = tree(live.workspace.root)
    said = run("db", "restore", backed_up, code=1)
    assert "stands in" in said
    assert "--replace" in said
    assert run("db", "restore", backed_up, "--replace", code=2)  # nobody is there to be asked
    after = tree(live.workspace.root)
    before.pop("never-mail.jsonl", None)
    after.pop("never-mail.jsonl", None)
    assert {k: v for k, v in after.items() if "locks" not in k and not k.startswith("newsletter.sqlite3")} == {
        k: v for k, v in before.items() if "locks" not in k and not k.startswith("newsletter.sqlite3")
    }


def test_a_database_that_another_program_has_open_is_not_replaced(live: App, run, backed_up: Path) -> None:
    """Its unsubscribes would go into the file that was put aside."""
    with live.database.read() as session:
        session.scalar(select(func.count()).select_from(Subscriber))
    assert "open" in run("db", "restore", backed_up, "--replace", "--yes", code=1)
    assert not (live.workspace.root / "restoring").exists()
    assert standing(live, "ann") == "subscribed"


def test_a_restored_database_sends_nothing_until_it_is_adopted(live: App, run, opened, backed_up, tmp_path) -> None:
    """Although nothing was ever sent from it, and wherever it comes to lie."""
    run("db", "restore", backed_up, "--into", tmp_path / "new")
    app = opened(tmp_path / "new")
    with app.database.read() as session:
        assert not instance.is_live(session)
        done, _ = entries(session, Wanted(action="database"))
        assert [(entry.action, entry.actor) for entry in done] == [
            ("database.restored", "tester"), ("database.backed-up", "tester"),
        ]  # fmt: skip
    assert run("db", "adopt", "--yes", root=tmp_path / "new")["changed"]
    with app.database.read() as session:
        assert instance.is_live(session)


def test_adopting_a_copy_that_was_put_back_by_hand_applies_the_file_too(live: App, run, opened) -> None:
    join(live, "ann")
    copy_sqlite(live.workspace.database, live.workspace.root / "cp")
    leave(live, "ann", "members")
    Keeper(live.database, live.workspace, live.keys.pepper).keep(now=NOW)
    live.close()
    os.replace(live.workspace.root / "cp", live.workspace.database)
    assert run("db", "adopt", "--restored", "--yes")["never_mail"]["left"] == 1
    assert standing(opened(live.workspace.root), "ann") == "unsubscribed"


def test_an_older_backup_is_upgraded(workspace: Workspace, run, opened, tmp_path: Path) -> None:
    """Of the version before the file of who is never mailed: what stands in it is in that file afterwards."""
    old = tmp_path / "newsletter.sqlite3"
    database = Database(f"sqlite:///{old}")
    with database.write() as session:
        config = AlembicConfig(attributes={"connection": session.connection()})
        config.set_main_option("script_location", str(Path(migrations.__file__).parent))
        command.upgrade(config, "0004")
        for statement in (
            "INSERT INTO lists (id, name, title, description, created_at) VALUES (1, 'members', 'M', '', :now)",
            "INSERT INTO subscribers (id, token_id, address, key, address_hash, domain, joined_at, updated_at) "
            "VALUES (1, :token, 'ann@example.com', 'ann@example.com', :token, 'example.com', :now, :now)",
            "INSERT INTO subscriptions VALUES (1, 1, 'unsubscribed', 'consent', :now)",
            "INSERT INTO suppressions (domain, reason, since, evidence) VALUES ('example.net', 'by hand', :now, '')",
        ):
            session.execute(text(statement), {"now": "2026-11-02 09:30:00.000000", "token": b"1" * 16})
    database.close()
    placing.still_database(old)
    paths = {"newsletter.sqlite3": old, "config.toml": workspace.config}
    paths |= {f"secrets/{path.name}": path for path in workspace.secrets.iterdir()}
    manifest = Manifest(
        program="0", made_at=NOW, host="h", database="sqlite", revision="0004", keys=True, counts=check_sqlite(old),
        pepper=pepper_print(load_keys(workspace.secrets).pepper),
        files=tuple(entry_of(name, path) for name, path in paths.items()),
    )  # fmt: skip
    with (tmp_path / "old.tar.gz").open("wb") as file:
        container.write(file, manifest, [(e, paths[e.name]) for e in manifest.files], lambda _: None)
    assert run("db", "restore", tmp_path / "old.tar.gz", "--into", tmp_path / "new")["upgraded_from"] == "0004"
    app = opened(tmp_path / "new")
    assert standing(app, "ann") == "unsubscribed"
    assert sorted(kinds(app)) == ["left", "suppressed"]


def test_without_keys_it_says_so_and_needs_those_that_stand_there(live, run, backed_up, workspace, tmp_path) -> None:
    canary = "canary-of-the-relay"
    login = f'[smtp]\nusername = "us"\npassword = "{canary}"'
    workspace.config.write_text(workspace.config.read_text().replace("[smtp]", login))
    made = run("db", "backup", tmp_path / "bare.tar.gz", "--without-keys")
    assert [words.partition(" ")[0] for words in made["left_out"]] == ["secrets/:", "config.toml,"]
    with tarfile.open(tmp_path / "bare.tar.gz") as archive:
        everything = b"".join(archive.extractfile(member).read() for member in archive)  # type: ignore[union-attr]
    secret = (workspace.secrets / "pepper.key").read_text().strip().partition(":")[2]
    for word in (canary, secret, bytes.fromhex(secret).decode("latin1")):
        assert word.encode("latin1") not in everything
    assert "without keys" in run("db", "restore", tmp_path / "bare.tar.gz", "--into", tmp_path / "new", code=1)
    (tmp_path / "new").mkdir(exist_ok=True)
    shutil.copytree(workspace.secrets, tmp_path / "new" / "secrets")
    shutil.copy(workspace.config, tmp_path / "new")
    run("db", "restore", tmp_path / "bare.tar.gz", "--into", tmp_path / "new", "--replace", "--yes")


def test_keys_of_another_workspace_are_refused(run, live: App, tmp_path: Path) -> None:
    from newsletter.keys import create_keys

    run("db", "backup", tmp_path / "bare.tar.gz", "--without-keys")
    other = tmp_path / "new"
    create_keys(other / "secrets")
    shutil.copy(live.workspace.config, other)
    said = run("db", "restore", tmp_path / "bare.tar.gz", "--into", other, "--replace", "--yes", code=1)
    assert "not those of the backup" in said


def test_a_damaged_file_of_who_is_never_mailed_stops_a_restore(live: App, run, opened, backed_up: Path) -> None:
    leave(live, "ann", "members")
    leave(live, "bob", "members")
    keeper = Keeper(live.database, live.workspace, live.keys.pepper)
    keeper.keep(now=NOW)
    live.close()
    path = live.workspace.never_mail
    path.write_bytes(path.read_bytes().replace(b'"left"', b'"back"', 1))
    live.workspace.database.write_bytes(b"gone")
    assert "damaged in line 2" in run("db", "restore", backed_up, "--replace", "--yes", code=1)
    told = run("db", "restore", backed_up, "--replace", "--damaged-too", "--yes")
    assert (told["damaged_lines"], told["never_mail"]["left"]) == (1, 1)


STOPS = range(1, 14)


@pytest.mark.parametrize("stop", STOPS)
def test_a_restore_that_is_killed_leaves_the_old_state_or_goes_on(
    live: App, run, opened, backed_up: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    """Stopped at each change of a name: afterwards all of the old stands, or all of the new after --continue."""
    leave(live, "ann", "members")
    with live.database.write() as session:
        erase_person(session, people.find(session, "dee@example.com"), evidence="letter", at=NOW)
    live.close()
    steps = 0

    class Killed(BaseException):
        pass

    def counted(name: str):
        real = getattr(os, name)

        def step(*args, **kwargs):
            nonlocal steps
            steps += 1
            if steps == stop:
                raise Killed(name)
            return real(*args, **kwargs)

        return step

    root = live.workspace.root
    with monkeypatch.context() as patched:
        for name in ("rename", "replace", "link"):
            patched.setattr(os, name, counted(name))
        with pytest.raises((Killed, SystemExit)):
            main(["--workspace", str(root), "db", "restore", str(backed_up), "--replace", "--yes", "--quiet"])
    if (root / "restoring" / "plan.json").exists():
        said = run("lists", "list", code=1)
        assert "stopped half-way" in said
        assert "--continue" in said
        run("db", "restore", "--continue", "--yes")
    app = opened(root)
    assert standing(app, "ann") == "unsubscribed"
    assert standing(app, "dee") is None
    assert standing(app, "bob") == "subscribed"
    assert not (root / "restoring" / "plan.json").exists()
    assert (root / "secrets" / "pepper.key").exists()
    run("lists", "list")


def test_a_backup_while_others_write_is_of_one_moment(live: App, run, opened, tmp_path: Path) -> None:
    """Each write changes two tables together: the copy never holds one without the other."""
    join(live, "ann")
    stop = threading.Event()
    waits: list[float] = []

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            join(live, f"p{number}")
            stop.wait(0.002)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        made = [run("db", "backup", tmp_path / f"{n}.tar.gz")["counts"] for n in range(4)]
    finally:
        stop.set()
        writer.join()
    assert waits == []
    assert all(counts["subscribers"] == counts["subscriptions"] == counts["consent_events"] for counts in made)
    assert made[0]["subscribers"] < made[-1]["subscribers"]


def test_a_backup_that_was_killed_leaves_nothing_that_the_next_trips_over(live: App, run, tmp_path: Path) -> None:
    join(live, "ann")
    script = (
        "import os, signal\nfrom newsletter.backup import container\n"
        "container.write = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from newsletter.cli.main import main\nmain()"
    )
    words = ["--workspace", str(live.workspace.root), "db", "backup", str(tmp_path / "a.tar.gz")]
    assert subprocess.run([sys.executable, "-c", script, *words], check=False).returncode == -9
    assert not (tmp_path / "a.tar.gz").exists()
    run("db", "backup", tmp_path / "a.tar.gz")
    assert not (live.workspace.root / ".backup").exists()
    assert [path.name for path in tmp_path.glob(".a*")] == []


def test_placing_is_done_only_while_nobody_has_the_database_open(live: App) -> None:
    with live.database.read() as session:
        session.scalar(select(func.count()).select_from(Suppression))
    with pytest.raises(placing.Conflict):
        placing.require_alone(live.workspace.database)
    live.close()
    placing.require_alone(live.workspace.database)
