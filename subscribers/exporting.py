"""People out of the database: CSV that no spreadsheet runs, JSON lines, and all that is held about one person."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TextIO

from sqlalchemy import ColumnElement, Select, func, literal, not_, or_, select
from sqlalchemy.orm import Session, aliased

from subscribers import attributes, consent, people, preferences, suppression
from subscribers.bounces.records import held_about
from subscribers.comparing import fold, folded
from subscribers.csv_cells import safe_cell
from subscribers.imports.columns import ATTRIBUTE
from subscribers.tables import (
    ConsentEvent,
    LeavingReason,
    MailingList,
    Subscriber,
    Subscription,
    SubscriptionState,
    Suppression,
    Tag,
)

_AT_ONCE = 500
SUPPRESSED = "suppressed"
NO_LIST = "none"
STATES = (*(state.value for state in SubscriptionState), SUPPRESSED, NO_LIST)


@dataclass(frozen=True, slots=True)
class Person:
    """What lists and exports show of one person; `state` is the best over all lists, unless suppressed."""

    id: int
    address: str
    name: str | None
    first_name: str | None
    language: str | None
    state: str
    lists: tuple[str, ...]
    tags: tuple[str, ...]
    attributes: Mapping[str, Any]
    joined_at: datetime

    def to_json(self) -> dict[str, Any]:
        shown = ("id", "address", "name", "state", "lists", "tags", "attributes")
        return {name: getattr(self, name) for name in shown}


class _OnList(NamedTuple):
    """How somebody stands on one list, and whether the state that is shown is of that list."""

    name: str
    state: SubscriptionState
    counts: bool


def select_people(
    *,
    now: datetime,
    list_id: int | None = None,
    state: str | None = None,
    search: str = "",
    condition: ColumnElement[bool] | None = None,
) -> Select[int]:
    """
    Return the statement that yields the ids of the people asked for, by address.

    Whoever is suppressed, everywhere or for a list, is neither subscribed nor pending there.
    """
    found = select(Subscriber.id).order_by(Subscriber.key)
    if condition is not None:
        found = found.where(condition)
    if search:
        part = fold(search.strip())
        found = found.where(
            or_(Subscriber.key.contains(part, autoescape=True), folded(Subscriber.name).contains(part, autoescape=True))
        )
    blocked = _blocked(now, list_id)
    on = select(Subscription.subscriber_id)
    if list_id is not None:
        on = on.where(Subscription.list_id == list_id)
    if state == SUPPRESSED:
        found = found.where(blocked)
    elif state == NO_LIST:
        return found.where(Subscriber.id.not_in(on))
    elif state is not None:
        on = on.where(Subscription.state == SubscriptionState(state))
        if state != SubscriptionState.UNSUBSCRIBED:
            found, on = found.where(not_(blocked)), _unless_suppressed(on, now)
        return found.where(Subscriber.id.in_(on))
    if list_id is not None:
        found = found.where(Subscriber.id.in_(on))
    return found


def _unless_suppressed(on: Select[int], now: datetime) -> Select[int]:
    """Leave out the subscriptions to lists for which the person is suppressed."""
    holder = aliased(Subscriber)
    return on.join(holder, holder.id == Subscription.subscriber_id).where(
        suppression.not_suppressed(
            now,
            address_hash_column=holder.address_hash,
            domain_column=holder.domain,
            list_id_column=Subscription.list_id,
        )
    )


def _blocked(now: datetime, list_id: int | None) -> ColumnElement[bool]:
    return suppression.suppressed(
        now,
        address_hash_column=Subscriber.address_hash,
        domain_column=Subscriber.domain,
        list_id_column=None if list_id is None else literal(list_id),
    )


def count(session: Session, statement: Select[int]) -> int:
    return session.scalar(select(func.count()).select_from(statement.order_by(None).subquery())) or 0


def read_people(
    session: Session,
    ids: Iterable[int],
    *,
    now: datetime,
    list_ids: Collection[int] | None = None,
    state_on: int | None = None,
) -> Iterator[Person]:
    """
    Yield people with all their lists, tags and attributes, in the order of *ids*, a few hundred at a time.

    Args:
        list_ids: The only lists that are told of, and that the state is of; None for every list.
        state_on: The only list that the state is of.
    """
    waiting: list[int] = []
    for subscriber_id in ids:
        waiting.append(subscriber_id)
        if len(waiting) == _AT_ONCE:
            yield from _some(session, waiting, now, list_ids, state_on)
            waiting = []
    yield from _some(session, waiting, now, list_ids, state_on)


def _some(
    session: Session, ids: Sequence[int], now: datetime, list_ids: Collection[int] | None, state_on: int | None
) -> Iterator[Person]:
    if not ids:
        return
    rows = {
        row[0].id: row
        for row in session.execute(select(Subscriber, _blocked(now, state_on)).where(Subscriber.id.in_(ids)))
    }
    states: dict[int, list[_OnList]] = {}
    held = (
        select(Subscription.subscriber_id, MailingList.name, Subscription.state, Subscription.list_id)
        .join(MailingList, MailingList.id == Subscription.list_id)
        .where(Subscription.subscriber_id.in_(ids))
        .order_by(MailingList.name)
    )
    if list_ids is not None:
        held = held.where(Subscription.list_id.in_(list_ids))
    for subscriber_id, name, state, list_id in session.execute(held):
        states.setdefault(subscriber_id, []).append(_OnList(name, state, state_on in (None, list_id)))
    tags: dict[int, list[str]] = {}
    for subscriber_id, tag in session.execute(
        select(Tag.subscriber_id, Tag.tag).where(Tag.subscriber_id.in_(ids)).order_by(Tag.tag)
    ):
        tags.setdefault(subscriber_id, []).append(tag)
    values = attributes.values_of(session, ids)
    for subscriber_id in ids:
        if subscriber_id in rows:
            one, is_blocked = rows[subscriber_id]
            yield _person(one, bool(is_blocked), states.get(one.id, []), tags.get(one.id, []), values.get(one.id, {}))


def _person(
    one: Subscriber,
    blocked: bool,
    states: Sequence[_OnList],
    tags: Sequence[str],
    values: Mapping[str, Any],
) -> Person:
    held = {one.state for one in states if one.counts}
    best = next((s.value for s in (SubscriptionState.SUBSCRIBED, SubscriptionState.PENDING) if s in held), None)
    usual = best or (SubscriptionState.UNSUBSCRIBED.value if held else NO_LIST)
    on = tuple(one.name for one in states if one.state is SubscriptionState.SUBSCRIBED)
    return Person(
        one.id,
        one.address,
        one.name,
        one.first_name,
        one.language,
        SUPPRESSED if blocked else usual,
        on,
        tuple(tags),
        values,
        one.joined_at,
    )


def write_csv(file: TextIO, persons: Iterable[Person], names: Sequence[str], *, raw: bool = False) -> int:
    """
    Write people as CSV with a column for each attribute; return how many.

    Args:
        raw: Leave cells that a spreadsheet would run as formulas as they are; only for other programs.
    """
    guard = str if raw else safe_cell
    writer = csv.writer(file)
    columns = ["address", "name", "first_name", "language", "joined", "state", "lists", "tags"]
    writer.writerow([*columns, *(f"{ATTRIBUTE}{name}" if name in columns else name for name in names)])
    written = 0
    for person in persons:
        own = [
            person.address,
            person.name or "",
            person.first_name or "",
            person.language or "",
            f"{person.joined_at:%Y-%m-%d}",
            person.state,
            ";".join(person.lists),
            ";".join(person.tags),
        ]
        writer.writerow([guard(cell) for cell in (*own, *(_cell(person.attributes.get(name)) for name in names))])
        written += 1
    return written


def write_json_lines(file: TextIO, persons: Iterable[Person]) -> int:
    """Write people as one JSON document a line; return how many."""
    written = 0
    for person in persons:
        document = {**person.to_json(), "first_name": person.first_name, "language": person.language}
        file.write(json.dumps({**document, "joined_at": person.joined_at}, default=_plain, ensure_ascii=False) + "\n")
        written += 1
    return written


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ";".join(value) if isinstance(value, list) else str(value)


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else list(value)


def everything_about(session: Session, subscriber: Subscriber, *, now: datetime) -> dict[str, Any]:
    """Return all that the list holds about one person: the answer to a request for access."""
    person = next(read_people(session, [subscriber.id], now=now))
    return {
        **person.to_json(),
        "first_name": subscriber.first_name,
        "language": subscriber.language,
        "timezone": subscriber.timezone,
        "paused_until": subscriber.paused_until,
        "frequency": subscriber.frequency.value,
        "discreet": subscriber.discreet,
        "joined_at": subscriber.joined_at,
        "updated_at": subscriber.updated_at,
        "tags": people.tags_of(session, subscriber.id),
        "subscriptions": _subscriptions(session, subscriber.id),
        "ledger": [ledger_line(event, name) for event, name in consent.ledger(session, subscriber.id)],
        "leaving_reasons": _leaving_reasons(session, subscriber.id),
        "choices": [
            {name: getattr(each, name) for name in ("at", "field", "before", "after", "source", "actor")}
            for each in preferences.changes_of(session, subscriber.id)
        ],
        "suppressions": suppressions_of(
            session, people.hashes_of(session, subscriber.id), domain=subscriber.domain, now=now
        ),
        "returned_mail": returned_mail_of(session, people.hashes_of(session, subscriber.id)),
    }


def suppressions_of(session: Session, hashes: Iterable[bytes], *, domain: str, now: datetime) -> list[dict[str, Any]]:
    """Return every entry, also ended ones, that covers one of these hashes or the domain."""
    found: dict[int, Suppression] = {}
    for digest in sorted(hashes):
        for entry in suppression.of_address(session, address_hash=digest, domain=domain, now=now, lifted=True):
            found[entry.id] = entry
    return [
        {
            "reason": entry.reason,
            "since": entry.since,
            "evidence": entry.evidence,
            "expires": entry.expires_at,
            "lifted": entry.lifted_at,
            "domain": entry.domain,
            "list": entry.list_id and session.get_one(MailingList, entry.list_id).name,
        }
        for _, entry in sorted(found.items())
    ]


def returned_mail_of(session: Session, hashes: Iterable[bytes]) -> list[dict[str, Any]]:
    """Return what came back about or from a person, under any address of theirs."""
    return [line for digest in sorted(hashes) for line in held_about(session, digest)]


def _subscriptions(session: Session, subscriber_id: int) -> list[dict[str, Any]]:
    rows = session.execute(
        select(MailingList.name, MailingList.title, Subscription)
        .join(Subscription, Subscription.list_id == MailingList.id)
        .where(Subscription.subscriber_id == subscriber_id)
        .order_by(MailingList.name)
    )
    return [
        {"list": name, "title": title, "state": s.state.value, "basis": s.basis.value, "since": s.since}
        for name, title, s in rows
    ]


def _leaving_reasons(session: Session, subscriber_id: int) -> list[dict[str, Any]]:
    rows = session.execute(
        select(LeavingReason, MailingList.name)
        .join(ConsentEvent, ConsentEvent.id == LeavingReason.event_id)
        .join(MailingList, MailingList.id == ConsentEvent.list_id)
        .where(LeavingReason.subscriber_id == subscriber_id)
        .order_by(LeavingReason.id)
    )
    return [
        {"at": r.at, "list": name, "reason": r.choice.value if r.choice else None, "words": r.words} for r, name in rows
    ]


def ledger_line(event: ConsentEvent, list_name: str) -> dict[str, Any]:
    """Return a line of the ledger as a document."""
    return {
        "at": event.at,
        "list": list_name,
        "action": event.action.value,
        "basis": event.basis.value,
        "source": event.source,
        "actor": event.actor,
        "evidence": event.evidence,
        "wording": event.wording,
        "import": event.batch_id,
    }
