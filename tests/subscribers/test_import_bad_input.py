"""Hostile and broken files: a row's fault costs that row, a file's fault that file, and neither memory nor a person."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from newsletter.app import App
from subscribers import attributes
from subscribers.csv_cells import plain_cell, safe_cell
from subscribers.errors import InvalidValue
from subscribers.exporting import read_people, select_people, write_csv, write_json_lines
from subscribers.imports import sheet_reading
from subscribers.imports.columns import doubtful
from subscribers.imports.error_file import ErrorFile
from subscribers.imports.importing import ImportResult
from subscribers.imports.tabular import Row, text_lines
from subscribers.tables import AttributeKind, Subscriber

Run = Callable[..., ImportResult]


def test_a_line_of_a_gigabyte_is_one_bad_row_and_is_never_held(tmp_path: Path) -> None:
    """The file is sparse on disk: a gigabyte of NUL bytes between two people."""
    path = tmp_path / "people.csv"
    with path.open("wb") as file:
        file.write(b"email,name\nann@example.org,Ann\nx")
        file.seek(1_000_000_000, io.SEEK_CUR)
        file.write(b"\nbob@example.org,Bob\n")
    program = (
        "import resource, sys, pathlib; from subscribers.imports.tabular import Table\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "rows = [(row.number, row.problem) for row in Table(pathlib.Path(sys.argv[1])).rows()]\n"
        "print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout == "[(2, ''), (3, 'the line is longer than 1,000,000 bytes'), (4, '')] True\n"


# No bytes of Windows-1252 that are UTF-8 by chance: nobody can tell those apart.
LINES = st.lists(st.text('ab,;\t"é ', max_size=8) | st.just("x" * 40), max_size=12)


@settings(max_examples=150, deadline=None)
@given(
    lines=LINES,
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "cp1252"]),
    last=st.booleans(),
)
def test_lines_come_out_alike_whatever_the_size_of_the_blocks_they_are_read_in(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], end: str, encoding: str, last: bool
) -> None:
    path = tmp_path_factory.mktemp("lines") / "file.csv"
    content = end.join(lines) + (end if last and lines else "")
    path.write_bytes(content.encode(encoding))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("subscribers.imports.tabular._BLOCK_BYTES", 7)
        small = list(text_lines(path))
    whole = list(text_lines(path))
    assert [line[1:] for line in small if line[1]] == [line[1:] for line in whole if line[1]]
    assert [text for _, text, _ in whole if text] == [line for line in lines if line]


def test_look_alike_and_invisible_letters_do_not_make_one_person_two(run_import: Run, app: App) -> None:
    """A Cyrillic `a` is another mailbox and shows as one; what only looks empty is refused or taken off."""
    result = run_import(
        "email,name\nann@example.org,Ann\nａnn@example.org,Full width\nann@ｅxample.org,Full-width domain\n"
        "аnn@example.org,Cyrillic\nann\u200b@example.org,Zero width\nann@example.org\u202e,Turned\n"
        "bob@example.org,Bob \u202e\u2066senoJ\u2069 \u200fKhan\n"
    )
    with app.database.read() as session:
        stored = {row.address: row.name for row in session.scalars(select(Subscriber))}
    assert stored["bob@example.org"] == "Bob senoJ Khan"
    assert stored["ann@example.org"] == "Full-width domain"
    assert "аnn@example.org" in stored
    assert result.refused == 2
    assert result.new + result.changed + result.refused == result.read == 7


@pytest.mark.parametrize("header", ["email,Town,town", "email,Town , town", 'email,"Town","town"'])
def test_two_columns_of_one_name_refuse_the_file(run_import: Run, header: str) -> None:
    with pytest.raises(InvalidValue, match="two columns"):
        run_import(f"{header}\nann@example.org,a,b\n")


def test_a_column_that_claims_consent_is_not_believed(run_import: Run) -> None:
    with pytest.raises(InvalidValue, match="evidence"):
        run_import("email,consent\nann@example.org,yes\n", evidence="")


def test_two_columns_that_could_hold_the_address_are_in_doubt_until_somebody_says() -> None:
    columns = ("E-mail", "Email address", "Town")
    assert doubtful(columns) == {"address": ["E-mail", "Email address"]}
    assert doubtful(columns, {"email address": "address"}) == {}
    assert doubtful(("email", "name")) == {}


def _archive(parts: dict[str, str | bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return packed.getvalue()


def _changed(spreadsheet: bytes, part: str, old: str, new: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(spreadsheet)) as archive:
        parts: dict[str, str | bytes] = {name: archive.read(name) for name in archive.namelist()}
    text = parts[part]
    assert isinstance(text, bytes)
    return _archive({**parts, part: text.decode().replace(old, new)})


FAR_CELL = '<row r="1048576"><c r="XFD1048576" t="inlineStr"><is><t>x</t></is></c></row></sheetData>'
MANY_CELLS = (
    '<table:table-row table:number-rows-repeated="1000000"><table:table-cell table:number-columns-repeated="16000" '
    'office:value-type="string"><text:p>x</text:p></table:table-cell></table:table-row></table:table>'
)


def test_a_small_spreadsheet_that_unpacks_to_a_huge_one_is_refused(
    run_import: Run, spreadsheet: Callable[[str], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    sheet = "xl/worksheets/sheet1.xml"
    with pytest.raises(InvalidValue, match="more memory or time"):
        run_import(_changed(spreadsheet("xlsx"), sheet, "</sheetData>", FAR_CELL), name="far.xlsx")
    with pytest.raises(InvalidValue, match=r"[Cc]ell limit"):
        run_import(_changed(spreadsheet("ods"), "content.xml", "</table:table>", MANY_CELLS), name="many.ods")
    monkeypatch.setattr(sheet_reading, "MOST_PART_BYTES", 1_000_000)
    padded = _changed(spreadsheet("xlsx"), sheet, "</sheetData>", f"<!--{' ' * 1_000_000}--></sheetData>")
    assert len(padded) < 10_000
    with pytest.raises(InvalidValue, match="larger than 1,000,000 bytes"):
        run_import(padded, name="padded.xlsx")


def test_an_archive_is_not_unpacked(run_import: Run, tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="unpack it"):
        run_import(_archive({"../../evil.csv": "email\nann@example.org\n"}), name="audience.zip")
    assert not list(tmp_path.parent.rglob("evil.csv"))


def test_the_errors_of_a_stopped_import_are_kept_up_to_where_it_stopped(tmp_path: Path) -> None:
    """The last line was cut in its number: 7 of 78."""
    path = tmp_path / "errors.csv"
    first = ErrorFile(path, ("email",))
    first.add([(Row(number, ["=x"]), "bad") for number in (5, 6, 30)])
    first.close()
    with path.open("a") as file:
        file.write("7")
    again = ErrorFile(path, ("email",), keep_to=10)
    again.add([(Row(12, ["y"]), "bad")])
    again.close()
    with path.open(encoding="utf-8-sig", newline="") as file:
        assert list(csv.reader(file))[1:] == [["5", "bad", "'=x"], ["6", "bad", "'=x"], ["12", "bad", "y"]]
    assert sorted(tmp_path.iterdir()) == [path]


@given(text=st.text(max_size=20) | st.text("='+-@＝＋－＠\t\r\n ", max_size=6))
def test_a_guarded_cell_is_never_a_formula_and_comes_back_as_it_was(text: str) -> None:
    guarded = safe_cell(text)
    assert not guarded.lstrip(" '").startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠")) or guarded[0] == "'"
    assert not guarded.startswith(("\t", "\r", "\n", "="))
    assert plain_cell(guarded) == text


VALUES = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Cf", "Zl", "Zp", "Co", "Cn")), min_size=1, max_size=12
) | st.sampled_from(["=1+1", "'=x", "＝x", "@a", "-5", "007", "a;b", 'q"q', "a,b"])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(VALUES, min_size=1, max_size=4), tag=st.sampled_from(["press", "-dash", "=tag"]))
def test_attributes_and_tags_survive_export_and_import(
    run_import: Run, app: App, tmp_path: Path, at: Any, values: list[str], tag: str
) -> None:
    """What is exported and imported again changes nobody, also as JSON lines it is the same."""
    with app.database.write() as session:
        session.query(Subscriber).delete()
        if "note" not in attributes.definitions(session):
            attributes.declare(session, "note", AttributeKind.TEXT)
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["address", "note", "tags"])
    writer.writerows([f"p{n}@example.org", safe_cell(value), safe_cell(tag)] for n, value in enumerate(values))
    run_import(buffer.getvalue())
    with app.database.read() as session:
        people = list(read_people(session, session.scalars(select_people(now=at)).all(), now=at))
        exported, lines = io.StringIO(), io.StringIO()
        write_csv(exported, people, ["note"])
        write_json_lines(lines, people)
    skipped = dict.fromkeys(("name", "first_name", "language", "joined", "state", "lists"), "ignore")
    again = run_import(exported.getvalue(), name="again.csv", mapping=skipped)
    assert (again.unchanged, again.refused) == (len(values), 0)
    told = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [one["attributes"] for one in told] == [dict(person.attributes) for person in people]
    for row in csv.reader(io.StringIO(exported.getvalue())):
        assert not any(cell.startswith(("=", "+", "-", "@", "＝")) for cell in row)


def test_a_dry_run_of_many_keeps_only_those_who_come_again(run_import: Run, app: App) -> None:
    rows = "".join(f"p{n}@example.org,P{n}\n" for n in range(50)) + "P3@example.org,Other\n"
    result = run_import(f"email,name\n{rows}", dry_run=True)
    assert (result.new, result.changed) == (50, 1)
    with app.database.read() as session:
        assert session.scalar(select(func.count()).select_from(Subscriber)) == 0
