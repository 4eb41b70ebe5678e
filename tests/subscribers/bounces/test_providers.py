"""What providers say of the mail, in our words: on the labelled posts beside the checkout, and form by form."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from subscribers.bounces.event import BounceClass, EventKind, ProviderEvent, Reason
from subscribers.bounces.provider_marks import MARK_FIELDS, handed_back, mark_fields, remote_id, written_mark
from subscribers.bounces.providers import PROVIDERS
from subscribers.bounces.providers.notice import KINDS, Happened, Notice, Refusal
from subscribers.bounces.providers.payload import PayloadUnreadable, moment
from tests.subscribers.bounces import signing
from tests.subscribers.bounces.signing import ADDRESS, BOUNCES

EVERY = sorted(PROVIDERS)
# One post is labelled twice, for two settings of the program that the labels are from.
EITHER = {"initial_open_event_as_opened": {"opened", "unknown"}}
# Of one post only our own variables were kept; Mailgun's fields stand before them in the form.
FORM = {
    "event": "clicked",
    "recipient": "actual-recipient@example.com",
    "token": "actual-event-token",
    "timestamp": "1461261330",
    "signature": "actual-signature",
}


def read(provider: str, found: Any, headers: dict[str, str] | None = None) -> list[ProviderEvent]:
    return PROVIDERS[provider].read(json.dumps(found).encode(), headers)


def notices(provider: str, found: Any) -> list[Notice]:
    batch = PROVIDERS[provider].read_batch(json.dumps(found).encode())
    assert batch.unreadable == ()
    return [notice for _, notice, _ in batch.notices]


def posted(material: dict[str, Any]) -> list[bytes]:
    """Return the posts of one file of the material."""
    if set(material["payloads"]) == {"metadata"}:
        pairs = [*FORM.items(), *material["payloads"]["metadata"].items()]
        return [urlencode(pairs).encode()]
    return [json.dumps(found).encode() for found in material["payloads"].values()]


def test_every_labelled_post_is_read_as_labelled(shared: Path) -> None:
    folder = shared / "bounces" / "webhooks"
    labels = json.loads((folder / "labels.json").read_text())["files"]
    wrong = []
    for name, label in labels.items():
        material = json.loads((folder / name).read_text())
        provider = PROVIDERS[{"amazon_ses": "ses"}.get(material["esp"], material["esp"])]
        batches = [provider.read_batch(body) for body in posted(material)]
        found = [notice for batch in batches for _, notice, _ in batch.notices]
        events = [event for body in posted(material) for event in provider.read(body)]
        assert not any(batch.unreadable for batch in batches)
        said = {
            "event_type": [str(n.happened) for n in found],
            "recipient": [n.address for n in found],
            "reject_reason": [n.refusal and str(n.refusal) for n in found],
        }
        for key, value in said.items():
            wanted = label[key]
            if wanted is not None and len(wanted) == 1:  # the labels name once what all recipients have in common
                value = value[:1] if len(set(value)) == 1 else value
            either = next((alike for part, alike in EITHER.items() if part in name), set())
            if wanted is not None and value != wanted and not (key == "event_type" and set(value) <= either):
                wrong.append((name, key, wanted, value))
        assert [e.kind for e in events] == [KINDS.get(n.happened, EventKind.OTHER) for n in found]
        assert [e.address for e in events] == [n.address for n in found]
    assert len(labels) == 110
    assert wrong == []


@pytest.mark.parametrize("name", EVERY)
def test_an_unknown_mailbox_is_a_hard_bounce_by_every_provider(name: str) -> None:
    made = BOUNCES[name]()
    (event,) = PROVIDERS[name].read(made.posted.body, made.posted.headers)
    assert (event.kind, event.klass, event.counts) == (EventKind.BOUNCE, BounceClass.HARD, True)
    assert event.address == ADDRESS
    if name != "resend":  # which said no more than "permanent"
        assert event.reason is Reason.USER_UNKNOWN


@pytest.mark.parametrize("name", EVERY)
def test_an_event_has_the_same_id_each_time_and_another_event_another(name: str) -> None:
    made = BOUNCES[name]()
    provider = PROVIDERS[name]
    (first,) = provider.read(made.posted.body, made.posted.headers)
    (again,) = provider.read(made.posted.body, made.posted.headers)
    assert first.event_id == again.event_id
    assert 0 < len(first.event_id) <= 110


# -- what must not be held against anybody


def bounced(event: ProviderEvent) -> tuple[BounceClass | None, bool, Reason | None]:
    assert event.kind is EventKind.BOUNCE
    return event.klass, event.counts, event.reason


NEVER = (BounceClass.SOFT, False, Reason.SUPPRESSED)


@pytest.mark.parametrize(
    ("provider", "post"),
    [
        ("sendgrid", [{"event": "dropped", "reason": "Bounced Address", "status": "5.1.1", "email": ADDRESS}]),
        ("sendgrid", [{"event": "dropped", "reason": "Unsubscribed Address", "email": ADDRESS}]),
        (
            "ses",
            {
                "eventType": "Bounce",
                "bounce": {
                    "bounceType": "Permanent",
                    "bounceSubType": "OnAccountSuppressionList",
                    "bouncedRecipients": [
                        {
                            "emailAddress": ADDRESS,
                            "status": "5.1.1",
                            "diagnosticCode": "Amazon SES did not send the message to this address because it is on "
                            "the suppression list for your account.",
                        }
                    ],
                },
                "mail": {},
            },
        ),
        (
            "mailgun",
            {
                "event-data": {
                    "event": "failed",
                    "severity": "permanent",
                    "reason": "suppress-bounce",
                    "recipient": ADDRESS,
                    "delivery-status": {"code": 605, "message": "Not delivering to previously bounced address"},
                }
            },
        ),
        ("mailjet", [{"event": "blocked", "error": "preblocked", "email": ADDRESS}]),
        ("postmark", {"RecordType": "Bounce", "Type": "ManuallyDeactivated", "Email": ADDRESS}),
        ("brevo", {"event": "blocked", "reason": "blocked : due to blacklist user", "email": ADDRESS}),
        (
            "resend",
            {
                "type": "email.bounced",
                "data": {
                    "to": [ADDRESS],
                    "bounce": {"type": "Permanent", "subType": "Suppressed", "message": "was on the suppression list"},
                },
            },
        ),
        ("resend", {"type": "email.suppressed", "data": {"to": [ADDRESS], "suppressed": {"message": "suppressed"}}}),
        ("mandrill", [{"event": "reject", "msg": {"email": ADDRESS, "_id": "1"}, "_id": "1"}]),
        ("mailtrap", {"events": [{"event": "reject", "email": ADDRESS, "reason": "suppressed"}]}),
        (
            "sparkpost",
            [{"msys": {"gen_event": {"type": "generation_rejection", "bounce_class": "25", "rcpt_to": ADDRESS}}}],
        ),
        (
            "unisender_go",
            {
                "event_name": "transactional_email_status",
                "status": "hard_bounced",
                "email": ADDRESS,
                "delivery_info": {"delivery_status": "err_unsubscribed"},
            },
        ),
    ],
)
def test_what_a_provider_did_not_try_is_no_new_bounce(provider: str, post: Any) -> None:
    (event,) = read(provider, post)
    assert bounced(event) == NEVER
    assert event.address == ADDRESS


def test_blocked_by_the_receiver_is_not_bounced() -> None:
    post = [
        {"event": "bounce", "type": "blocked", "email": ADDRESS, "reason": "550 5.7.1 blocked using zen.spamhaus.org"}
    ]
    (event,) = read("sendgrid", post)
    assert bounced(event) == (BounceClass.SOFT, False, Reason.BLOCKED)
    (event,) = read("sendgrid", [{**post[0], "reason": "550 5.1.1 user unknown"}])
    assert bounced(event) == NEVER


@pytest.mark.parametrize(
    ("provider", "post"),
    [
        ("sendgrid", [{"event": "deferred", "email": ADDRESS, "response": "550 5.1.1 user unknown"}]),
        ("brevo", {"event": "deferred", "email": ADDRESS, "reason": "550 5.1.1 user unknown"}),
        ("sparkpost", [{"msys": {"message_event": {"type": "delay", "bounce_class": "10", "rcpt_to": ADDRESS}}}]),
        ("mailgun", {"event-data": {"event": "failed", "severity": "temporary", "recipient": ADDRESS}}),
        ("mandrill", [{"event": "deferral", "msg": {"email": ADDRESS, "diag": "452 4.2.2 full"}}]),
        ("mailersend", {"type": "activity.deferred", "data": {"email": {"recipient": {"email": ADDRESS}}}}),
        (
            "ses",
            {
                "eventType": "DeliveryDelay",
                "mail": {},
                "deliveryDelay": {
                    "delayType": "MailboxFull",
                    "delayedRecipients": [{"emailAddress": ADDRESS, "status": "4.2.2"}],
                },
            },
        ),
    ],
)
def test_delayed_is_no_bounce(provider: str, post: Any) -> None:
    (event,) = read(provider, post)
    assert (event.kind, event.klass, event.counts) == (EventKind.DELAYED, BounceClass.DELAYED, False)


def ses_bounce(kind: str, part: str, **recipient: str) -> dict[str, Any]:
    people = [{"emailAddress": ADDRESS, **recipient}]
    return {
        "eventType": "Bounce",
        "mail": {"messageId": "m"},
        "bounce": {"bounceType": kind, "bounceSubType": part, "bouncedRecipients": people},
    }


@pytest.mark.parametrize(
    ("post", "expected"),
    [
        (ses_bounce("Permanent", "General"), (BounceClass.HARD, True, Reason.UNDEFINED)),
        (ses_bounce("Permanent", "NoEmail"), (BounceClass.HARD, True, Reason.USER_UNKNOWN)),
        (
            ses_bounce("Permanent", "General", status="5.7.1", diagnosticCode="smtp; 550 5.7.1 rejected as spam"),
            (BounceClass.SOFT, False, Reason.SPAM),
        ),
        (ses_bounce("Transient", "MailboxFull"), (BounceClass.SOFT, True, Reason.MAILBOX_FULL)),
        (
            ses_bounce("Transient", "General", status="4.4.7", diagnosticCode="smtp; 550 4.4.7 Message expired"),
            (BounceClass.SOFT, True, Reason.EXPIRED),
        ),
        (ses_bounce("Transient", "ContentRejected"), (BounceClass.SOFT, False, Reason.CONTENT)),
        # An out-of-office answer comes this way, without a word from the receiving server.
        (ses_bounce("Transient", "General"), (BounceClass.SOFT, False, Reason.UNDEFINED)),
        (ses_bounce("Undetermined", "Undetermined"), (BounceClass.SOFT, True, Reason.UNDEFINED)),
        (
            ses_bounce("Transient", "General", status="5.1.1", diagnosticCode="smtp; 550 5.1.1 user unknown"),
            (BounceClass.SOFT, True, Reason.USER_UNKNOWN),
        ),
    ],
)
def test_amazons_kinds_of_bounce(post: dict[str, Any], expected: tuple[BounceClass, bool, Reason]) -> None:
    (event,) = read("ses", post)
    assert bounced(event) == expected


def test_a_providers_own_trouble_is_nobodys_bounce() -> None:
    post = {
        "type": "generation_failure",
        "rcpt_to": ADDRESS,
        "raw_reason": "554 5.3.3 [internal] Error while rendering",
    }
    (event,) = read("sparkpost", [{"msys": {"message_event": post}}])
    assert (event.kind, event.klass, event.counts) == (EventKind.BOUNCE, BounceClass.SOFT, False)


def test_a_filter_that_took_mail_for_spam_has_not_complained() -> None:
    (event,) = read("postmark", {"RecordType": "Bounce", "Type": "SpamNotification", "Email": ADDRESS})
    assert bounced(event) == (BounceClass.SOFT, False, Reason.SPAM)
    complaint = {
        "eventType": "Complaint",
        "mail": {},
        "complaint": {"complainedRecipients": [{"emailAddress": ADDRESS}]},
    }
    (event,) = read("ses", complaint)
    assert event.kind is EventKind.COMPLAINT
    complaint["complaint"]["complaintFeedbackType"] = "not-spam"  # type: ignore[index]
    (event,) = read("ses", complaint)
    assert event.kind is EventKind.OTHER
    complaint["complaint"] = {  # type: ignore[assignment]
        "complainedRecipients": [{"emailAddress": ADDRESS}],
        "complaintSubType": "OnAccountSuppressionList",
    }
    (event,) = read("ses", complaint)
    assert bounced(event) == NEVER


@pytest.mark.parametrize("kind", ["AutoResponder", "ChallengeVerification", "AddressChange"])
def test_an_automatic_answer_is_no_bounce(kind: str) -> None:
    (event,) = read("postmark", {"RecordType": "Bounce", "Type": kind, "Email": ADDRESS})
    assert event.kind is EventKind.AUTOREPLY


# -- forms


def test_a_mailgun_form_is_read_by_the_first_of_a_name() -> None:
    fields = [("event", "dropped"), ("recipient", ADDRESS), ("reason", "hardfail"), ("code", "607"), ("token", "t")]
    body = urlencode([*fields, ("event", "complained"), ("recipient", "other@example.com")]).encode()
    (event,) = PROVIDERS["mailgun"].read(body)
    assert (event.address, event.event_id) == (ADDRESS, "t")
    assert bounced(event) == NEVER


def test_a_list_of_events_is_read_from_mandrills_form() -> None:
    events = [{"event": "spam", "_id": "1", "msg": {"email": ADDRESS, "_id": "1"}}, {"event": "unsub", "_id": "2"}]
    found = PROVIDERS["mandrill"].read(urlencode({"mandrill_events": json.dumps(events)}).encode())
    assert [event.kind for event in found] == [EventKind.COMPLAINT, EventKind.UNSUBSCRIBED]
    assert found[0].event_id != found[1].event_id


def test_lines_of_json_are_a_batch_of_mailtrap() -> None:
    lines = b'{"event": "spam", "email": "a@example.com"}\n{"event": "bounce", "email": "b@example.com"}\n'
    assert [event.address for event in PROVIDERS["mailtrap"].read(lines)] == ["a@example.com", "b@example.com"]


def test_each_recipient_of_one_amazon_event_has_an_id_of_its_own() -> None:
    event = signing.SES_BOUNCE | {
        "bounce": {"bouncedRecipients": [{"emailAddress": "a@b.c"}, {"emailAddress": "d@e.f"}]}
    }
    found = PROVIDERS["ses"].read(json.dumps(signing.sns_envelope(json.dumps(event))).encode())
    assert [e.event_id for e in found] == [
        "19ba9823-d7f2-53c1-860e-cb10e0d13dfc",
        "19ba9823-d7f2-53c1-860e-cb10e0d13dfc:1",
    ]


def test_the_words_of_amazon_itself_are_no_event() -> None:
    said = signing.sns_envelope("Successfully validated SNS topic for Amazon SES event publishing.")
    assert PROVIDERS["ses"].read(json.dumps(said).encode()) == []


def test_leaving_by_amazons_own_page_is_unsubscribing() -> None:
    post = {"eventType": "Subscription", "mail": {"destination": [ADDRESS]}}
    for wanted, kind in (
        ({"unsubscribeAll": True}, EventKind.UNSUBSCRIBED),
        ({"topicSubscriptionStatus": [{"topicName": "news", "subscriptionStatus": "OptOut"}]}, EventKind.UNSUBSCRIBED),
        ({"topicSubscriptionStatus": [{"topicName": "news", "subscriptionStatus": "OptIn"}]}, EventKind.OTHER),
    ):
        (event,) = read("ses", {**post, "subscription": {"newTopicPreferences": wanted}})
        assert event.kind is kind


@pytest.mark.parametrize("name", EVERY)
def test_a_kind_that_nobody_knows_is_passed_over(name: str) -> None:
    unknown = {
        "event": "x",
        "type": "x",
        "eventType": "x",
        "RecordType": "x",
        "status": "x",
        "event-data": {"event": "x"},
    }
    unknown |= {"msys": {"new_event": {"type": "x"}}, "event_name": "transactional_email_status", "more": [1, {}]}
    found = read(name, unknown)
    assert {event.kind for event in found} <= {EventKind.OTHER}
    assert all(event.klass is None and not event.counts for event in found)


@pytest.mark.parametrize("name", EVERY)
def test_one_bad_entry_of_a_batch_costs_the_others_nothing(name: str) -> None:
    made = BOUNCES[name]()
    good = (
        json.loads(made.posted.body)
        if made.posted.body[:1] in (b"{", b"[")
        else [{"event": "hard_bounce", "_id": "x", "msg": {"email": ADDRESS}}]
    )
    good = good if isinstance(good, list) else [good]
    if name == "ses":
        good = [json.loads(good[0]["Message"])]
    if name == "mailtrap":
        good = good[0]["events"]
    bad: list[Any] = [
        None,
        7,
        "text",
        [],
        {},
        {"event": ["x"], "type": {}, "msg": 3, "msys": 4, "data": [], "payload": 1},
    ]
    found = read(name, [*bad, *good, *bad])
    assert [event.address for event in found if event.kind is EventKind.BOUNCE] == [ADDRESS]


def test_an_entry_of_a_form_that_trips_the_reader_is_counted() -> None:
    def trips(entry: dict[str, Any]) -> list[Notice]:
        if entry.get("event") == "bad":
            raise KeyError("something")
        return [Notice(happened=Happened.COMPLAINED, refusal=Refusal.SPAM, address=ADDRESS)]

    from dataclasses import replace

    provider = replace(PROVIDERS["mailjet"], tell=trips)
    batch = provider.read_batch(b'[{"event": "bad"}, {"event": "good"}]')
    assert len(batch.notices) == 1
    assert batch.unreadable == (b'{"event": "bad"}',)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("body", [b"", b"{", b"7", b'"text"', b"null", b"\xff", b"[" * 100_000, b'{"a":' * 100_000])
def test_junk_raises_one_error_and_no_other(name: str, body: bytes) -> None:
    with pytest.raises(PayloadUnreadable):
        PROVIDERS[name].read(body)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["bounce", "5.1.1", "failed"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=3)
            | st.sampled_from(
                [
                    "event",
                    "type",
                    "eventType",
                    "notificationType",
                    "RecordType",
                    "Type",
                    "bounce",
                    "mail",
                    "data",
                    "msg",
                    "msys",
                    "payload",
                    "event-data",
                    "email",
                    "to",
                    "bouncedRecipients",
                    "complainedRecipients",
                    "tags",
                    "headers",
                    "bounce_class",
                    "status",
                    "timestamp",
                    "time",
                    "ts",
                    "created_at",
                    "delivery-status",
                    "delivery_info",
                    "events",
                    "events_by_user",
                    "event_data",
                    "event_name",
                    "Message",
                    "TopicArn",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=30,
)


@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(found=VALUES)
def test_any_json_gives_events_or_the_one_error(name: str, found: Any) -> None:
    try:
        batch = PROVIDERS[name].read_batch(json.dumps(found).encode())
        events = PROVIDERS[name].read(json.dumps(found).encode())
    except PayloadUnreadable:
        return
    assert batch.unreadable == ()  # the readers are meant to pass over what they do not know, not to trip
    for event in events:
        event.words.encode()
        event.address.encode()
        assert event.event_id


@pytest.mark.parametrize(
    ("given_time", "expected"),
    [
        (1498093527, datetime(2017, 6, 22, 1, 5, 27, tzinfo=UTC)),
        ("1498093527", datetime(2017, 6, 22, 1, 5, 27, tzinfo=UTC)),
        (1498093527000, datetime(2017, 6, 22, 1, 5, 27, tzinfo=UTC)),
        (1606753101.961181, datetime(2020, 11, 30, 16, 18, 21, 961181, tzinfo=UTC)),
        ("2016-04-27T16:28:50.3963933-04:00", datetime(2016, 4, 27, 20, 28, 50, 396393, tzinfo=UTC)),
        ("2023-02-22T23:41:11.894719+00:00", datetime(2023, 2, 22, 23, 41, 11, 894719, tzinfo=UTC)),
        ("2016-01-27T14:59:44.101Z", datetime(2016, 1, 27, 14, 59, 44, 101000, tzinfo=UTC)),
        ("2024-09-06 23:14:19", datetime(2024, 9, 6, 23, 14, 19, tzinfo=UTC)),
        *(
            (junk, None)
            for junk in (None, True, "", "soon", [], {}, 1e300, -1e300, float("nan"), "9" * 400, "0001-01-01")
        ),
    ],
)
def test_times_of_every_form_are_read(given_time: Any, expected: datetime | None) -> None:
    found = moment(given_time)
    assert found == expected or (given_time == "0001-01-01" and found is not None)


# -- the mark


MARK = "b+4711.abcdefghij234567"
WRITTEN = "b-4711-abcdefghij234567"


@pytest.mark.parametrize(
    ("provider", "post"),
    [
        ("ses", {"eventType": "Bounce", "mail": {"tags": {"mark": [WRITTEN]}}, "bounce": {"bouncedRecipients": [{}]}}),
        ("sendgrid", [{"event": "bounce", "mark": WRITTEN}]),
        ("mailgun", {"event-data": {"event": "failed", "user-variables": {"mark": WRITTEN}}}),
        ("postmark", {"RecordType": "Bounce", "Metadata": {"mark": WRITTEN}}),
        ("brevo", {"event": "hard_bounce", "X-Mailin-custom": json.dumps({"mark": WRITTEN})}),
        ("mailjet", [{"event": "bounce", "CustomID": WRITTEN}]),
        ("sparkpost", [{"msys": {"message_event": {"type": "bounce", "rcpt_meta": {"mark": WRITTEN}}}}]),
        ("resend", {"type": "email.bounced", "data": {"headers": [{"name": "X-Mark", "value": WRITTEN}]}}),
        ("mailtrap", {"events": [{"event": "bounce", "custom_variables": {"mark": WRITTEN}}]}),
        ("mandrill", [{"event": "hard_bounce", "msg": {"metadata": {"mark": WRITTEN}}}]),
        (
            "unisender_go",
            {"event_name": "transactional_email_status", "status": "hard_bounced", "metadata": {"mark": WRITTEN}},
        ),
    ],
)
def test_a_provider_hands_our_mark_back(provider: str, post: Any) -> None:
    (event,) = read(provider, post)
    assert event.mark == MARK


def test_every_header_that_is_handed_back_is_read_somewhere() -> None:
    assert set(MARK_FIELDS) == set(EVERY) - {"mailersend", "postal"}  # these hand back their id and our Message-ID
    assert [f.name for f in mark_fields(["sendgrid", "ses", "", "ses", "postal"])] == [
        "X-SMTPAPI",
        "X-SES-MESSAGE-TAGS",
    ]


def test_a_mark_is_written_with_letters_digits_and_dashes_alone() -> None:
    assert written_mark(MARK) == WRITTEN
    assert handed_back(f" {WRITTEN.upper()} ").lower() == MARK
    for text in ("", "b-1", "b-0-abcdefghij234567", f"{WRITTEN}x", "b-4711-abcdefghij23456!", MARK):
        assert handed_back(text) == ""
    with pytest.raises(ValueError):
        written_mark("bounces")


@pytest.mark.parametrize(
    ("provider", "reply", "expected"),
    [
        (
            "ses",
            "Ok 0102018f3a7b2c1d-1a2b3c4d-1111-2222-3333-123456789abc-000000",
            "0102018f3a7b2c1d-1a2b3c4d-1111-2222-3333-123456789abc-000000",
        ),
        ("sendgrid", "Ok: queued as wrfRRvF7Q0GgwUo2CvDmEA", "wrfRRvF7Q0GgwUo2CvDmEA"),
        ("postmark", "Ok: queued as 2706ee8a-737c-4285-b032-ccd317af53ed", "2706ee8a-737c-4285-b032-ccd317af53ed"),
        (
            "brevo",
            "2.0.0 OK: queued as <202611020930.123@smtp-relay.mailin.fr>",
            "202611020930.123@smtp-relay.mailin.fr",
        ),
        ("mailjet", "OK queued as 6a1e3b3f-0000-4000-8000-123456789abc", "6a1e3b3f-0000-4000-8000-123456789abc"),
        ("mailersend", "Message queued as 63fd1c1d5f010335ed07066b", "63fd1c1d5f010335ed07066b"),
        (
            "mailtrap",
            "2.0.0 Ok: queued as 1df37d17-0286-4d8b-8edf-bc4ec5be86e6",
            "1df37d17-0286-4d8b-8edf-bc4ec5be86e6",
        ),
        ("resend", "Ok: 56761188-7520-42d8-8898-ff6fc54ce618", "56761188-7520-42d8-8898-ff6fc54ce618"),
        ("unisender_go", "OK id=1smi9f-00057m-86zr", "1smi9f-00057m-86zr"),
        ("ses", "Ok", None),
        ("sendgrid", "Ok: queued as short", None),
        ("mailgun", "Great success", None),
        ("postal", "OK", None),
        ("", "Ok: queued as wrfRRvF7Q0GgwUo2CvDmEA", None),
        ("ses", "", None),
    ],
)
def test_the_reply_to_the_dot_names_the_copy(provider: str, reply: str, expected: str | None) -> None:
    assert remote_id(provider, reply) == expected
