"""What programs change of a person, and the end of a record."""

from __future__ import annotations

import httpx
import pytest
from sqlalchemy import func, select

from newsletter.api_tokens import Scope
from newsletter.app import App
from newsletter.config.settings import Config
from newsletter.tables import ApiAnswer
from tests.conftest import smallest_config
from tests.web.api_client import (
    READ_WRITE,
    Caller,
    caller,
    direct,
    kind,
    make_lists,
    put,
)


@pytest.fixture
def config() -> Config:
    attributes = [
        {"name": "town", "kind": "text"},
        {"name": "age", "kind": "number"},
        {"name": "renewal", "kind": "date"},
        {"name": "trained", "kind": "yes/no"},
        {"name": "role", "kind": "choice", "choices": ["police", "council"]},
        {"name": "interests", "kind": "several"},
    ]
    made = smallest_config()
    return type(made).model_validate({**made.model_dump(), "attributes": attributes})


def test_a_change_needs_the_version_that_was_read(app: App, editor: Caller) -> None:
    ann = put(app, "ann@example.org", "members")
    path = f"/subscribers/{ann}"
    read = editor("GET", path)
    assert kind(editor("PATCH", path, json={"name": "A"})) == "condition-required"
    first = editor("PATCH", path, json={"name": "Ann Jones"}, headers={"if-match": read.headers["etag"]})
    assert first.status_code == 200
    assert first.headers["etag"] == editor("GET", path).headers["etag"] != read.headers["etag"]
    for stale in (read.headers["etag"], "W/" + first.headers["etag"], "nonsense", '""'):
        lost = editor("PATCH", path, json={"name": "Other"}, headers={"if-match": stale})
        assert (lost.status_code, kind(lost)) == (412, "changed-meanwhile")
    assert editor("GET", path).json()["name"] == "Ann Jones"
    either = f'"x", {first.headers["etag"]}'
    assert editor("PATCH", path, json={"name": None}, headers={"if-match": either}).json()["name"] is None


def test_a_change_touches_only_what_was_sent(app: App, editor: Caller) -> None:
    ann = put(app, "ann@example.org", "members", name="Ann Jones", tags=("old", "kept"))
    any_version = {"if-match": "*"}
    values = {
        "town": "Dudley",
        "age": 41.5,
        "renewal": "2026-12-01",
        "trained": True,
        "role": "Police",
        "interests": ["a, b", "c"],
    }
    body = {"language": "cy", "tags": ["kept", "New"], "attributes": values}
    shown = editor("PATCH", f"/subscribers/{ann}", json=body, headers=any_version).json()
    assert (shown["name"], shown["language"], shown["tags"]) == ("Ann Jones", "cy", ["kept", "new"])
    assert shown["attributes"] == {**values, "role": "police"}
    cleared = editor("PATCH", f"/subscribers/{ann}", json={"attributes": {"age": None}}, headers=any_version).json()
    assert "age" not in cleared["attributes"]
    assert cleared["attributes"]["town"] == "Dudley"
    for wrong in (
        {"age": "41"},
        {"age": True},
        {"age": 1e300},
        {"trained": "yes"},
        {"trained": 1},
        {"role": "chef"},
        {"renewal": "soon"},
        {"town": 5},
        {"town": {"a": 1}},
        {"interests": [1]},
        {"nothing": "x"},
    ):
        refused = editor("PATCH", f"/subscribers/{ann}", json={"attributes": wrong}, headers=any_version)
        assert (refused.status_code, kind(refused)) == (422, "invalid"), wrong


def test_an_erasure_takes_everything_and_needs_its_own_scope(app: App, site: httpx.Client) -> None:
    make_lists(app, "members")
    editor, eraser = caller(app, site, *READ_WRITE), caller(app, site, Scope.SUBSCRIBERS_ERASE, name="eraser")
    key = {"idempotency-key": "one"}
    ann = editor("POST", "/subscribers", json=direct("ann@example.org", "members"), headers=key).json()["id"]
    assert kind(editor("POST", f"/subscribers/{ann}/erase", json={"evidence": "letter"})) == "scope-missing"
    assert kind(eraser("POST", f"/subscribers/{ann}/erase", json={})) == "invalid"
    answer = eraser("POST", f"/subscribers/{ann}/erase", json={"evidence": "letter"}, headers=key)
    assert answer.json() == {"erased": True, "deliveries": 0}
    assert editor("GET", f"/subscribers/{ann}").status_code == 404
    assert eraser("POST", f"/subscribers/{ann}/erase", json={"evidence": "letter"}).status_code == 404
    again = eraser("POST", f"/subscribers/{ann}/erase", json={"evidence": "letter"}, headers=key)
    assert (again.json(), again.headers["idempotent-replayed"]) == (answer.json(), "true")
    with app.database.read() as session:
        assert session.scalar(select(func.count()).select_from(ApiAnswer)) == 1  # that of the person went
        assert b"ann@" not in b"".join(bytes(str(row), "utf-8") for row in dump(session))


def dump(session: object) -> list[object]:
    connection = session.connection()  # type: ignore[attr-defined]
    tables = [row[0] for row in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return [row for table in tables for row in connection.exec_driver_sql(f"SELECT * FROM {table}")]
