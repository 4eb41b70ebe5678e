"""What requests with an `Idempotency-Key` were answered: kept for a day, then gone, also when nobody asks again."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from newsletter.tables import ApiAnswer

KEPT = timedelta(days=1)


def any_over(session: Session, now: datetime) -> bool:
    """Return whether `forget_over` would delete anything."""
    return bool(session.scalar(select(exists().where(ApiAnswer.at <= now - KEPT))))


def forget_over(session: Session, now: datetime) -> None:
    """Delete the answers that are a day old."""
    session.execute(delete(ApiAnswer).where(ApiAnswer.at <= now - KEPT))
