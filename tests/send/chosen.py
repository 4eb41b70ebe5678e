"""A network whose members choose how they are mailed, a clock that a test moves, and a mailbox for each of them."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from newsletter.app import App
from newsletter.compose.issue import approve, schedule
from newsletter.compose.library import snapshot
from newsletter.compose.sections import add_item
from newsletter.publishing import start_issue
from newsletter.send.dispatch import send_issue
from newsletter.tables import Delivery, DigestEntry, Issue, Item, ItemKind
from newsletter.worker import Worker
from subscribers import consent, lists, people
from subscribers.tables import Basis, Subscriber, Tag

BEGIN = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)


@dataclass
class Network:
    """
    An application whose relay is a real server, and what a test does with it.

    Attributes:
        folder: What the server took over, a file each.
    """

    app: App
    folder: Path
    time: datetime = BEGIN
    said: list[str] = field(default_factory=list)

    def later(self, **step: float) -> None:
        self.time += timedelta(**step)

    def person(self, name: str, *, on: Sequence[str] = ("members",), tag: str = "", **chosen: Any) -> None:
        with self.app.database.write() as session:
            person = people.add(
                session, pepper=self.app.keys.pepper, address=f"{name}@reader.example", name=name.title(), at=self.time
            )
            session.flush()
            for each in on:
                known = {one.name for one in lists.all_lists(session)}
                made = lists.get(session, each) if each in known else lists.create(session, each, at=self.time)
                session.flush()
                consent.grant(
                    session, person, made, basis=Basis.CONSENT, source="t", actor="t", evidence="e", at=self.time
                )
            person.first_name = name.title()
            if tag:
                session.add(Tag(subscriber_id=person.id, tag=tag))
            for column, value in chosen.items():
                setattr(person, column, value)

    def choose(self, name: str, **chosen: Any) -> None:
        with self.app.database.write() as session:
            person = session.scalars(select(Subscriber).where(Subscriber.address == f"{name}@reader.example")).one()
            for column, value in chosen.items():
                setattr(person, column, value)

    def leave(self, name: str, list_name: str = "members") -> None:
        with self.app.database.write() as session:
            person = people.find(session, f"{name}@reader.example")
            gone = lists.get(session, list_name)
            consent.withdraw(session, person, gone, source="t", actor="t", evidence="POST", at=self.time)

    def item(self, title: str, *, starts_on: date | None = None) -> int:
        kind = ItemKind.EVENT if starts_on else ItemKind.POST
        with self.app.database.write() as session:
            item = Item(
                kind=kind, title=title, norm_title=title.lower(), summary=f"All about {title}.", fingerprint=title,
                url=f"https://example.org/{title.replace(' ', '-').lower()}", starts_on=starts_on,
                first_seen_at=self.time, updated_at=self.time, set_by_hand=[], missing=[], stated={},
            )  # fmt: skip
            session.add(item)
            session.flush()
            return item.id

    def issue(
        self,
        slug: str,
        *,
        items: Sequence[int] = (),
        audience: dict[str, list[str]] | None = None,
        only: dict[int, str] | None = None,
        letter: str = "Dear {{first_name|friend}}, welcome.",
        subject: str = "",
    ) -> int:
        """Store an approved issue; *only* gives an item an audience of its own."""
        with self.app.database.write() as session:
            issue = Issue(
                slug=slug, subject=subject or f"News of {slug}", preheader="What is on and where to find us this month",
                audience=audience or {"lists": ["members"]}, letter=letter, letter_name="Ann Lee",
                letter_role="Chair", section_order=[], created_at=self.time, edited_at=self.time, edited_by="chair",
            )  # fmt: skip
            session.add(issue)
            for number in items:
                item = session.get_one(Item, number)
                block = add_item(issue, item, snapshot(item), "events" if item.starts_on else "news")
                block.audience = (only or {}).get(number)
            session.flush()
            approve(issue, self.app.config, actor="bea", now=self.time)
            return issue.id

    def send(self, slug: str, **options: Any) -> int:
        """Send an issue now; return how many people were planned."""
        issue_id = self.issue(slug, **options)
        planned = start_issue(self.app, issue_id)
        send_issue(self.app, issue_id)
        return planned

    def scheduled(self, slug: str, at: datetime, **options: Any) -> int:
        issue_id = self.issue(slug, **options)
        with self.app.database.write() as session:
            schedule(session.get_one(Issue, issue_id), self.app.config, at=at, now=self.time)
        return issue_id

    def work(self) -> None:
        Worker(self.app, self.said.append).once()

    def mails(self, name: str) -> list[EmailMessage]:
        """Return what one member got, in order."""
        return [mail for mail in self.everything() if mail["To"] == f"{name}@reader.example"]

    def everything(self) -> list[EmailMessage]:
        return [email.message_from_bytes(raw, policy=email.policy.default) for raw in self.raw()]  # type: ignore[misc]

    def raw(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted(self.folder.glob("*.eml"), key=lambda path: int(path.stem))]

    def issue_named(self, slug: str) -> Issue:
        with self.app.database.read() as session:
            return session.scalars(select(Issue).where(Issue.slug == slug)).one()

    def digests(self) -> list[Issue]:
        with self.app.database.read() as session:
            wanted = select(Issue).where(Issue.digest_of.is_not(None)).order_by(Issue.digest_of)
            return list(session.scalars(wanted))

    def owed(self) -> int:
        with self.app.database.read() as session:
            return session.scalar(select(func.count()).select_from(DigestEntry)) or 0

    def outcomes(self, slug: str) -> dict[str, tuple[str, str | None]]:
        """Return the state and reason of each copy of an issue."""
        with self.app.database.read() as session:
            rows = session.scalars(select(Delivery).join(Issue).where(Issue.slug == slug)).all()
            return {row.address.partition("@")[0]: (row.state.value, row.reason) for row in rows}


def text_of(mail: EmailMessage) -> str:
    part = mail.get_body(("plain",))
    assert part is not None
    return str(part.get_content())
