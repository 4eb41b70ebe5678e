"""A list with people on it, made through the same functions as the program's."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from newsletter.app import App
from subscribers import attributes, consent, lists, people
from subscribers.imports.importing import ImportResult, import_file
from subscribers.imports.peers import Export
from subscribers.tables import AttributeKind, Basis, Subscriber

PEPPER = b"p" * 32
AT = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)


@pytest.fixture
def at() -> datetime:
    return AT


@pytest.fixture
def pepper() -> bytes:
    return PEPPER


@pytest.fixture
def session(app: App) -> Iterator[Session]:
    """A writing session with the list `members`."""
    with app.database.write() as made:
        lists.create(made, "members", at=AT)
        yield made


@pytest.fixture
def make_person(session: Session) -> Callable[..., Subscriber]:
    """Make a person; traits: `on` (lists, by name), `tags`, and any attribute as text."""

    def make(
        address: str, *, on: tuple[str, ...] = ("members",), tags: tuple[str, ...] = (), **known: Any
    ) -> Subscriber:
        fields = {name: known.pop(name) for name in ("name", "language", "joined_at") if name in known}
        person = people.add(session, pepper=PEPPER, address=address, at=AT, **fields)
        for name in on:
            consent.grant(
                session,
                person,
                lists.get(session, name),
                basis=Basis(known.pop("basis", "consent")),
                source="test",
                actor="tester",
                evidence="form",
                at=AT,
            )
        for tag in tags:
            people.add_tag(session, person, tag, at=AT)
        for name, text in known.items():
            attribute = attributes.definitions(session).get(name) or attributes.declare(
                session, name, AttributeKind.TEXT
            )
            attributes.store(session, person, attribute, attributes.read_values(attribute, text))
        return person

    return make


@pytest.fixture
def run_import(app: App, tmp_path: Path) -> Callable[..., ImportResult]:
    """Import text or bytes as a file onto the list `members`, which is made when it is not there."""
    with app.database.write() as session:
        if not lists.all_lists(session):
            lists.create(session, "members", at=AT)

    def run(
        content: str | bytes, *, name: str = "people.csv", table: Export | None = None, **options: Any
    ) -> ImportResult:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        given = {
            "list_name": "members",
            "basis": Basis.CONSENT,
            "evidence": "forms of October",
            "actor": "tester",
            "pepper": PEPPER,
            "now": AT,
            "errors_folder": app.workspace.outbox,
            **options,
        }
        return import_file(app.database, table or path, **given)

    return run


_SHEET = (
    '<row><c t="inlineStr"><is><t>email</t></is></c><c t="inlineStr"><is><t>name</t></is></c>'
    '<c t="inlineStr"><is><t>age</t></is></c></row><row><c t="inlineStr"><is><t>ann@example.org</t></is></c>'
    '<c t="inlineStr"><is><t>Ann Jones</t></is></c><c><v>33</v></c></row>'
)
_XLSX = {
    "_rels/.rels": (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" '
        'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" '
        'Target="xl/workbook.xml"/></Relationships>'
    ),
    "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>',
    "xl/workbook.xml": (
        '<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.'
        'openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="a" sheetId="1" r:id="r1"/></sheets>'
        "</workbook>"
    ),
    "xl/_rels/workbook.xml.rels": (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" '
        'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" '
        'Target="worksheets/sheet1.xml"/></Relationships>'
    ),
    "xl/worksheets/sheet1.xml": (
        '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
        f"{_SHEET}</sheetData></worksheet>"
    ),
}
_ODS_CELL = '<table:table-cell office:value-type="string"><text:p>{}</text:p></table:table-cell>'
_ODS = {
    "mimetype": "application/vnd.oasis.opendocument.spreadsheet",
    "META-INF/manifest.xml": '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>',
    "content.xml": (
        '<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
        'xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" '
        'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"><office:body><office:spreadsheet>'
        '<table:table table:name="a"><table:table-row>'
        + "".join(map(_ODS_CELL.format, ("email", "name", "age")))
        + "</table:table-row><table:table-row>"
        + "".join(map(_ODS_CELL.format, ("ann@example.org", "Ann Jones")))
        + '<table:table-cell office:value-type="float" office:value="33"><text:p>33</text:p></table:table-cell>'
        "</table:table-row></table:table></office:spreadsheet></office:body></office:document-content>"
    ),
}


@pytest.fixture
def spreadsheet() -> Callable[[str], bytes]:
    """Return one person as an Excel or OpenDocument file."""

    def make(ending: str) -> bytes:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for name, content in {"xlsx": _XLSX, "ods": _ODS}[ending].items():
                archive.writestr(name, content)
        return packed.getvalue()

    return make
