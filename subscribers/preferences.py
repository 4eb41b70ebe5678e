"""
What people choose about their mail, and what they are called; every change leaves a line that says who made it.

Lists are not here: they are consent, and have their ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from subscribers import people
from subscribers.attributes import read_date, read_yes_no
from subscribers.errors import InvalidValue
from subscribers.naming import clean_person_name, clean_text, nearest
from subscribers.tables import Frequency, PreferenceChange, Subscriber

LONGEST_PAUSE = timedelta(days=366)
LONGEST_READ = 200
Value = str | date | bool | Frequency | None


class Choice(StrEnum):
    """What may be chosen: each is a column of `Subscriber`."""

    NAME = "name"
    FIRST_NAME = "first_name"
    LANGUAGE = "language"
    TIMEZONE = "timezone"
    PAUSED_UNTIL = "paused_until"
    FREQUENCY = "frequency"
    DISCREET = "discreet"


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one choice."""

    choice: Choice
    before: Value
    after: Value


def read(choice: Choice, text: str, *, today: date) -> Value:
    """
    Read a value as a form or a command gives it; an empty one clears the choice, or sets it to what everybody has.

    Args:
        today: In the organisation's zone; a pause ends after it.

    Raises:
        InvalidValue: When it cannot be used.
    """
    value: Value = _READERS[choice](text, today)
    return value


def change(
    session: Session, subscriber: Subscriber, values: Mapping[Choice, Value], *, source: str, actor: str, at: datetime
) -> tuple[Change, ...]:
    """Store what differs and write a line for each; return those changes."""
    made = []
    for choice, after in values.items():
        before = getattr(subscriber, choice.value)
        if before == after:
            continue
        setattr(subscriber, choice.value, after)
        made.append(Change(choice, before, after))
        session.add(
            PreferenceChange(
                subscriber_id=subscriber.id,
                at=at,
                field=choice.value,
                before=_stored(before),
                after=_stored(after),
                source=source[:200],
                actor=actor[:200],
            )
        )
    if made:
        people.touch(session, subscriber, at=at)
    return tuple(made)


def changes_of(session: Session, subscriber_id: int) -> Sequence[PreferenceChange]:
    """Return every change of one person's choices, oldest first."""
    return session.scalars(
        select(PreferenceChange).where(PreferenceChange.subscriber_id == subscriber_id).order_by(PreferenceChange.id)
    ).all()


def _stored(value: Value) -> str | None:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return None if value is None else str(value)


def _read_name(text: str, _today: date) -> Value:
    return clean_person_name(text) or None


def _read_first_name(text: str, _today: date) -> Value:
    return people.clean_first_name(text)


def _read_language(text: str, _today: date) -> Value:
    return people.check_language(text)


def _read_timezone(text: str, _today: date) -> Value:
    return people.check_timezone(text)


def _read_pause(text: str, today: date) -> Value:
    cell = clean_text(text[:LONGEST_READ])
    if not cell:
        return None
    day = read_date(cell)
    if day is None:
        raise InvalidValue(f"'{cell}' is not a date.", hint="Write one such as 2026-12-24.")
    if not today < day <= today + LONGEST_PAUSE:
        raise InvalidValue(
            f"A pause ends after today and within a year, not on {day}.",
            hint="Whoever wants no mail for longer can leave the list, and come back at any time.",
        )
    return day


def _read_frequency(text: str, _today: date) -> Value:
    word = clean_text(text[:LONGEST_READ]).casefold() or Frequency.EACH.value
    try:
        return Frequency(word)
    except ValueError:
        known = [frequency.value for frequency in Frequency]
        raise InvalidValue(f"'{word}' is no frequency.", hint=nearest(word, known)) from None


def _read_discreet(text: str, _today: date) -> Value:
    cell = clean_text(text[:LONGEST_READ])
    answer = read_yes_no(cell) if cell else False
    if answer is None:
        raise InvalidValue(f"discreet must be yes or no, not '{cell}'.")
    return answer


_READERS: Mapping[Choice, Callable[[str, date], Any]] = MappingProxyType(
    {
        Choice.NAME: _read_name,
        Choice.FIRST_NAME: _read_first_name,
        Choice.LANGUAGE: _read_language,
        Choice.TIMEZONE: _read_timezone,
        Choice.PAUSED_UNTIL: _read_pause,
        Choice.FREQUENCY: _read_frequency,
        Choice.DISCREET: _read_discreet,
    }
)
