"""The file of who is never mailed: all that was committed, nothing that was not, no address, and no damage unseen."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import threading
from datetime import timedelta

import pytest
from sqlalchemy import delete, select, update

from newsletter.app import App
from newsletter.personal_data.erasing import erase_person
from newsletter.personal_data.never_mail import FileTrouble, Keeper
from newsletter.send.ended_records import merge_people
from subscribers import people, suppression
from subscribers.never_mail.file import ForeignFile, NeverMailFile
from subscribers.tables import NeverMailChange, Subscriber, Suppression
from tests.backup.changes import copy_sqlite, in_file, join, keep, kinds, leave, suppress
from tests.conftest import NOW


def test_every_change_is_kept_once_with_no_address(app: App) -> None:
    join(app, "ann", "bob", "cid", "dee")
    leave(app, "ann", "members")
    leave(app, "bob")
    suppress(app, "cid")
    with app.database.write() as session:
        suppression.suppress(session, domain="example.net", reason="by hand", evidence="ann@example.com", at=NOW)
        erase_person(session, people.find(session, "dee@example.com"), evidence="letter", at=NOW)
        entry = session.scalars(select(Suppression).where(Suppression.reason == "hard bounce")).one()
        suppression.lift(session, entry, by="ann@example.com", why="works again", at=NOW)
    keep(app)
    assert keep(app).appended == 0
    assert kinds(app) == ["left", "suppressed", "left", "suppressed", "suppressed", "gone", "suppressed", "lifted"]
    raw = app.workspace.never_mail.read_text()
    assert "@" not in raw
    assert "example.com" not in raw
    assert stat.S_IMODE(app.workspace.never_mail.stat().st_mode) == 0o600


@pytest.mark.parametrize("database", ["app", pytest.param("app_on_postgresql", marks=pytest.mark.journey)])
def test_who_wants_discreet_mail_is_kept_and_no_other_choice_is(request: pytest.FixtureRequest, database: str) -> None:
    app: App = request.getfixturevalue(database)
    join(app, "ann")
    for values in ({"name": "Ann"}, {"discreet": True}, {"discreet": True, "name": "A"}, {"discreet": False}):
        with app.database.write() as session:
            session.execute(update(Subscriber).values(values))
    keep(app)
    assert kinds(app) == ["discreet", "plain"]


def test_what_is_written_without_the_orm_is_kept_too(app: App) -> None:
    """The journal of a sending, and whatever else writes by plain statements."""
    join(app, "ann", "bob")
    with sqlite3.connect(app.workspace.database) as connection:
        connection.execute("UPDATE subscriptions SET state = 'unsubscribed' WHERE subscriber_id = 1")
        connection.execute(
            "INSERT INTO suppressions (address_hash, reason, since, evidence) "
            "VALUES (?, 'x', '2026-11-02 09:30:00', '')",
            (b"\1" * 16,),
        )
        connection.execute("UPDATE suppressions SET lifted_at = '2026-11-03 09:30:00'")
        connection.execute("UPDATE suppressions SET evidence = 'more'")
    keep(app)
    assert kinds(app) == ["left", "suppressed", "lifted"]


def test_what_was_rolled_back_leaves_no_line(app: App) -> None:
    join(app, "ann")
    with app.database.write() as session:
        suppression.suppress(session, address_hash=b"\1" * 16, reason="x", evidence="e", at=NOW)
        session.rollback()
    keep(app)
    assert kinds(app) == []


def test_somebody_who_came_back_is_told_from_somebody_who_left(app: App) -> None:
    join(app, "ann")
    leave(app, "ann", "members")
    join(app, "ann")
    keep(app)
    assert kinds(app) == ["left", "back"]


def test_a_merge_is_known_from_a_removal(app: App) -> None:
    join(app, "ann", "old")
    with app.database.write() as session:
        kept, gone = (people.find(session, f"{name}@example.com") for name in ("ann", "old"))
        tokens = kept.token_id, gone.token_id
        merge_people(session, kept, gone, actor="t", at=NOW)
    keep(app)
    assert kinds(app) == ["merged", "gone"]
    merged = in_file(app)[0]
    assert merged is not None
    assert (merged.kept, merged.person) == tokens


@pytest.mark.parametrize("cut", [1, 5, 60, 200])
def test_a_torn_last_line_is_written_again(app: App, cut: int) -> None:
    join(app, "ann", "bob")
    leave(app, "ann", "members")
    keep(app)
    leave(app, "bob", "members")
    keep(app)
    whole = app.workspace.never_mail.read_bytes()
    last = len(whole.splitlines(keepends=True)[-1])
    app.workspace.never_mail.write_bytes(whole[: -min(cut, last)] + b"\0" * (cut % 3))
    assert len(in_file(app)) == 1
    assert keep(app).appended == 1
    assert app.workspace.never_mail.read_bytes() == whole


def test_a_header_alone_or_torn_is_begun_again(app: App) -> None:
    join(app, "ann")
    leave(app, "ann", "members")
    app.workspace.never_mail.write_bytes(b'{"file":"who is')
    assert keep(app).appended == 1
    assert kinds(app) == ["left"]


def test_a_line_that_was_changed_taken_out_or_put_in_is_found(app: App) -> None:
    join(app, "ann", "bob", "cid", "dee")
    for name in ("ann", "bob", "cid", "dee"):
        leave(app, name, "members")
    keep(app)
    path = app.workspace.never_mail
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines).replace(b'"left"', b'"back"', 1))
    assert kinds(app) == ["damaged", "left", "left", "left"]
    path.write_bytes(b"".join(lines[:2] + lines[3:]))
    assert kinds(app) == ["left", "damaged", "left"]
    path.write_bytes(b"".join([*lines[:2], b"x" * 10_000 + b"\n", *lines[2:]]))
    assert kinds(app) == ["left", "damaged", "damaged", "left", "left"]


def test_a_file_damaged_at_its_end_is_set_aside_and_written_anew(app: App) -> None:
    join(app, "ann", "bob")
    leave(app, "ann", "members")
    leave(app, "bob", "members")
    keep(app)
    path = app.workspace.never_mail
    path.write_bytes(path.read_bytes()[:-5] + b'00"}\n')
    kept = keep(app)
    assert kept.set_aside is not None
    assert kept.set_aside.exists()
    assert kinds(app) == ["left", "left"]


def test_a_database_that_was_put_back_loses_no_later_change(app: App) -> None:
    """Its ids begin again where the copy ended; what is in the file stays, what is new is appended, each once."""
    join(app, "ann", "bob", "cid")
    leave(app, "ann", "members")
    copy_sqlite(app.workspace.database, app.workspace.root / "copy")
    leave(app, "bob", "members")
    keep(app)
    copy_sqlite(app.workspace.root / "copy", app.workspace.database)
    leave(app, "cid", "members", days=2)
    keeper = Keeper(app.database, app.workspace, app.keys.pepper)
    kept = keeper.keep(now=NOW)
    assert (kept.appended, kept.unknown) == (1, True)
    assert kinds(app) == ["left"] * 3
    assert keeper.keep(now=NOW).appended == 0


def test_a_file_of_another_pepper_is_left_alone(app: App) -> None:
    NeverMailFile(app.workspace.never_mail, b"another" * 5).append([], None)
    before = app.workspace.never_mail.read_bytes()
    with pytest.raises(ForeignFile):
        keep(app)
    assert app.workspace.never_mail.read_bytes() == before


def test_a_file_that_cannot_be_written_is_told_and_made_up_for(app: App) -> None:
    join(app, "ann")
    leave(app, "ann", "members")
    app.workspace.never_mail.mkdir()
    with pytest.raises(FileTrouble, match="cannot be written"):
        keep(app)
    app.workspace.never_mail.rmdir()
    assert keep(app).appended == 1


def test_several_writers_at_once_leave_each_line_once(app: App) -> None:
    join(app, *(f"p{n}" for n in range(40)))
    errors: list[BaseException] = []

    def work(start: int) -> None:
        try:
            for n in range(start, 40, 4):
                leave(app, f"p{n}", "members")
                keep(app)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    keep(app)
    assert len({change.mark for change in in_file(app) if change}) == len(kinds(app)) == 40


def test_a_link_in_the_place_of_the_file_is_not_followed(app: App, tmp_path) -> None:
    os.symlink(tmp_path / "elsewhere", app.workspace.never_mail)
    join(app, "ann")
    leave(app, "ann", "members")
    with pytest.raises(FileTrouble):
        keep(app)
    assert not (tmp_path / "elsewhere").exists()


def test_an_address_in_a_reason_stays_out(app: App) -> None:
    with app.database.write() as session:
        suppression.suppress(session, address_hash=b"\1" * 16, reason="ann@example.com wrote", evidence="e", at=NOW)
    keep(app)
    assert json.loads(app.workspace.never_mail.read_text().splitlines()[1])["reason"] == "other"


@pytest.mark.journey
def test_on_postgresql_a_change_that_is_committed_late_is_kept_all_the_same(app_on_postgresql: App) -> None:
    """Its id is lower than one that is in the file already."""
    app = app_on_postgresql
    join(app, "ann", "bob")
    engine = app.database.engine
    with engine.connect() as slow:
        slow.execute(update(Subscriber).where(Subscriber.id == 1).values(name="Ann"))
        slow.execute(Suppression.__table__.insert().values(address_hash=b"\1" * 16, reason="x", since=NOW, evidence=""))
        leave(app, "bob", "members")
        assert keep(app).appended == 1
        slow.commit()
    assert keep(app).appended == 1
    with app.database.write() as session:
        session.execute(delete(Subscriber).where(Subscriber.id == 2))
    assert keep(app).appended == 1
    assert kinds(app) == ["left", "suppressed", "gone"]
    with app.database.read() as session:
        numbers = session.scalars(select(NeverMailChange.number).order_by(NeverMailChange.number)).all()
    assert numbers == [1, 2, 3]
    assert in_file(app)[0].at - NOW == timedelta(days=1)  # type: ignore[union-attr]
