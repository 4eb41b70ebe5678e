"""
Who left after an issue: people who got it and left a list by their own act before they got the next one, as counts.

What was undone at once does not count. Why they left is told by the choices of the site's page; words are read with
`subscribers show`, where an erasure takes them away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from newsletter.tables import Delivery, DeliveryState
from subscribers.bounces.records import OWN_ACT
from subscribers.tables import ConsentAction, ConsentEvent, LeavingReason


@dataclass(frozen=True, slots=True)
class Leavers:
    """How many left, and how many of them gave which reason, the most frequent first."""

    total: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    in_own_words: int = 0

    @property
    def said_nothing(self) -> int:
        return self.total - sum(self.reasons.values()) - self.in_own_words

    def document(self) -> dict[str, object]:
        return {"total": self.total, "reasons": dict(self.reasons), "in_own_words": self.in_own_words}


def leavers_of(session: Session, issue_id: int) -> Leavers:
    """Return who left after an issue."""
    left = _left_after(issue_id).subquery()
    # Whoever left several lists counts once, with the reason that they gave last.
    said = (
        select(left.c.subscriber_id, func.max(LeavingReason.id).label("reason_id"))
        .outerjoin(LeavingReason, LeavingReason.event_id == left.c.event_id)
        .group_by(left.c.subscriber_id)
        .subquery()
    )
    rows = session.execute(
        select(LeavingReason.choice, said.c.reason_id.is_not(None), func.count())
        .select_from(said)
        .outerjoin(LeavingReason, LeavingReason.id == said.c.reason_id)
        .group_by(LeavingReason.choice, said.c.reason_id.is_not(None))
        .order_by(func.count().desc(), LeavingReason.choice)
    ).all()
    return Leavers(
        total=sum(count for _, _, count in rows),
        reasons={choice.value: count for choice, _, count in rows if choice is not None},
        in_own_words=sum(count for choice, spoke, count in rows if choice is None and spoke),
    )


def _left_after(issue_id: int) -> Select[int | None, int]:
    """Return the statement for the lines by which people left after this issue and before their next."""
    later = aliased(Delivery)
    had_another = exists().where(
        later.subscriber_id == Delivery.subscriber_id,
        later.issue_id != issue_id,
        later.state == DeliveryState.SENT,
        later.state_at > Delivery.state_at,
        later.state_at <= ConsentEvent.at,
    )
    return (
        select(ConsentEvent.subscriber_id, ConsentEvent.id.label("event_id"))
        .join(Delivery, Delivery.subscriber_id == ConsentEvent.subscriber_id)
        .where(
            Delivery.issue_id == issue_id,
            Delivery.state == DeliveryState.SENT,
            ConsentEvent.action == ConsentAction.WITHDRAWN,
            ConsentEvent.actor == OWN_ACT,
            ConsentEvent.at >= Delivery.state_at,
            ~had_another,
            _stands(),
        )
    )


def _stands() -> ColumnElement[bool]:
    """Return the condition that the next line about the person and the list does not take this one back."""
    after = aliased(ConsentEvent)
    following = (
        select(after.action)
        .where(
            and_(
                after.subscriber_id == ConsentEvent.subscriber_id,
                after.list_id == ConsentEvent.list_id,
                after.id > ConsentEvent.id,
            )
        )
        .order_by(after.id)
        .limit(1)
        .scalar_subquery()
    )
    return or_(following.is_(None), following != ConsentAction.UNDONE)
