"""The check of the guarantee finds every kind of broken promise; it is fed lies, and none passes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.journeys.guarantee import broken_promises


def accepted(name: str, message_id: str = "") -> dict[str, Any]:
    return {"event": "accepted", "to": f"{name}@example.com", "message_id": message_id or name}


def refused(name: str, code: int = 550) -> dict[str, Any]:
    return {"event": "refused", "to": f"{name}@example.com", "stage": "rcpt", "code": code}


HONEST_ROWS = {"ann": "sent", "bob": "bounced", "cat": "uncertain", "dan": "uncertain", "eve": "expired"}
HONEST_LOG = [accepted("ann"), refused("bob"), accepted("cat"), {"event": "cut", "to": "cat@example.com"}]


def check(rows: dict[str, str], log: list[dict[str, Any]], planned: int = 5, stops: int = 1) -> list[str]:
    pairs = [(f"{name}@example.com", state) for name, state in rows.items()]
    return broken_promises(pairs, log, planned=planned, stops=stops, connections=1)


def test_an_honest_log_passes() -> None:
    assert check(HONEST_ROWS, HONEST_LOG) == []


@pytest.mark.parametrize(
    ("rows", "log", "complaint"),
    [
        ({}, HONEST_LOG[1:], "ann@example.com is lost: sent, not received"),
        ({}, [*HONEST_LOG, accepted("ann")], "ann@example.com is doubled: received 2 times"),
        ({}, [*HONEST_LOG, accepted("cat")], "cat@example.com is doubled: received 2 times"),
        ({}, [*HONEST_LOG, accepted("bob")], "bob@example.com is bounced and was received"),
        ({}, [*HONEST_LOG, accepted("eve")], "eve@example.com is expired and was received"),
        ({"ann": "pending"}, HONEST_LOG, "ann@example.com has no end: pending"),
        ({"ann": "intent"}, HONEST_LOG, "ann@example.com has no end: intent"),
        ({"eve": "bounced"}, HONEST_LOG, "eve@example.com bounced, and nobody refused it"),
        ({"eve": "bounced"}, [*HONEST_LOG, refused("eve", 450)], "eve@example.com bounced, and nobody refused it"),
        ({"eve": "uncertain"}, HONEST_LOG, "3 are uncertain after 1 stops of 1 connections and 1 cuts"),
        ({}, [*HONEST_LOG, accepted("someone")], "someone@example.com was received and is in no row"),
        ({"eve": "sent"}, [*HONEST_LOG, accepted("eve", "ann")], "two people's copies have the same Message-ID"),
    ],
)
def test_a_broken_promise_is_named(rows: dict[str, str], log: list[dict[str, Any]], complaint: str) -> None:
    assert complaint in check({**HONEST_ROWS, **rows}, log)


def test_a_missing_row_is_named() -> None:
    assert check(HONEST_ROWS, HONEST_LOG, planned=6) == ["5 rows for 6 people"]
