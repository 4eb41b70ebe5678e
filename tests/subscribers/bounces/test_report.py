"""What a returned mail reports: form by form, and on the labelled corpus beside the checkout."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from subscribers.bounces.event import BounceClass, MailKind, Reason
from subscribers.bounces.report import read_report


def dsn(status: str, diagnostic: str, *, action: str = "failed", recipient: str = "ann@dead.example") -> bytes:
    return f"""From: MAILER-DAEMON@mx.example
To: news@example.org
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

Your message could not be delivered.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example

Final-Recipient: rfc822; {recipient}
Action: {action}
Status: {status}
Diagnostic-Code: smtp; {diagnostic}

--b
Content-Type: message/rfc822

Message-ID: <abc@example.org>
To: {recipient}

body
--b--
""".encode()


def plain(sender: str, subject: str, body: str, *headers: str) -> bytes:
    return "\n".join([f"From: {sender}", "To: news@example.org", f"Subject: {subject}", *headers, "", body]).encode()


@pytest.mark.parametrize(
    ("status", "diagnostic", "klass", "counts", "reason"),
    [
        ("5.1.1", "550 5.1.1 <ann@dead.example>: User unknown", BounceClass.HARD, True, Reason.USER_UNKNOWN),
        ("5.0.0", "550 5.1.2 no such domain here", BounceClass.HARD, True, Reason.HOST_UNKNOWN),
        ("5.2.2", "552 5.2.2 mailbox full", BounceClass.SOFT, True, Reason.MAILBOX_FULL),
        ("4.4.7", "delivery time expired", BounceClass.SOFT, True, Reason.EXPIRED),
        ("5.7.1", "550 5.7.1 blocked using zen.spamhaus.org", BounceClass.SOFT, False, Reason.BLOCKED),
        ("5.7.26", "550-5.7.26 Unauthenticated email is not accepted", BounceClass.SOFT, False, Reason.AUTHENTICATION),
        ("5.1.1", "550 5.1.1 too many messages, rate limit", BounceClass.SOFT, False, Reason.RATE),
        ("5.3.4", "552 5.3.4 message size exceeds fixed limit", BounceClass.SOFT, False, Reason.TOO_BIG),
    ],
)
def test_a_status_report_is_judged_by_words_before_codes(
    status: str, diagnostic: str, klass: BounceClass, counts: bool, reason: Reason
) -> None:
    found = read_report(dsn(status, diagnostic))
    assert found.kind is MailKind.BOUNCE
    assert found.message_id == "abc@example.org"
    (person,) = found.recipients
    assert (person.address, person.klass, person.counts, person.reason) == ("ann@dead.example", klass, counts, reason)


def test_a_delay_warning_is_no_bounce() -> None:
    found = read_report(dsn("4.4.1", "connection timed out", action="delayed"))
    assert found.kind is MailKind.DELAYED
    assert [(p.klass, p.counts) for p in found.recipients] == [(BounceClass.DELAYED, False)]


def test_a_report_of_delivery_is_no_bounce() -> None:
    assert read_report(dsn("2.0.0", "250 ok", action="delivered")).kind is MailKind.DELIVERED


def test_the_original_recipient_is_the_one_that_was_mailed() -> None:
    raw = dsn("5.1.1", "550 User unknown", recipient="forwarded@there.example").replace(
        b"Action: failed", b"Original-Recipient: rfc822; ann@here.example\nAction: failed"
    )
    (person,) = read_report(raw).recipients
    assert (person.address, person.final) == ("ann@here.example", "forwarded@there.example")


@pytest.mark.parametrize(
    "subject",
    [
        "Automatic reply: News",
        "Out of Office: News",
        "Abwesenheitsnotiz: News",
        "Réponse automatique : News",
        "Respuesta automática: News",
        "Risposta automatica: News",
        "Automatisch antwoord: News",
        "Odpowiedź automatyczna: News",
        "Автоматический ответ: News",
        "自動応答: News",
        "رد تلقائي: News",
        "Răspuns automat: News",
        "Automaattinen vastaus: News",
    ],
)
def test_an_automatic_answer_is_known_by_its_subject_in_many_languages(subject: str) -> None:
    found = read_report(plain("Ann <ann@example.net>", subject, "I am away. 550 5.1.1 user unknown"))
    assert found.kind is MailKind.AUTOREPLY
    assert found.recipients == ()


def test_a_letter_about_bounces_is_ordinary_mail() -> None:
    raw = plain("Ann <ann@example.net>", "Question", "My mail to bob@example.com failed: 550 5.1.1 User unknown")
    assert read_report(raw).kind is MailKind.ORDINARY


def test_a_complaint_names_the_complainer() -> None:
    raw = b"""From: fbl@provider.example
Subject: complaint
Content-Type: multipart/report; report-type=feedback-report; boundary=b

--b
Content-Type: message/feedback-report

Feedback-Type: abuse
Original-Rcpt-To: <ann@example.net>

--b
Content-Type: message/rfc822

Message-ID: <abc@example.org>

--b--
"""
    found = read_report(raw)
    assert (found.kind, found.message_id) == (MailKind.FEEDBACK, "abc@example.org")
    assert [(p.address, p.klass) for p in found.recipients] == [("ann@example.net", BounceClass.NONE)]


def test_several_people_in_one_text_each_keep_their_reason() -> None:
    raw = plain(
        "MAILER-DAEMON@example.com",
        "failure notice",
        "Unable to deliver message to the following address(es).\n\n<ann@example.com>:\nThis account is over quota.\n\n"
        "<bob@example.com>:\nThis user doesn't have an account here\n\n--- Original message follows.\n\nx",
    )
    found = {p.address: p.reason for p in read_report(raw).recipients}
    assert found == {"ann@example.com": Reason.MAILBOX_FULL, "bob@example.com": Reason.USER_UNKNOWN}


@given(st.binary(max_size=2_000))
def test_any_bytes_give_an_answer(raw: bytes) -> None:
    assert read_report(raw).kind in MailKind


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_damaged_report_gives_an_answer(data: st.DataObject) -> None:
    raw = bytearray(dsn("5.1.1", "550 5.1.1 User unknown"))
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    assert read_report(bytes(raw)).kind in MailKind


def test_the_labelled_corpus_reaches_its_goals(shared: Path, tmp_path: Path) -> None:
    """Exact, class, hard recall, false-hard and false bounces, by the corpus's own scorer."""
    answers = tmp_path / "answers.jsonl"
    command = [sys.executable, "-m", "newsletter", "bounces", "classify", "--json", str(shared / "bounces")]
    with answers.open("wb") as file:
        subprocess.run(command, stdout=file, check=True)
    score = subprocess.run(
        [sys.executable, str(shared / "bounces" / "labels" / "score.py"), str(answers)], capture_output=True, text=True
    )
    assert score.returncode == 0, score.stdout


def test_a_mail_of_a_hundred_thousand_parts_is_no_burden() -> None:
    """The parser of the standard library makes an object of each part: the mail took a second, and 100 MB."""
    head = dsn("5.1.1", "550 5.1.1 user unknown").replace(b"--b--", b"")
    for parts in (b"--b\n" * 100_000, b"--b\n\n" * 100_000):
        start = time.thread_time()
        found = read_report(head + parts + b"--b--\n")
        assert time.thread_time() - start < 0.2
        assert [p.address for p in found.recipients] == ["ann@dead.example"]


def test_a_subject_of_a_hundred_thousand_encoded_words_is_no_burden() -> None:
    words = "=?utf-8?q?x?= a " * 20_000
    start = time.thread_time()
    assert read_report(plain("ann@example.org", words, "hello")).kind is MailKind.ORDINARY
    assert time.thread_time() - start < 0.2


def test_a_boundary_of_300_kb_is_no_boundary() -> None:
    """The parser of the standard library compiles it as a pattern."""
    mail = plain("ann@example.org", "hello", "hello", f'Content-Type: multipart/mixed; boundary="{"<br>" * 75_000}"')
    start = time.thread_time()
    assert read_report(mail).kind is MailKind.ORDINARY
    assert time.thread_time() - start < 0.1


@pytest.mark.parametrize(
    "charset", ["charset*=utf-8''x", "charset=idna", "charset=rot13", "charset=undefined", "charset=hex"]
)
@pytest.mark.parametrize("kind", ["text/plain", "message/delivery-status", "message/rfc822", "text/rfc822-headers"])
def test_a_charset_that_is_none_for_text_hides_nothing(charset: str, kind: str) -> None:
    body = "Final-Recipient: rfc822; ann@dead.example\nAction: failed\nStatus: 5.1.1\n\nf\xfcr"
    mail = plain("MAILER-DAEMON@mx.example", "Undelivered Mail", body, f"Content-Type: {kind}; {charset}")
    found = read_report(mail.replace("\xfc".encode(), b"\xfc"))
    if kind in ("text/plain", "message/delivery-status"):
        assert [p.address for p in found.recipients] == ["ann@dead.example"]


@pytest.mark.parametrize("parameter", [";a=b", ';a="', ";a*0=b", "; a", ";", ";charset*0*=x''%00"])
def test_a_megabyte_of_parameters_is_no_burden(parameter: str) -> None:
    header = f"Content-Type: text/plain{parameter * (900_000 // len(parameter))}"
    start = time.thread_time()
    read_report(plain("MAILER-DAEMON@mx.example", "failure notice", "hello", header))
    assert time.thread_time() - start < 0.4


@pytest.mark.parametrize("blank", [" ", "\t", "> ", "- ", "<", "\n \n", "a@b.c ", "recipient ", "to: ", "-", "."])
def test_a_hundred_thousand_of_the_same_are_no_burden(blank: str) -> None:
    """Blanks at the beginning of a line once took two minutes."""
    mail = plain("MAILER-DAEMON@mx.example", "failure notice", f"could not be delivered\n{blank * 100_000}\nx\n")
    start = time.thread_time()
    read_report(mail)
    assert time.thread_time() - start < 0.4


def test_any_mutation_of_a_report_gives_an_answer_soon_and_in_the_same_memory(tmp_path: Path) -> None:
    """The short form of the benchmark, which mutates 200,000 mails."""
    reports = [
        dsn("5.1.1", "550 5.1.1 user unknown"),
        dsn("4.4.1", "timed out", action="delayed"),
        plain("MAILER-DAEMON@mx.example", "failure notice", "<ann@dead.example>:\n550 no such user\n"),
        plain("ann@example.org", "Out of office", "I am away", "Auto-Submitted: auto-replied"),
    ]
    for number, report in enumerate(reports):
        (tmp_path / f"{number}.eml").write_bytes(report)
    script = Path(__file__).parents[3] / "benchmarks" / "fuzz_bounces.py"
    command = [sys.executable, str(script), str(tmp_path), "--mails", "3000", "--seed", "7"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 exceptions, 0 over 200 ms" in done.stdout
