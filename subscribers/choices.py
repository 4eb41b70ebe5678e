"""
What people chose of how they are mailed, as conditions over `Subscriber`: a pause, the monthly digest.

A pause ends by itself: it holds before its day, on the calendar of the organisation.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, and_, or_

from subscribers.tables import Frequency, Subscriber


def local_day(now: datetime, timezone: str) -> date:
    """Return which day it is at *now* in a time zone."""
    return now.astimezone(ZoneInfo(timezone)).date()


def not_paused(today: Any) -> ColumnElement[bool]:
    """Return the condition that somebody has not asked to be left alone until later than *today*."""
    return or_(Subscriber.paused_until.is_(None), Subscriber.paused_until <= today)


def is_paused(today: Any) -> ColumnElement[bool]:
    """Return the opposite of `not_paused`."""
    return and_(Subscriber.paused_until.is_not(None), Subscriber.paused_until > today)


def wants_each() -> ColumnElement[bool]:
    return Subscriber.frequency == Frequency.EACH


def wants_digest() -> ColumnElement[bool]:
    return Subscriber.frequency == Frequency.MONTHLY
