"""Predicates that another package answers: the segment language knows their words, never their tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import ColumnElement
from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class Predicate:
    """
    A clause such as ``issue '2026-10' sent``.

    Attributes:
        word: Its first word, ``issue``.
        verbs: What may stand after the name, ``sent`` and ``bounced``.
        condition: Given a session, the name and the verb, returns a condition over `Subscriber` that is never NULL;
            it raises a `SubscribersError` when the name means nothing.
    """

    word: str
    verbs: tuple[str, ...]
    condition: Callable[[Session, str, str], ColumnElement[bool]]
