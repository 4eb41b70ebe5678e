"""A request that comes again with its key is done once."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import func, select

from newsletter.app import App
from newsletter.asked.answering import Answering
from newsletter.tables import ApiAnswer
from subscribers import consent
from tests.web.api_client import (
    NOW,
    READ_WRITE,
    Caller,
    caller,
    direct,
    kind,
)


def test_the_same_key_and_request_is_done_once(app: App, editor: Caller) -> None:
    body, key = direct("ann@example.org", "members"), {"idempotency-key": "4711"}
    first = editor("POST", "/subscribers", json=body, headers=key)
    again = editor("POST", "/subscribers", json=body, headers=key)
    assert (again.status_code, again.content) == (first.status_code, first.content) == (201, first.content)
    assert (first.headers.get("idempotent-replayed"), again.headers["idempotent-replayed"]) == (None, "true")
    other = editor("POST", "/subscribers", json=direct("bob@example.org", "members"), headers=key)
    assert (other.status_code, kind(other)) == (422, "idempotency-key")
    elsewhere = editor("POST", "/subscribers/1/unsubscribe", json=body, headers=key)
    assert elsewhere.status_code == 422
    with app.database.read() as session:
        assert len(consent.ledger(session, 1)) == 1
    stranger = caller(app, editor.site, *READ_WRITE, name="stranger")
    assert kind(stranger("POST", "/subscribers", json=body, headers=key)) == "known"  # keys are a token's own


def test_a_key_is_forgotten_after_a_day_and_free_after_a_refusal(app: App, editor: Caller) -> None:
    body, key = direct("ann@example.org", "members"), {"idempotency-key": "4711"}
    assert editor("POST", "/subscribers", json={**body, "lists": ["nothing"]}, headers=key).status_code == 422
    assert editor("POST", "/subscribers", json=body, headers=key).status_code == 201
    app.now = lambda: NOW + timedelta(days=1)
    assert kind(editor("POST", "/subscribers", json=body, headers=key)) == "known"
    for wrong in ("", "a b", "x" * 256, "\u00e9"):
        bad = editor("POST", "/subscribers", json=body, headers={"idempotency-key": wrong.encode("latin-1")})  # type: ignore[dict-item]
        assert bad.status_code == 422, wrong


def test_an_answer_is_gone_after_a_day_also_when_nobody_asks_again(app: App, editor: Caller) -> None:
    body = direct("ann@example.org", "members")
    assert editor("POST", "/subscribers", json=body, headers={"idempotency-key": "4711"}).status_code == 201
    for later, left in ((timedelta(hours=23), 1), (timedelta(days=1), 0)):
        app.now = lambda later=later: NOW + later
        assert Answering(app, pytest.fail).once() == 0  # of a worker that was started just now
        with app.database.read() as session:
            assert session.scalar(select(func.count()).select_from(ApiAnswer)) == left


def hammer(program: Caller, body: dict[str, object], keys: Sequence[str]) -> list[httpx.Response]:
    """Send the same request with each of *keys* at once."""
    answers: list[httpx.Response] = []

    def send(key: str) -> None:
        answers.append(program("POST", "/subscribers", json=body, headers={"idempotency-key": key}))

    threads = [threading.Thread(target=send, args=(key,)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_requests_with_one_key_at_once_are_one(app: App, editor: Caller) -> None:
    answers = hammer(editor, direct("ann@example.org", "members"), ["at-once"] * 8)
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    with app.database.read() as session:
        assert len(consent.ledger(session, 1)) == 1
