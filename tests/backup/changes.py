"""People on lists, and what becomes of them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from sqlalchemy import select

from newsletter.app import App
from newsletter.personal_data.never_mail import Keeper, Kept
from subscribers import consent, lists, people, suppression
from subscribers.never_mail.changes import Change
from subscribers.never_mail.file import NeverMailFile
from subscribers.tables import Basis, MailingList, Subscriber
from tests.conftest import NOW


def join(app: App, *names: str, list_name: str = "members") -> None:
    """Put people on a list, which is made when it is not there."""
    with app.database.write() as session:
        found = session.scalar(select(MailingList).where(MailingList.name == list_name))
        mailing_list = found or lists.create(session, list_name, at=NOW)
        for name in names:
            address = f"{name}@example.com"
            person = session.scalar(select(Subscriber).where(Subscriber.address == address)) or people.add(
                session, address=address, pepper=app.keys.pepper, at=NOW
            )
            consent.grant(
                session, person, mailing_list, basis=Basis.CONSENT, source="form", actor="t", evidence="form", at=NOW
            )


def leave(app: App, name: str, list_name: str | None = None, *, days: float = 1) -> None:
    with app.database.write() as session:
        person = people.find(session, f"{name}@example.com")
        mailing_list = lists.get(session, list_name) if list_name else None
        at = NOW + timedelta(days=days)
        consent.withdraw(session, person, mailing_list, source="link", actor=name, evidence="one click", at=at)


def suppress(app: App, name: str, reason: str = suppression.HARD_BOUNCE) -> None:
    with app.database.write() as session:
        suppression.suppress(
            session, pepper=app.keys.pepper, address=f"{name}@example.com", reason=reason, evidence="e", at=NOW
        )


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy a database as an administrator would, and leave neither open."""
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)


def keep(app: App, **how: bool) -> Kept:
    return Keeper(app.database, app.workspace, app.keys.pepper).keep(now=app.now(), **how)


def in_file(app: App) -> list[Change | None]:
    return [line.change for line in NeverMailFile(app.workspace.never_mail, app.keys.pepper).read()]


def kinds(app: App) -> list[str]:
    return [change.kind.value if change else "damaged" for change in in_file(app)]
