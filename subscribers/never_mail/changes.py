"""
The changes of whom may be mailed, as values: read from the database in the order of their commits, and noted in it.

A change names nobody: it holds the keyed hash of an address, a random token id, or a domain. Reasons are short words;
one that holds an address is kept without it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select, text, update
from sqlalchemy.orm import Session

from subscribers.tables import ENDED, MailingList, NeverMailChange, Subscriber
from subscribers.tables import NeverMailKind as Kind

CHUNK = 2_000
_LOCK_NUMBER = 7_263_542_007  # any constant: on PostgreSQL those who number take turns on it
_LOCK = "SELECT pg_advisory_xact_lock(:number)"


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `list_name` is null where every list is meant."""

    mark: bytes
    kind: Kind
    at: datetime
    address_hash: bytes | None = None
    domain: str | None = None
    list_name: str | None = None
    person: bytes | None = None
    kept: bytes | None = None
    reason: str | None = None
    expires_at: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values, without what it does not say."""
        values = {
            "kind": self.kind.value,
            "at": self.at.astimezone(UTC).isoformat(),
            "mark": self.mark.hex(),
            "hash": self.address_hash.hex() if self.address_hash else None,
            "domain": self.domain,
            "list": self.list_name,
            "person": self.person.hex() if self.person else None,
            "kept": self.kept.hex() if self.kept else None,
            "reason": "other" if self.reason and "@" in self.reason else self.reason,
            "until": self.expires_at.astimezone(UTC).isoformat() if self.expires_at else None,
        }
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Change:
        """
        Read back what `as_json` made.

        Raises:
            KeyError, TypeError, ValueError: When it is something else.
        """

        def raw(name: str) -> bytes | None:
            return bytes.fromhex(values[name]) if name in values else None

        until = values.get("until")
        return cls(
            mark=bytes.fromhex(values["mark"]),
            kind=Kind(values["kind"]),
            at=datetime.fromisoformat(values["at"]),
            address_hash=raw("hash"),
            domain=values.get("domain"),
            list_name=values.get("list"),
            person=raw("person"),
            kept=raw("kept"),
            reason=values.get("reason"),
            expires_at=datetime.fromisoformat(until) if until else None,
        )


def note_merge(session: Session, kept: Subscriber, gone: Subscriber, *, at: datetime) -> None:
    """Note that the record which is deleted next lives on in another: no trigger can know."""
    session.add(
        NeverMailChange(
            mark=secrets.token_bytes(16),
            kind=Kind.MERGED,
            at=at,
            address_hash=gone.address_hash,
            person=gone.token_id,
            kept=kept.token_id,
        )
    )
    session.flush()


def living_tokens(session: Session, token_ids: Iterable[bytes]) -> dict[bytes, bytes]:
    """
    Return, for tokens of records that are gone, the token of the record that each lives on in.

    It is the one that it was merged into, or else the one that has its address now: somebody who was removed and came
    back with a spreadsheet leaves by the links of before, too.
    """
    found: dict[bytes, bytes] = {}
    reached = {token: token for token in token_ids}
    while reached:
        ended = (
            select(NeverMailChange.person, func.coalesce(NeverMailChange.kept, Subscriber.token_id))
            .outerjoin(Subscriber, Subscriber.address_hash == NeverMailChange.address_hash)
            .where(ENDED, NeverMailChange.person.in_(list(reached.values())))
            .order_by(NeverMailChange.id.desc())  # a merge is written down just before its deletion, and counts
        )
        into = {bytes(gone): bytes(kept) for gone, kept in session.execute(ended) if gone and kept}
        reached = {token: into[at] for token, at in reached.items() if at in into and into[at] not in (token, at)}
        found |= reached
    return found


def number_committed(session: Session) -> None:
    """
    Give what is committed its place in the order; on SQLite nothing needs one.

    An id is given out before its transaction ends, so that on PostgreSQL a lower one may become visible later. A number
    is given to what can be seen, by one program at a time: whoever has seen a number has seen all below it.
    """
    if session.get_bind().dialect.name == "sqlite":
        return
    session.execute(text(_LOCK), {"number": _LOCK_NUMBER})
    last = select(func.coalesce(func.max(NeverMailChange.number), 0)).scalar_subquery()
    place = func.row_number().over(order_by=NeverMailChange.id)
    new = select(NeverMailChange.id, (last + place).label("n")).where(NeverMailChange.number.is_(None)).subquery()
    session.execute(
        update(NeverMailChange).where(NeverMailChange.id == new.c.id).values(number=new.c.n),
        execution_options={"synchronize_session": False},
    )


def are_unnumbered(session: Session) -> bool:
    """Tell whether `number_committed` has anything to do."""
    if session.get_bind().dialect.name == "sqlite":
        return False
    return session.scalar(select(NeverMailChange.id).where(NeverMailChange.number.is_(None)).limit(1)) is not None


def place_of(session: Session, mark: bytes) -> int | None:
    """Return where a change stands in the order; None when this database does not know it."""
    return session.scalar(select(_order(session)).where(NeverMailChange.mark == mark))


def last_id(session: Session) -> int:
    """Return the id of the newest change, 0 for none."""
    return session.scalar(select(func.max(NeverMailChange.id))) or 0


def changes_after(session: Session, place: int) -> Iterator[list[Change]]:
    """Yield the changes that come after a place, in their order, some thousands at a time."""
    order = _order(session)
    while True:
        statement = (
            select(NeverMailChange, MailingList.name, order.label("place"))
            .outerjoin(MailingList, MailingList.id == NeverMailChange.list_id)
            .where(order > place)
            .order_by(order)
            .limit(CHUNK)
        )
        rows = session.execute(statement).all()
        if not rows:
            return
        yield [_change(row, list_name) for row, list_name, _ in rows]
        place = rows[-1].place
        session.expunge_all()


def unknown_among(session: Session, changes: Sequence[Change]) -> list[Change]:
    """Return those that this database does not know."""
    marks = [change.mark for change in changes]
    known = set(session.scalars(select(NeverMailChange.mark).where(NeverMailChange.mark.in_(marks))))
    return [change for change in changes if change.mark not in known]


def note(connection: Connection, changes: Sequence[Change], list_ids: dict[str, int]) -> None:
    """Note changes that were learnt from a file, under their own marks."""
    rows = [
        {
            "mark": change.mark,
            "kind": change.kind,
            "at": change.at,
            "address_hash": change.address_hash,
            "domain": change.domain,
            "list_id": list_ids[change.list_name] if change.list_name else None,
            "person": change.person,
            "kept": change.kept,
            "reason": change.reason,
            "expires_at": change.expires_at,
        }
        for change in changes
    ]
    if rows:
        connection.execute(insert(NeverMailChange), rows)


def _order(session: Session) -> Any:
    return NeverMailChange.id if session.get_bind().dialect.name == "sqlite" else NeverMailChange.number


def _change(row: NeverMailChange, list_name: str | None) -> Change:
    return Change(
        mark=row.mark,
        kind=row.kind,
        at=row.at,
        address_hash=row.address_hash,
        domain=row.domain,
        list_name=list_name,
        person=row.person,
        kept=row.kept,
        reason=row.reason,
        expires_at=row.expires_at,
    )
