"""The ledger only grows, and the present state is its replay."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from subscribers import consent, lists, suppression
from subscribers.addresses import parse_address
from subscribers.errors import InvalidValue
from subscribers.imports import batches
from subscribers.imports.incoming import Incoming
from subscribers.imports.writing import Writer
from subscribers.tables import (
    Basis,
    ConsentAction,
    ConsentEvent,
    ImportBatch,
    MailingList,
    Subscriber,
    Subscription,
    SubscriptionState,
    Suppression,
)

START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Line:
    action: ConsentAction
    basis: Basis = Basis.CONSENT
    at: datetime = START
    batch_id: int | None = None


@pytest.mark.parametrize(
    ("actions", "state"),
    [
        ([], None),
        (["requested"], "pending"),
        (["requested", "confirmed"], "subscribed"),
        (["granted", "requested"], "subscribed"),
        (["granted", "withdrawn"], "unsubscribed"),
        (["granted", "withdrawn", "undone"], "subscribed"),
        (["granted", "undone"], None),
        (["undone"], None),
    ],
)
def test_the_replay_of_a_ledger_is_the_state(actions: list[str], state: str | None) -> None:
    found = consent.replay([Line(ConsentAction(action)) for action in actions])
    assert (found and found.state) == state


def test_undoing_a_batch_takes_back_its_lines_and_no_other() -> None:
    lines = [
        Line(ConsentAction.GRANTED, batch_id=1),
        Line(ConsentAction.WITHDRAWN),
        Line(ConsentAction.UNDONE, batch_id=1),
    ]
    found = consent.replay(lines)
    assert found
    assert found.state is SubscriptionState.UNSUBSCRIBED


def _stored(session: Session, person: Subscriber) -> dict[int, SubscriptionState]:
    rows = session.scalars(select(Subscription).where(Subscription.subscriber_id == person.id))
    return {row.list_id: row.state for row in rows}


def _replayed(session: Session, person: Subscriber) -> dict[int, SubscriptionState]:
    found = {}
    for list_id in session.scalars(select(ConsentEvent.list_id).distinct()):
        lines = session.scalars(
            select(ConsentEvent)
            .where(ConsentEvent.subscriber_id == person.id, ConsentEvent.list_id == list_id)
            .order_by(ConsentEvent.id)
        )
        if state := consent.replay(lines):
            found[list_id] = state.state
    return found


def test_the_stored_state_is_the_replay_after_any_course_of_events(
    session: Session, make_person: Callable[..., Subscriber], at: datetime
) -> None:
    person, members = make_person("ann@example.org"), lists.get(session, "members")
    other = lists.create(session, "events", at=at)
    act = {"source": "test", "actor": "tester", "evidence": "said so"}
    consent.withdraw(session, person, members, **act, at=at + timedelta(1))
    consent.grant(session, person, other, basis=Basis.CORPORATE, **act, at=at + timedelta(2))
    consent.withdraw(session, person, None, **act, at=at + timedelta(3))
    assert (
        _stored(session, person) == _replayed(session, person) == dict.fromkeys((members.id, other.id), "unsubscribed")
    )
    consent.undo_withdrawal(session, person, None, made_since=at + timedelta(3), **act, at=at + timedelta(4))
    assert (
        _stored(session, person) == _replayed(session, person) == {members.id: "unsubscribed", other.id: "subscribed"}
    )


STEP = st.tuples(
    st.sampled_from(["request", "grant", "confirm", "withdraw", "withdraw all", "come back", "import", "undo import"]),
    st.sampled_from([0, 1]),  # whom
    st.sampled_from(["members", "events"]),
)
COUNTER = itertools.count()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEP, min_size=1, max_size=12))
def test_the_stored_state_is_the_replay_after_every_step(
    session: Session, make_person: Callable[..., Subscriber], at: datetime, steps: list[tuple[str, int, str]]
) -> None:
    """Whatever people, admins and imports do, in whatever order: after each step the two agree, for everybody."""
    if len(lists.all_lists(session)) < 2:
        lists.create(session, "events", at=at)
    both = [make_person(f"p{next(COUNTER)}@example.org", on=()) for _ in range(2)]
    for number, (step, whom, name) in enumerate(steps, 1):
        _take(session, step, both[whom], lists.get(session, name), at + timedelta(minutes=number))
        for person in both:
            assert _stored(session, person) == _replayed(session, person), (number, step)


def _take(session: Session, step: str, person: Subscriber, on: MailingList, now: datetime) -> None:
    act: dict[str, Any] = {"source": "test", "actor": "tester", "evidence": "said so", "at": now}
    actions = {"request": ConsentAction.REQUESTED, "grant": ConsentAction.GRANTED, "confirm": ConsentAction.CONFIRMED}
    if step in actions:
        consent.grant(session, person, on, basis=Basis.CONSENT, action=actions[step], **act)
    elif step == "come back":
        consent.undo_withdrawal(session, person, None, made_since=now - timedelta(minutes=3), **act)
    elif step.startswith("withdraw"):
        consent.withdraw(session, person, None if step == "withdraw all" else on, **act)
    elif step == "import":
        _import(session, person, on, now)
    else:
        newest = session.scalars(
            select(ImportBatch).where(ImportBatch.undone_at.is_(None)).order_by(ImportBatch.id.desc())
        ).first()
        if newest is not None:
            batches.undo(session, newest, actor="tester", why="wrong", at=now)


def _import(session: Session, person: Subscriber, on: MailingList, now: datetime) -> None:
    batch = ImportBatch(
        file_name="f.csv", file_sha256="", list_id=on.id, basis=Basis.CORPORATE, evidence="e", actor="t", started_at=now
    )
    session.add(batch)
    session.flush()
    address = parse_address(person.address)
    row = Incoming(row=2, address=address, person={}, attributes={}, tags=frozenset(), joined_at=None, withdrawn=None)
    writer = Writer(batch.id, on.id, Basis.CORPORATE, "e", "tester", now, "import")
    writer.write(session, [row], {address.key: person.address_hash}, {})
    session.expire_all()


def test_leaving_all_lists_suppresses_everywhere_and_twice_changes_nothing(
    session: Session, make_person: Callable[..., Subscriber], at: datetime
) -> None:
    person = make_person("ann@example.org")
    act = {"source": "test", "actor": "tester", "evidence": "POST"}
    assert len(consent.withdraw(session, person, None, **act, at=at)) == 1
    assert consent.withdraw(session, person, None, **act, at=at) == ()
    (entry,) = session.scalars(select(Suppression)).all()
    assert (entry.reason, entry.list_id) == (suppression.UNSUBSCRIBED, None)


def test_somebody_who_never_was_on_a_list_can_refuse_it(
    session: Session, make_person: Callable[..., Subscriber], at: datetime
) -> None:
    person = make_person("ann@example.org", on=())
    consent.withdraw(session, person, lists.get(session, "members"), source="t", actor="t", evidence="letter", at=at)
    assert list(_stored(session, person).values()) == [SubscriptionState.UNSUBSCRIBED]


def test_wording_is_kept_with_its_hash(session: Session, make_person: Callable[..., Subscriber], at: datetime) -> None:
    person = make_person("ann@example.org", on=())
    event = consent.grant(
        session, person, lists.get(session, "members"), basis=Basis.CONSENT, source="form", actor="subscriber",
        evidence="sign-up", at=at, wording="Yes, send me the newsletter.",
    )  # fmt: skip
    assert event.wording_hash == consent.hash_wording("Yes, send me the newsletter.")


@pytest.mark.parametrize(
    ("number", "day", "wrong"),
    [
        ("", date(2026, 3, 1), "charity_number"),
        ("123456", None, "on or after"),
        ("123456", date(2026, 2, 4), "on or after"),
        ("123456", date(2026, 2, 5), None),
    ],
)
def test_the_charity_soft_opt_in_needs_its_conditions(number: str, day: date | None, wrong: str | None) -> None:
    """PECR reg. 22(3A): a charity only, and only details given since 5 February 2026."""
    if wrong is None:
        consent.check_basis(Basis.SOFT_OPT_IN, evidence="form", charity_number=number, collected_on=day)
        return
    with pytest.raises(InvalidValue, match=wrong):
        consent.check_basis(Basis.SOFT_OPT_IN, evidence="form", charity_number=number, collected_on=day)


def test_no_basis_goes_without_evidence() -> None:
    with pytest.raises(InvalidValue, match="evidence"):
        consent.check_basis(Basis.SERVICE, evidence="  ")
