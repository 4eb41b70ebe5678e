"""Mail as it comes back: delivery reports, complaints, automatic answers, and people's replies."""

from __future__ import annotations

from newsletter.app import App
from newsletter.tables import Delivery
from subscribers.bounces.verp import marked_local_part

UNKNOWN_USER = "550 5.1.1 no such user here"
MAILBOX_FULL = "552 5.2.2 mailbox is full"


def mark_of(app: App, delivery: Delivery) -> str:
    """Return the envelope sender that a delivery went out with."""
    return f"{marked_local_part(app.keys.marks.current, delivery.id)}@example.org"


def bounce(
    to: str,
    *,
    recipient: str = "",
    original: str = "",
    diagnostic: str = UNKNOWN_USER,
    status: str = "5.1.1",
    action: str = "failed",
    message_id: str = "",
    token: str = "1",
    date: str = "",
) -> bytes:
    """Return a delivery report of RFC 3464 to an envelope sender."""
    report = f"Original-Recipient: rfc822;{original}\n" if original else ""
    if recipient:
        report += f"Final-Recipient: rfc822; {recipient}\n"
    returned = f"Message-ID: <{message_id}>\nSubject: November news\n" if message_id else "Subject: November news\n"
    return (
        f"Return-Path: <>\nFrom: MAILER-DAEMON@mx.example.net\nTo: {to}\nSubject: Undelivered Mail {token}\n"
        + (f"Date: {date}\n" if date else "")
        + 'MIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status; boundary="x"\n\n'
        f"--x\n\nI could not deliver your message.\n{diagnostic}\n"
        "--x\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example.net\n\n"
        f"{report}Action: {action}\nStatus: {status}\nDiagnostic-Code: smtp; {diagnostic}\n\n"
        f"--x\nContent-Type: message/rfc822\n\n{returned}\nDear friend\n--x--\n"
    ).encode()


def complaint(to: str, *, recipient: str = "", feedback_type: str = "abuse", message_id: str = "") -> bytes:
    """Return a feedback report of RFC 5965."""
    named = f"Original-Rcpt-To: <{recipient}>\n" if recipient else ""
    returned = f"Message-ID: <{message_id}>\n" if message_id else ""
    return (
        f"From: feedback@provider.example\nTo: {to}\nSubject: FW: November news\nMIME-Version: 1.0\n"
        'Content-Type: multipart/report; report-type=feedback-report; boundary="x"\n\n'
        "--x\n\nThis is a report about your mail.\n"
        f"--x\nContent-Type: message/feedback-report\n\nFeedback-Type: {feedback_type}\nVersion: 1\n{named}\n"
        f"--x\nContent-Type: message/rfc822\n\n{returned}Subject: November news\n\nDear friend\n--x--\n"
    ).encode()


def away(to: str, *, sender: str, in_reply_to: str = "") -> bytes:
    """Return an out-of-office answer."""
    quoted = f"In-Reply-To: <{in_reply_to}>\n" if in_reply_to else ""
    return (
        f"From: {sender}\nTo: {to}\nSubject: Automatic reply: November news\nAuto-Submitted: auto-replied\n{quoted}"
        "\nI am away until Monday.\n"
    ).encode()


def reply(
    to: str,
    *,
    sender: str,
    subject: str = "Re: November news",
    text: str = "Thank you for this!",
    in_reply_to: str = "",
    extra: str = "",
) -> bytes:
    """Return a mail that a person wrote."""
    quoted = f"In-Reply-To: <{in_reply_to}>\nReferences: <{in_reply_to}>\n" if in_reply_to else ""
    return (
        f"From: Ann <{sender}>\nTo: {to}\nSubject: {subject}\nMessage-ID: <{hash((subject, text))}@example.net>\n"
        f"{quoted}{extra}Content-Type: text/plain; charset=utf-8\n\n{text}\n"
    ).encode()
