"""
Who an issue is for: lists and segments, minus exclusions, only with a subscription and never the suppressed or paused.

Nobody is in an audience by default: one without lists and segments is empty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import ColumnElement, Select, and_, case, false, func, or_, select, true
from sqlalchemy.orm import Session

from subscribers import choices, lists, segments, suppression
from subscribers.errors import InvalidValue
from subscribers.tables import MailingList, Subscriber, Subscription, SubscriptionState


@dataclass(frozen=True, slots=True)
class Audience:
    """Names of lists, and names or expressions of segments; anybody in any of them, minus the excluded."""

    lists: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    exclude_lists: tuple[str, ...] = ()
    exclude_segments: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not self.lists and not self.segments

    def to_json(self) -> dict[str, list[str]]:
        return {name: list(getattr(self, name)) for name in self.__slots__}

    @classmethod
    def from_json(cls, stored: Mapping[str, Sequence[str]] | None) -> Audience:
        """
        Read what `to_json` wrote; absent keys are empty.

        Raises:
            InvalidValue: For a key that is none.
        """
        unknown = set(stored or {}) - set(cls.__slots__)
        if unknown:
            raise InvalidValue(f"An audience has no '{min(unknown)}'.")
        return cls(**{name: tuple(values) for name, values in (stored or {}).items()})


# Why somebody whom an audience reaches is not mailed, in the order in which it is asked.
LEFT_OUT = ("excluded", "without_subscription", "suppressed", "paused", "monthly")


@dataclass(frozen=True, slots=True)
class _Rule:
    """An audience looked up: ids and conditions."""

    list_ids: tuple[int, ...]
    in_segments: ColumnElement[bool]
    excluded: ColumnElement[bool]
    has_segments: bool


def select_audience(
    session: Session,
    audience: Audience,
    *,
    now: datetime,
    timezone: str,
    predicates: Sequence[segments.Predicate] = (),
    with_monthly: bool = False,
) -> Select[int, int]:
    """
    Return the statement that yields (subscriber_id, list_id), one row a person.

    Whoever has paused is not in it, nor who gets the monthly digest instead, unless *with_monthly* asks for them too.

    The list is why somebody is mailed and what the unsubscribe link leaves: of the audience's lists the oldest that
    the person may be mailed for; for somebody reached only by a segment, the oldest list that is not archived.

    Raises:
        NotFound, Conflict: When a list is unknown or archived.
        SegmentError: When a segment cannot be used.
    """
    rule = _look_up(session, audience, now=now, timezone=timezone, predicates=predicates)
    found = _allowed(rule, now).where(choices.not_paused(choices.local_day(now, timezone)))
    return found if with_monthly else found.where(choices.wants_each())


def _allowed(rule: _Rule, now: datetime) -> Select[int, int]:
    """Return the statement for everybody who may be mailed, whatever they chose."""
    reached = or_(Subscription.list_id.in_(rule.list_ids), rule.in_segments)
    allowed = suppression.not_suppressed(
        now,
        address_hash_column=Subscriber.address_hash,
        domain_column=Subscriber.domain,
        list_id_column=Subscription.list_id,
    )
    found = (
        select(Subscription.subscriber_id)
        .join(Subscriber, Subscriber.id == Subscription.subscriber_id)
        .where(Subscription.state == SubscriptionState.SUBSCRIBED, allowed, ~rule.excluded)
    )
    if len(rule.list_ids) == 1 and not rule.has_segments:  # the usual case needs no grouping
        return found.add_columns(Subscription.list_id).where(Subscription.list_id == rule.list_ids[0])
    own = func.min(case((Subscription.list_id.in_(rule.list_ids), Subscription.list_id)))
    return (
        found.join(MailingList, MailingList.id == Subscription.list_id)
        .add_columns(func.coalesce(own, func.min(Subscription.list_id)).label("list_id"))
        .where(MailingList.archived_at.is_(None), reached)
        .group_by(Subscription.subscriber_id)
    )


def audience_counts(
    session: Session,
    audience: Audience,
    *,
    now: datetime,
    timezone: str,
    predicates: Sequence[segments.Predicate] = (),
) -> dict[str, int]:
    """
    Count who is reached and why some are not mailed; `mailed` and `LEFT_OUT` add up to `matched`.

    Everybody is counted once, in the first that fits: excluded, without a subscription, suppressed, paused, with the
    monthly digest instead, mailed.
    """
    rule = _look_up(session, audience, now=now, timezone=timezone, predicates=predicates)
    on_lists = Subscriber.id.in_(_on_lists(rule.list_ids))
    matched = or_(on_lists, rule.in_segments)
    subscribed = Subscriber.id.in_(
        select(Subscription.subscriber_id)
        .join(MailingList, MailingList.id == Subscription.list_id)
        .where(Subscription.state == SubscriptionState.SUBSCRIBED, MailingList.archived_at.is_(None))
    )

    def count(*conditions: ColumnElement[bool]) -> int:
        return session.scalar(select(func.count()).select_from(Subscriber).where(matched, *conditions)) or 0

    everybody = count()
    excluded = count(rule.excluded)
    without = count(~rule.excluded, ~subscribed)
    chosen = count_choices(session, _allowed(rule, now), choices.local_day(now, timezone))
    return {
        "matched": everybody,
        "excluded": excluded,
        "without_subscription": without,
        "suppressed": everybody - excluded - without - sum(chosen.values()),
        **chosen,
    }


def count_choices(session: Session, allowed: Select[int, int], today: date) -> dict[str, int]:
    """Count the people of a statement of (subscriber_id, list_id) by what they chose: paused, monthly, mailed."""
    found = allowed.subquery()
    paused, monthly = choices.is_paused(today), choices.wants_digest()
    numbers = [
        func.coalesce(func.sum(case((condition, 1), else_=0)), 0)
        for condition in (paused, and_(~paused, monthly), and_(~paused, ~monthly))
    ]
    joined = select(*numbers).select_from(found).join(Subscriber, Subscriber.id == found.c.subscriber_id)
    row = session.execute(joined).one()
    return {name: int(number) for name, number in zip(("paused", "monthly", "mailed"), row, strict=True)}


def _look_up(
    session: Session, audience: Audience, *, now: datetime, timezone: str, predicates: Sequence[segments.Predicate]
) -> _Rule:
    def condition(text: str) -> ColumnElement[bool]:
        node = segments.resolve(session, text)
        return segments.condition(session, node, now=now, timezone=timezone, predicates=predicates)

    list_ids = tuple(sorted({lists.get_open(session, name).id for name in audience.lists}))
    left_out = [lists.get(session, name).id for name in audience.exclude_lists]
    excluded = or_(
        false(),
        *([Subscriber.id.in_(_on_lists(left_out))] if left_out else []),
        *(condition(text) for text in audience.exclude_segments),
    )
    wanted = [condition(text) for text in audience.segments]
    return _Rule(
        list_ids,
        or_(false(), *wanted),
        and_(true(), excluded),
        bool(wanted),
    )


def _on_lists(list_ids: Sequence[int]) -> Select[int]:
    return select(Subscription.subscriber_id).where(
        Subscription.list_id.in_(list_ids), Subscription.state == SubscriptionState.SUBSCRIBED
    )
