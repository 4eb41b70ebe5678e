"""The reply table, row by row."""

from __future__ import annotations

import json

import pytest

from newsletter.send.replies import SmtpReply, Stage, Verdict, classify

TABLE = [
    ("mail", "535 5.7.8 bad password", Verdict.CONFIGURATION),
    ("mail", "530 5.7.0 authentication required", Verdict.CONFIGURATION),
    ("mail", "530 5.7.0 must issue a STARTTLS command first", Verdict.CONFIGURATION),
    ("rcpt", "550 5.7.0 authentication required", Verdict.CONFIGURATION),
    ("mail", "421 4.3.2 closing", Verdict.CONNECTION),
    ("rcpt", "421 4.3.2 closing", Verdict.CONNECTION),
    ("body", "421 4.3.2 closing", Verdict.CONNECTION),
    ("mail", "550 5.1.8 bad sender", Verdict.SENDER),
    ("mail", "553 5.1.7 bad sender syntax", Verdict.SENDER),
    ("mail", "550 5.7.1 not allowed", Verdict.SENDER),
    ("mail", "451 4.3.0 later", Verdict.CONNECTION),
    ("rcpt", "550 5.1.8 sender domain not found", Verdict.SENDER),
    ("rcpt", "450 4.1.8 sender domain not found yet", Verdict.DEFERRED),
    ("rcpt", "550 5.1.1 no such user", Verdict.BOUNCED),
    ("rcpt", "550 5.2.1 mailbox disabled", Verdict.BOUNCED),
    ("rcpt", "552 5.2.2 mailbox full", Verdict.BOUNCED),
    ("rcpt", "550 5.4.4 no such host", Verdict.BOUNCED),
    ("rcpt", "550 no such user here", Verdict.BOUNCED),
    ("rcpt", "550 requested action not taken", Verdict.BOUNCED),
    ("rcpt", "450 4.2.0 greylisted", Verdict.DEFERRED),
    ("rcpt", "451 4.7.1 greylisting in action, try again later", Verdict.DEFERRED),
    ("rcpt", "450 4.2.2 over quota", Verdict.DEFERRED),
    ("rcpt", "452 4.5.3 too many recipients", Verdict.DEFERRED),
    ("rcpt", "503 5.5.1 need MAIL", Verdict.CONNECTION),
    ("rcpt", "554 5.7.1 relay access denied", Verdict.POLICY),
    ("rcpt", "554 relay access denied", Verdict.POLICY),
    ("rcpt", "550 blocked using a dnsbl", Verdict.POLICY),
    ("dot", "550 5.7.26 unauthenticated sender", Verdict.POLICY),
    ("dot", "550 5.7.515 access denied", Verdict.POLICY),
    ("dot", "421 4.7.28 unusual rate", Verdict.POLICY),
    ("dot", "451 4.7.23 no PTR record", Verdict.POLICY),
    ("dot", "554 message looks like spam", Verdict.POLICY),
    ("rcpt", "550 5.1.1 rejected: your host is on a blocklist", Verdict.POLICY),
    ("rcpt", "550 5.1.1 too many messages, rate limit exceeded", Verdict.POLICY),
    ("dot", "550 5.2.0 message refused by DMARC policy", Verdict.POLICY),
    ("dot", "250 2.0.0 Ok: queued as 4711", Verdict.SENT),
    ("dot", "250 fine", Verdict.SENT),
    ("dot", "451 4.3.0 later", Verdict.DEFERRED),
    ("dot", "421 4.3.2 shutting down", Verdict.DEFERRED),
    ("dot", "550 5.1.1 unknown after all", Verdict.BOUNCED),
    ("dot", "552 5.2.2 full", Verdict.BOUNCED),
    ("dot", "552 5.3.4 too big", Verdict.CONTENT),
    ("dot", "554 5.6.0 malformed", Verdict.CONTENT),
    ("dot", "552 message size exceeds limit", Verdict.CONTENT),
    ("data", "554 5.5.1 no valid recipients", Verdict.CONTENT),
    ("dot", "354 again?", Verdict.UNCERTAIN),
    ("rcpt", "354 what", Verdict.CONNECTION),
]


@pytest.mark.parametrize(("stage", "text", "verdict"), TABLE, ids=[f"{s}-{t[:24]}" for s, t, _ in TABLE])
def test_a_reply_means_what_the_table_says(stage, text, verdict):
    code, _, words = text.partition(" ")
    assert classify(Stage(stage), SmtpReply(int(code), words)).verdict is verdict


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("550 5.1.1 user unknown", True),
        ("550 no such user here", True),
        ("550 5.2.1 mailbox disabled", False),
        ("550 5.1.10 null MX", False),
        ("550 5.1.1 too many messages, rate limit exceeded", False),
        ("550 5.2.1 user unknown or suspended", False),
        ("550 requested action not taken", False),
    ],
)
def test_only_an_unknown_mailbox_suppresses_at_once(text, gone):
    code, _, words = text.partition(" ")
    assert classify(Stage.RCPT, SmtpReply(int(code), words)).unknown_mailbox is gone


def test_no_policy_or_authentication_reply_ever_bounces():
    for stage in Stage:
        for code in (450, 454, 530, 534, 535, 538, 550, 553, 554):
            for detail in ("0", "1", "8", "23", "26", "40", "515"):
                reply = SmtpReply(code, f"{code // 100}.7.{detail} some words")
                assert classify(stage, reply).verdict is not Verdict.BOUNCED


def test_a_status_of_another_class_than_its_code_is_not_believed():
    assert SmtpReply(250, "5.1.1 odd").status is None
    assert SmtpReply(550, "5.1.1 right").status == "5.1.1"
    assert SmtpReply(550, "5.1.1000 too long").status is None


def test_a_421_to_the_dot_ends_the_connection():
    assert classify(Stage.DOT, SmtpReply(421, "4.3.2 bye")).closes
    assert not classify(Stage.DOT, SmtpReply(451, "4.3.0 later")).closes


def test_no_real_reply_that_is_not_the_address_s_fault_suppresses_anybody(shared):
    rows = json.loads((shared / "bounces" / "smtp_replies.json").read_text())["rows"]
    for stage in (Stage.RCPT, Stage.DATA, Stage.BODY, Stage.DOT):
        judged = [(r, classify(stage, SmtpReply(r["reply"], r["text"][4:]))) for r in rows if r["must_not_suppress"]]
        assert [r["text"] for r, j in judged if j.unknown_mailbox] == []
