"""Leaving and the settings as people meet them: with and without script, in two languages, in both schemes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from newsletter.app import App
from subscribers import consent, lists, people
from subscribers.db import Base
from subscribers.tables import Basis, Subscriber
from subscribers.tokens import unsubscribe_token
from tests.peers.walking import Walk
from tests.web.asked_links import mint_link
from tests.web.catalogues import arabic, write_catalogues
from tests.web.conftest import running

pytestmark = pytest.mark.journey
CANARY = "zzcanary"


@pytest.fixture
def tokens(app: App) -> list[str]:
    """Three people whose names and addresses are canaries, each on a closed list; another list is open."""
    made = []
    with app.database.write() as session:
        closed = lists.create(session, "canaries", title="Canaries of zzcanary", at=app.now())
        opened = lists.create(session, "events", title="Events", description="What is on near you.", at=app.now())
        opened.open = True
        for number in range(3):
            one = people.add(
                session,
                pepper=app.keys.pepper,
                address=f"{CANARY}{number}@{CANARY}.example",
                name=f"{CANARY} Jones",
                at=app.now() - timedelta(days=1),
            )
            session.flush()
            consent.grant(
                session, one, closed, basis=Basis.CONSENT, source="t", actor="t", evidence="form", at=app.now()
            )
            made.append(unsubscribe_token(app.keys.links.current, one.token_id, closed.id))
    return made


def journey(app: App, token: str, number: int, say: Callable[[str], str], query: str) -> list[list[Any]]:
    """The steps of somebody who leaves, comes back, asks for a link, changes everything and is erased."""
    return [
        ["goto", f"/unsubscribe/{token}{query}"],
        ["look", "unsubscribe"],
        ["click", say("Unsubscribe")],
        ["see", say("You are unsubscribed")],
        ["look", "unsubscribed"],
        ["check", "input[value='seen by others']"],
        ["fill", "#words", "Somebody reads my mail."],
        ["click", say("Tell us why")],
        ["see", say("Thank you")],
        ["look", "reason"],
        ["click", say("Undo")],
        ["see", say("Everything is as it was")],
        ["look", "undone"],
        ["goto", f"/preferences{query}"],
        ["look", "ask"],
        ["goto", f"/preferences/{token}{query}"],
        ["look", "preferences"],
        ["click", say("Email me a link")],
        ["see", say("Look into your email")],
        ["look", "asked"],
        ["goto", f"{mint_link(app, number)}{query}"],
        ["look", "open"],
        ["click", say("Open my settings")],
        ["look", "settings"],
        ["check", "input[name=frequency][value=monthly]"],
        ["check", "input[name=discreet]"],
        ["fill", "#name", "Somebody Else"],
        ["fill", "#paused_until", "2027-12-24"],
        ["click", say("Save my settings")],
        ["see", say("Nothing was saved yet.")],
        ["look", "wrong"],
        ["fill", "#paused_until", "2026-12-24"],
        ["check", "input[name=list][value='2']"],
        ["click", say("Save my settings")],
        ["see", say("Our emails to you are now discreet.")],
        ["look", "saved"],
        ["click", say("Erase everything about me")],
        ["see", say("What stays")],
        ["look", "erase"],
        ["click", say("Back to my settings")],
        ["click", say("Close my settings")],
        ["look", "closed"],
        ["goto", f"/settings/x{query}"],
        ["look", "over"],
        ["goto", f"{mint_link(app, number)}{query}"],
        ["click", say("Open my settings")],
        ["click", say("Erase everything about me")],
        ["click", say("Erase everything about me")],
        ["see", say("You have been erased")],
        ["look", "erased"],
    ]


ANONYMOUS = ("unsubscribe", "unsubscribed", "reason", "undone", "ask", "preferences", "asked", "open", "over", "closed")


def no_limit(app: App) -> list[int]:
    with app.database.read() as session:
        return list(session.scalars(select(Subscriber.id).order_by(Subscriber.id)))


def test_everything_can_be_done_with_and_without_script(app: App, tokens: list[str], walk) -> None:
    write_catalogues(app.workspace.templates)
    numbers = no_limit(app)
    with running(app) as base:
        report = walk(
            base,
            [
                Walk("script", True, journey(app, tokens[0], numbers[0], str, "")),
                Walk("arabic", False, journey(app, tokens[1], numbers[1], arabic, "?lang=ar")),
            ],
        )
    assert (report.faults, report.foreign, report.cookies) == ([], [], 0)
    shown = {look.name: look.text + look.title for look in report.looks}
    assert not [name for name in ANONYMOUS if CANARY in shown[name]]
    assert not [look.name for look in report.looks if f"@{CANARY}" in look.text and "***@" not in look.text]
    with app.database.read() as session:
        assert list(session.scalars(select(Subscriber.id))) == numbers[2:]


def test_a_scanner_that_runs_script_changes_nothing(app: App, tokens: list[str], walk) -> None:
    number = no_limit(app)[0]
    paths = [f"/unsubscribe/{tokens[0]}", f"/preferences/{tokens[0]}", "/preferences", mint_link(app, number)]
    before = everything(app)
    with running(app) as base:
        walk(base, [Walk("scanner", True, [["goto", path] for path in paths * 2])])
    assert everything(app) == before


def everything(app: App) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table."""
    with app.database.read() as session:
        return {
            name: [tuple(row) for row in session.execute(table.select())]
            for name, table in Base.metadata.tables.items()
        }
