"""What comes back touches exactly the person that a valid mark names, once, and nobody else."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError

from newsletter.tables import Delivery, NoticeKind
from newsletter.tables import DeliveryState as S
from subscribers import people, suppression
from subscribers.bounces import records
from subscribers.bounces.event import BounceClass, EventKind, Reason, ReportKind
from subscribers.bounces.intake import Disposition
from subscribers.bounces.policy import Rule, Sign
from subscribers.bounces.provider_marks import written_mark
from subscribers.bounces.providers import PROVIDERS
from subscribers.bounces.records import history
from subscribers.bounces.verp import marked_local_part
from subscribers.errors import DatabaseUnavailable
from subscribers.leaving import erase
from subscribers.tables import BounceEvent, BounceReport, ConsentEvent, Suppression
from tests.send.issue_out import Sent, event_of, original_of, token_of
from tests.send.returned_mail import MAILBOX_FULL, away, bounce, complaint, reply

DAY = timedelta(days=1)


def test_one_hard_bounce_suppresses_nobody_and_a_second_days_later_does(sent: Sent) -> None:
    assert sent.returned(1) is Disposition.PROCESSED
    assert sent.state(1) is S.BOUNCED
    assert sent.suppressed() == []
    sent.issue("two", days=4)
    assert sent.returned(1, "two") is Disposition.PROCESSED
    assert sent.suppressed() == [("person1@example.com", suppression.HARD_BOUNCE)]
    assert sent.rules() == [Rule.COUNTED, Rule.TWO_HARD]


def test_a_mail_again_changes_nothing_whichever_way_it_comes(sent: Sent) -> None:
    raw = bounce(sent.mark(1), recipient="person1@example.com")
    first = sent.app.intake.take_mail(raw, way="pipe")
    again = sent.app.intake.take_mail(
        b"Received: from a by b\r\n" + raw.replace(b"\n", b"\r\n"), way="imap", envelope_to=sent.mark(1)
    )
    assert again.disposition is Disposition.DUPLICATE
    assert again.report_id == first.report_id
    assert len(sent.events()) == 1


def test_a_report_without_a_mark_is_filed_and_touches_nobody(sent: Sent) -> None:
    taken = sent.take(bounce("bounces@example.org", recipient="person1@example.com"))
    assert taken is Disposition.UNKNOWN
    assert sent.rules() == [Rule.NO_MARK]
    assert sent.state(1) is S.SENT


def test_a_report_that_names_another_than_its_mark_touches_neither(sent: Sent) -> None:
    taken = sent.take(bounce(sent.mark(1), recipient="person2@example.com"))
    assert taken is Disposition.UNKNOWN
    assert sent.rules() == [Rule.OTHER_ADDRESS]
    assert (sent.state(1), sent.state(2)) == (S.SENT, S.SENT)


def test_a_mark_is_good_for_thirty_days(sent: Sent) -> None:
    sent.later(29.9)
    assert sent.returned(1) is Disposition.PROCESSED
    sent.later(0.2)
    assert sent.returned(2) is Disposition.UNKNOWN
    assert sent.rules() == [Rule.COUNTED, Rule.OLD_MARK]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (DataError, DataError),
        (IntegrityError, IntegrityError),
        (OperationalError, DatabaseUnavailable),
        (InterfaceError, DatabaseUnavailable),
    ],
)
def test_only_a_database_that_is_away_is_told_as_such(
    sent: Sent, error: type[DBAPIError], expected: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One mail that the database refuses each time must not keep those after it."""

    def refuse(*_given: object) -> None:
        raise error("INSERT", None, Exception("not this one"))

    monkeypatch.setattr(records, "report_of", refuse)
    with pytest.raises(expected):
        sent.returned(1)
    monkeypatch.undo()
    assert sent.returned(1) is Disposition.PROCESSED


def by_message_id(sent: Sent) -> Disposition:
    message_id = sent.copy(1).message_id
    return sent.take(bounce("news@example.org", recipient="person1@example.com", message_id=message_id))


def test_where_relays_rewrite_the_sender_the_message_id_of_the_copy_is_the_mark(sent: Sent) -> None:
    bounces = sent.app.config.bounces.model_copy(update={"envelope": "fixed"})
    sent.app.config = sent.app.config.model_copy(update={"bounces": bounces})
    assert by_message_id(sent) is Disposition.PROCESSED
    assert sent.state(1) is S.BOUNCED


def test_the_message_id_alone_makes_no_bounce_where_copies_have_signed_senders(sent: Sent) -> None:
    """Whoever gets an answer to a copy, or the copy sent on, has read it."""
    assert by_message_id(sent) is Disposition.UNKNOWN
    assert sent.rules() == [Rule.NO_MARK]
    assert sent.state(1) is S.SENT
    report = complaint("abuse@example.org", recipient="person1@example.com", message_id=sent.copy(1).message_id)
    assert sent.take(report) is Disposition.PROCESSED


def test_days_between_reports_are_counted_from_receipt_where_the_mail_has_just_come(sent: Sent) -> None:
    """The date is the writer's own word: who has two marks could make two days of one minute."""
    sent.issue("two", days=9)
    for slug, days in (("one", 8), ("two", 0)):
        sent.returned(1, slug, date=f"{sent.time - days * DAY:%a, %d %b %Y %H:%M:%S +0000}")
    assert {event.at for event in sent.events()} == {sent.time}
    assert sent.suppressed() == []


def test_what_may_have_lain_in_a_mailbox_is_dated_by_its_date(sent: Sent) -> None:
    written = sent.time + DAY
    sent.later(9)
    raw = bounce(sent.mark(1), recipient="person1@example.com", date=f"{written:%a, %d %b %Y %H:%M:%S +0000}")
    sent.app.intake.take_mail(raw, way="imap")
    assert [event.at for event in sent.events()] == [written]


def test_marks_of_two_copies_in_one_report_touch_nobody(sent: Sent) -> None:
    raw = bounce(sent.mark(1), recipient="person1@example.com", message_id=sent.copy(2).message_id)
    assert sent.take(raw) is Disposition.UNKNOWN
    assert sent.rules() == [Rule.MARKS_DISAGREE]


def test_an_envelope_sender_that_a_text_quotes_is_no_mark(sent: Sent) -> None:
    raw = bounce("news@example.org", recipient="person1@example.com", diagnostic=f"550 5.1.1 from <{sent.mark(1)}>")
    assert sent.take(raw) is Disposition.UNKNOWN


def test_the_address_that_it_was_delivered_to_counts_whatever_the_header_says(sent: Sent) -> None:
    raw = bounce("undisclosed-recipients:;", recipient="person1@example.com")
    assert sent.take(raw, envelope_to=sent.mark(1).upper()) is Disposition.PROCESSED


def test_a_report_that_names_nobody_is_about_the_marked_person(sent: Sent) -> None:
    assert sent.take(bounce(sent.mark(1))) is Disposition.PROCESSED
    (event,) = sent.events()
    assert (event.address, event.klass, event.rule) == ("person1@example.com", BounceClass.HARD, Rule.COUNTED)


def test_a_forwarding_that_fails_counts_as_soft(sent: Sent) -> None:
    raw = bounce(sent.mark(1), original="person1@example.com", recipient="elsewhere@example.net")
    assert sent.take(raw) is Disposition.PROCESSED
    assert sent.rules() == [Rule.FORWARDED]
    assert sent.events()[0].score == pytest.approx(0.5)


def test_a_copy_counts_once_whichever_way_it_is_reported(sent: Sent) -> None:
    sent.returned(1)
    sent.later(5)
    sent.returned(1, token="another report")
    sent.app.intake.take_events([event_of(sent, 1)], way="ses")
    assert sent.suppressed() == []
    assert sent.rules() == [Rule.COUNTED, Rule.REPEATED, Rule.REPEATED]
    assert all(event.score == pytest.approx(1.0, abs=0.03) for event in sent.events())


def test_a_providers_clock_cannot_put_days_between_two_reports(sent: Sent) -> None:
    sent.app.intake.take_events([event_of(sent, 1, at=datetime(1970, 1, 1, tzinfo=UTC))], way="ses")
    sent.issue("two")
    sent.returned(1, "two")
    unmarked = event_of(sent, 2, message_id=None, at=datetime(1970, 1, 1, tzinfo=UTC))
    sent.app.intake.take_events([unmarked], way="ses")
    assert sent.rules() == [Rule.COUNTED, Rule.COUNTED, Rule.NO_MARK]
    assert sent.suppressed() == []
    assert all(event.at >= sent.time - 30 * DAY for event in sent.events())


def test_soft_bounces_add_up_for_their_list_and_for_a_time(sent: Sent) -> None:
    sent.returned(3, diagnostic=MAILBOX_FULL, status="5.2.2")
    for number in range(2, 7):
        sent.issue(f"issue{number}", days=7)
        sent.returned(3, f"issue{number}", diagnostic=MAILBOX_FULL, status="5.2.2", token=str(number))
    assert sent.suppressed() == [("person3@example.com", suppression.SOFT_BOUNCES)]
    with sent.app.database.read() as session:
        entry = session.scalars(select(Suppression)).one()
    assert entry.list_id == sent.copy(3).list_id
    assert entry.expires_at == sent.time + 90 * DAY
    assert sent.rules()[-1] is Rule.SCORE


def test_what_is_our_fault_never_counts_and_alerts_the_chair_when_it_is_much(sent: Sent) -> None:
    alerting(sent, 3)
    for number in range(1, 6):
        sent.returned(number, diagnostic="550 5.7.1 blocked using a blocklist", status="5.7.1")
    assert set(sent.rules()) == {Rule.NEVER_COUNTS}
    assert sent.suppressed() == []
    (notice,) = sent.notices()
    assert notice.kind is NoticeKind.ALERT
    assert b"person" not in (notice.message or b"")


def alerting(sent: Sent, after: int) -> None:
    policy = sent.app.config.bounces.policy.model_copy(update={"alert_after": after})
    bounces = sent.app.config.bounces.model_copy(update={"policy": policy})
    alerts = sent.app.config.alerts.model_copy(update={"to": ("admin@example.org",)})
    sent.app.config = sent.app.config.model_copy(update={"bounces": bounces, "alerts": alerts})


def out_of_office(sent: Sent, number: int) -> bytes:
    """Return what Amazon SES makes of an out-of-office answer: a temporary bounce, without a word from the server."""
    return json.dumps(
        {
            "eventType": "Bounce",
            "mail": {"headers": [{"name": "Message-ID", "value": f"<{sent.copy(number).message_id}>"}]},
            "bounce": {
                "bounceType": "Transient",
                "bounceSubType": "General",
                "bouncedRecipients": [{"emailAddress": f"person{number}@example.com"}],
            },
        }
    ).encode()


def test_holiday_answers_by_amazon_are_no_bounces_and_alert_nobody(sent: Sent) -> None:
    alerting(sent, 2)
    for number in range(1, 6):
        sent.app.intake.take_events(PROVIDERS["ses"].read(out_of_office(sent, number)), way="ses")
    assert {sent.state(number) for number in range(1, 6)} == {S.SENT}
    assert set(sent.rules()) == {Rule.NOT_A_BOUNCE}
    assert sent.notices() == []


def mailed_by_amazon(notice: dict[str, object]) -> bytes:
    head = b"From: AWS Notifications <no-reply@sns.amazonaws.com>\nTo: news@example.org\nSubject: AWS Notification\n"
    return head + b"Content-Type: text/plain; charset=utf-8\n\n" + json.dumps(notice).encode() + b"\n"


@pytest.mark.parametrize("way", ["header", "tag", "id"])
def test_a_notice_of_amazon_that_comes_by_mail_names_its_copy(sent: Sent, way: str) -> None:
    remote = "0102018f00000000-aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee-000000"
    with sent.app.database.write() as session:
        session.execute(update(Delivery).where(Delivery.id == sent.copy(1).id).values(remote_id=remote))
    mark = written_mark(marked_local_part(sent.app.keys.marks.current, sent.copy(1).id))
    mail: dict[str, object] = {
        "header": {"headers": [{"name": "Message-ID", "value": f"<{sent.copy(1).message_id}>"}]},
        "tag": {"tags": {"mark": [mark]}},
        "id": {},
    }[way]
    mail = {"messageId": remote if way == "id" else "x", **mail}
    complained = {"complainedRecipients": [{"emailAddress": "person1@example.com"}]}
    taken = sent.take(mailed_by_amazon({"notificationType": "Complaint", "mail": mail, "complaint": complained}))
    assert taken is Disposition.PROCESSED
    assert sent.suppressed() == [("person1@example.com", suppression.COMPLAINT)]


def test_a_holiday_answer_that_amazon_mails_is_no_bounce(sent: Sent) -> None:
    notice = json.loads(out_of_office(sent, 1))
    sent.take(mailed_by_amazon({**notice, "notificationType": notice.pop("eventType")}))
    assert sent.rules() == [Rule.NOT_A_BOUNCE]
    assert sent.state(1) is S.SENT


@pytest.mark.parametrize("reason", [Reason.SUPPRESSED, Reason.UNDEFINED])
def test_what_a_provider_did_not_try_alerts_nobody(sent: Sent, reason: Reason) -> None:
    alerting(sent, 2)
    dropped = [event_of(sent, n, klass=BounceClass.SOFT, counts=False, reason=reason) for n in range(1, 6)]
    sent.app.intake.take_events(dropped, way="ses")
    assert set(sent.rules()) == {Rule.NEVER_COUNTS}
    assert sent.notices() == []


def test_a_delay_is_no_bounce_and_settles_what_was_uncertain(sent: Sent) -> None:
    with sent.app.database.write() as session:
        session.execute(update(Delivery).where(Delivery.id == sent.copy(1).id).values(state=S.UNCERTAIN))
    sent.returned(1, action="delayed", status="4.4.1", diagnostic="connect: timed out")
    assert sent.state(1) is S.SENT
    assert sent.rules() == [Rule.NOT_A_BOUNCE]


@pytest.mark.parametrize(("origin", "actor"), [("Recipient", "subscriber"), ("Admin", "provider"), ("", "provider")])
def test_what_somebody_entered_at_postmark_is_not_the_persons_own_act(sent: Sent, origin: str, actor: str) -> None:
    change = {
        "RecordType": "SubscriptionChange",
        "SuppressSending": True,
        "SuppressionReason": "ManualSuppression",
        "Origin": origin,
        "Recipient": "person1@example.com",
    }
    (event,) = PROVIDERS["postmark"].read(json.dumps(change).encode())
    sent.app.intake.take_events([replace(event, message_id=sent.copy(1).message_id)], way="postmark")
    assert not sent.subscribed(1)
    with sent.app.database.read() as session:
        line = session.scalars(select(ConsentEvent).order_by(ConsentEvent.id.desc())).first()
        assert line is not None
        assert line.actor == actor
        facts = history(session, sent.copy(1).address_hash)
    assert any(fact.sign is Sign.PROOF and fact.at == line.at for fact in facts) is (actor == "subscriber")


def test_a_complaint_takes_off_every_list_and_suppresses_at_once(sent: Sent) -> None:
    assert sent.take(complaint(sent.mark(1), recipient="person1@example.com")) is Disposition.PROCESSED
    assert not sent.subscribed(1)
    assert sent.suppressed() == [("person1@example.com", suppression.COMPLAINT)]


@pytest.mark.parametrize("named", ["", "d41d8cd98f00b204e9800998ecf8427e@example.com", "redacted@example.com"])
def test_a_complaint_that_hides_its_writer_is_known_by_the_mark(sent: Sent, named: str) -> None:
    raw = complaint("abuse@example.org", recipient=named, message_id=sent.copy(2).message_id)
    assert sent.take(raw) is Disposition.PROCESSED
    assert not sent.subscribed(2)


@pytest.mark.parametrize("kind", ["auth-failure", "not-spam", "virus"])
def test_a_feedback_report_that_is_no_complaint_touches_nobody(sent: Sent, kind: str) -> None:
    sent.take(complaint(sent.mark(1), recipient="person1@example.com", feedback_type=kind))
    assert sent.subscribed(1)
    assert sent.suppressed() == []


def test_a_complaint_about_another_than_the_marked_one_touches_nobody(sent: Sent) -> None:
    assert sent.take(complaint(sent.mark(1), recipient="person2@example.com")) is Disposition.UNKNOWN
    assert sent.subscribed(1)
    assert sent.subscribed(2)


def test_an_automatic_answer_proves_that_mail_arrives(sent: Sent) -> None:
    sent.returned(1)
    sent.issue("two", days=4)
    assert sent.take(away(sent.mark(1, "two"), sender="person1@example.com")) is Disposition.AUTOREPLY
    sent.issue("three", days=4)
    sent.returned(1, "three")
    assert sent.suppressed() == []
    assert sent.notices() == []


@pytest.mark.parametrize(("action", "rule"), [("delivered", Rule.PROOF), ("relayed", Rule.NOT_A_BOUNCE)])
def test_a_report_of_success_is_proof_only_where_it_arrived(sent: Sent, action: str, rule: Rule) -> None:
    sent.returned(1, action=action, status="2.0.0", diagnostic="250 2.0.0 Ok")
    assert sent.rules() == [rule]


def test_a_provider_event_is_taken_once_and_a_batch_is_one_transaction(sent: Sent) -> None:
    batch = [event_of(sent, 1), event_of(sent, 2, kind=EventKind.COMPLAINT, klass=None), event_of(sent, 1)]
    taken = sent.app.intake.take_events(batch, way="ses")
    assert [t.disposition for t in taken] == [Disposition.PROCESSED, Disposition.PROCESSED, Disposition.DUPLICATE]
    again = sent.app.intake.take_events(batch, way="ses")
    assert {t.disposition for t in again} == {Disposition.DUPLICATE}
    assert len(sent.events()) == 2
    assert sent.suppressed() == [("person2@example.com", suppression.COMPLAINT)]


def test_a_provider_event_without_a_mark_touches_nobody(sent: Sent) -> None:
    taken = sent.app.intake.take_events([event_of(sent, 1, message_id=None)], way="ses")
    assert [t.disposition for t in taken] == [Disposition.UNKNOWN]


def test_a_delivered_event_is_kept_only_where_something_is_known(sent: Sent) -> None:
    delivered = event_of(sent, 1, kind=EventKind.DELIVERED, klass=None)
    assert [t.report_id for t in sent.app.intake.take_events([delivered], way="ses")] == [None]
    sent.returned(1)
    sent.issue("two", days=1)
    proof = event_of(
        sent, 1, event_id="later", kind=EventKind.DELIVERED, klass=None, message_id=sent.copy(1, "two").message_id
    )
    sent.app.intake.take_events([proof], way="ses")
    assert sent.rules() == [Rule.COUNTED, Rule.PROOF]


def test_a_server_that_accepts_first_and_returns_later_has_proven_nothing(sent: Sent) -> None:
    for slug, days in (("two", 1), ("three", 4)):
        sent.issue(slug, days=days)
        message_id = sent.copy(1, slug).message_id
        delivered = event_of(sent, 1, event_id=f"d{slug}", kind=EventKind.DELIVERED, klass=None, message_id=message_id)
        sent.app.intake.take_events([delivered], way="ses")
        sent.later(0.1)
        failed = event_of(sent, 1, event_id=f"b{slug}", message_id=message_id)
        sent.app.intake.take_events([failed], way="ses")
    assert sent.suppressed() == [("person1@example.com", suppression.HARD_BOUNCE)]


def test_a_persons_reply_is_passed_on_whole_with_their_address_to_answer_to(sent: Sent) -> None:
    raw = reply("news@example.org", sender="person1@example.com", in_reply_to=sent.copy(1).message_id)
    assert sent.take(raw) is Disposition.REPLY
    (notice,) = sent.notices()
    message = notice.message or b""
    assert notice.kind is NoticeKind.REPLY
    assert b"\r\nReply-To: person1@example.com\r\n" in message
    assert b"\r\nAuto-Submitted: auto-generated\r\n" in message
    assert b"> Thank you for this!" in message
    assert original_of(message) == raw


def test_what_we_passed_on_is_never_passed_on_again(sent: Sent) -> None:
    sent.take(reply("news@example.org", sender="person1@example.com"))
    (notice,) = sent.notices()
    assert sent.take(notice.message or b"") is Disposition.UNKNOWN
    assert len(sent.notices()) == 1


def test_more_than_a_days_share_of_replies_waits_and_is_not_lost(sent: Sent) -> None:
    policy = sent.app.config.bounces.policy.model_copy(update={"replies_per_day": 2})
    bounces = sent.app.config.bounces.model_copy(update={"policy": policy})
    sent.app.config = sent.app.config.model_copy(update={"bounces": bounces})
    for number in range(1, 4):
        sent.take(reply("news@example.org", sender=f"person{number}@example.com", text=f"Hello {number}"))
    assert len(sent.notices()) == 2
    assert sent.rules()[-1] is Rule.WAITING
    sent.later(1.1)
    sent.app.intake.look()
    assert len(sent.notices()) == 3
    assert sent.rules()[-1] is Rule.PASSED_ON


def test_a_subject_that_only_looks_automatic_is_passed_on(sent: Sent) -> None:
    raw = reply("news@example.org", sender="person1@example.com", subject="Absence from the meeting on Thursday")
    assert sent.take(raw) is Disposition.REPLY


@pytest.mark.parametrize(
    "subject",
    [
        "Re: Please confirm your place at the summer party",
        "RE: Verify your email settings",
        "AW: Bitte bestätigen Sie Ihre Teilnahme",
        "Please confirm your place at the summer party",
    ],
)
def test_words_of_a_challenge_in_a_persons_subject_are_passed_on(sent: Sent, subject: str) -> None:
    assert sent.take(reply("news@example.org", sender="person1@example.com", subject=subject)) is Disposition.REPLY


@pytest.mark.parametrize("prefix", ["Re: ", "SV: ", "Odp: ", "Re[2]: ", ""])
def test_words_of_a_bounce_in_a_persons_answer_are_passed_on(sent: Sent, prefix: str) -> None:
    raw = reply(
        "news@example.org",
        sender="person1@example.com",
        subject=f"{prefix}Bounce back: news",
        text="The flowers for old@example.net: the mail could not be delivered.",
        in_reply_to="" if prefix else sent.copy(1).message_id,
    )
    assert sent.take(raw) is Disposition.REPLY
    assert len(sent.notices()) == 1


@pytest.mark.parametrize("named", ["", " to person1@example.com"])
def test_a_bounce_in_words_alone_still_counts_by_its_mark(sent: Sent, named: str) -> None:
    raw = reply(
        sent.mark(1), sender="MAILER-DAEMON@mx.example.net", subject="Re: Undelivered mail",
        text=f"Your mail could not be delivered{named}\n550 5.1.1 user unknown",
    )  # fmt: skip
    assert sent.take(raw) is Disposition.PROCESSED
    assert sent.rules() == [Rule.COUNTED]


@pytest.mark.parametrize(
    "sender", ["ann@postmasters.example.net", "jo.postmaster@example.net", "postmaster@example.net"]
)
def test_somebody_who_is_called_postmaster_is_passed_on(sent: Sent, sender: str) -> None:
    assert sent.take(reply("news@example.org", sender=sender)) is Disposition.REPLY


@pytest.mark.parametrize(
    "extra", ["Precedence: list\n", "List-Id: <x.example>\n", "List-Id: <x.y>\nPrecedence: list\n"]
)
def test_what_came_by_a_group_is_passed_on(sent: Sent, extra: str) -> None:
    assert sent.take(reply("news@example.org", sender="a@example.net", extra=extra)) is Disposition.REPLY


def test_our_own_issue_that_comes_back_by_a_group_is_filed(sent: Sent) -> None:
    raw = f"From: news@example.org\nList-Id: <x.y>\nMessage-ID: <{sent.copy(1).message_id}>\nSubject: News\n\nHello\n"
    assert sent.take(raw.encode()) is Disposition.UNKNOWN
    assert sent.notices() == []


@pytest.mark.parametrize("extra", ["Auto-Submitted: auto-generated\n", "Precedence: bulk\n", "Return-Path: <>\n"])
@pytest.mark.parametrize("subject", ["Re: November news", "Please confirm your place"])
def test_a_machine_that_reports_nothing_is_filed(sent: Sent, extra: str, subject: str) -> None:
    taken = sent.take(reply("news@example.org", sender="a@example.net", extra=extra, subject=subject))
    assert taken in (Disposition.UNKNOWN, Disposition.AUTOREPLY)
    assert sent.notices() == []


@pytest.mark.parametrize("sender", ["MAILER-DAEMON@example.net", "no-reply@example.net", "shop-noreply@example.net"])
def test_a_robots_address_is_no_person(sent: Sent, sender: str) -> None:
    assert sent.take(reply("news@example.org", sender=sender)) is Disposition.UNKNOWN


def test_an_unsubscribe_by_mail_with_our_token_is_honoured(sent: Sent) -> None:
    raw = reply("b+unsubscribe@example.org", sender="alias@example.net", subject=f"unsubscribe {token_of(sent, 1)}")
    assert sent.take(raw) is Disposition.PROCESSED
    assert not sent.subscribed(1)
    assert sent.notices() == []


def test_a_changed_token_is_passed_on_and_unsubscribes_nobody(sent: Sent) -> None:
    token = token_of(sent, 1)
    forged = token[:-2] + ("AA" if token[-2:] != "AA" else "BB")
    assert (
        sent.take(reply("x@example.org", sender="e@evil.example", subject=f"unsubscribe {forged}")) is Disposition.REPLY
    )
    assert sent.subscribed(1)


@pytest.mark.parametrize("words", ["Unsubscribe", "Re: dad-danysgrifio", "Wypisz mnie!", "إلغاء الاشتراك"])
def test_words_that_ask_to_leave_are_honoured_in_answer_to_the_own_copy(sent: Sent, words: str) -> None:
    sent.later(60)  # the wish to leave has no end
    raw = reply("news@example.org", sender="Person1@Example.com", subject=words, in_reply_to=sent.copy(1).message_id)
    assert sent.take(raw) is Disposition.PROCESSED
    assert not sent.subscribed(1)


def test_words_that_ask_to_leave_in_anothers_name_are_passed_on(sent: Sent) -> None:
    raw = reply(
        "news@example.org", sender="person2@example.com", subject="Unsubscribe", in_reply_to=sent.copy(1).message_id
    )
    assert sent.take(raw) is Disposition.REPLY
    assert sent.subscribed(1)
    assert sent.subscribed(2)
    assert b"nobody was unsubscribed" in (sent.notices()[0].message or b"").replace(b"=\r\n", b"")


def refuse(sent: Sent, number: int, *, reply: str, code: int = 550, state: S = S.BOUNCED) -> None:
    with sent.app.database.write() as session:
        session.execute(
            update(Delivery)
            .where(Delivery.id == sent.copy(number).id)
            .values(state=state, reply_code=code, reply_text=reply, reply_status=reply.split()[0], state_at=sent.time)
        )


def test_refusals_met_while_sending_feed_the_same_records_once(sent: Sent) -> None:
    refuse(sent, 1, reply="5.1.1 no such user")
    refuse(sent, 2, reply="5.2.2 mailbox full", code=552)
    refuse(sent, 3, reply="4.3.0 try again later", code=451, state=S.EXPIRED)
    assert sent.app.intake.look() == 3
    assert sent.app.intake.look() == 0
    assert [(e.klass, e.reason, e.rule) for e in sent.events()] == [
        (BounceClass.HARD, Reason.USER_UNKNOWN, Rule.AT_ONCE),
        (BounceClass.SOFT, Reason.MAILBOX_FULL, Rule.COUNTED),
        (BounceClass.SOFT, Reason.EXPIRED, Rule.COUNTED),
    ]
    assert sent.suppressed() == [("person1@example.com", suppression.HARD_BOUNCE)]


def test_a_report_about_a_copy_that_was_put_off_first_is_no_refusal_in_a_session(sent: Sent) -> None:
    """Its row still holds the 451 of the earlier attempt; the words of the report must not suppress at once."""
    with sent.app.database.write() as session:
        session.execute(
            update(Delivery).where(Delivery.id == sent.copy(1).id).values(state=S.UNCERTAIN, reply_code=451)
        )
    sent.returned(1)
    assert sent.state(1) is S.BOUNCED
    assert sent.app.intake.look() == 0
    assert sent.suppressed() == []


def test_a_mail_as_it_came_is_forgotten_after_its_time(sent: Sent) -> None:
    sent.returned(1)
    sent.later(31)
    sent.app.intake.look()
    with sent.app.database.read() as session:
        assert session.scalars(select(BounceReport.raw)).all() == [None]
    assert sent.rules() == [Rule.COUNTED]


def test_an_erasure_takes_the_mail_about_and_from_a_person_and_later_mail_keeps_nothing(sent: Sent) -> None:
    sent.returned(1)
    sent.take(reply("news@example.org", sender="person1@example.com"))
    with sent.app.database.write() as session:
        erase(session, people.find(session, "person1@example.com"), evidence="letter", at=sent.time)
    sent.returned(1, token="afterwards")
    sent.take(bounce("bounces@example.org", recipient="person1@example.com", token="unmarked"))
    with sent.app.database.read() as session:
        for row in session.scalars(select(BounceReport)):
            assert (row.raw, row.sender, row.subject) == (None, None, None)
        for event in session.scalars(select(BounceEvent)):
            assert (event.address, event.domain, event.words) == (None, "", "")


def test_kinds_of_mail_are_told_apart(sent: Sent) -> None:
    sent.returned(1)
    sent.take(away(sent.mark(2), sender="person2@example.com"))
    sent.take(complaint(sent.mark(3)))
    kinds = [event.kind for event in sent.events()]
    assert kinds == [ReportKind.BOUNCE, ReportKind.AUTOREPLY, ReportKind.COMPLAINT]
