"""Clauses about what people chose of how they are mailed: a pause, one mail a month, discreet mail."""

from __future__ import annotations

from datetime import date

from sqlalchemy import ColumnElement, and_, false, not_, or_, true

from subscribers import choices
from subscribers.naming import nearest
from subscribers.segments.nodes import Compare, Leaf, Literal_, OneOf, Present, SegmentError
from subscribers.tables import Frequency, Subscriber

CHOICES = ("paused", "frequency", "discreet")


def choice_condition(node: Leaf, today: date) -> ColumnElement[bool]:
    """
    Return the condition of a clause about one of `CHOICES`; everybody has a value of each.

    Args:
        today: In the organisation's zone: a pause ends by itself.

    Raises:
        SegmentError: When the value does not fit.
    """
    if isinstance(node, Present):
        return true() if node.present else false()
    if getattr(node, "name", "") == "frequency":
        return _frequency(node)
    if not (isinstance(node, Compare) and node.operator in ("=", "!=") and isinstance(node.value, bool)):
        name = getattr(node, "name", "")
        raise SegmentError(f"{name} holds yes or no.", node.place, hint=f"Write: {name} = yes")
    holds = choices.is_paused(today) if node.name == "paused" else Subscriber.discreet.is_(true())
    return holds if node.value is (node.operator == "=") else not_(holds)


def _frequency(node: Leaf) -> ColumnElement[bool]:
    if isinstance(node, Compare) and node.operator in ("=", "!="):
        found = Subscriber.frequency == _read(node.value, node)
        return found if node.operator == "=" else not_(found)
    if isinstance(node, OneOf):
        each = [Subscriber.frequency == _read(value, node) for value in node.values]
        return and_(true(), *each) if node.quantifier == "all" else or_(false(), *each)
    raise SegmentError("frequency is compared with =, != or in.", node.place, hint="Write: frequency = 'monthly'")


def _read(value: Literal_, node: Leaf) -> Frequency:
    known = [one.value for one in Frequency]
    if isinstance(value, str) and value.casefold() in known:
        return Frequency(value.casefold())
    raise SegmentError(f"'{value}' is no frequency.", node.place, hint=nearest(str(value), known))
