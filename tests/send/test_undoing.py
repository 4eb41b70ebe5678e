"""Undoing a report takes back what it did, and says what it leaves alone."""

from __future__ import annotations

import pytest

from newsletter.send.dispatch import send_issue
from newsletter.send.patience import patiences
from subscribers import consent, lists, people, suppression
from subscribers.bounces.event import EventKind
from subscribers.bounces.policy import Rule
from subscribers.bounces.undoing import Undone, undo
from subscribers.errors import Conflict, NotFound
from subscribers.tables import Basis, Suppression
from tests.send.issue_out import Sent, event_of, token_of
from tests.send.returned_mail import away, complaint, reply


def take_back(sent: Sent, event_id: int) -> Undone:
    with sent.app.database.write() as session:
        return undo(
            session, event_id, by="ann", reason="their server was broken", patiences=patiences(sent.app.config),
            now=sent.time,
        )  # fmt: skip


def test_undoing_the_report_that_suppressed_lifts_it_and_the_score_is_without_it(sent: Sent) -> None:
    sent.returned(1)
    sent.issue("two", days=4)
    sent.returned(1, "two")
    undone = take_back(sent, 2)
    assert sent.suppressed() == []
    assert "Suppression lifted: hard bounce." in undone.done
    assert "The copy keeps its state; nothing is sent again." in undone.untouched
    sent.issue("three", days=1)
    sent.returned(1, "three")
    assert sent.suppressed() == [("person1@example.com", suppression.HARD_BOUNCE)]  # the first one still counts


def test_undoing_the_earlier_report_lifts_what_rested_on_both(sent: Sent) -> None:
    sent.returned(1)
    sent.issue("two", days=4)
    sent.returned(1, "two")
    take_back(sent, 1)
    assert sent.suppressed() == []
    sent.later(1)
    sent.issue("three")
    sent.returned(1, "three")
    assert sent.suppressed() == []  # the second and third are a day apart


def test_undoing_takes_back_every_report_about_the_same_copy(sent: Sent) -> None:
    sent.returned(1)
    sent.app.intake.take_events([event_of(sent, 1)], way="ses")
    assert take_back(sent, 1).events == (1, 2)
    sent.issue("two", days=4)
    sent.returned(1, "two")
    assert sent.suppressed() == []


def consented(sent: Sent, number: int) -> None:
    """Write down the consent that the fixture leaves out."""
    with sent.app.database.write() as session:
        person = people.find(session, f"person{number}@example.com")
        consent.grant(
            session, person, lists.get(session, "members"), basis=Basis.CONSENT, source="form", actor="ann",
            evidence="form", at=sent.time,
        )  # fmt: skip


def test_undoing_a_complaint_puts_the_person_back(sent: Sent) -> None:
    consented(sent, 1)
    sent.take(complaint(sent.mark(1)))
    undone = take_back(sent, 1)
    assert sent.subscribed(1)
    assert sent.suppressed() == []
    assert undone.done == ("Suppression lifted: complaint.", "Back on the list members.")


def test_nobody_is_put_on_a_list_without_consent(sent: Sent) -> None:
    sent.take(complaint(sent.mark(1)))
    undone = take_back(sent, 1)
    assert not sent.subscribed(1)
    assert any("No consent is written down" in line for line in undone.untouched)


@pytest.mark.parametrize("way", ["token", "own words"])
def test_a_persons_own_wish_to_leave_cannot_be_undone(sent: Sent, way: str) -> None:
    consented(sent, 1)
    if way == "token":
        sent.take(
            reply("b+unsubscribe@example.org", sender="x@example.net", subject=f"unsubscribe {token_of(sent, 1)}")
        )
    else:
        answered = sent.copy(1).message_id
        sent.take(reply("news@example.org", sender="person1@example.com", subject="Unsubscribe", in_reply_to=answered))
    assert not sent.subscribed(1)
    with pytest.raises(Conflict, match="own wish to leave"):
        take_back(sent, 1)
    assert not sent.subscribed(1)


def test_a_providers_word_that_somebody_left_can_be_undone(sent: Sent) -> None:
    consented(sent, 1)
    event = event_of(sent, 1, kind=EventKind.UNSUBSCRIBED, klass=None)
    sent.app.intake.take_events([event], way="ses")
    assert not sent.subscribed(1)
    take_back(sent, 1)
    assert sent.subscribed(1)


def test_what_the_person_decided_since_stands(sent: Sent) -> None:
    sent.take(complaint(sent.mark(1)))
    with sent.app.database.write() as session:
        person = people.find(session, "person1@example.com")
        members = lists.get(session, "members")
        given = {"source": "form", "actor": "subscriber", "evidence": "form", "at": sent.time}
        consent.grant(session, person, members, basis=Basis.CONSENT, **given)  # type: ignore[arg-type]
        consent.withdraw(session, person, members, **given)  # type: ignore[arg-type]
    undone = take_back(sent, 1)
    assert not sent.subscribed(1)
    assert "The subscription to members was changed since, and stays as it is." in undone.untouched


def test_another_suppression_stays_and_is_named(sent: Sent) -> None:
    sent.take(complaint(sent.mark(1)))
    with sent.app.database.write() as session:
        suppression.suppress(
            session, pepper=sent.app.keys.pepper, address="person1@example.com", reason="by hand",
            evidence="telephone", at=sent.time,
        )  # fmt: skip
    undone = take_back(sent, 1)
    assert sent.suppressed() == [("person1@example.com", "by hand")]
    assert any("stays suppressed: by hand" in line for line in undone.untouched)


def test_undoing_a_proof_lets_what_was_before_it_count_again(sent: Sent) -> None:
    sent.returned(1)
    sent.issue("two", days=1)
    sent.take(away(sent.mark(1, "two"), sender="person1@example.com"))
    take_back(sent, 2)
    sent.issue("three", days=4)
    sent.returned(1, "three")
    assert sent.rules()[-1] is Rule.TWO_HARD


def test_what_did_nothing_or_was_undone_cannot_be_undone(sent: Sent) -> None:
    sent.take(complaint("abuse@example.org"))
    with pytest.raises(Conflict, match="touched nobody"):
        take_back(sent, 1)
    sent.returned(1)
    take_back(sent, 2)
    with pytest.raises(Conflict, match="was undone"):
        take_back(sent, 2)
    with pytest.raises(NotFound, match="no report '99'"):
        take_back(sent, 99)


def test_a_suppression_that_was_lifted_by_hand_starts_afresh(sent: Sent) -> None:
    sent.returned(1)
    sent.issue("two", days=4)
    sent.returned(1, "two")
    sent.later(1)
    with sent.app.database.write() as session:
        (entry,) = suppression.find(session, pepper=sent.app.keys.pepper, what="person1@example.com", now=sent.time)
        suppression.lift(session, entry, by="ann", why="mailbox works again", at=sent.time)
    sent.issue("three", days=1)
    sent.returned(1, "three")
    assert sent.suppressed() == []


def test_a_refusal_by_a_real_server_suppresses_at_once_and_can_be_undone(start_sink, sending_app, plan_issue) -> None:
    """The session suppresses in the commit of its outcome; the record that follows owns that suppression."""
    sink = start_sink(
        rules=[
            {"stage": "rcpt", "match": "person1@", "reply": "550 5.1.1 no such user here"},
            {"stage": "rcpt", "match": "person2@", "reply": "552 5.2.2 mailbox full"},
        ]
    )
    app = sending_app(sink.port)
    send_issue(app, plan_issue(app, 3))
    sent = Sent(app, plan_issue, time=app.now())
    assert sent.suppressed() == [("person1@example.com", suppression.HARD_BOUNCE)]
    assert app.intake.look() == 2
    sent.time = app.now()
    assert [(event.rule, len(event.suppression_ids)) for event in sent.events()] == [
        (Rule.AT_ONCE, 1),
        (Rule.COUNTED, 0),
    ]
    sent.time = app.now()
    assert "Suppression lifted: hard bounce." in take_back(sent, 1).done
    assert sent.suppressed() == []


def test_the_evidence_of_a_refusal_is_known_again_for_its_own_copy_alone() -> None:
    entry = Suppression(evidence=suppression.refusal_evidence("550 5.1.1 no such user", 17))
    assert suppression.is_of_refusal(entry, 17)
    assert not any(suppression.is_of_refusal(entry, other) for other in (7, 1, 117, None))
