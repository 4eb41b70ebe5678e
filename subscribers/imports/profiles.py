"""
Import profiles: what the columns of a file mean, kept by name, so that next month's file is read like this one.

A profile names every column, those to be ignored too: a file that lacks one of them is another file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from subscribers.errors import NotFound
from subscribers.imports.columns import IGNORE
from subscribers.naming import check_slug, clean_text, nearest
from subscribers.tables import ImportProfile


def whole(columns: Sequence[str], mapping: Mapping[str, str]) -> dict[str, str]:
    """Return a mapping that names every column that has a heading."""
    return {column: mapping.get(column, IGNORE) for column in columns if column}


def save(
    session: Session,
    name: str,
    mapping: Mapping[str, str],
    *,
    at: datetime,
    conditions: str = "",
    stated_by: str = "",
) -> ImportProfile:
    """
    Keep a mapping under a name, in place of an earlier one.

    Args:
        conditions: How the people of such files meet the conditions of the charity soft opt-in; empty says nothing.
        stated_by: Who says so.

    Raises:
        InvalidValue: When the name cannot be one.
    """
    check_slug("profile", name)
    found = session.scalar(select(ImportProfile).where(ImportProfile.name == name))
    if found is None:
        found = ImportProfile(name=name, created_at=at)
        session.add(found)
    found.mapping, found.updated_at = dict(mapping), at
    found.conditions, found.stated_by = clean_text(conditions), stated_by[:200] if conditions else ""
    session.flush()
    return found


def get(session: Session, name: str) -> ImportProfile:
    """
    Return a profile.

    Raises:
        NotFound: With the nearest known name.
    """
    found = session.scalar(select(ImportProfile).where(ImportProfile.name == name))
    if found is None:
        raise NotFound("profile", name, hint=nearest(name, session.scalars(select(ImportProfile.name))))
    return found


def all_profiles(session: Session) -> Sequence[ImportProfile]:
    return session.scalars(select(ImportProfile).order_by(ImportProfile.name)).all()


def remove(session: Session, name: str) -> None:
    """
    Forget a profile.

    Raises:
        NotFound: With the nearest known name.
    """
    session.delete(get(session, name))
    session.flush()
