"""The core of the interface on PostgreSQL: the same requests, the same answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from newsletter.api_tokens import Scope
from newsletter.app import App
from tests.web.api_client import Caller, asking, caller, direct, leave, make_lists, put
from tests.web.test_api_once import hammer

pytestmark = pytest.mark.journey


@pytest.fixture
def on_postgresql(app_on_postgresql: App, serve: Callable[..., Any]) -> Iterator[Caller]:
    with serve(app_on_postgresql) as address, httpx.Client(base_url=address, timeout=30, trust_env=False) as client:
        make_lists(app_on_postgresql, "members", "events")
        yield caller(app_on_postgresql, client, *Scope)


def conversation(app: App, program: Caller) -> list[Any]:
    """Ask for a bit of everything; return what was answered."""
    put(app, "ann@example.org", "members", name="Ann Jones", tags=("press",))
    leave(app, put(app, "bob@example.org", "members", "events"), "members")
    made = program("POST", "/subscribers", json=direct("cat@example.org", "events"), headers={"idempotency-key": "1"})
    again = program("POST", "/subscribers", json=direct("cat@example.org", "events"), headers={"idempotency-key": "1"})
    version = program("GET", "/subscribers/1").headers["etag"]
    answers = [
        made,
        again,
        program("PATCH", "/subscribers/1", json={"name": "Ann", "tags": ["a"]}, headers={"if-match": version}),
        program("PATCH", "/subscribers/1", json={"name": "Ann"}, headers={"if-match": version}),
        program("POST", "/subscribers", json=asking("new@example.org", "members")),
        program("POST", "/subscribers/2/subscribe", json={"list": "members", "basis": "consent", "evidence": "x"}),
        program("POST", "/subscribers/3/unsubscribe", json={}),
        program("GET", "/subscribers", params={"segment": "list 'members' or joined >= 2026-01-01", "limit": 2}),
        program("GET", "/subscribers", params={"state": "suppressed"}),
        program("GET", "/subscribers", params={"search": "JONES"}),
        program("GET", "/lists"),
        program("GET", "/issues"),
        program("GET", "/suppressions"),
        program("POST", "/subscribers/3/erase", json={"evidence": "letter"}),
        program("GET", "/subscribers/3"),
    ]
    return [[each.status_code, json.loads(each.text)] for each in answers]


def test_the_answers_are_those_of_sqlite(
    app: App, site: httpx.Client, app_on_postgresql: App, on_postgresql: Caller
) -> None:
    make_lists(app, "members", "events")
    expected = conversation(app, caller(app, site, *Scope))
    assert conversation(app_on_postgresql, on_postgresql) == expected
    assert [status for status, _ in expected] == [
        201,
        201,
        200,
        412,
        202,
        409,
        200,
        200,
        200,
        200,
        200,
        200,
        200,
        200,
        404,
    ]


def test_writers_at_once_make_one_person(on_postgresql: Caller) -> None:
    """Here several really write at once: whoever comes second waits, and is told what came of the first."""
    answers = hammer(on_postgresql, direct("ann@example.org", "members"), ["at-once"] * 8)
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    answers = hammer(on_postgresql, direct("bob@example.org", "members"), [f"key-{number}" for number in range(8)])
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    assert len(on_postgresql.all("/subscribers")) == 2


def test_of_changes_at_once_to_one_version_one_is_made(on_postgresql: Caller, app_on_postgresql: App) -> None:
    ann = put(app_on_postgresql, "ann@example.org", "members")
    version = {"if-match": on_postgresql("GET", f"/subscribers/{ann}").headers["etag"]}
    answers: list[int] = []

    def change(name: str) -> None:
        answer = on_postgresql("PATCH", f"/subscribers/{ann}", json={"name": name}, headers=version)
        answers.append(answer.status_code)

    threads = [threading.Thread(target=change, args=(f"Ann {letter}",)) for letter in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200] + [412] * 7
