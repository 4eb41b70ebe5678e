"""
The rows of a plan, made by the database itself: who waits for the monthly digest, and a delivery for everybody else.

A million people are one statement: a few seconds of one transaction, and no memory of ours. Everybody in the audience
gets exactly one of the two rows, also when a choice changes between the two statements.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Insert,
    Integer,
    LargeBinary,
    Select,
    String,
    case,
    cast,
    exists,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    text,
    type_coerce,
)
from sqlalchemy.engine import CursorResult
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import InstrumentedAttribute, Session

from newsletter.errors import Conflict
from newsletter.send.receivers import DomainLimits
from newsletter.tables import Delivery, DeliveryState, DigestEntry, Issue
from subscribers.tables import Subscriber
from subscribers.tokens import MAC_BYTES, Key, pads, sign

PURPOSE = "message-id"
# Message-IDs come in no order: where their index does not fit into memory, SQLite writes its pages over and over.
FREEZE_CACHE_KB = 128 * 1024
_SQLITE_FUNCTION = "message_digest"


class NoVariantFits(Conflict):
    """Somebody in the audience fits none of the variants: what is known of them changed while it was frozen."""

    code = "no_variant_fits"


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the rows of one plan have in common, beside their issue."""

    key: Key
    bounce_domain: str
    limits: DomainLimits
    moment: datetime


def write_owed(session: Session, issue: Issue, audience: Select[int, int], postponed: ColumnElement[bool]) -> int:
    """Note who of *audience* is owed the issue by the monthly digest; return how many."""
    chosen = audience.subquery()
    people = (
        select(literal(issue.id), Subscriber.id, chosen.c.list_id)
        .join(chosen, chosen.c.subscriber_id == Subscriber.id)
        .where(postponed)
    )
    names = [DigestEntry.issue_id, DigestEntry.subscriber_id, DigestEntry.list_id]
    return _count(session, insert(DigestEntry).from_select(names, people))


def write_deliveries(
    session: Session,
    issue: Issue,
    audience: Select[int, int],
    variants: Sequence[tuple[ColumnElement[bool] | None, int]],
    stamp: Stamp,
    *,
    but_owed: bool,
) -> int:
    """
    Write a delivery for everybody of *audience*, but for those that `write_owed` noted; return how many.

    Args:
        variants: Condition over `Subscriber` and id of the variant; the first that fits is the person's.

    Raises:
        NoVariantFits: When none fits somebody.
    """
    try:
        with _roomy(session):
            return _count(session, _deliveries(session, issue.id, audience, variants, stamp, but_owed=but_owed))
    except IntegrityError as error:
        if Delivery.variant_id.key not in str(error.orig):
            raise
        raise NoVariantFits(
            f"No variant of issue {issue.slug} fits somebody in its audience: nothing was planned.",
            hint=f"Check the segments of its blocks: newsletter issue check {issue.slug}",
        ) from None


def message_id(key: Key, issue_id: int, subscriber_id: int, domain: str) -> str:
    """Return the Message-ID, without brackets, that a subscriber's copy of an issue has in every attempt."""
    return f"{_digest(key, issue_id, subscriber_id)}@{domain}"


def limit_of(domain: Any, limits: DomainLimits) -> ColumnElement[Any]:
    """Return what `DomainLimits.key_of` says, for the database to say it of each row."""
    cases = [
        (or_(domain == name, domain.endswith(f".{name}", autoescape=True)), literal(name)) for name in limits.names
    ]
    return case(*cases, else_=null()) if cases else cast(null(), Delivery.rate_key.type)


def _deliveries(
    session: Session,
    issue_id: int,
    audience: Select[int, int],
    variants: Sequence[tuple[ColumnElement[bool] | None, int]],
    stamp: Stamp,
    *,
    but_owed: bool,
) -> Insert:
    chosen = audience.subquery()
    moment = literal(stamp.moment, Delivery.date.type)
    values: dict[InstrumentedAttribute[Any], Any] = {
        Delivery.issue_id: literal(issue_id),
        Delivery.subscriber_id: Subscriber.id,
        Delivery.variant_id: _variant(variants),
        Delivery.list_id: chosen.c.list_id,
        Delivery.address: Subscriber.address,
        Delivery.address_hash: Subscriber.address_hash,
        Delivery.domain: Subscriber.domain,
        Delivery.token_id: Subscriber.token_id,
        Delivery.slots: _personal_values(session),
        Delivery.date: moment,
        Delivery.message_id: _message_digest(session, stamp.key, issue_id).concat(f"@{stamp.bounce_domain}"),
        Delivery.state: literal(DeliveryState.PENDING, Delivery.state.type),
        Delivery.state_at: moment,
        Delivery.attempt: literal(0),
        Delivery.rate_key: limit_of(Subscriber.domain, stamp.limits),
    }
    people = select(*values.values()).join(chosen, chosen.c.subscriber_id == Subscriber.id).order_by(Subscriber.id)
    if but_owed:
        people = people.where(
            ~exists().where(DigestEntry.issue_id == issue_id, DigestEntry.subscriber_id == Subscriber.id)
        )
    return insert(Delivery).from_select(list(values), people, include_defaults=False)


def _variant(variants: Sequence[tuple[ColumnElement[bool] | None, int]]) -> ColumnElement[int | None]:
    conditions = [(condition, literal(variant)) for condition, variant in variants if condition is not None]
    rest = next((variant for condition, variant in variants if condition is None), None)
    if not conditions:
        return literal(rest, Integer)
    return case(*conditions, else_=literal(rest, Integer))


def _count(session: Session, statement: Insert) -> int:
    result = session.execute(statement.execution_options(preserve_rowcount=True))
    assert isinstance(result, CursorResult)
    return result.rowcount


def _digest(key: Key, issue_id: int, subscriber_id: int) -> str:
    return sign(key, PURPOSE, f"{issue_id}:{subscriber_id}".encode()).hex()


@contextmanager
def _roomy(session: Session) -> Iterator[None]:
    """Let SQLite keep more pages in memory meanwhile; what it did not need it never takes."""
    if not _is_sqlite(session):
        yield
        return
    usual = session.scalar(text("PRAGMA cache_size"))
    session.execute(text(f"PRAGMA cache_size = -{FREEZE_CACHE_KB}"))
    try:
        yield
    finally:
        session.execute(text(f"PRAGMA cache_size = {int(usual)}"))


def _is_sqlite(session: Session) -> bool:
    return session.get_bind().dialect.name == "sqlite"


def _message_digest(session: Session, key: Key, issue_id: int) -> ColumnElement[str]:
    """Return the first part of `message_id` as an expression: PostgreSQL can hash, SQLite asks us."""
    if _is_sqlite(session):
        driver: Any = session.connection().connection.driver_connection
        driver.create_function(_SQLITE_FUNCTION, 1, lambda person: _digest(key, issue_id, person), deterministic=True)
        found: ColumnElement[str] = getattr(func, _SQLITE_FUNCTION)(Subscriber.id, type_=String)
        return found
    inner, outer = pads(key.secret, PURPOSE)
    begins = literal(inner + bytes([key.key_id]) + f"{issue_id}:".encode(), LargeBinary)
    payload = func.convert_to(cast(Subscriber.id, String), "UTF8", type_=LargeBinary)
    hashed = _sha256(literal(outer, LargeBinary), _sha256(begins, payload))
    return func.encode(func.substring(hashed, 1, MAC_BYTES, type_=LargeBinary), "hex", type_=String)


def _sha256(first: ColumnElement[bytes], second: ColumnElement[bytes]) -> ColumnElement[bytes]:
    return func.sha256(first.op("||")(second), type_=LargeBinary)


def _personal_values(session: Session) -> ColumnElement[Any]:
    """Return the personal values that are not empty, as the database makes JSON of them."""
    columns = {"first_name": Subscriber.first_name, "name": Subscriber.name}
    # Cast, because PostgreSQL does not guess the type of a value that is handed over.
    pairs = [part for name, column in columns.items() for part in (cast(name, String), func.nullif(column, ""))]
    if _is_sqlite(session):
        found = func.json_patch("{}", func.json_object(*pairs))
    else:
        found = func.json_strip_nulls(func.json_build_object(*pairs))
    return type_coerce(found, Delivery.slots.type)
