"""Mailing lists: made, found, archived; an archived list keeps its people and is never mailed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from subscribers.errors import Conflict, InvalidValue, NotFound
from subscribers.naming import check_slug, clean_text, nearest
from subscribers.tables import MailingList, Subscription, SubscriptionState

LONGEST_TITLE = 200


@dataclass(frozen=True, slots=True)
class ListCounts:
    """How many people stand in which state on one list."""

    pending: int = 0
    subscribed: int = 0
    unsubscribed: int = 0


def get(session: Session, name: str) -> MailingList:
    """
    Return the list of that name, archived or not.

    Raises:
        NotFound: With the nearest known name.
    """
    found = session.scalar(select(MailingList).where(MailingList.name == name))
    if found is None:
        known = session.scalars(select(MailingList.name)).all()
        hint = nearest(name, known) or ("Make one with: newsletter lists create NAME" if not known else "")
        raise NotFound("list", name, hint=hint)
    return found


def get_open(session: Session, name: str) -> MailingList:
    """
    Return the list of that name, which must not be archived.

    Raises:
        NotFound: When there is none.
        Conflict: When it is archived.
    """
    found = get(session, name)
    if found.archived_at is not None:
        raise Conflict(
            f"The list '{name}' was archived on {found.archived_at:%Y-%m-%d}.",
            hint=f"Open it again with: newsletter lists archive {name} --undo",
        )
    return found


def create(
    session: Session, name: str, *, title: str = "", description: str = "", open_to_all: bool = False, at: datetime
) -> MailingList:
    """
    Make a list. *title* is what members read; default: the name in words. One *open_to_all* is offered on the site.

    Raises:
        InvalidValue: When the name or title cannot be used.
        Conflict: When there is one already.
    """
    check_slug("list", name)
    shown = _clean_title(clean_text(title) or name.replace("-", " ").replace("_", " ").capitalize())
    if session.scalar(select(MailingList.id).where(MailingList.name == name)) is not None:
        raise Conflict(f"There is a list '{name}' already.", hint=f"See it with: newsletter lists show {name}")
    made = MailingList(name=name, title=shown, description=description.strip(), open=open_to_all, created_at=at)
    session.add(made)
    session.flush()
    return made


def all_lists(session: Session, *, archived: bool = False) -> Sequence[MailingList]:
    """Return the lists by name, the archived ones only when asked for."""
    statement = select(MailingList).order_by(MailingList.name)
    if not archived:
        statement = statement.where(MailingList.archived_at.is_(None))
    return session.scalars(statement).all()


def counts(session: Session) -> dict[int, ListCounts]:
    """Return the number of people in each state, by list id."""
    rows = session.execute(
        select(Subscription.list_id, Subscription.state, func.count()).group_by(
            Subscription.list_id, Subscription.state
        )
    )
    found: dict[int, dict[str, int]] = {}
    for list_id, state, number in rows:
        found.setdefault(list_id, {})[SubscriptionState(state).value] = number
    return {list_id: ListCounts(**states) for list_id, states in found.items()}


def offered(session: Session) -> Sequence[MailingList]:
    """Return the lists that people may join by themselves on the site, by title."""
    statement = select(MailingList).where(MailingList.open, MailingList.archived_at.is_(None))
    return session.scalars(statement.order_by(MailingList.title, MailingList.id)).all()


def change(
    session: Session,
    mailing_list: MailingList,
    *,
    title: str | None = None,
    description: str | None = None,
    open_to_all: bool | None = None,
) -> None:
    """
    Change what members read of a list, or whether the site offers it; None leaves a value as it is.

    Raises:
        InvalidValue: When the title cannot be used.
    """
    if title is not None:
        mailing_list.title = _clean_title(title)
    if description is not None:
        mailing_list.description = description.strip()
    if open_to_all is not None:
        mailing_list.open = open_to_all
    session.flush()


def _clean_title(text: str) -> str:
    title = clean_text(text)
    if not title:
        raise InvalidValue("A list needs a title: it is what members read.")
    if len(title) > LONGEST_TITLE:
        raise InvalidValue(f"The title has {len(title)} characters; {LONGEST_TITLE} is the most.")
    return title


def archive(session: Session, mailing_list: MailingList, *, at: datetime) -> bool:
    """Archive; return False when it was archived before."""
    if mailing_list.archived_at is not None:
        return False
    mailing_list.archived_at = at
    session.flush()
    return True


def reopen(session: Session, mailing_list: MailingList) -> bool:
    """Undo an archiving; return False when the list is open."""
    if mailing_list.archived_at is None:
        return False
    mailing_list.archived_at = None
    session.flush()
    return True
