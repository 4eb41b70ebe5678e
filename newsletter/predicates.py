"""
Clauses of the segment language that only the newsletter can answer: who was sent an issue, whose copy bounced, whom the
monthly digest owes it.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from newsletter.compose.issue import find
from newsletter.compose.monthly_people import is_owed
from newsletter.errors import NewsletterError
from newsletter.tables import Delivery, DeliveryState, IssueTotals
from subscribers.errors import InvalidValue
from subscribers.segments import Predicate
from subscribers.tables import Subscriber

_STATES = {"sent": DeliveryState.SENT, "bounced": DeliveryState.BOUNCED}
MONTHLY = "monthly"


def _had_outcome(session: Session, name: str, verb: str) -> ColumnElement[bool]:
    try:
        issue = find(session, name)
    except NewsletterError as error:  # the segment language points at the place of an error of its own package
        raise InvalidValue(error.message, hint=error.hint) from None
    if session.get(IssueTotals, issue.id) is not None:  # `not issue ...` would then mean everybody
        raise InvalidValue(f"Who was sent {issue.slug} is forgotten; only its counts are kept.")
    if verb == MONTHLY:
        return is_owed(issue.id)
    people = select(Delivery.subscriber_id).where(
        Delivery.issue_id == issue.id,
        Delivery.state == _STATES[verb],
        Delivery.subscriber_id.is_not(None),
    )
    return Subscriber.id.in_(people)


PREDICATES = (Predicate(word="issue", verbs=(*_STATES, MONTHLY), condition=_had_outcome),)
