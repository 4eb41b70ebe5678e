"""
People: found, added and changed; every change stamps `updated_at`, so that an undo sees what came after an import.
"""

from __future__ import annotations

import difflib
import secrets
from datetime import datetime
from zoneinfo import available_timezones

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from subscribers import suppression
from subscribers.addresses import Address, parse_address
from subscribers.errors import Conflict, InvalidValue, NotFound
from subscribers.naming import clean_person_name, clean_tag, clean_text
from subscribers.never_mail.changes import living_tokens
from subscribers.tables import ConsentEvent, Subscriber, Tag
from subscribers.tokens import SUBSCRIBER_ID_BYTES
from subscribers.tokens import address_hash as hash_address

LONGEST_FIRST_NAME = 100
_TITLES = frozenset(
    [
        "mr",
        "mrs",
        "ms",
        "miss",
        "mx",
        "dr",
        "prof",
        "professor",
        "sir",
        "dame",
        "lord",
        "lady",
        "rev",
        "revd",
        "reverend",
        "father",
        "sister",
        "cllr",
        "councillor",
        "hon",
        "pc",
        "sgt",
        "ps",
        "insp",
        "inspector",
        "ci",
        "supt",
        "pcso",
        "dc",
        "ds",
        "di",
        "dci",
        "capt",
        "captain",
        "maj",
        "major",
        "col",
        "the",
        "team",
        "office",
    ]
)


def find(session: Session, address: str) -> Subscriber:
    """
    Return the person with that address.

    Raises:
        InvalidValue: When it is not an address.
        NotFound: With the nearest known address.
    """
    parsed = parse_address(address)
    found = session.scalar(select(Subscriber).where(Subscriber.key == parsed.key))
    if found is None:
        raise NotFound("subscriber", address.strip(), hint=_nearest_address(session, parsed))
    return found


def find_or_none(session: Session, address: str) -> Subscriber | None:
    return session.scalar(select(Subscriber).where(Subscriber.key == parse_address(address).key))


def by_token(session: Session, token_id: bytes, *, lock: bool = False) -> Subscriber | None:
    """
    Return the person whom a link means, also by an earlier record that lives on in theirs; None for nobody.

    Args:
        lock: Let no other transaction change the person until this one ends.
    """

    def find_it(token: bytes) -> Subscriber | None:
        wanted = select(Subscriber).where(Subscriber.token_id == token)
        return session.scalar(wanted.with_for_update(key_share=True) if lock else wanted)

    found = find_it(token_id)
    if found is None and (lives := living_tokens(session, [token_id])):
        found = find_it(lives[token_id])
    return found


def hashes_of(session: Session, subscriber_id: int) -> set[bytes]:
    """Return the keyed hash of a person's address, and of those that the ledger knows them to have had before."""
    own = select(Subscriber.address_hash).where(Subscriber.id == subscriber_id)
    earlier = select(ConsentEvent.address_hash).where(ConsentEvent.subscriber_id == subscriber_id).distinct()
    return {*session.scalars(own), *session.scalars(earlier)}


def _nearest_address(session: Session, parsed: Address) -> str:
    """Return a hint; the parts are compared one by one, since a colleague of the same domain is no slip of the key."""
    local, _, domain = parsed.key.rpartition("@")
    known = session.scalars(
        select(Subscriber.key)
        .where(or_(Subscriber.domain == parsed.domain, Subscriber.key.startswith(f"{local}@", autoescape=True)))
        .limit(500)
    ).all()
    parts = [key.rpartition("@")[::2] for key in known]
    names = difflib.get_close_matches(local, [name for name, place in parts if place == domain], n=1, cutoff=0.7)
    places = difflib.get_close_matches(domain, [place for name, place in parts if name == local], n=1, cutoff=0.7)
    close = [f"{name}@{domain}" for name in names] + [f"{local}@{place}" for place in places]
    return f"Did you mean '{close[0]}'?" if close else "Find people with: newsletter subscribers list --search TEXT"


def add(
    session: Session,
    *,
    pepper: bytes,
    address: str,
    at: datetime,
    name: str | None = None,
    first_name: str | None = None,
    language: str | None = None,
    timezone: str | None = None,
    joined_at: datetime | None = None,
) -> Subscriber:
    """
    Make a record; it is on no list yet.

    Raises:
        InvalidValue: When a value cannot be used.
        Conflict: When the address is known, or was erased at the person's request.
    """
    parsed = parse_address(address)
    if session.scalar(select(Subscriber.id).where(Subscriber.key == parsed.key)) is not None:
        raise Conflict(f"{parsed.address} is known already.", hint=f"See: newsletter subscribers show {parsed.address}")
    digest = hash_address(pepper, parsed.key)
    _refuse_erased(session, parsed, digest, at)
    full_name = clean_person_name(name or "") or None
    made = Subscriber(
        token_id=new_token_id(),
        address=parsed.address,
        key=parsed.key,
        address_hash=digest,
        domain=parsed.domain,
        name=full_name,
        first_name=clean_first_name(first_name) if first_name else guess_first_name(full_name),
        language=check_language(language),
        timezone=check_timezone(timezone),
        joined_at=joined_at or at,
        updated_at=at,
    )
    session.add(made)
    session.flush()
    return made


def _refuse_erased(session: Session, parsed: Address, digest: bytes, at: datetime) -> None:
    for entry in suppression.of_address(session, address_hash=digest, domain="", now=at):
        if entry.reason == suppression.ERASED:
            raise Conflict(
                f"This address was erased on {entry.since:%Y-%m-%d} and must not come back by itself.",
                hint="If the person asked to return: newsletter suppressions lift ADDRESS --reason TEXT, then again.",
            )


def new_token_id() -> bytes:
    return secrets.token_bytes(SUBSCRIBER_ID_BYTES)


def new_token_ids(number: int) -> list[bytes]:
    drawn = secrets.token_bytes(SUBSCRIBER_ID_BYTES * number)
    return [drawn[start : start + SUBSCRIBER_ID_BYTES] for start in range(0, len(drawn), SUBSCRIBER_ID_BYTES)]


def guess_first_name(name: str | None) -> str | None:
    """Return the first word of a full name when it is plainly a first name; a wrong greeting is worse than none."""
    words = (name or "").split()
    if len(words) < 2 or "," in (name or ""):
        return None
    first = words[0]
    plain = first.rstrip(".").casefold()
    if plain in _TITLES or len(plain) < 2 or not first.replace("-", "").replace("'", "").replace("’", "").isalpha():
        return None
    if first.isupper() or len(first) > LONGEST_FIRST_NAME:
        return None
    return first


def clean_first_name(text: str) -> str | None:
    """
    Return a first name as it is stored.

    Raises:
        InvalidValue: When it is too long.
    """
    name = clean_text(text)
    if len(name) > LONGEST_FIRST_NAME:
        raise InvalidValue(f"This first name has {len(name)} characters; {LONGEST_FIRST_NAME} is the most.")
    return name or None


def check_language(text: str | None) -> str | None:
    """
    Return a language tag in its usual case: ``cy``, ``en-GB``.

    Raises:
        InvalidValue: When it is none.
    """
    tag = clean_text(text or "").replace("_", "-")
    if not tag:
        return None
    parts = tag.split("-")
    right = all(p.isalnum() and p.isascii() and len(p) <= 8 for p in parts)
    if not right or not parts[0].isalpha() or not 2 <= len(parts[0]) <= 3 or len(tag) > 35:
        raise InvalidValue(f"'{tag[:40]}' is no language tag.", hint="Write one such as en, cy or en-GB.")
    return "-".join([parts[0].lower(), *(p.upper() if len(p) == 2 else p.lower() for p in parts[1:])])


_ZONES: frozenset[str] = frozenset()


def check_timezone(text: str | None) -> str | None:
    """
    Return the name of a time zone.

    Raises:
        InvalidValue: When it is none.
    """
    global _ZONES  # filled on first use: it reads the zone folder
    name = clean_text(text or "")
    if not name:
        return None
    _ZONES = _ZONES or frozenset(available_timezones())
    if name not in _ZONES:
        raise InvalidValue(f"'{name[:64]}' is no time zone.", hint="Write one such as Europe/London.")
    return name


def change_address(session: Session, subscriber: Subscriber, address: str, *, pepper: bytes, at: datetime) -> None:
    """
    Give a record another address; consent and links stay with the person.

    Raises:
        Conflict: When the new address is another record's, or is suppressed.
    """
    parsed = parse_address(address)
    digest = hash_address(pepper, parsed.key)
    if parsed.key != subscriber.key:
        if session.scalar(select(Subscriber.id).where(Subscriber.key == parsed.key)) is not None:
            raise Conflict(
                f"{parsed.address} is known already.",
                hint=f"Join the two: newsletter subscribers merge {parsed.address} {subscriber.address}",
            )
        held = suppression.of_address(session, address_hash=digest, domain=parsed.domain, now=at)
        if held:
            raise Conflict(
                f"{parsed.address} is suppressed ({held[0].reason}, {held[0].since:%Y-%m-%d}).",
                hint="See it with: newsletter suppressions list",
            )
        _carry_own_wishes(session, subscriber, parsed, digest, at)
    subscriber.address, subscriber.key = parsed.address, parsed.key
    subscriber.address_hash, subscriber.domain = digest, parsed.domain
    touch(session, subscriber, at=at)


def _carry_own_wishes(session: Session, subscriber: Subscriber, new: Address, digest: bytes, at: datetime) -> None:
    """Whoever unsubscribed or complained under the old address stays unmailed under the new one."""
    for entry in suppression.of_address(session, address_hash=subscriber.address_hash, domain="", now=at):
        if entry.reason in suppression.OWN_WISH:
            suppression.suppress(
                session,
                address=new.address,
                address_hash=digest,
                list_id=entry.list_id,
                reason=entry.reason,
                evidence=f"carried over with the change of address on {at:%Y-%m-%d}: {entry.evidence}",
                at=at,
                expires_at=entry.expires_at,
            )


def touch(session: Session, subscriber: Subscriber, *, at: datetime) -> None:
    """Say that somebody edited this person just now."""
    subscriber.updated_at = at
    session.flush()


def tags_of(session: Session, subscriber_id: int) -> list[str]:
    return list(session.scalars(select(Tag.tag).where(Tag.subscriber_id == subscriber_id).order_by(Tag.tag)))


def add_tag(session: Session, subscriber: Subscriber, tag: str, *, at: datetime) -> bool:
    """Tag a person; return False when it was there."""
    wanted = clean_tag(tag)
    if session.get(Tag, (subscriber.id, wanted)) is not None:
        return False
    session.add(Tag(subscriber_id=subscriber.id, tag=wanted))
    touch(session, subscriber, at=at)
    return True


def remove_tag(session: Session, subscriber: Subscriber, tag: str, *, at: datetime) -> bool:
    """Take a tag away; return False when it was not there."""
    wanted = clean_tag(tag)
    if wanted not in tags_of(session, subscriber.id):
        return False
    session.execute(delete(Tag).where(Tag.subscriber_id == subscriber.id, Tag.tag == wanted))
    touch(session, subscriber, at=at)
    return True
