"""Records that were merged into another: links of mail that was sent to them speak for the person for as long."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import ColumnElement, literal_column, select
from sqlalchemy.orm import Session

from subscribers import people
from subscribers.tables import NeverMailChange, Subscriber

_MERGED: ColumnElement[str] = literal_column(
    "'merged'"
)  # in so many words, or SQLite does not see that the index of the merged fits


def by_link(session: Session, token_id: bytes, *, lock: bool = False) -> Subscriber | None:
    """
    Return the person whom a link means, also where their record was merged into another since; None when it is gone.

    Args:
        lock: Let no other transaction change the person until this one ends.
    """
    found = people.by_token(session, token_id, lock=lock)
    if found is not None:
        return found
    living = living_on(session, [token_id]).get(token_id)
    return None if living is None else people.by_token(session, living, lock=lock)


def living_on(session: Session, token_ids: Iterable[bytes]) -> dict[bytes, bytes]:
    """Return the token ids of merged records, each with that of the record which they are part of now."""
    wanted = set(token_ids)
    into: dict[bytes, bytes] = {}
    asked: set[bytes] = set()
    while fresh := {into.get(token, token) for token in wanted} - asked:
        asked |= fresh
        rows = session.execute(
            select(NeverMailChange.person, NeverMailChange.kept)
            .where(NeverMailChange.kind == _MERGED, NeverMailChange.person.in_(fresh))
            .order_by(NeverMailChange.id)
        )
        step = {row.person: row.kept for row in rows}
        into |= {token: step[now] for token in wanted if (now := into.get(token, token)) in step}
    return into
