"""
What the settings page shows of one person, as values: read in one transaction, handed to the template.

The address is there in its masked form only. A list that is not open is shown to those who are on it, to nobody else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from newsletter.web.languages import name_of
from subscribers.addresses import mask_address
from subscribers.tables import Frequency, MailingList, Subscriber, Subscription, SubscriptionState


@dataclass(frozen=True, slots=True)
class ListLine:
    """
    One list that somebody may be on.

    Attributes:
        is_open: Whoever leaves it can come back by this page.
        left_on: When they left it; None also for who never was on it.
    """

    id: int
    title: str
    description: str
    is_on: bool
    is_open: bool
    left_on: date | None


@dataclass(frozen=True, slots=True)
class Settings:
    """What the form holds; `languages` are tags with the names that speakers use, empty where there is no choice."""

    masked: str
    lists: tuple[ListLine, ...]
    languages: tuple[tuple[str, str], ...]
    language: str
    name: str
    first_name: str
    paused_until: str
    earliest: date
    frequency: Frequency
    discreet: bool

    @property
    def shown_lists(self) -> str:
        return ",".join(str(line.id) for line in self.lists)


def lists_of(session: Session, subscriber: Subscriber) -> tuple[ListLine, ...]:
    """Return the lists that this person may see, by title."""
    on = SubscriptionState.SUBSCRIBED
    rows = session.execute(
        select(MailingList, Subscription.state, Subscription.since)
        .outerjoin(
            Subscription,
            and_(Subscription.list_id == MailingList.id, Subscription.subscriber_id == subscriber.id),
        )
        .where(MailingList.archived_at.is_(None), or_(MailingList.open, Subscription.state == on))
        .order_by(MailingList.title, MailingList.id)
    )
    return tuple(
        ListLine(
            id=one.id,
            title=one.title,
            description=one.description,
            is_on=state is on,
            is_open=one.open,
            left_on=since.date() if state is SubscriptionState.UNSUBSCRIBED else None,
        )
        for one, state, since in rows
    )


def settings_of(
    session: Session, subscriber: Subscriber, *, offered: Sequence[str], tomorrow: date, typed: Mapping[str, str]
) -> Settings:
    """
    Return what the page shows.

    Args:
        offered: The languages of the site; the person's own is kept beside them, whatever it is.
        typed: What was typed where it could not be saved, by field: it is shown again.
    """
    until = subscriber.paused_until
    stored = {
        "name": subscriber.name or "",
        "first_name": subscriber.first_name or "",
        "paused_until": until.isoformat() if until and until >= tomorrow else "",
    }
    own = (subscriber.language,) if subscriber.language and subscriber.language not in offered else ()
    tags = (*offered, *own)
    return Settings(
        masked=mask_address(subscriber.address),
        lists=lists_of(session, subscriber),
        languages=tuple((tag, name_of(tag)) for tag in tags) if len(tags) > 1 else (),
        language=subscriber.language or "",
        earliest=tomorrow,
        frequency=subscriber.frequency,
        discreet=subscriber.discreet,
        **{name: typed.get(name, value) for name, value in stored.items()},
    )
