"""People, lists and tokens for the tests of the programming interface, and a client that has a token."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
from sqlalchemy import event
from sqlalchemy.orm import Session

from newsletter import api_tokens
from newsletter.api_tokens import Scope
from newsletter.app import App
from subscribers import consent, lists, people
from subscribers.tables import Basis, MailingList, Subscriber

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
URN = "urn:newsletter:problem:"
READ_WRITE = (Scope.SUBSCRIBERS_READ, Scope.SUBSCRIBERS_WRITE)
GROUND = {"basis": "consent", "evidence": "membership form of 2 May"}
WORDING = "I would like to get the newsletter for members by email."
READING = (Scope.SUBSCRIBERS_READ, Scope.LISTS_READ, Scope.ISSUES_READ, Scope.DELIVERIES_READ)


@dataclass
class Caller:
    """A program with a token."""

    site: httpx.Client
    token: str

    def __call__(self, method: str, path: str, **given: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.token}", **given.pop("headers", {})}
        return self.site.request(method, f"/api/v1{path}", headers=headers, **given)

    def all(self, path: str, **params: Any) -> list[dict[str, Any]]:
        """Follow the links to the end."""
        found, answer = [], self("GET", path, params=params)
        while True:
            assert answer.status_code == 200, answer.text
            found += answer.json()
            following = answer.links.get("next")
            if following is None:
                return found
            url = httpx.URL(following["url"])
            assert str(url).startswith("https://news.example.org/api/v1/")
            answer = self("GET", url.path.removeprefix("/api/v1"), params=url.params)


def caller(
    app: App, site: httpx.Client, *scopes: Scope, name: str = "program", only: tuple[str, ...] = (), **given: Any
) -> Caller:
    """Make a token with these scopes, for these lists."""
    with app.database.write() as session:
        wanted = [lists.get(session, each) for each in only]
        text = api_tokens.create(session, name, scopes=scopes, lists=wanted, by="tester", now=NOW, **given)
    return Caller(site, text)


def make_lists(app: App, *names: str) -> None:
    with app.database.write() as session:
        for name in names:
            lists.create(session, name, at=NOW).open = True


def put(app: App, address: str, *names: str, name: str | None = None, tags: tuple[str, ...] = ()) -> int:
    """Make somebody who is subscribed to these lists."""
    with app.database.write() as session:
        person = people.add(session, pepper=app.keys.pepper, address=address, name=name, at=NOW)
        for tag in tags:
            people.add_tag(session, person, tag, at=NOW)
        for each in names:
            consent.grant(
                session,
                person,
                lists.get(session, each),
                basis=Basis.CONSENT,
                source="test",
                actor="tester",
                evidence="form of 2 November",
                at=NOW,
            )
        return person.id


def leave(app: App, subscriber_id: int, name: str | None) -> None:
    with app.database.write() as session:
        person = session.get_one(Subscriber, subscriber_id)
        mailing_list: MailingList | None = lists.get(session, name) if name else None
        consent.withdraw(session, person, mailing_list, source="test", actor="them", evidence="asked", at=NOW)


def kind(answer: httpx.Response) -> str:
    """Return the kind of a refusal, which must be a problem document."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    document = answer.json()
    assert document["status"] == answer.status_code
    return str(document["type"]).removeprefix(URN)


def direct(address: str, *names: str, **more: object) -> dict[str, object]:
    return {"address": address, "lists": list(names), **GROUND, **more}


def asking(address: str, *names: str) -> dict[str, object]:
    """Return the request that somebody be asked to confirm."""
    return {"address": address, "lists": list(names), "wording": WORDING}


def put_in(session: Session, app: App, address: str) -> int:
    return people.add(session, pepper=app.keys.pepper, address=address, at=NOW).id


class counted:  # noqa: N801 (reads as the context that it is)
    """Collect the statements that run meanwhile."""

    def __init__(self, app: App, into: list[str]) -> None:
        self.engine, self.into = app.database.engine, into

    def note(self, _c: object, _cursor: object, statement: str, *_rest: object) -> None:
        self.into.append(statement)

    def __enter__(self) -> None:
        event.listen(self.engine, "before_cursor_execute", self.note)

    def __exit__(self, *_: object) -> None:
        event.remove(self.engine, "before_cursor_execute", self.note)
