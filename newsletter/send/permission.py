"""
Whether a copy may still leave, asked of the tables at the claim, at the intent and before a retry: one condition.

Consent, suppression and what the person chose since the freeze: each is a lookup by an index, and none is kept.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, case, exists, not_, or_

from newsletter.tables import Delivery, Variant
from subscribers.choices import not_paused
from subscribers.suppression import not_suppressed
from subscribers.tables import Subscriber, Subscription, SubscriptionState

UNSUBSCRIBED, SUPPRESSED = "no longer subscribed", "suppressed"
PAUSED, NOW_DISCREET = "paused by the person", "chose discreet mail after the plan"


def may_leave(now: Any, today: Any) -> ColumnElement[bool]:
    """
    Return the condition that a delivery's person may be mailed this copy.

    Args:
        now: An aware time, or a bound parameter of that type.
        today: The day of the organisation, or a bound parameter.
    """
    return and_(_subscribed(), _not_suppressed(now), _as_chosen(today))


def why_not(now: Any, today: Any) -> ColumnElement[str]:
    """Return the reason, of a delivery for which `may_leave` does not hold."""
    return case(
        (not_(_subscribed()), UNSUBSCRIBED),
        (not_(_not_suppressed(now)), SUPPRESSED),
        (exists().where(_person(), not_paused(today)), NOW_DISCREET),
        else_=PAUSED,
    )


def _person() -> ColumnElement[bool]:
    return Subscriber.id == Delivery.subscriber_id


def _as_chosen(today: Any) -> ColumnElement[bool]:
    """Who chose discreet mail after the plan gets none of it: better no copy than one that shows what it is about."""
    # Two levels down nothing is correlated by itself: without this it would ask whether any copy is discreet.
    discreet_copy = exists().where(Variant.id == Delivery.variant_id, Variant.discreet.is_(True)).correlate(Delivery)
    return exists().where(_person(), not_paused(today), or_(Subscriber.discreet.is_(False), discreet_copy))


def _subscribed() -> ColumnElement[bool]:
    return exists().where(
        Subscription.subscriber_id == Delivery.subscriber_id,
        Subscription.list_id == Delivery.list_id,
        Subscription.state == SubscriptionState.SUBSCRIBED,
    )


def _not_suppressed(now: Any) -> ColumnElement[bool]:
    return not_suppressed(
        now,
        address_hash_column=Delivery.address_hash,
        domain_column=Delivery.domain,
        list_id_column=Delivery.list_id,
    )
