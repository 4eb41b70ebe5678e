"""A list with people on it, made through the same functions as the program's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from newsletter.app import App
from subscribers import attributes, consent, lists, people
from subscribers.importing import ImportResult, import_file
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

    def run(content: str | bytes, *, name: str = "people.csv", **options: Any) -> ImportResult:
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
        return import_file(app.database, path, **given)

    return run
