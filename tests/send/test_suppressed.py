"""A suppression stops a copy at its plan, its claim and its intent: by address and domain, on all lists or one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from newsletter.app import App
from newsletter.send.claims import Wanted
from newsletter.send.journal import Granted, Journal
from newsletter.tables import Delivery
from newsletter.tables import DeliveryState as S
from subscribers import lists, suppression
from subscribers.audience import Audience, select_audience
from subscribers.tables import Subscriber
from subscribers.tokens import address_hash

WHOM = "person1@mail.example.com"
DAY = timedelta(days=1)
STOPPING: dict[str, dict[str, Any]] = {
    "address": {"address": "Person1@MAIL.example.com"},
    "address on this list": {"address": WHOM, "list": "members"},
    "hash of an erased person": {"hash": WHOM, "reason": suppression.ERASED},
    "domain": {"domain": "mail.example.com"},
    "domain above": {"domain": "example.com"},
    "domain on this list": {"domain": "example.com", "list": "members"},
    "until tomorrow": {"address": WHOM, "expires": DAY},
}
PASSING: dict[str, dict[str, Any]] = {
    "on another list": {"address": WHOM, "list": "others"},
    "domain on another list": {"domain": "example.com", "list": "others"},
    "until yesterday": {"address": WHOM, "since": -9 * DAY, "expires": -DAY},
    "lifted": {"address": WHOM, "lifted": True},
    "domain that only ends alike": {"domain": "ple.com"},
    "domain below": {"domain": "x.mail.example.com"},
}
EVERY = [(name, True) for name in STOPPING] + [(name, False) for name in PASSING]


def suppress(app: App, name: str) -> None:
    how = {**STOPPING, **PASSING}[name]
    now = app.now()
    with app.database.write() as session:
        if not any(one.name == "others" for one in lists.all_lists(session)):
            lists.create(session, "others", at=now)
        entry = suppression.suppress(
            session,
            pepper=app.keys.pepper,
            address=how.get("address"),
            address_hash=address_hash(app.keys.pepper, how["hash"]) if "hash" in how else None,
            domain=how.get("domain"),
            list_id=lists.get(session, how["list"]).id if "list" in how else None,
            reason=how.get("reason", "by hand"),
            evidence="letter",
            at=now + how.get("since", timedelta()),
            expires_at=now + how["expires"] if "expires" in how else None,
        )
        if how.get("lifted"):
            suppression.lift(session, entry, by="tester", why="asked", at=now)


@pytest.fixture
def frozen(sending_app: Callable[..., App], plan_issue: Callable[..., int]) -> tuple[App, int]:
    app = sending_app(1)
    return app, plan_issue(app, 2, address=lambda n: f"person{n}@{'mail.example.com' if n == 1 else 'elsewhere.org'}")


@pytest.mark.parametrize(("name", "stops"), EVERY)
def test_at_the_plan(frozen: tuple[App, int], name: str, stops: bool) -> None:
    app, _ = frozen
    suppress(app, name)
    with app.database.read() as session:
        chosen = select_audience(session, Audience(lists=("members",)), now=app.now(), timezone="Europe/London")
        ids = chosen.subquery().c.subscriber_id
        mailed = set(session.scalars(select(Subscriber.address).where(Subscriber.id.in_(select(ids)))))
    assert mailed == {"person2@elsewhere.org"} | (set() if stops else {WHOM})


@pytest.mark.parametrize(("name", "stops"), EVERY)
def test_at_the_claim(frozen: tuple[App, int], name: str, stops: bool) -> None:
    app, issue = frozen
    suppress(app, name)
    claimed, _ = _claim_then(app, issue, lambda: None)
    assert claimed == {"person2@elsewhere.org"} | (set() if stops else {WHOM})
    assert (_state(app) is S.SUPPRESSED) is stops


@pytest.mark.parametrize(("name", "stops"), EVERY)
def test_at_the_intent(frozen: tuple[App, int], name: str, stops: bool) -> None:
    """The copy is composed and on the wire without its dot when somebody suppresses the address."""
    app, issue = frozen
    claimed, granted = _claim_then(app, issue, lambda: suppress(app, name))
    assert claimed == {WHOM, "person2@elsewhere.org"}
    assert granted == {"person2@elsewhere.org": Granted.YES, WHOM: Granted.SUPPRESSED if stops else Granted.YES}
    assert _state(app) is (S.SUPPRESSED if stops else S.INTENT)


def _claim_then(app: App, issue: int, between: Callable[[], None]) -> tuple[set[str], dict[str, Granted]]:
    """Claim all, do something, ask for every dot; return whose copies were claimed and what was answered."""

    async def go() -> tuple[set[str], dict[str, Granted]]:
        journal = Journal(app.database, owner=1, pepper=app.keys.pepper, lease=timedelta(minutes=15), clock=app.now)
        try:
            rows = (await journal.claim(Wanted(issue, 50))).rows
            between()
            return {row.address for row in rows}, {row.address: await journal.intend(row.id) for row in rows}
        finally:
            await journal.close()

    return asyncio.run(go())


def _state(app: App) -> S:
    with app.database.read() as session:
        return session.scalars(select(Delivery.state).where(Delivery.address == WHOM)).one()
