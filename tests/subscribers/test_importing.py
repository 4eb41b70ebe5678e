"""Every row becomes a person or a line of the error file; nothing is lost and nobody who left is brought back."""

from __future__ import annotations

import codecs
import contextlib
import csv
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, func, select

from newsletter.app import App
from subscribers import attributes, consent, leaving, lists, people, suppression
from subscribers.errors import Conflict, InvalidValue, NotFound
from subscribers.exporting import read_people, select_people, write_csv
from subscribers.imports import batches, importing
from subscribers.imports.importing import ImportResult
from subscribers.segments import condition, resolve
from subscribers.tables import (
    AttributeKind,
    AttributeValue,
    Basis,
    ConsentAction,
    ConsentEvent,
    ImportBatch,
    Subscriber,
    Subscription,
    SubscriptionState,
    Suppression,
    Tag,
)

Run = Callable[..., ImportResult]
SHAPES = ("new", "changed", "unchanged", "refused", "suppressed")


def _counts(result: ImportResult) -> dict[str, int]:
    assert result.read == sum(getattr(result, name) for name in SHAPES)
    return {name: getattr(result, name) for name in SHAPES if getattr(result, name)}


def _person(app: App, address: str, at: Any) -> dict[str, Any]:
    with app.database.read() as session:
        found = people.find(session, address)
        return next(read_people(session, [found.id], now=at)).to_json()


def _errors(result: ImportResult) -> list[list[str]]:
    assert result.errors_file
    with result.errors_file.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


TEXT = "E-mail;Full Name;Town\nann@example.org;Zoë Jones;Dudley\n"


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        TEXT.encode("cp1252"),
        codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        TEXT.replace("\n", "\r\n").encode(),
        TEXT.replace("\n", "\r").encode(),
        TEXT.replace(";", ",").encode(),
        TEXT.replace(";", "\t").encode(),
        b"sep=;\r\n" + TEXT.encode(),
        b"\n\n" + TEXT.encode(),
    ],
)
def test_the_encodings_and_separators_of_real_spreadsheets_are_read(
    run_import: Run, app: App, at: Any, content: bytes
) -> None:
    assert _counts(run_import(content)) == {"new": 1}
    person = _person(app, "ann@example.org", at)
    assert (person["name"], person["attributes"], person["lists"]) == ("Zoë Jones", {"town": "Dudley"}, ("members",))


def test_a_file_that_mixes_encodings_comes_out_right(run_import: Run, app: App, at: Any) -> None:
    run_import(b"email,name\nann@example.org,Zo\xc3\xab\nbob@example.org,Zo\xeb\n")
    assert {_person(app, f"{n}@example.org", at)["name"] for n in ("ann", "bob")} == {"Zoë"}


BAD_ROWS = [
    ('"stray,x', "quotation mark"),
    ('bo"b@example.org,"x"y', "quotation mark"),
    ("bob@example.org", "1 cells"),
    ("bob@example.org,a,b,c", "4 cells"),
    ("bob@exam\0ple.org,a", "NUL"),
    ("b" * 1_100_000 + ",a", "longer than"),
    ("not an address,a", "not an address"),
    (",a", "address is missing"),
    ("x" * 300 + "@example.org,a", "characters"),
    (f"bob@example.org,{'n' * 300}", "300 characters"),
    ('"bob\n@example.org",a', "not an address"),
    ("bob@example.org\u202e,a", "not an address"),
]


@pytest.mark.parametrize(("row", "reason"), BAD_ROWS, ids=[reason for _, reason in BAD_ROWS])
def test_a_bad_row_is_told_with_its_reason_and_costs_no_other(run_import: Run, row: str, reason: str) -> None:
    result = run_import(f"email,name\nann@example.org,Ann\n{row}\ncy@example.org,Cy\ndee@example.org,Dee\n")
    assert _counts(result) == {"new": 3, "refused": 1}
    _, (number, told, *cells) = _errors(result)
    assert (number, reason in told, bool(cells)) == ("3", True, True), told


def test_the_error_file_can_be_mended_and_imported(run_import: Run) -> None:
    result = run_import("email,name\nann@example.org,Ann\nbob@example,Bob\n")
    assert result.errors_file
    mended = result.errors_file.read_bytes().replace(b"bob@example,", b"bob@example.org,")
    again = run_import(mended, name="mended.csv")
    assert _counts(again) == {"new": 1}
    assert not again.learnt


def test_a_cell_may_hold_line_ends_and_quotes(run_import: Run, app: App, at: Any) -> None:
    run_import('email,name,note\nann@example.org,"Ann ""A"" Jones","one\ntwo, three"\nbob@example.org,Bob,x\n')
    assert _person(app, "ann@example.org", at)["name"] == 'Ann "A" Jones'
    assert _person(app, "ann@example.org", at)["attributes"] == {"note": "one two, three"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\n\n", "no header"),
        ("email,Name,name\na@b.org,x,y\n", "two columns"),
        ("ann@example.org,Ann\n", "not the names of columns"),
        ("town,name\nx,y\n", "No column of the file holds the address"),
        ("email,mail,e-mail\n", None),
        (b"PK\x03\x04broken", "cannot be read as a spreadsheet"),
    ],
)
def test_a_file_that_is_no_table_is_refused_whole(run_import: Run, content: Any, message: str | None) -> None:
    if message is None:
        assert _counts(run_import(content)) == {}
        return
    with pytest.raises(InvalidValue, match=message):
        run_import(content)


def test_kinds_are_learnt_from_the_values(run_import: Run, app: App, at: Any) -> None:
    run_import(
        "email,age,since,trustee,phone,interests,note\n"
        "ann@example.org,33,05/02/2026,yes,0121 496 0000,housing;training,\n"
        "bob@example.org,4.5,2026-01-31,No,01214960001,housing,x; a part that is much longer than forty characters is\n"
    )
    with app.database.read() as session:
        kinds = {name: one.kind for name, one in attributes.definitions(session).items()}
    assert kinds == {
        "age": AttributeKind.NUMBER,
        "since": AttributeKind.DATE,
        "trustee": AttributeKind.YES_NO,
        "phone": AttributeKind.TEXT,
        "interests": AttributeKind.SEVERAL,
        "note": AttributeKind.TEXT,
    }
    assert _person(app, "ann@example.org", at)["attributes"] == {
        "age": 33,
        "since": date(2026, 2, 5),
        "trustee": True,
        "phone": "0121 496 0000",
        "interests": ["housing", "training"],
    }


def test_a_value_that_does_not_fit_a_known_kind_refuses_its_row(run_import: Run) -> None:
    run_import("email,age\nann@example.org,33\n")
    result = run_import("email,age\nann@example.org,old\nbob@example.org,12\n")
    assert _counts(result) == {"new": 1, "refused": 1}
    assert "age must be a number" in _errors(result)[1][1]


def test_columns_are_mapped_as_said_and_otherwise_guessed(run_import: Run, app: App, at: Any) -> None:
    content = "Contact point,First name,Surname,List,Consent,Groups\nann@example.org,Ann,Jones,x,yes,Press; Volunteer\n"
    result = run_import(content, mapping={"contact point": "address", "List": "area"})
    assert result.mapping["Consent"] == "field_consent"
    person = _person(app, "ann@example.org", at)
    assert (person["name"], person["tags"]) == ("Ann Jones", ("press", "volunteer"))
    assert person["attributes"] == {"area": "x", "field_consent": True}
    with pytest.raises(InvalidValue, match="no column 'Contct'"):
        run_import(content, mapping={"Contct": "address"})


def test_an_import_needs_basis_evidence_and_a_list_that_is(run_import: Run) -> None:
    with pytest.raises(InvalidValue, match="evidence"):
        run_import(TEXT, evidence=" ")
    with pytest.raises(NotFound, match="membres"):
        run_import(TEXT, list_name="membres")
    with pytest.raises(InvalidValue, match="soft opt-in"):
        run_import(TEXT, basis=Basis.SOFT_OPT_IN, charity_number="1", collected_on=date(2026, 1, 1))


def test_a_dry_run_counts_what_a_run_then_does_and_changes_nothing(run_import: Run, app: App) -> None:
    run_import("email,name\nold@example.org,Old\nsame@example.org,Same\n")
    content = (
        "email,name\nold@example.org,Older\nsame@example.org,Same\nnew@example.org,\nNEW@example.org,New\n"
        "new@example.org,New\nbad,x\n"
    )
    rehearsed = run_import(content, dry_run=True)
    with app.database.read() as session:
        assert session.scalar(select(func.count()).select_from(Subscriber)) == 2
    assert _counts(rehearsed) == {"new": 1, "changed": 2, "unchanged": 2, "refused": 1}
    assert _counts(run_import(content)) == _counts(rehearsed)


def test_nobody_who_left_is_brought_back(run_import: Run, app: App, at: Any, pepper: bytes) -> None:
    """Unsubscribed here, unsubscribed everywhere, erased, suppressed by hand or by domain: all stay out."""
    content = "email\n" + "".join(f"p{n}@example.org\n" for n in range(4)) + "x@sub.blocked.example\n"
    run_import(content)
    act = {"source": "t", "actor": "t", "evidence": "POST", "at": at}
    with app.database.write() as session:
        consent.withdraw(session, people.find(session, "p0@example.org"), lists.get(session, "members"), **act)
        consent.withdraw(session, people.find(session, "p1@example.org"), None, **act)
        leaving.erase(session, people.find(session, "p2@example.org"), evidence="letter", at=at)
        leaving.remove(session, people.find(session, "x@sub.blocked.example"), evidence="t", at=at)
        suppression.suppress(session, domain="blocked.example", reason="by hand", evidence="t", at=at)
    for dry_run in (True, False):
        assert _counts(run_import(content, dry_run=dry_run)) == {"unchanged": 1, "suppressed": 4}
    with app.database.read() as session:
        assert session.scalar(select(func.count()).select_from(Subscriber)) == 3
        assert list(session.scalars(select(Subscriber.address).where(Subscriber.address.contains("p2")))) == []


def test_whom_the_file_itself_calls_unsubscribed_or_bounced_is_suppressed(run_import: Run, app: App) -> None:
    result = run_import("email,status\nann@example.org,enabled\nbob@example.org,Unsubscribed\ncy@example.org,cleaned\n")
    assert _counts(result) == {"new": 1, "suppressed": 2}
    with app.database.read() as session:
        assert set(session.scalars(select(Suppression.reason))) == {"unsubscribed", "hard bounce"}


def test_a_status_column_that_says_nothing_of_leaving_is_an_attribute(run_import: Run, app: App, at: Any) -> None:
    run_import("email,status\nann@example.org,trustee\n")
    assert _person(app, "ann@example.org", at)["attributes"] == {"status": "trustee"}


def test_an_import_that_was_cut_goes_on_where_it_stopped(
    run_import: Run, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "CHUNK_ROWS", 10)
    content = "email,name\n" + "".join(f"p{n}@example.org,P{n}\n" if n % 7 else "bad,x\n" for n in range(95))

    def cut(done: int, _total: int) -> None:
        if done == 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_import(content, progress=cut)
    with app.database.read() as session:
        assert session.scalars(select(ImportBatch.rows_done)).all() == [40]
    result = run_import(content)
    assert (result.batch, result.continued_at, result.read) == (1, 40, 95)
    assert _counts(result) == {"new": 81, "refused": 14}
    assert len(_errors(result)) == 15
    with app.database.read() as session:
        assert session.scalar(select(func.count()).select_from(ConsentEvent)) == 81


def test_two_runs_of_one_import_do_not_both_write(run_import: Run, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "CHUNK_ROWS", 10)
    content = "email\n" + "".join(f"p{n}@example.org\n" for n in range(35))

    def meanwhile(done: int, _total: int) -> None:
        if done == 20:
            assert run_import(content).continued_at == 20

    with pytest.raises(Conflict, match="worked on elsewhere"):
        run_import(content, progress=meanwhile)
    with app.database.read() as session:
        batch = session.scalars(select(ImportBatch)).one()
        assert (batch.rows_done, batch.counts["new"], batches.state(batch)) == (35, 35, "finished")
        assert session.scalar(select(func.count()).select_from(ConsentEvent)) == 35


def test_an_undo_takes_back_what_nobody_changed_since(run_import: Run, app: App, at: Any) -> None:
    run_import("email,name,town,tags\nold@example.org,Old,Dudley,\n")
    run_import(
        "email,name,town,tags\nold@example.org,Older,Walsall,press\nnew@example.org,New,Dudley,\n"
        "edited@example.org,Ed,Dudley,\nleft@example.org,Left,Dudley,\n",
        name="second.csv",
    )
    later = at + timedelta(hours=1)
    with app.database.write() as session:
        people.touch(session, people.find(session, "edited@example.org"), at=later)
        consent.withdraw(
            session, people.find(session, "left@example.org"), None, source="t", actor="t", evidence="POST", at=later
        )
    with app.database.write() as session:
        found = batches.undo(session, batches.get(session, 2), actor="t", why="wrong file", at=later)
    assert (found.removed, found.restored) == (1, 1)
    assert dict(found.kept) == {
        "edited@example.org": "edited since",
        "left@example.org": "subscribed or unsubscribed since",
    }
    old = _person(app, "old@example.org", at)
    assert (old["name"], old["attributes"], old["tags"], old["lists"]) == ("Old", {"town": "Dudley"}, (), ("members",))
    with app.database.read() as session:
        left = people.find(session, "left@example.org")
        assert session.scalars(select(Subscription.state).where(Subscription.subscriber_id == left.id)).all() == [
            SubscriptionState.UNSUBSCRIBED
        ]
        edited = people.find(session, "edited@example.org")
        assert not session.scalars(select(Subscription).where(Subscription.subscriber_id == edited.id)).all()
    with app.database.write() as session, pytest.raises(Conflict, match="was undone"):
        batches.undo(session, batches.get(session, 2), actor="t", why="again", at=later)


def test_an_undo_of_many_writes_a_line_for_each_and_leaves_nothing_of_them(run_import: Run, app: App, at: Any) -> None:
    """They are removed some thousands at a time: an undo must not keep others from leaving meanwhile."""
    run_import("email,town,tags\n" + "".join(f"p{n}@example.org,Dudley,press\n" for n in range(4_100)))
    statements: list[str] = []
    with app.database.write() as session:
        event.listen(session.connection(), "before_cursor_execute", lambda *given: statements.append(given[2]))
        found = batches.undo(session, batches.get(session, 1), actor="t", why="wrong file", at=at)
    assert (found.removed, found.kept) == (4_100, [])
    assert len(statements) < 40
    with app.database.read() as session:
        for table in (Subscriber, Subscription, Tag, AttributeValue):
            assert session.scalar(select(func.count()).select_from(table)) == 0
        lines = session.execute(select(ConsentEvent.address_hash, ConsentEvent.action)).all()
        undone = {row[0] for row in lines if row[1] is ConsentAction.UNDONE}
        assert undone == {row[0] for row in lines}
        assert len(undone) == 4_100


def test_the_ledger_says_file_and_row(run_import: Run, app: App) -> None:
    run_import("email\n\nann@example.org\n", name="members 2026.csv")
    with app.database.read() as session:
        event = session.scalars(select(ConsentEvent)).one()
    assert (event.source, event.evidence, event.batch_id) == (
        "import 1, members 2026.csv, row 3",
        "forms of October",
        1,
    )


CELLS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Cf", "Zl", "Zp", "Co", "Cn")), max_size=20
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.one_of(CELLS, CELLS.map("={}".format), CELLS.map("'{}".format)), min_size=1, max_size=5))
def test_an_export_read_again_changes_nobody(
    run_import: Run, app: App, tmp_path: Path, at: Any, names: list[str]
) -> None:
    """The guard against formulas is taken off again, whatever the cells hold."""
    with app.database.write() as session:
        for number, name in enumerate(names):
            address = f"p{number}@example.org"
            found = people.find_or_none(session, address) or people.add(
                session, pepper=b"p" * 32, address=address, at=at
            )
            found.name, found.first_name = people.clean_person_name(name) or None, None
            consent.grant(
                session, found, lists.get(session, "members"),
                basis=Basis.CONSENT, source="t", actor="t", evidence="t", at=at,
            )  # fmt: skip
    path = tmp_path / "export.csv"
    with app.database.read() as session, path.open("w", encoding="utf-8", newline="") as file:
        ids = session.scalars(select_people(now=at)).all()
        write_csv(file, read_people(session, ids, now=at), [])
    with path.open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "＝")) for cell in cells)
    result = run_import(path.read_bytes(), mapping={"first_name": "ignore", "state": "ignore", "lists": "ignore"})
    assert result.refused == 0
    with app.database.read() as session:
        stored = session.scalars(select(Subscriber).order_by(Subscriber.id)).all()
        for number, name in enumerate(names):
            assert (stored[number].name or "") == people.clean_person_name(name)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.one_of(st.binary(max_size=300), st.text("\"',;\n\r\t@.ab\0", max_size=120).map(str.encode)))
def test_no_file_whatever_ends_in_anything_but_counts_or_a_clear_error(run_import: Run, content: bytes) -> None:
    _counts(run_import(b"email,name\n" + content, dry_run=True))
    with contextlib.suppress(InvalidValue):
        _counts(run_import(content, dry_run=True))


@pytest.mark.parametrize("ending", ["xlsx", "ods"])
def test_spreadsheets_are_read(
    run_import: Run, app: App, at: Any, ending: str, spreadsheet: Callable[[str], bytes]
) -> None:
    assert _counts(run_import(spreadsheet(ending), name=f"people.{ending}")) == {"new": 1}
    person = _person(app, "ann@example.org", at)
    assert (person["name"], person["attributes"]) == ("Ann Jones", {"age": 33})


def test_people_of_an_import_are_found_by_their_attributes(run_import: Run, app: App, at: Any) -> None:
    run_import("email,town\nann@example.org,DUDLEY\nbob@example.org,Walsall\n")
    with app.database.read() as session:
        chosen = condition(session, resolve(session, "town = 'dudley'"), now=at, timezone="Europe/London")
        assert session.scalars(select(Subscriber.address).where(chosen)).all() == ["ann@example.org"]
