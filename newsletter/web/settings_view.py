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
from subscribers.preferences import Choice
from subscribers.tables import MailingList, Subscriber, Subscription, SubscriptionState


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
class Typed:
    """What a form held that could not be saved: its texts by field, and the numbers of the lists that were ticked."""

    texts: Mapping[str, str]
    ticked: frozenset[str]


@dataclass(frozen=True, slots=True)
class Settings:
    """What the form holds; `languages` are tags with the names that speakers use, empty where there is no choice."""

    masked: str
    lists: tuple[ListLine, ...]
    ticked: frozenset[str]
    languages: tuple[tuple[str, str], ...]
    language: str
    name: str
    first_name: str
    paused_until: str
    earliest: date
    frequency: str
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
    session: Session, subscriber: Subscriber, *, offered: Sequence[str], tomorrow: date, typed: Typed | None = None
) -> Settings:
    """
    Return what the page shows.

    Args:
        offered: The languages of the site; the person's own is kept beside them, whatever it is.
        typed: What could not be saved: it is shown again, so that nothing but what was wrong is to be done anew.
    """
    lists, until = lists_of(session, subscriber), subscriber.paused_until
    own = (subscriber.language,) if subscriber.language and subscriber.language not in offered else ()
    tags = (*offered, *own)
    stored = {
        Choice.NAME: subscriber.name or "",
        Choice.FIRST_NAME: subscriber.first_name or "",
        Choice.LANGUAGE: subscriber.language or "",
        Choice.PAUSED_UNTIL: until.isoformat() if until and until >= tomorrow else "",
        Choice.FREQUENCY: subscriber.frequency.value,
    }
    texts = {choice.value: typed.texts.get(choice, text) if typed else text for choice, text in stored.items()}
    return Settings(
        masked=mask_address(subscriber.address),
        lists=lists,
        ticked=typed.ticked if typed else frozenset(str(line.id) for line in lists if line.is_on),
        languages=tuple((tag, name_of(tag)) for tag in tags) if len(tags) > 1 else (),
        earliest=tomorrow,
        discreet=Choice.DISCREET in typed.texts if typed else subscriber.discreet,
        **texts,
    )
