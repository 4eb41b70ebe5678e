"""
Requests of the site, as rows: written down by the site, taken once each by a worker, blanked when they are done.

Writing one down runs the same statements whoever it is about, so that neither the answer nor its speed tells anything.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.orm import Session

from newsletter.tables import WebRequest, WebRequestKind

MOST_WAITING = 20_000  # while no worker runs, nobody can fill the disk
IPV4_WIDTH, IPV6_WIDTH = 24, 48


@dataclass(frozen=True, slots=True)
class Asked:
    """
    One request.

    Attributes:
        network: Of the sender, cut to the width of the limits; empty when it is not known.
        fields: As they were typed; nothing in them has been checked.
    """

    id: int
    kind: WebRequestKind
    at: datetime
    network: str
    fields: Mapping[str, Any]

    def text(self, name: str) -> str:
        """Return a field that should be a text; anything else counts as empty."""
        value = self.fields.get(name)
        return value if isinstance(value, str) else ""


def write_down(
    session: Session, kind: WebRequestKind, *, fields: Mapping[str, Any], network: str, now: datetime
) -> bool:
    """Keep a request for the worker; return False when too many wait already, and nothing was kept."""
    oldest_too_many = select(WebRequest.id).where(WebRequest.done_at.is_(None)).order_by(WebRequest.id)
    if session.scalar(oldest_too_many.offset(MOST_WAITING - 1).limit(1)) is not None:
        return False
    session.add(WebRequest(kind=kind, at=now, network=network, fields=dict(fields)))
    session.flush()
    return True


def rows_of(session: Session, addresses: Iterable[str]) -> list[WebRequest]:
    """Return what was asked for under one of these addresses and is not done."""
    keys = {address.casefold() for address in addresses}
    rows = session.scalars(select(WebRequest).where(WebRequest.done_at.is_(None)).order_by(WebRequest.id))
    return [row for row in rows if keys & {v.strip().casefold() for v in row.fields.values() if isinstance(v, str)}]


def any_waits(session: Session) -> bool:
    """Return whether a request is not done yet."""
    return bool(session.scalar(select(exists().where(WebRequest.done_at.is_(None)))))


def waiting_since(session: Session, before: datetime) -> tuple[int, datetime] | None:
    """Return how many requests that were made before *before* still wait, and since when; None for none."""
    statement = select(func.count(), func.min(WebRequest.at)).where(
        WebRequest.done_at.is_(None), WebRequest.at < before
    )
    count, since = session.execute(statement).one()
    return (count, since) if count else None


def waiting(session: Session, *, after: int, most: int) -> Sequence[Asked]:
    """Return the oldest requests that are not done, of those beyond the id *after*."""
    statement = (
        select(WebRequest.id, WebRequest.kind, WebRequest.at, WebRequest.network, WebRequest.fields)
        .where(WebRequest.done_at.is_(None), WebRequest.id > after)
        .order_by(WebRequest.id)
        .limit(most)
    )
    return [Asked(*row) for row in session.execute(statement)]


def mark_done(session: Session, asked: Asked, *, now: datetime) -> None:
    """Blank what was typed, and where from: a request that is done says only that there was one."""
    this = update(WebRequest).where(WebRequest.id == asked.id)
    session.execute(this.values(done_at=now, fields={}, network=""))


def any_done(session: Session, *, before: datetime) -> bool:
    """Return whether a request was done before *before*."""
    return bool(session.scalar(select(exists().where(WebRequest.done_at < before))))


def forget_done(session: Session, *, before: datetime) -> None:
    """Delete the requests that were done before *before*."""
    session.execute(delete(WebRequest).where(WebRequest.done_at < before))


def network_of(host: str | None) -> str:
    """Return the network of a sender, /24 or /48: as much as the limits need, and no address of anybody."""
    try:
        address = ipaddress.ip_address((host or "").partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    width = IPV4_WIDTH if address.version == 4 else IPV6_WIDTH
    return str(ipaddress.ip_network((address, width), strict=False))
