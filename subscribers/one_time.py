"""
Links that work once: a random token is mailed, only its digest is kept, and one use spends it.

A token speaks for one purpose and one person, for a limited time. Nobody who reads the database can make one.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, func, or_, select, update
from sqlalchemy.orm import Session

from subscribers.errors import TokenInvalid
from subscribers.tables import OneTimeToken

TOKEN_BYTES = 32
PRESSED_AGAIN = timedelta(seconds=10)  # a double click shows the answer to the second press alone
_INVALID = "This link is not valid."


def mint(
    session: Session,
    purpose: str,
    *,
    now: datetime,
    lifetime: timedelta,
    subscriber_id: int | None = None,
    payload: Mapping[str, Any] | None = None,
) -> str:
    """
    Store a new token and return its text, which is shown once and kept nowhere.

    Args:
        purpose: What it is for; it is refused for anything else.
        subscriber_id: Whom it speaks for; it goes when the person does.
        payload: What is to be known when it comes back; no address belongs here.
    """
    text = secrets.token_urlsafe(TOKEN_BYTES)
    session.add(
        OneTimeToken(
            purpose=purpose,
            digest=_digest(text),
            subscriber_id=subscriber_id,
            payload=dict(payload or {}),
            created_at=now,
            expires_at=now + lifetime,
        )
    )
    session.flush()
    return text


def look(
    session: Session, purpose: str, text: str, *, now: datetime, again_within: timedelta = timedelta(0)
) -> OneTimeToken:
    """
    Return a token that could be spent now, and spend nothing: what a GET may do.

    Args:
        again_within: As `spend`.

    Raises:
        TokenInvalid: When there is none, or it is over, spent or for another purpose; the answer never says which.
    """
    found = session.scalar(
        select(OneTimeToken).where(
            OneTimeToken.digest == _digest(text),
            OneTimeToken.purpose == purpose,
            _unused(now, again_within),
            OneTimeToken.expires_at > now,
        )
    )
    if found is None:
        raise TokenInvalid(_INVALID)
    return found


def spend(
    session: Session, purpose: str, text: str, *, now: datetime, again_within: timedelta = timedelta(0)
) -> OneTimeToken:
    """
    Spend a token: of several that try at once, one succeeds.

    Args:
        again_within: So long after its first use it may be used again, by a second press of the same button.

    Raises:
        TokenInvalid: As `look`.
    """
    found: OneTimeToken | None = session.scalar(
        update(OneTimeToken)
        .where(
            OneTimeToken.digest == _digest(text),
            OneTimeToken.purpose == purpose,
            _unused(now, again_within),
            OneTimeToken.expires_at > now,
        )
        .values(used_at=func.coalesce(OneTimeToken.used_at, now))
        .returning(OneTimeToken)
    )
    if found is None:
        raise TokenInvalid(_INVALID)
    return found


def any_expired(session: Session, *, before: datetime) -> bool:
    """Return whether a token was over before *before*."""
    return bool(session.scalar(select(exists().where(OneTimeToken.expires_at <= before))))


def forget_expired(session: Session, *, before: datetime) -> int:
    """Delete what was over before *before*; return how many."""
    gone = session.scalars(
        delete(OneTimeToken).where(OneTimeToken.expires_at <= before).returning(OneTimeToken.id)
    ).all()
    return len(gone)


def _unused(now: datetime, again_within: timedelta) -> ColumnElement[bool]:
    never = OneTimeToken.used_at.is_(None)
    return or_(never, OneTimeToken.used_at > now - again_within) if again_within else never


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
