"""The audit log: a chain that shows what was done to it, on both databases, however many write at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from newsletter.app import App
from newsletter.audit import settings as audit_settings
from newsletter.audit.anchor import Anchor, Held
from newsletter.audit.log import Action, Wanted, entries, head_of, walk
from newsletter.audit.verifying import Kind, Verdict, verify
from newsletter.tables import AuditEntry, Setting
from subscribers import consent, lists, people
from subscribers.tables import Basis, ConsentEvent
from tests.conftest import smallest_config

NOW = datetime(2026, 11, 2, 9, 30, 0, 123456, tzinfo=UTC)
DROP = {
    "sqlite": ("DROP TRIGGER audit_entries_no_delete", "DROP TRIGGER audit_entries_no_change"),
    "postgresql": ("ALTER TABLE audit_entries DISABLE TRIGGER ALL",),
}


def record(app: App, count: int = 1, **details: Any) -> None:
    for _ in range(count):
        with app.database.write() as session:
            app.audit.record(session, Action.EXPORT, "people", person=b"h" * 16, **details)


def verdict(app: App, *, anchored: bool = True) -> Verdict:
    anchor = Anchor(app.workspace.audit_anchor).read() if anchored else None
    with app.database.read() as session:
        return verify(walk(session), app.keys.audit, anchor)


def tamper(app: App, *statements: str) -> None:
    """Do what somebody with a shell on the database can do, and who has taken the triggers away."""
    with app.database.write() as session:
        connection = session.connection()
        for statement in (*DROP[connection.dialect.name], *statements):
            connection.exec_driver_sql(statement)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.journey)])
def either(request: pytest.FixtureRequest) -> App:
    """An application on each of the databases, with six entries."""
    made: App = request.getfixturevalue("app" if request.param == "sqlite" else "app_on_postgresql")
    made.now = lambda: NOW
    record(made, 6, words="Zażółć\u2028", number=1.5, lists=["a", "b"])
    return made


def test_a_log_that_nobody_touched_is_whole(either: App) -> None:
    found = verdict(either)
    assert (found.is_whole, found.count, found.end.number) == (True, 6, 6)


@pytest.mark.parametrize(
    ("statements", "flaws"),
    [
        (["UPDATE audit_entries SET actor = 'somebody else' WHERE number = 3"], [(Kind.CHANGED, 3, 3)]),
        (["UPDATE audit_entries SET details = '{\"people\": 1}' WHERE number = 6"], [(Kind.CHANGED, 6, 6)]),
        (["DELETE FROM audit_entries WHERE number = 3"], [(Kind.MISSING, 3, 3)]),
        (["DELETE FROM audit_entries WHERE number IN (1, 2, 4)"], [(Kind.MISSING, 1, 2), (Kind.MISSING, 4, 4)]),
        (["DELETE FROM audit_entries WHERE number > 4"], [(Kind.CUT_OFF, 5, 6)]),
        (["DELETE FROM audit_entries"], [(Kind.CUT_OFF, 1, 6)]),
        (
            ["DELETE FROM audit_entries WHERE number = 3", "UPDATE audit_entries SET number = 3 WHERE number = 4",
             "UPDATE audit_entries SET number = 4 WHERE number = 5",
             "UPDATE audit_entries SET number = 5 WHERE number = 6"],
            [(Kind.OUT_OF_PLACE, 3, 3), (Kind.CUT_OFF, 6, 6)],
        ),
        (
            ["UPDATE audit_entries SET number = 90 WHERE number = 2",
             "UPDATE audit_entries SET number = 2 WHERE number = 3",
             "UPDATE audit_entries SET number = 3 WHERE number = 90"],
            [(Kind.OUT_OF_PLACE, 2, 2), (Kind.OUT_OF_PLACE, 3, 3), (Kind.OUT_OF_PLACE, 4, 4)],
        ),
        (
            ["UPDATE audit_entries SET number = number + 100 WHERE number > 3",
             "INSERT INTO audit_entries (number, at, actor, action, subject, details, previous, code) SELECT 4, at, "
             "'me', action, subject, details, code, previous FROM audit_entries WHERE number = 3",
             "UPDATE audit_entries SET number = number - 99 WHERE number > 100"],
            [(Kind.INSERTED, 4, 4)],
        ),
    ],
    ids=["changed", "last changed", "removed", "several removed", "cut off", "emptied", "removed and renumbered",
         "reordered", "put in"],
)  # fmt: skip
def test_what_was_done_to_the_log_is_named(
    either: App, statements: list[str], flaws: list[tuple[Kind, int, int]]
) -> None:
    tamper(either, *statements)
    found = [(flaw.kind, flaw.first, flaw.last) for flaw in verdict(either).flaws]
    assert [flaw for flaw in found if flaw in flaws] == flaws
    assert {kind for kind, _, _ in found} <= {kind for kind, _, _ in flaws} | {Kind.CHANGED}


def test_an_entry_without_the_key_does_not_pass(app: App) -> None:
    """Whoever has only the database knows how the code is made, and still cannot make one."""
    record(app, 3)
    other = app.audit.__class__(b"x" * 32, Anchor(app.workspace.root / "theirs"), actor="me", clock=lambda: NOW)
    with app.database.write() as session:
        other.record(session, Action.EXPORT, "people")
    assert [(flaw.kind, flaw.first) for flaw in verdict(app).flaws] == [(Kind.CHANGED, 4)]


def test_new_entries_do_not_cover_up_that_older_ones_are_gone(app: App) -> None:
    record(app, 6)
    tamper(app, "DELETE FROM audit_entries WHERE number > 3")
    record(app, 1, another=True)
    assert [(flaw.kind, flaw.first, flaw.last) for flaw in verdict(app).flaws] == [(Kind.CUT_OFF, 5, 6)]
    record(app, 4)
    assert [(flaw.kind, flaw.first) for flaw in verdict(app).flaws] == [(Kind.REPLACED, 6)]
    assert Anchor(app.workspace.audit_anchor).read() == Held(6, Anchor(app.workspace.audit_anchor).read().code)  # type: ignore[union-attr]


def test_a_database_that_was_put_back_begins_again_by_a_persons_word(app: App) -> None:
    record(app, 6)
    tamper(app, "DELETE FROM audit_entries WHERE number > 3")
    with app.database.write() as session:
        assert app.audit.begin_again(session) == 3
        app.audit.record(session, Action.DATABASE_ADOPTED, "database", entries_lost=3)
    record(app, 2)
    assert verdict(app).is_whole
    held = Anchor(app.workspace.audit_anchor).read()
    assert held is not None
    assert held.number == 6


def test_the_anchor_is_for_its_owner_only_and_says_nothing_before_the_commit(app: App) -> None:
    record(app, 1)
    assert app.workspace.audit_anchor.stat().st_mode & 0o777 == 0o600

    def fail() -> None:
        with app.database.write() as session:
            app.audit.record(session, Action.EXPORT, "people")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    held = Anchor(app.workspace.audit_anchor).read()
    assert held is not None
    assert held.number == 1
    assert verdict(app).is_whole


@pytest.mark.parametrize("text", ["", "12", "x y", "\x00\xff", "3 zz"])
def test_an_anchor_that_cannot_be_read_is_none(app: App, text: str) -> None:
    app.workspace.audit_anchor.write_text(text)
    assert Anchor(app.workspace.audit_anchor).read() is None


@pytest.mark.journey
def test_many_writers_on_postgresql_make_one_chain(app_on_postgresql: App) -> None:
    """Eight connections at once, each with work before and after its entry: no fork, no gap, nobody refused."""
    app, writers, each = app_on_postgresql, 8, 15
    troubles: list[Exception] = []

    def write(number: int) -> None:
        try:
            for n in range(each):
                with app.database.write() as session:
                    session.merge(Setting(name=f"work:{number}", value=n))
                    app.audit.record(session, Action.EXPORT, f"writer {number}", n=n)
        except SQLAlchemyError as error:
            troubles.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert troubles == []
    found = verdict(app)
    assert (found.is_whole, found.count) == (True, writers * each)
    with app.database.read() as session:
        for number in range(writers):
            own = session.scalars(
                select(AuditEntry).where(AuditEntry.subject == f"writer {number}").order_by(AuditEntry.number)
            )
            assert [entry.details["n"] for entry in own] == list(range(each))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entries SET actor = 'x'",
        "UPDATE audit_entries SET details = '{}'",
        "DELETE FROM audit_entries",
        "UPDATE consent_events SET action = 'withdrawn'",
        "UPDATE consent_events SET basis = 'service'",
        "UPDATE consent_events SET at = '2020-01-01 00:00:00'",
        "UPDATE consent_events SET actor = 'x'",
        "UPDATE consent_events SET evidence = 'another'",
        "UPDATE consent_events SET wording = 'another'",
        "UPDATE consent_events SET wording_hash = NULL",
        "DELETE FROM consent_events",
    ],
)
def test_the_database_itself_lets_neither_log_nor_ledger_change(
    either: App, make_line: Callable[[Session], None], statement: str
) -> None:
    with either.database.write() as session:
        make_line(session)
    with pytest.raises(DBAPIError, match="only grows"), either.database.write() as session:
        session.connection().exec_driver_sql(statement)


@pytest.mark.journey
@pytest.mark.parametrize("table", ["audit_entries", "consent_events"])
def test_postgresql_lets_neither_be_emptied_at_once(app_on_postgresql: App, table: str) -> None:
    with pytest.raises(DBAPIError, match="only grows"), app_on_postgresql.database.write() as session:
        session.connection().exec_driver_sql(f"TRUNCATE {table} CASCADE")


def test_an_erasure_may_take_person_and_words_away(either: App, make_line: Callable[[Session], None]) -> None:
    with either.database.write() as session:
        make_line(session)
        session.connection().exec_driver_sql("UPDATE consent_events SET evidence = '', wording = NULL")
        session.delete(people.find(session, "ann@example.org"))
    with either.database.read() as session:
        (line,) = session.scalars(select(ConsentEvent))
        assert (line.subscriber_id, line.evidence, line.wording) == (None, "", None)
        assert line.wording_hash == consent.hash_wording("Yes please")


@pytest.fixture
def make_line() -> Callable[[Session], None]:
    """Write a line of the ledger."""

    def make(session: Session) -> None:
        person = people.add(session, pepper=b"p" * 32, address="ann@example.org", at=NOW)
        consent.grant(
            session, person, lists.create(session, "members", at=NOW), basis=Basis.CONSENT, source="form",
            actor="tester", evidence="a form", wording="Yes please", at=NOW,
        )  # fmt: skip

    return make


def test_entries_are_found_by_group_actor_day_and_person(app: App) -> None:
    with app.database.write() as session:
        app.audit.record(session, Action.SEND_STARTED, "issue 2026-11")
        app.audit.record(session, Action.SEND_PAUSED, "issue 2026-11", actor="Ann")
        app.audit.record(session, Action.PERSON_REMOVED, "person", person=b"a" * 16)

    def numbers(**wanted: Any) -> list[int]:
        with app.database.read() as session:
            return [entry.number for entry in entries(session, Wanted(**wanted))[0]]

    assert numbers() == [3, 2, 1]
    assert numbers(action="send") == [2, 1]
    assert numbers(action="send.paused") == numbers(actor="Ann") == [2]
    assert numbers(persons=[b"a" * 16]) == [3]
    assert numbers(since=datetime(2026, 11, 3, tzinfo=UTC)) == []
    with app.database.read() as session:
        found, total = entries(session, Wanted(), most=1, offset=1)
        assert ([entry.number for entry in found], total) == ([2], 3)


def test_a_change_of_the_configuration_is_noticed_once_by_its_keys(app: App) -> None:
    def notice(**groups: dict[str, object]) -> dict[str, Any] | None:
        config = smallest_config(**groups)
        with app.database.read() as session:
            before = head_of(session).number
        audit_settings.notice(app.database, config, app.keys.audit, app.audit)
        with app.database.read() as session:
            found, _ = entries(session, Wanted(), most=1)
            return found[0].details if found and found[0].number > before else None

    assert notice() == {"first": True}
    assert notice() is None
    assert notice(smtp={"connections": 4}, web={"port": 9000}) == {"keys": ["smtp.connections", "web.port"]}
    assert notice(smtp={"connections": 4}, web={"port": 9000}) is None
    secret = {"username": "u", "password": "canary-password"}
    assert notice(smtp=secret) == {"keys": ["smtp.connections", "smtp.password", "smtp.username", "web.port"]}
    assert notice(smtp={**secret, "password": "another"}) is None  # a secret is not looked at
    with app.database.read() as session:
        stored = str(session.get_one(Setting, audit_settings.SETTING).value)
    assert "canary-password" not in stored
    assert "example.org" not in stored


@pytest.mark.journey
def test_two_processes_that_start_at_once_notice_the_same_change_once(app_on_postgresql: App) -> None:
    """`serve` starts two; on a new database neither finds anything stored."""
    app, together, troubles = app_on_postgresql, threading.Barrier(4), []

    def start() -> None:
        together.wait()
        try:
            audit_settings.notice(app.database, app.config, app.keys.audit, app.audit)
        except SQLAlchemyError as error:
            troubles.append(error)

    app.audit  # noqa: B018  # made here once, not in each thread
    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert troubles == []
    with app.database.read() as session:
        assert entries(session, Wanted())[1] == 1
