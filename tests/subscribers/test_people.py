"""Records: names without tricks, changes of address, merging, removing and erasing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from subscribers import consent, leaving, lists, people, suppression
from subscribers.csv_cells import plain_cell, safe_cell
from subscribers.errors import Conflict, InvalidValue, NotFound
from subscribers.tables import (
    ConsentEvent,
    Frequency,
    MailingList,
    Subscriber,
    Subscription,
    SubscriptionState,
    Suppression,
)

Make = Callable[..., Subscriber]


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("Ann Jones", "Ann"),
        ("Mary-Lou O'Brien", "Mary-Lou"),
        ("Dr Ann Jones", None),
        ("Cllr. Khan", None),
        ("JONES Ann", None),
        ("A. Jones", None),
        ("Jones, Ann", None),
        ("Ann", None),
        ("Dudley Housing 24", "Dudley"),
        (None, None),
    ],
)
def test_a_first_name_is_guessed_only_when_it_is_plain(name: str | None, first: str | None) -> None:
    assert people.guess_first_name(name) == first


def test_control_and_bidi_characters_are_taken_out_of_names(make_person: Make) -> None:
    assert make_person("ann@example.org", name="Ann\u202e  \u200fJo\x07nes\n").name == "Ann Jones"


def test_a_wrong_address_suggests_the_nearest(session: Session, make_person: Make) -> None:
    make_person("ann.jones@example.org")
    with pytest.raises(NotFound) as caught:
        people.find(session, "ann.jons@example.org")
    assert caught.value.hint == "Did you mean 'ann.jones@example.org'?"
    with pytest.raises(NotFound) as caught:
        people.find(session, "ann.jones@exmaple.org")
    assert caught.value.hint == "Did you mean 'ann.jones@example.org'?"
    assert people.find(session, " ANN.JONES@Example.ORG ").address == "ann.jones@example.org"


def test_another_person_of_the_domain_is_not_suggested(session: Session, make_person: Make) -> None:
    """Whoever takes the suggestion of a command that erases would end the wrong record."""
    make_person("ann@example.org")
    with pytest.raises(NotFound) as caught:
        people.find(session, "bob@example.org")
    assert "ann" not in caught.value.hint


def test_an_erased_person_leaves_a_hash_only_and_is_not_added_again(
    session: Session, make_person: Make, at: datetime, pepper: bytes
) -> None:
    person = make_person("ann@example.org", tags=("press",), town="Dudley")
    suppression.suppress(session, pepper=pepper, address="ann@example.org", reason="by hand", evidence="Ann", at=at)
    leaving.erase(session, person, evidence="letter", at=at)
    for entry in session.scalars(select(Suppression)):
        assert (entry.address, entry.evidence in ("", "letter")) == (None, True)
    (event,) = session.scalars(select(ConsentEvent))
    assert event.subscriber_id is None
    with pytest.raises(Conflict, match="erased"):
        people.add(session, pepper=pepper, address="Ann@example.org", at=at)


def test_a_removed_record_keeps_the_lists_that_the_person_left(
    session: Session, make_person: Make, at: datetime
) -> None:
    person, members = make_person("ann@example.org"), lists.get(session, "members")
    consent.withdraw(session, person, members, source="t", actor="t", evidence="POST", at=at)
    leaving.remove(session, person, evidence="tidy", at=at)
    (entry,) = session.scalars(select(Suppression))
    assert (entry.list_id, entry.reason) == (members.id, "unsubscribed")


def test_merging_keeps_the_stricter_consent_and_the_replay_agrees(
    session: Session, make_person: Make, at: datetime
) -> None:
    for name in ("events", "press"):
        lists.create(session, name, at=at)
    kept = make_person("ann@example.org", on=("members", "events"))
    gone = make_person("a.jones@example.net", on=("members", "press"), name="Ann Jones", tags=("press",), town="Dudley")
    act = {"source": "t", "actor": "t", "evidence": "POST"}
    consent.withdraw(session, gone, lists.get(session, "members"), **act, at=at - timedelta(days=9))
    suppression.suppress(
        session, address_hash=gone.address_hash, reason="complaint", evidence="ARF", at=at - timedelta(days=1)
    )
    leaving.merge(session, kept, gone, actor="t", at=at)
    rows = session.execute(
        select(MailingList.name, Subscription.state).join(Subscription, Subscription.list_id == MailingList.id)
    )
    states = {row.name: row.state for row in rows}
    assert states == {"members": "unsubscribed", "events": "subscribed", "press": "subscribed"}
    for subscription in session.scalars(select(Subscription)):
        lines = session.scalars(
            select(ConsentEvent)
            .where(ConsentEvent.subscriber_id == kept.id, ConsentEvent.list_id == subscription.list_id)
            .order_by(ConsentEvent.id)
        )
        replayed = consent.replay(lines)
        assert replayed
        assert replayed.state is subscription.state
    assert (kept.name, people.tags_of(session, kept.id)) == ("Ann Jones", ["press"])
    held = suppression.of_address(session, address_hash=kept.address_hash, domain="", now=at)
    assert [entry.reason for entry in held] == ["complaint"]


@pytest.mark.parametrize("who", ["kept", "gone"])
def test_whoever_chose_one_mail_a_month_gets_no_more_after_a_merge(
    session: Session, make_person: Make, at: datetime, who: str
) -> None:
    records = {"kept": make_person("a@example.org"), "gone": make_person("b@example.org")}
    records[who].frequency = Frequency.MONTHLY
    session.flush()
    leaving.merge(session, records["kept"], records["gone"], actor="t", at=at)
    assert records["kept"].frequency is Frequency.MONTHLY


def test_what_was_asked_of_either_record_holds_after_they_are_joined(
    session: Session, make_person: Make, at: datetime
) -> None:
    """Discreet mail above all: the kept record alone would show a network's name to whoever looks."""
    kept, gone = make_person("ann@example.org"), make_person("ann@example.net")
    gone.discreet, gone.paused_until = True, at.date() + timedelta(days=9)
    kept.paused_until = at.date() + timedelta(days=2)
    leaving.merge(session, kept, gone, actor="t", at=at)
    assert (kept.discreet, kept.paused_until) == (True, at.date() + timedelta(days=9))


def test_a_change_of_address_keeps_the_wish_not_to_be_mailed(
    session: Session, make_person: Make, at: datetime, pepper: bytes
) -> None:
    person = make_person("ann@example.org")
    make_person("bob@example.org")
    consent.withdraw(session, person, None, source="t", actor="t", evidence="POST", at=at)
    with pytest.raises(Conflict, match="known already"):
        people.change_address(session, person, "bob@example.org", pepper=pepper, at=at)
    people.change_address(session, person, "ann@example.net", pepper=pepper, at=at)
    held = suppression.of_address(session, address_hash=person.address_hash, domain="", now=at)
    assert [entry.reason for entry in held] == ["unsubscribed"]
    present = session.get(Subscription, (person.id, lists.get(session, "members").id))
    assert present
    assert present.state is SubscriptionState.UNSUBSCRIBED


@pytest.mark.parametrize("text", ["english please", "e", "en_GB_" + "x" * 40, "en-ü"])
def test_a_wrong_language_is_refused(session: Session, text: str, at: datetime, pepper: bytes) -> None:
    with pytest.raises(InvalidValue, match="language"):
        people.add(session, pepper=pepper, address="a@example.org", language=text, at=at)


@pytest.mark.parametrize("text", ["=1+1", "+44", "-1", "@x", "\t=1", "＝1", "'=1", " =1", "plain", "it's", "", "'"])
def test_a_guarded_cell_is_no_formula_and_reads_back_the_same(text: str) -> None:
    assert not safe_cell(text).startswith(("=", "+", "-", "@", "\t", "\r", "＝"))
    assert plain_cell(safe_cell(text)) == text
