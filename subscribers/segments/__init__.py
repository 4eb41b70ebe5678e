"""Segments: a typed, parsed language that becomes SQL with bound parameters only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement
from sqlalchemy.orm import Session

from subscribers.segments.explaining import Clause, Explanation, explain
from subscribers.segments.grammar import parse
from subscribers.segments.named import all_segments, create, get, meanings, remove, resolve
from subscribers.segments.nodes import Node, Place, SegmentError
from subscribers.segments.predicates import Predicate
from subscribers.segments.sql import Translator
from subscribers.segments.vocabulary import Word, vocabulary

__all__ = [
    "Clause",
    "Explanation",
    "Node",
    "Place",
    "Predicate",
    "SegmentError",
    "Word",
    "all_segments",
    "condition",
    "create",
    "explain",
    "get",
    "meanings",
    "parse",
    "remove",
    "resolve",
    "vocabulary",
]


def condition(
    session: Session, node: Node, *, now: datetime, timezone: str, predicates: Sequence[Predicate] = ()
) -> ColumnElement[bool]:
    """
    Return the condition over `Subscriber` that a resolved tree means; it is never NULL.

    Args:
        now: Aware time that ``in last 6 months`` counts from.
        timezone: The organisation's: days begin at its midnight.
        predicates: Clauses that the application answers.

    Raises:
        SegmentError: When a field is unknown or a value does not fit it.
    """
    return Translator(session, now, timezone, predicates).condition(node)
