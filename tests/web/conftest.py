"""The site on a real socket of loopback, a client, and somebody with a link."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from newsletter.app import App
from newsletter.publishing.archiving import publish_issue
from newsletter.render.links import event_mark, issue_mark
from newsletter.tables import Block, BlockKind, Issue, IssueState, Item, ItemKind, ItemState
from newsletter.web.server import listen, make_server
from subscribers import consent, lists, people
from subscribers.tables import Basis, MailingList, Subscriber, Subscription
from subscribers.tokens import unsubscribe_token
from tests.web.api_client import READ_WRITE, Caller, caller, make_lists
from tests.web.asked_links import mint_link

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
SECRET_WORDS = ("amina@example.org", "amina", "Amina", "Yusuf", "Members", "members", "Partners")


def make_event(**given: object) -> Item:
    values: dict[str, object] = {
        "id": 7,
        "kind": ItemKind.EVENT,
        "state": ItemState.ACTIVE,
        "title": "Drop-in, with tea; and a very long name that has to be folded because it passes 75 octets",
        "norm_title": "drop-in",
        "summary": "Bring letters.\nAsk anything.",
        "starts_at": datetime(2026, 12, 3, 14, 0, tzinfo=UTC),
        "ends_at": datetime(2026, 12, 3, 16, 0, tzinfo=UTC),
        "timezone": "Europe/London",
        "place": "Library, Mill Lane",
        "url": "https://www.example.org/drop-in",
        "sequence": 0,
        "fingerprint": "x",
        "first_seen_at": NOW,
        "updated_at": NOW,
    }
    return Item(**{**values, **given})


@contextmanager
def running(app: App, **options: Any) -> Iterator[str]:
    """Serve the site of *app* and yield its address."""
    sock = listen("127.0.0.1", 0)
    server = make_server(app, **options)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)
    sock.close()


@pytest.fixture
def serve() -> Callable[[App], object]:
    return running


@pytest.fixture
def site(app: App) -> Iterator[httpx.Client]:
    with running(app) as address, httpx.Client(base_url=address, timeout=30, trust_env=False) as client:
        yield client


@dataclass(frozen=True)
class Member:
    """Somebody on two lists, and the token of the first of them."""

    id: int
    token_id: bytes
    list_id: int
    other_list_id: int
    token: str


@pytest.fixture
def member(app: App) -> Member:
    with app.database.write() as session:
        first = lists.create(session, "members", title="Members", at=NOW)
        second = lists.create(session, "partners", title="Partners", at=NOW)
        person = people.add(session, pepper=app.keys.pepper, address="amina@example.org", name="Amina Yusuf", at=NOW)
        session.flush()
        for mailing_list in (first, second):
            consent.grant(
                session,
                person,
                mailing_list,
                basis=Basis.CONSENT,
                source="test",
                actor="tester",
                evidence="form of 2 November",
                at=NOW,
            )
        session.flush()
        token = unsubscribe_token(app.keys.links.current, person.token_id, first.id)
        return Member(person.id, person.token_id, first.id, second.id, token)


@pytest.fixture
def states(app: App) -> Callable[[], dict[str, str]]:
    """Return a function that tells the state of each subscription by the list's name."""

    def look() -> dict[str, str]:
        with app.database.read() as session:
            rows = session.query(MailingList.name, Subscription.state).join(
                MailingList, MailingList.id == Subscription.list_id
            )
            return {name: state.value for name, state in rows}

    return look


@pytest.fixture
def secret_words() -> tuple[str, ...]:
    """What no page reached by a link may show: the address, the names, the lists."""
    return SECRET_WORDS


@pytest.fixture
def forget(app: App) -> Callable[[int], None]:
    """Return a function that deletes a subscriber and all that hangs on them."""

    def delete(subscriber_id: int) -> None:
        with app.database.write() as session:
            session.delete(session.get_one(Subscriber, subscriber_id))

    return delete


@pytest.fixture
def editor(app: App, site: httpx.Client) -> Caller:
    """A program that reads and writes subscribers, beside two lists."""
    make_lists(app, "members", "events")
    return caller(app, site, *READ_WRITE)


@pytest.fixture
def issue(app: App) -> Callable[..., str]:
    """Return a function that stores an issue with one event for all and one for some, and gives its name."""

    def store(*, planned: bool = True, tested: bool = False) -> str:
        with app.database.write() as session:
            made = Issue(
                slug="2026-11",
                subject="November for {{first_name|friend}}",
                preheader="What is on",
                letter="Dear {{first_name|friend}},\n\nwelcome.",
                letter_name="The chair",
                created_at=NOW,
                edited_at=NOW,
                edited_by="tester",
                planned_at=NOW if planned else None,
                tested_hash="x" if tested else None,
            )
            session.add(made)
            for number, (title, audience) in enumerate((("For all", None), ("Police only", "role = 'police'"))):
                item = make_event(id=number + 1, title=title, fingerprint=str(number))
                session.add(item)
                snapshot = {"kind": "event", "title": title, "summary": "", "starts_at": "2026-12-03T14:00:00+00:00"}
                made.blocks.append(
                    Block(
                        section="events", position=number, kind=BlockKind.ITEM, item=item,
                        snapshot=snapshot, audience=audience,
                    )
                )  # fmt: skip
        return f"2026-11-{issue_mark(app.keys.marks.current, '2026-11')}"

    return store


@pytest.fixture
def pages(app: App, member: Member, issue: Callable[..., str]) -> dict[str, str]:
    """Every page of the site that is reached by GET, by a name; what a new page is tried by is added here."""
    view = issue()
    with app.database.write() as session:
        found = session.scalars(select(Issue)).one()
        found.state = IssueState.SENT
        publish_issue(app, session, found, indexed=True)
    return {
        "unsubscribe": f"/unsubscribe/{member.token}",
        "preferences": f"/preferences/{member.token}",
        "link": "/preferences",
        "settings": mint_link(app, member.id),
        "requests": "/requests",
        "not found": "/nothing",
        "archive": "/archive",
        "search": "/archive?q=november",
        "event": f"/events/1-{event_mark(app.keys.marks.current, 1)}",
        "issue": "/archive/2026-11",
        "web version": f"/view/{view}",
    }


OF_AN_ISSUE = ("issue", "web version")  # in the language of the issue, whatever is asked for
