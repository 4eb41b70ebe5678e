"""
Who is owed an issue by the monthly digest, and who of them may get it now: rows that the freeze of each issue wrote.

Somebody who left the list, was suppressed or paused since gets none of it; whoever changed back to each issue still
gets in the digest what they were left out of.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, Select, and_, func, select
from sqlalchemy.orm import Session

from newsletter.tables import DigestEntry, Issue
from subscribers import choices, suppression
from subscribers.audience import count_choices
from subscribers.tables import Subscriber, Subscription, SubscriptionState


def is_owed(issue_id: int) -> ColumnElement[bool]:
    """Return the condition over `Subscriber` that the digest owes an issue to somebody who is still on its list."""
    people = (
        select(DigestEntry.subscriber_id).join(Subscription, _on_its_list()).where(DigestEntry.issue_id == issue_id)
    )
    return Subscriber.id.in_(people)


def select_people(digest: Issue, shows: ColumnElement[bool], *, now: datetime, timezone: str) -> Select[int, int]:
    """
    Return the statement that yields (subscriber_id, list_id), one row a person.

    Args:
        shows: Over `Subscriber`: whether the digest holds something for them.
    """
    allowed = _allowed(digest, now).where(shows)
    return allowed.where(choices.not_paused(choices.local_day(now, timezone)))


def count_people(
    session: Session, digest: Issue, shows: ColumnElement[bool], *, now: datetime, timezone: str
) -> dict[str, int]:
    """Count as `audience_counts` does; excluded is whom nothing is left for, their events being over, say."""
    owed = select(DigestEntry.subscriber_id).join(Issue, Issue.id == DigestEntry.issue_id)
    owed = owed.where(Issue.gathered_in == digest.id)
    still_on = select(DigestEntry.subscriber_id).join(Subscription, _on_its_list())
    still_on = still_on.join(Issue, Issue.id == DigestEntry.issue_id).where(Issue.gathered_in == digest.id)

    def count(*conditions: ColumnElement[bool]) -> int:
        statement = select(func.count()).select_from(Subscriber).where(Subscriber.id.in_(owed), *conditions)
        return session.scalar(statement) or 0

    subscribed = Subscriber.id.in_(still_on)
    everybody, without, excluded = count(), count(~subscribed), count(subscribed, ~shows)
    chosen = count_choices(session, _allowed(digest, now).where(shows), choices.local_day(now, timezone))
    going = chosen["mailed"] + chosen["monthly"]
    return {
        "matched": everybody,
        "excluded": excluded,
        "without_subscription": without,
        "suppressed": everybody - without - excluded - going - chosen["paused"],
        "paused": chosen["paused"],
        "monthly": 0,
        "mailed": going,
    }


def _allowed(digest: Issue, now: datetime) -> Select[int, int]:
    free = suppression.not_suppressed(
        now,
        address_hash_column=Subscriber.address_hash,
        domain_column=Subscriber.domain,
        list_id_column=DigestEntry.list_id,
    )
    return (
        select(DigestEntry.subscriber_id, func.min(DigestEntry.list_id).label("list_id"))
        .join(Issue, Issue.id == DigestEntry.issue_id)
        .join(Subscriber, Subscriber.id == DigestEntry.subscriber_id)
        .join(Subscription, _on_its_list())
        .where(Issue.gathered_in == digest.id, free)
        .group_by(DigestEntry.subscriber_id)
    )


def _on_its_list() -> ColumnElement[bool]:
    return and_(
        Subscription.subscriber_id == DigestEntry.subscriber_id,
        Subscription.list_id == DigestEntry.list_id,
        Subscription.state == SubscriptionState.SUBSCRIBED,
    )
