"""
Who may never be mailed, since when and why: by keyed hash of an address, or by domain; for one list or for all.

An entry is never deleted: lifting it keeps the line with who lifted it and why.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, exists, not_, or_, select
from sqlalchemy.orm import Session

from subscribers.addresses import parse_address
from subscribers.errors import Conflict, InvalidValue, NotFound
from subscribers.tables import ImportSuppression, MailingList, Subscriber, Suppression
from subscribers.tokens import address_hash as hash_address

UNSUBSCRIBED = "unsubscribed"
ERASED = "erased"
COMPLAINT = "complaint"
HARD_BOUNCE = "hard bounce"
SOFT_BOUNCES = "soft bounces"
BY_HAND = "by hand"
# Reasons that come from the person: they follow the person to another address when records are merged.
OWN_WISH = (UNSUBSCRIBED, ERASED, COMPLAINT)


def refusal_evidence(reply: object, delivery_id: int) -> str:
    """Return the evidence of an entry that a refused copy made; `is_of_refusal` knows it again."""
    return f"SMTP reply {reply}{_of_delivery(delivery_id)}"


def is_of_refusal(entry: Suppression, delivery_id: int | None) -> bool:
    """Whether an entry was made for the refusal of this very copy."""
    return delivery_id is not None and entry.evidence.endswith(_of_delivery(delivery_id))


def _of_delivery(delivery_id: int) -> str:
    return f" to delivery {delivery_id}"


def suppress(
    session: Session,
    *,
    reason: str,
    evidence: str,
    at: datetime,
    pepper: bytes = b"",
    address: str | None = None,
    address_hash: bytes | None = None,
    domain: str | None = None,
    list_id: int | None = None,
    expires_at: datetime | None = None,
) -> Suppression:
    """
    Add a suppression, or return the active one of the same scope and reason.

    Args:
        reason: A short word such as ``hard bounce``; one active entry is kept for each reason and scope.
        evidence: What shows it: an SMTP reply, a letter, a file and row.
        pepper: Key of the address hash; needed with *address*.
        address: Whom; it is kept readable, unless it was erased. Or *address_hash* where the address is gone, or
            *domain* (and below).
        list_id: None for every list.
        expires_at: None for ever.

    Raises:
        InvalidValue: When it is not exactly one of address or hash, and domain; or the address cannot be read; or when
            somebody who has a record is to count as erased.
    """
    shown, digest, host = _identify(pepper, address, address_hash, domain)
    if address is not None and reason.strip().casefold() == ERASED:
        _refuse_record(session, shown, digest)
        reason, shown = ERASED, None
    scope = (
        _same(Suppression.address_hash, digest),
        _same(Suppression.domain, host),
        _same(Suppression.list_id, list_id),
    )
    found = session.scalar(select(Suppression).where(active(at), Suppression.reason == reason, *scope))
    if found is not None:
        _prolong(found, expires_at, evidence)
        # Shown once more, by something else: an undo of the import that made it must not lift it.
        session.execute(delete(ImportSuppression).where(ImportSuppression.suppression_id == found.id))
        return found
    made = Suppression(
        address_hash=digest,
        domain=host,
        address=None if digest is not None and is_erased(session, digest, at) else shown,
        list_id=list_id,
        reason=reason,
        since=at,
        evidence=evidence,
        expires_at=expires_at,
    )
    session.add(made)
    session.flush()
    return made


def _refuse_record(session: Session, address: str | None, digest: bytes | None) -> None:
    """Refuse to call somebody erased who is not: a restore would take the whole record away."""
    if session.scalar(select(exists().where(Subscriber.address_hash == digest))):
        raise InvalidValue(
            f"{address} has a record, and is not erased by a word.",
            hint="Erase them: newsletter subscribers erase ADDRESS",
        )


def _prolong(entry: Suppression, expires_at: datetime | None, evidence: str) -> None:
    """Let an entry hold for as long as is asked for now, if that is longer."""
    if entry.expires_at is not None and (expires_at is None or expires_at > entry.expires_at):
        entry.expires_at, entry.evidence = expires_at, evidence


def is_erased(session: Session, digest: bytes, at: datetime) -> bool:
    """Return whether an address was erased: then it is nowhere written down again."""
    erased = exists().where(active(at), Suppression.address_hash == digest, Suppression.reason == ERASED)
    return bool(session.scalar(select(erased)))


def _identify(
    pepper: bytes, address: str | None, digest: bytes | None, domain: str | None
) -> tuple[str | None, bytes | None, str | None]:
    if domain is not None and address is None and digest is None:
        return None, None, clean_domain(domain)
    if domain is None and address is not None:
        parsed = parse_address(address)
        return parsed.address, digest or hash_address(pepper, parsed.key), None
    if domain is None and digest is not None:
        return None, digest, None
    raise InvalidValue("A suppression is for an address or for a domain, not for both or neither.")


def clean_domain(text: str) -> str:
    """
    Return a domain in lower-case A-labels.

    Raises:
        InvalidValue: When it is none.
    """
    return parse_address(f"postmaster@{text.strip().removeprefix('@').removeprefix('*.')}").domain


def lift(session: Session, entry: Suppression, *, by: str, why: str, at: datetime) -> None:
    """
    End a suppression; its line stays.

    Raises:
        InvalidValue: Without a reason.
        Conflict: When it is lifted already.
    """
    if not why.strip():
        raise InvalidValue("Lifting a suppression needs a reason.", hint="Say why with --reason TEXT.")
    if entry.lifted_at is not None:
        raise Conflict(f"This suppression was lifted on {entry.lifted_at:%Y-%m-%d} by {entry.lifted_by}.")
    entry.lifted_at, entry.lifted_by, entry.lifted_reason = at, by, why.strip()
    session.flush()


def active(now: Any) -> ColumnElement[bool]:
    """Return the condition that an entry holds at *now* (a time, or a bound parameter)."""
    return and_(
        Suppression.lifted_at.is_(None),
        or_(Suppression.expires_at.is_(None), Suppression.expires_at > now),
    )


def not_suppressed(
    now: Any,
    *,
    address_hash_column: Any,
    domain_column: Any,
    list_id_column: Any,
) -> ColumnElement[bool]:
    """
    Return the predicate that nothing suppresses this person for this list.

    Two `NOT EXISTS`, so that each uses its own index. A suppressed domain covers the domains below it.

    Args:
        now: An aware time, or a bound parameter of that type when the statement is kept prepared.
        list_id_column: Column of the list; None asks for entries of every list only.
    """
    scope: ColumnElement[bool] = Suppression.list_id.is_(None)
    if list_id_column is not None:
        scope = or_(scope, Suppression.list_id == list_id_column)
    by_address = exists().where(active(now), scope, Suppression.address_hash == address_hash_column)
    below = domain_column.like("%." + Suppression.domain)
    by_domain = exists().where(
        active(now),
        scope,
        Suppression.domain.is_not(None),
        or_(Suppression.domain == domain_column, below),
    )
    return and_(not_(by_address), not_(by_domain))


def suppressed(now: Any, *, address_hash_column: Any, domain_column: Any, list_id_column: Any) -> ColumnElement[bool]:
    """Return the opposite of `not_suppressed`."""
    return not_(
        not_suppressed(
            now,
            address_hash_column=address_hash_column,
            domain_column=domain_column,
            list_id_column=list_id_column,
        )
    )


def of_address(
    session: Session, *, address_hash: bytes, domain: str, now: datetime, lifted: bool = False
) -> Sequence[Suppression]:
    """Return the entries that cover one address, oldest first; the ended ones only when asked for."""
    domains = [domain.split(".", n)[n] for n in range(domain.count(".") + 1)] if domain else []
    statement = (
        select(Suppression)
        .where(or_(Suppression.address_hash == address_hash, Suppression.domain.in_(domains)))
        .order_by(Suppression.since, Suppression.id)
    )
    return session.scalars(statement if lifted else statement.where(active(now))).all()


def entries(*, now: datetime, lifted: bool = False) -> Select[Suppression, str]:
    """Return the statement that lists entries with the name of their list, oldest first."""
    statement = (
        select(Suppression, MailingList.name)
        .outerjoin(MailingList, MailingList.id == Suppression.list_id)
        .order_by(Suppression.since, Suppression.id)
    )
    return statement if lifted else statement.where(active(now))


def find(session: Session, *, pepper: bytes, what: str, now: datetime) -> Sequence[Suppression]:
    """
    Return the active entries that *what* names: an id, an address, or a domain.

    Raises:
        NotFound: When there is none.
    """
    condition: ColumnElement[bool]
    if what.isdecimal():
        condition = Suppression.id == int(what)
    elif "@" in what.lstrip("@"):
        condition = Suppression.address_hash == hash_address(pepper, parse_address(what).key)
    else:
        condition = Suppression.domain == clean_domain(what)
    found = session.scalars(select(Suppression).where(active(now), condition).order_by(Suppression.id)).all()
    if not found:
        raise NotFound("active suppression of", what, hint="See them with: newsletter suppressions list")
    return found


def _same(column: Any, value: Any) -> ColumnElement[bool]:
    found: ColumnElement[bool] = column.is_(None) if value is None else column == value
    return found
