"""Each row of the reply table as a whole run meets it: what the server says, and what becomes of copies and issue."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import pytest
from sqlalchemy import update

from newsletter.send import control
from newsletter.send.dispatch import send_issue
from newsletter.tables import Delivery, DeliveryState, Issue, IssueState

PEOPLE = 8
ONE = "person3@"
POLICY, LATER, SILENCE = "refused by policy", "try again later", "no reply to the dot"


class Row(NamedTuple):
    """What the server does, and what comes of it; *one* is the state of person 3, the others are then sent."""

    rule: dict[str, Any]
    one: DeliveryState
    charged: int
    reason: str = ""


class Pause(NamedTuple):
    """What the server does to everybody, and the words with which the issue pauses."""

    rule: dict[str, Any]
    words: str
    kind: control.PauseKind = control.PauseKind.REFUSALS
    smtp: dict[str, Any] = {}


def only_one(stage: str, reply: str | None, **more: Any) -> dict[str, Any]:
    return {"stage": stage, "match": ONE, "reply": reply, **more}


ROWS = {
    "a 421 at RCPT, once": Row(only_one("rcpt", "421 4.3.2 closing", times=1), DeliveryState.SENT, 1),
    "a 421 at DATA, once": Row(only_one("data", "421 4.3.2 closing", times=1), DeliveryState.SENT, 1),
    "a 4yz at MAIL, once": Row({"stage": "mail", "reply": "451 4.3.0 later", "times": 1}, DeliveryState.SENT, 1),
    "5.1.1 at RCPT": Row(only_one("rcpt", "550 5.1.1 no such user"), DeliveryState.BOUNCED, 1, "unknown mailbox"),
    "5.2.1 at RCPT": Row(only_one("rcpt", "550 5.2.1 disabled"), DeliveryState.BOUNCED, 1, "refused"),
    "a plain 550 at RCPT": Row(only_one("rcpt", "550 not taken"), DeliveryState.BOUNCED, 1, "refused"),
    "4.2.2 at RCPT": Row(only_one("rcpt", "452 4.2.2 full"), DeliveryState.DEFERRED, 1, LATER),
    "a plain 450 at RCPT": Row(only_one("rcpt", "450 later"), DeliveryState.DEFERRED, 1, LATER),
    "greylisting": Row(only_one("rcpt", "451 4.7.1 greylisted"), DeliveryState.DEFERRED, 1, LATER),
    "452 4.5.3": Row(only_one("rcpt", "452 4.5.3 too many"), DeliveryState.DEFERRED, 1, LATER),
    "policy at RCPT": Row(only_one("rcpt", "550 5.7.1 blocked"), DeliveryState.DEFERRED, 0, POLICY),
    "policy at DATA": Row(only_one("data", "550 5.7.1 blocked"), DeliveryState.DEFERRED, 0, POLICY),
    "a 421 by policy at RCPT": Row(only_one("rcpt", "421 4.7.28 flood"), DeliveryState.DEFERRED, 0, POLICY),
    "Google at the dot": Row(only_one("dot", "550 5.7.26 unauthenticated"), DeliveryState.DEFERRED, 0, POLICY),
    "Google's 421 at the dot": Row(only_one("dot", "421 4.7.28 rate"), DeliveryState.DEFERRED, 0, POLICY),
    "Microsoft at the dot": Row(only_one("dot", "550 5.7.515 denied"), DeliveryState.DEFERRED, 0, POLICY),
    "Yahoo at the dot": Row(only_one("dot", "554 5.7.9 for policy"), DeliveryState.DEFERRED, 0, POLICY),
    "words of spam at the dot": Row(only_one("dot", "554 looks like spam"), DeliveryState.DEFERRED, 0, POLICY),
    "a 4yz at the dot": Row(only_one("dot", "451 4.3.0 later"), DeliveryState.DEFERRED, 1, LATER),
    "a 421 at the dot": Row(only_one("dot", "421 4.3.2 closing"), DeliveryState.DEFERRED, 1, LATER),
    "too big": Row(only_one("dot", "552 5.3.4 too big"), DeliveryState.HELD, 1, "content refused"),
    "5.6.x": Row(only_one("dot", "554 5.6.0 malformed"), DeliveryState.HELD, 1, "content refused"),
    "552 in words": Row(only_one("dot", "552 message size exceeds limit"), DeliveryState.HELD, 1, "content refused"),
    "5.1.1 at the dot": Row(only_one("dot", "550 5.1.1 unknown"), DeliveryState.BOUNCED, 1, "unknown mailbox"),
    "5.2.2 at the dot": Row(only_one("dot", "552 5.2.2 full"), DeliveryState.BOUNCED, 1, "refused"),
    "the end after the dot": Row(only_one("dot", None), DeliveryState.UNCERTAIN, 1, SILENCE),
    "silence after the dot": Row(only_one("dot", None, delay=60, accept=True), DeliveryState.UNCERTAIN, 1, SILENCE),
    "nonsense after the dot": Row(only_one("dot", "354 eh?"), DeliveryState.UNCERTAIN, 1, "no clear reply to the dot"),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("flags", [(), ("--no-pipelining",)], ids=["pipelining", "one by one"])
def test_a_reply_about_one_concerns_nobody_else(start_sink, sending_app, plan_issue, deliveries, row, flags):
    sink = start_sink(*flags, rules=[row.rule])
    app = sending_app(sink.port, connections=2, dot_timeout_seconds=3 if "delay" in row.rule else 60)
    # Everybody has a domain of their own, so that the breaker of one provider stops nobody else.
    report = send_issue(app, plan_issue(app, PEOPLE, address=lambda n: f"person{n}@domain{n}.example"))
    found = deliveries(app)
    one = found.pop("person3@domain3.example")
    assert (one.state, one.attempt) == (row.one, row.charged)
    assert {other.state for other in found.values()} == {DeliveryState.SENT}
    assert report.state is (IssueState.SENDING if row.one is DeliveryState.DEFERRED else IssueState.SENT)
    if row.reason:
        assert one.reason == row.reason
        assert one.reply_text
    if one.state is DeliveryState.DEFERRED:
        assert one.retry_at > app.now()
    assert max(sink.accepted().values()) == 1


PAUSES = {
    "554 banner": Pause({"stage": "connect", "reply": "554 5.3.2 no"}, "no", control.PauseKind.RELAY),
    "421 banner": Pause({"stage": "connect", "reply": "421 4.3.2 busy"}, "busy", control.PauseKind.RELAY),
    "no banner": Pause(
        {"stage": "connect", "delay": 30},
        "cannot be",
        control.PauseKind.RELAY,
        {"connect_timeout_seconds": 0.5},
    ),
    "the end instead of a banner": Pause({"stage": "connect", "reply": None}, "cannot be", control.PauseKind.RELAY),
    "550 to EHLO and HELO": Pause({"stage": "ehlo", "reply": "421 4.3.2 no"}, "mail server", control.PauseKind.RELAY),
    "STARTTLS missing": Pause({"stage": "none"}, "Check smtp.tls", smtp={"tls": "required"}),
    "STARTTLS refused": Pause(
        {"stage": "starttls", "reply": "454 4.7.0 TLS not available"}, "Check smtp.tls", smtp={"tls": "required"}
    ),
    "AUTH refused": Pause(
        {"stage": "auth", "reply": "535 5.7.8 bad password"},
        "smtp.password",
        smtp={"username": "news", "password": "wrong"},
    ),
    "AUTH missing": Pause({"stage": "none"}, "smtp.username", smtp={"username": "news", "password": "wrong"}),
    "530 at MAIL": Pause({"stage": "mail", "reply": "530 5.7.0 authentication required"}, "then resume the issue"),
    "530 about TLS": Pause({"stage": "mail", "reply": "530 5.7.0 must issue a STARTTLS command first"}, "[smtp]"),
    "5.1.7 at MAIL": Pause({"stage": "mail", "reply": "553 5.1.7 bad sender"}, "organisation.from_address"),
    "5.1.8 at MAIL": Pause({"stage": "mail", "reply": "550 5.1.8 bad sender domain"}, "bounces.domain"),
    "5.7.1 at MAIL": Pause({"stage": "mail", "reply": "550 5.7.1 not allowed"}, "then resume the issue"),
    "a plain 550 at MAIL": Pause({"stage": "mail", "reply": "550 no"}, "sender address"),
    "5.1.8 at RCPT": Pause({"stage": "rcpt", "reply": "550 5.1.8 sender domain not found"}, "sender address"),
    "421 at MAIL for good": Pause({"stage": "mail", "reply": "421 4.3.2 busy"}, "busy", control.PauseKind.RELAY),
    "451 at MAIL for good": Pause({"stage": "mail", "reply": "451 4.3.0 later"}, "later", control.PauseKind.RELAY),
    "content from two providers": Pause({"stage": "dot", "reply": "554 5.6.0 malformed"}, "refused for their content"),
    "policy of three providers": Pause({"stage": "dot", "reply": "550 5.7.26 unauthenticated"}, "newsletter doctor"),
}


@pytest.mark.parametrize("row", PAUSES.values(), ids=PAUSES)
def test_what_concerns_everybody_pauses_the_issue_in_words(
    start_sink, sending_app, plan_issue, deliveries, monkeypatch, row
):
    monkeypatch.setattr("newsletter.send.relay.DOWN_AFTER_SECONDS", 0.3)
    sink = start_sink(rules=[row.rule])
    app = sending_app(sink.port, connections=2, **row.smtp)
    issue = plan_issue(app, PEOPLE, address=lambda n: f"person{n}@domain{n}.example")
    report = send_issue(app, issue)
    assert report.state is IssueState.PAUSED
    assert row.words in report.reason
    states = Counter(delivery.state for delivery in deliveries(app).values())
    assert set(states) <= {DeliveryState.PENDING, DeliveryState.DEFERRED, DeliveryState.HELD}
    assert states[DeliveryState.HELD] == 0 or "content" in row.words
    assert {delivery.attempt for delivery in deliveries(app).values()} <= {int(states[DeliveryState.HELD] > 0), 0}
    with app.database.read() as session:
        assert control.pause_kind(session, issue) is row.kind
    assert not sink.accepted()


def test_content_refused_by_one_provider_three_times_pauses(start_sink, sending_app, plan_issue):
    sink = start_sink(rules=[{"stage": "dot", "match": "person[345]@", "reply": "552 5.3.4 too big"}])
    app = sending_app(sink.port, connections=1)
    report = send_issue(app, plan_issue(app, PEOPLE))
    assert report.state is IssueState.PAUSED
    assert "552 5.3.4" in report.reason
    assert report.counts["held"] == 3


def test_after_the_cause_is_mended_a_resume_sends_all(start_sink, sending_app, plan_issue, deliveries):
    sink = start_sink(rules=[{"stage": "dot", "reply": "550 5.7.26 unauthenticated", "times": 4}])
    app = sending_app(sink.port, connections=1)
    issue = plan_issue(app, PEOPLE, address=lambda n: f"person{n}@domain{n}.example")
    assert send_issue(app, issue).state is IssueState.PAUSED
    for _ in range(3):  # the server refuses one more, which is then tried again
        with app.database.write() as session:
            found = session.get_one(Issue, issue)
            if found.state is IssueState.PAUSED:
                control.resume(session, found, now=app.now())
            session.execute(update(Delivery).where(Delivery.retry_at.is_not(None)).values(retry_at=app.now()))
        report = send_issue(app, issue)
    assert report.state is IssueState.SENT
    assert report.counts["sent"] == PEOPLE
    assert {delivery.attempt for delivery in deliveries(app).values()} == {1}
