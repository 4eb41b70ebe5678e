"""
Applies to a database that was put back what changed of whom may be mailed since it was copied.

Only what the database does not know is applied, and what is the last word on each matter: who left and came back since
has not left. How a record ends is the application's to say, since it holds more of a person than this package knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from subscribers import consent, lists, preferences, suppression
from subscribers.never_mail import changes as never_mail
from subscribers.never_mail.changes import Change
from subscribers.tables import MailingList, Subscriber, Subscription, SubscriptionState, Suppression
from subscribers.tables import NeverMailKind as Kind

ACTOR = "restore"
EVIDENCE = "known from the file outside the database"


class Endings(Protocol):
    """How records end everywhere."""

    def erase(self, session: Session, person: Subscriber, at: datetime) -> None: ...
    def remove(self, session: Session, person: Subscriber, at: datetime) -> None: ...
    def merge(self, session: Session, kept: Subscriber, gone: Subscriber, at: datetime) -> None: ...


@dataclass
class Replayed:
    """How many of each were applied, and the lists that the database did not know."""

    changes: int = 0
    suppressed: int = 0
    lifted: int = 0
    left: int = 0
    erased: int = 0
    removed: int = 0
    merged: int = 0
    discreet: int = 0
    lists_made: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _LastWords:
    """The last change of each matter, in the order in which they were begun."""

    merges: list[Change]
    standing: list[Change]
    entries: list[Change]
    gone: list[Change]
    choices: list[Change]


def replay(session: Session, changes: Iterable[list[Change]], endings: Endings, *, at: datetime) -> Replayed:
    """
    Apply what this database does not know, in the caller's transaction; a second time nothing is left to apply.

    Args:
        changes: In the order in which they were made, some thousands at a time; one may come twice.
    """
    new: dict[bytes, Change] = {}
    for chunk in changes:
        new |= {change.mark: change for change in never_mail.unknown_among(session, chunk)}
    done = Replayed(changes=len(new))
    list_ids = _list_ids(session, new.values(), done, at)
    for start in range(0, len(new), never_mail.CHUNK):
        never_mail.note(session.connection(), list(new.values())[start : start + never_mail.CHUNK], list_ids)
    words = _last_words(new.values())
    merged = _merge(session, words.merges, endings, done, at)
    for change in words.standing:
        _stand(session, change, merged, list_ids, done, at)
    for change in words.entries:
        _enter(session, change, merged, list_ids, done, at)
    for change in words.choices:
        _choose(session, change, merged, done, at)
    _end(session, words, endings, done, at)
    session.flush()
    return done


def _last_words(changes: Iterable[Change]) -> _LastWords:
    standing: dict[tuple[bytes | None, str | None], Change] = {}
    entries: dict[tuple[bytes | None, str | None, str | None, str | None], Change] = {}
    chosen: dict[bytes | None, Change] = {}
    merges, gone = [], []
    for change in changes:
        if change.kind in (Kind.LEFT, Kind.BACK):
            standing[change.person or change.address_hash, change.list_name] = change
        elif change.kind in (Kind.SUPPRESSED, Kind.LIFTED):
            entries[change.address_hash, change.domain, change.list_name, change.reason] = change
        elif change.kind in (Kind.DISCREET, Kind.PLAIN):
            chosen[change.person] = change
        elif change.kind is Kind.MERGED:
            merges.append(change)
        else:
            gone.append(change)
    return _LastWords(merges, list(standing.values()), list(entries.values()), gone, list(chosen.values()))


def _list_ids(session: Session, changes: Iterable[Change], done: Replayed, at: datetime) -> dict[str, int]:
    """Return the lists that are named; one that the database does not know is made again, with nobody on it."""
    known = {row.name: row.id for row in session.execute(select(MailingList.name, MailingList.id))}
    for name in sorted({change.list_name for change in changes if change.list_name} - known.keys()):
        known[name] = lists.create(session, name, at=at).id
        done.lists_made.append(name)
    return known


def _merge(
    session: Session, merges: Sequence[Change], endings: Endings, done: Replayed, at: datetime
) -> dict[bytes, bytes]:
    """
    Merge again what was merged; where the kept record is not there, the other stands for it.

    Returns:
        For a kept record that is not there, the record that stands for it.
    """
    stands_for: dict[bytes, bytes] = {}
    for change in merges:
        assert change.person is not None
        assert change.kept is not None
        kept, gone = (_record(session, token) for token in (change.kept, change.person))
        if gone is None:
            continue
        if kept is None:
            stands_for[change.kept] = change.person
            continue
        endings.merge(session, kept, gone, at)
        done.merged += 1
    return stands_for


def _record(session: Session, token: bytes) -> Subscriber | None:
    """Return this very record: what it lives on in, as links have it, is not what was deleted or merged."""
    return session.scalar(select(Subscriber).where(Subscriber.token_id == token))


def _people(session: Session, change: Change, stands_for: dict[bytes, bytes]) -> Sequence[Subscriber]:
    """Return whom a change is about: by the address it names, and by the record, whose address may be another here."""
    token, passed = change.person, set[bytes]()
    while token in stands_for and token not in passed:
        passed.add(token)
        token = stands_for[token]
    conditions = [Subscriber.address_hash == change.address_hash, Subscriber.token_id == token]
    return session.scalars(select(Subscriber).where(or_(*conditions)).order_by(Subscriber.id)).all()


def _stand(
    session: Session,
    change: Change,
    stands_for: dict[bytes, bytes],
    list_ids: dict[str, int],
    done: Replayed,
    at: datetime,
) -> None:
    """
    Take somebody off a list that they had left.

    Nobody is put back on one: what showed their consent is not in the file.
    """
    if change.kind is Kind.BACK or change.list_name is None:
        return
    mailing_list = session.get_one(MailingList, list_ids[change.list_name])
    found = _people(session, change, stands_for)
    evidence = f"{EVIDENCE}: left on {change.at:%Y-%m-%d}"
    for person in found:
        stored = session.get(Subscription, (person.id, mailing_list.id))
        if stored is None or stored.state is not SubscriptionState.UNSUBSCRIBED:
            consent.withdraw(session, person, mailing_list, source=ACTOR, actor=ACTOR, evidence=evidence, at=at)
            done.left += 1
    if not found and change.address_hash is not None:
        suppression.suppress(
            session,
            address_hash=change.address_hash,
            list_id=mailing_list.id,
            reason=suppression.UNSUBSCRIBED,
            evidence=evidence,
            at=at,
        )
        done.left += 1


def _enter(
    session: Session,
    change: Change,
    stands_for: dict[bytes, bytes],
    list_ids: dict[str, int],
    done: Replayed,
    at: datetime,
) -> None:
    list_id = list_ids[change.list_name] if change.list_name else None
    hashes = {change.address_hash}
    if change.person is not None and change.reason in suppression.OWN_WISH:
        hashes |= {person.address_hash for person in _people(session, change, stands_for)}
    for digest in sorted(hashes, key=lambda h: h or b""):
        if change.kind is Kind.LIFTED:
            done.lifted += _lift(session, change, digest, list_id, at)
        elif change.expires_at is None or change.expires_at > at:
            done.suppressed += _suppress(session, change, digest, list_id, at)


def _choose(session: Session, change: Change, stands_for: dict[bytes, bytes], done: Replayed, at: datetime) -> None:
    """Give discreet mail again to whoever chose it since; whoever chose it no more is not shown by a guess."""
    if change.kind is Kind.PLAIN:
        return
    for person in _people(session, change, stands_for):
        changed = preferences.change(
            session, person, {preferences.Choice.DISCREET: True}, source=EVIDENCE, actor=ACTOR, at=at
        )
        done.discreet += len(changed)


def _suppress(session: Session, change: Change, digest: bytes | None, list_id: int | None, at: datetime) -> bool:
    reason = change.reason or suppression.BY_HAND
    made = suppression.suppress(
        session,
        address_hash=digest,
        domain=change.domain,
        list_id=list_id,
        reason=reason,
        evidence=EVIDENCE,
        at=at,
        expires_at=change.expires_at,
    )
    fresh = made.evidence == EVIDENCE and made.since == at
    if fresh:
        made.since = min(change.at, at)
        person = session.scalar(select(Subscriber).where(Subscriber.address_hash == digest)) if digest else None
        if person is not None and reason != suppression.ERASED:
            made.address = person.address
        session.flush()
    return fresh


def _lift(session: Session, change: Change, digest: bytes | None, list_id: int | None, at: datetime) -> int:
    found = session.scalars(
        select(Suppression).where(
            suppression.active(at),
            Suppression.reason == change.reason,
            Suppression.address_hash.is_not_distinct_from(digest),
            Suppression.domain.is_not_distinct_from(change.domain),
            Suppression.list_id.is_not_distinct_from(list_id),
        )
    ).all()
    for entry in found:
        suppression.lift(session, entry, by=ACTOR, why=f"{EVIDENCE}: lifted on {change.at:%Y-%m-%d}", at=at)
    return len(found)


def _end(session: Session, words: _LastWords, endings: Endings, done: Replayed, at: datetime) -> None:
    """Erase and remove again whoever was; a record that was merged and could not be merged again stays."""
    erased = {
        change.address_hash
        for change in words.entries
        if change.reason == suppression.ERASED and change.kind is Kind.SUPPRESSED
    }
    for digest in erased:
        person = session.scalar(select(Subscriber).where(Subscriber.address_hash == digest))
        if person is not None:
            endings.erase(session, person, at)
            done.erased += 1
    merged = {change.person for change in words.merges}
    for change in words.gone:
        person = _record(session, change.person) if change.person else None
        if person is None or change.person in merged:
            continue
        if change.address_hash in erased:
            endings.erase(session, person, at)
            done.erased += 1
        else:
            endings.remove(session, person, at)
            done.removed += 1
