"""Many taken off a list at once are what each of them would be alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter.app import App
from subscribers import consent, lists, people
from subscribers.tables import Basis, ConsentAction, ConsentEvent, MailingList, Subscriber, Subscription
from subscribers.withdrawing import withdraw_many

START = datetime(2026, 1, 1, tzinfo=UTC)
LATER = START + timedelta(days=30)
BY = {"source": "one-click", "actor": "subscriber", "evidence": "link"}
HISTORIES = st.lists(
    st.tuples(
        st.sampled_from(
            [ConsentAction.REQUESTED, ConsentAction.GRANTED, ConsentAction.CONFIRMED, ConsentAction.WITHDRAWN]
        ),
        st.sampled_from(list(Basis)),
    ),
    max_size=4,
)


def person_with(session: Session, app: App, name: str, mailing_list: MailingList, history: list) -> Subscriber:
    made = people.add(session, pepper=app.keys.pepper, address=f"{name}@example.org", at=START)
    session.flush()
    for days, (action, basis) in enumerate(history):
        at = START + timedelta(days=days)
        consent.append(session, made, mailing_list.id, action, basis=basis, at=at, **BY)
    return made


def told(session: Session, person: Subscriber) -> tuple[object, ...]:
    lines = session.scalars(
        select(ConsentEvent).where(ConsentEvent.subscriber_id == person.id).order_by(ConsentEvent.id)
    ).all()
    stored = session.scalars(
        select(Subscription).where(Subscription.subscriber_id == person.id).execution_options(populate_existing=True)
    ).one_or_none()
    state = (stored.state, stored.basis, stored.since) if stored else None
    reached = consent.replay(lines)
    assert state == (reached and (reached.state, reached.basis, reached.since))
    return [(line.action, line.basis, line.at, line.source, line.actor, line.evidence) for line in lines], state


def many_and_alone(app: App, histories: list) -> None:
    with app.database.write() as session:
        mailing_list = lists.create(session, "members", at=START)
        session.flush()
        alone = [person_with(session, app, f"a{n}", mailing_list, each) for n, each in enumerate(histories)]
        many = [person_with(session, app, f"m{n}", mailing_list, each) for n, each in enumerate(histories)]
        left = [consent.withdraw(session, person, mailing_list, at=LATER, **BY) for person in alone]
        tokens = [person.token_id for person in many]
        count = withdraw_many(session, mailing_list.id, [*tokens, *tokens, b"gone" * 4], at=LATER, **BY)
        assert count == sum(bool(lines) for lines in left)
        assert [told(session, person) for person in many] == [told(session, person) for person in alone]
        assert withdraw_many(session, mailing_list.id, tokens, at=LATER, **BY) == 0
        session.rollback()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories=st.lists(HISTORIES, min_size=1, max_size=4))
def test_the_ledger_and_the_state_are_those_of_each_alone(app: App, histories: list) -> None:
    many_and_alone(app, histories)


@pytest.mark.journey
def test_they_are_on_postgresql_too(app_on_postgresql: App) -> None:
    granted, left = (ConsentAction.GRANTED, Basis.CORPORATE), (ConsentAction.WITHDRAWN, Basis.CONSENT)
    many_and_alone(app_on_postgresql, [[], [granted], [granted, left], [(ConsentAction.REQUESTED, Basis.CONSENT)]])


def test_a_list_that_is_gone_has_nothing_to_withdraw(app: App) -> None:
    with app.database.write() as session:
        made = people.add(session, pepper=app.keys.pepper, address="ann@example.org", at=START)
        session.flush()
        assert withdraw_many(session, 99, [made.token_id], at=LATER, **BY) == 0
