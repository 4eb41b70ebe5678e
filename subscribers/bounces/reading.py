"""
Turn a mail that came back, or a provider's event, into what it says of each recipient. Pure.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parseaddr, parsedate_to_datetime

from subscribers.bounces.answers import is_robot, may_be_an_answer, says_automatic
from subscribers.bounces.autoreply import has_challenge_header
from subscribers.bounces.classify import classify
from subscribers.bounces.dsn import judge
from subscribers.bounces.event import (
    LONGEST_WORDS,
    BounceClass,
    EventKind,
    MailKind,
    MailReport,
    ProviderEvent,
    Reason,
    RecipientReport,
    ReportKind,
    Said,
)
from subscribers.bounces.mail import Mail
from subscribers.bounces.plain import one_line
from subscribers.bounces.reasons import VERDICTS
from subscribers.bounces.text import cut_returned

MOST_RECIPIENTS = 100
OWN_HEADERS = ("x-newsletter-notice", "x-newsletter-test")
_ARRIVED = re.compile(r"^action:[ \t]*delivered\b", re.IGNORECASE | re.MULTILINE)
_KINDS = {
    MailKind.AUTOREPLY: ReportKind.AUTOREPLY,
    MailKind.CHALLENGE: ReportKind.CHALLENGE,
    MailKind.MDN: ReportKind.MDN,
    MailKind.DELIVERED: ReportKind.DELIVERED,
}
_EVENT_KINDS = {
    EventKind.BOUNCE: ReportKind.BOUNCE,
    EventKind.DELAYED: ReportKind.DELAYED,
    EventKind.COMPLAINT: ReportKind.COMPLAINT,
    EventKind.UNSUBSCRIBED: ReportKind.UNSUBSCRIBED,
    EventKind.DELIVERED: ReportKind.DELIVERED,
    EventKind.AUTOREPLY: ReportKind.AUTOREPLY,
    EventKind.OTHER: ReportKind.OTHER,
}
# Feedback types that are no wish of the reader: about signatures, malware, or that it is no spam after all.
_NO_COMPLAINT = ("auth-failure", "dmarc", "virus", "not-spam", "miscategorized", "other")


def of_mail(mail: Mail, report: MailReport, *, at: datetime) -> list[Said]:
    """Return what a report says of each recipient, one unnamed where it names none; nothing for ordinary mail."""
    if report.kind is MailKind.ORDINARY:
        return []
    if report.kind is MailKind.DELIVERED and not _ARRIVED.search("\n".join(mail.statuses)):
        return [Said(ReportKind.RELAYED, at)]  # handed on to a server that reports nothing: no proof that it arrived
    if report.kind in _KINDS:
        return [Said(_KINDS[report.kind], at, words=_first_words(mail))]
    if report.kind is MailKind.FEEDBACK:
        return _feedback(report, at)
    if report.recipients:
        return [_of_recipient(one, at) for one in report.recipients[:MOST_RECIPIENTS]]
    return [_unnamed(mail, report, at)]


def of_event(event: ProviderEvent, *, earliest: datetime, now: datetime) -> Said:
    """
    Return what a provider's event says, never before *earliest* or after *now*, whatever it says itself.

    What may be an out-of-office answer says nothing: neither that the copy came back, nor that it arrived.
    """
    at = event.at if event.at is not None and event.at.tzinfo is not None else now
    return Said(
        ReportKind.OTHER if event.may_be_answer else _EVENT_KINDS[event.kind],
        max(earliest, min(at, now)),
        address=one_line(event.address, 320),
        klass=event.klass or BounceClass.NONE,
        counts=event.counts,
        status=one_line(event.status, 32),
        reason=event.reason,
        words=one_line(event.words, LONGEST_WORDS),
        own_act=event.own_act,
    )


def of_refusal(reply: str, status: str, *, gave_up: bool, at: datetime) -> Said:
    """Return what a refusal met while sending says; one that was tried for days before counts as soft at most."""
    reason, judged_by = classify(reply, status)
    verdict = VERDICTS[reason]
    klass, counts = verdict.klass, verdict.counts
    if gave_up and klass is BounceClass.HARD:
        klass = BounceClass.SOFT
    if reason is Reason.SYSTEM and gave_up:
        reason, counts = Reason.EXPIRED, True
    return Said(
        ReportKind.BOUNCE,
        at,
        klass=klass,
        counts=counts,
        status=judged_by[:32],
        reason=reason,
        words=one_line(reply, LONGEST_WORDS),
        in_session=True,
    )


def sent_at(mail: Mail, *, earliest: datetime, now: datetime) -> datetime:
    """Return when a mail was written, never before *earliest* or after *now*, whatever it says itself."""
    try:
        stated = parsedate_to_datetime(mail.header("date"))
    except (ValueError, TypeError, IndexError, OverflowError):
        return now
    if stated.tzinfo is None:
        stated = stated.replace(tzinfo=UTC)
    try:
        return max(earliest, min(now, stated.astimezone(UTC)))
    except (OverflowError, ValueError):
        return now


def writer(mail: Mail) -> tuple[str, str]:
    """Return name and address of who wrote a mail; each may be empty."""
    value = mail.header("reply-to") or mail.header("from")
    name, address = parseaddr(value[:1000])
    return one_line(name, 200), one_line(address, 320) if "@" in address else ""


def author(mail: Mail) -> str:
    """Return the address of From alone: who says to have written it."""
    address = parseaddr(mail.header("from")[:1000])[1]
    return one_line(address, 320) if "@" in address else ""


def is_machine(mail: Mail) -> bool:
    """
    Whether a program sent a mail that reports nothing: a ticket system, bulk mail, or this program itself.

    What came by a mailing list is none for that: a group may feed the mailbox, and people write to it.

    Source: RFC 3834 2 and 5.
    """
    if any(name in mail.message for name in OWN_HEADERS) or says_automatic(mail):
        return True
    return mail.header("precedence").lower() in ("bulk", "junk", "auto_reply") or is_robot(mail)


def is_surely_automatic(mail: Mail) -> bool:
    """Whether the header says that a program answered; a subject alone may be a person's."""
    names = (
        "x-autoreply",
        "x-autorespond",
        "x-autoresponder",
        "x-auto-reply-from",
        "x-ms-exchange-inbox-rules-loop",
        "x-auto-response-suppress",
    )
    if has_challenge_header(mail) or is_machine(mail) or mail.header("x-apple-action"):
        return True
    return any(name in mail.message for name in names)


def is_bounce_by_words(mail: Mail, report: MailReport) -> bool:
    """Whether only its words make a mail a bounce, so that it may be a person's answer about one."""
    bounce = report.kind in (MailKind.BOUNCE, MailKind.DELAYED, MailKind.MIXED)
    return bounce and not mail.returned and may_be_an_answer(mail)


def first_text(mail: Mail) -> str:
    """Return the first text of a mail, for people."""
    return mail.texts[0] if mail.texts else ""


def _of_recipient(one: RecipientReport, at: datetime) -> Said:
    kind = ReportKind.DELAYED if one.klass is BounceClass.DELAYED else ReportKind.BOUNCE
    return Said(
        ReportKind.OTHER if one.may_be_answer else kind,
        at,
        address=one_line(one.address, 320),
        klass=one.klass,
        counts=one.counts,
        status=one_line(one.status, 32),
        reason=one.reason,
        words=one_line(one.diagnostic, LONGEST_WORDS),
        forwarded_to=one_line(one.final, 320),
    )


def _unnamed(mail: Mail, report: MailReport, at: datetime) -> Said:
    """A report that names nobody: the mark says whom it is about, the text why."""
    text, _ = cut_returned("\n".join(mail.texts[:3]))
    action = "delayed" if report.kind is MailKind.DELAYED else "failed"
    judged = judge("", action, "", text)
    if judged is None:
        return Said(ReportKind.OTHER, at)
    return _of_recipient(judged, at)


def _feedback(report: MailReport, at: datetime) -> list[Said]:
    kind = one_line(report.feedback_type, 40)
    if kind in _NO_COMPLAINT:
        return [Said(ReportKind.FEEDBACK, at, words=kind)]
    people = report.recipients[:MOST_RECIPIENTS]
    found = [Said(ReportKind.COMPLAINT, at, address=one_line(p.address, 320), words=kind) for p in people]
    return found or [Said(ReportKind.COMPLAINT, at, words=kind)]


def _first_words(mail: Mail) -> str:
    return one_line(first_text(mail), 200)
