"""
What is this mail, and what does it say of whom: any bytes give an answer.

Order matters: a complaint is asked for before a bounce, a report for machines before a text for people, and an
automatic answer only when no report is there, because some systems send their bounces as auto-replied.
"""

from __future__ import annotations

import re
from dataclasses import replace

from subscribers.bounces.answers import is_answer
from subscribers.bounces.arf import read_feedback
from subscribers.bounces.autoreply import is_autoreply, is_challenge
from subscribers.bounces.classify import classify
from subscribers.bounces.dsn import judge, read_statuses
from subscribers.bounces.event import BounceClass, MailKind, MailReport, Reason, RecipientReport
from subscribers.bounces.mail import Mail, read_mail
from subscribers.bounces.reasons import VERDICTS
from subscribers.bounces.ses import read_ses_notice
from subscribers.bounces.text import addresses_in, cut_returned, header_value, named_recipients

_ROBOT = re.compile(
    r"mailer-?daemon|postmaster|mail[ ._-]?deliver|delivery (?:sub)?system|mdaemon|system administrator"
    r"|^<>$|mail[ ._-]?system"
    r"|imss@|jetmail|^ndr@",
    re.I,
)
_SUBJECT = re.compile(
    r"undeliver|delivery (?:status )?notification|delivery (?:has )?fail|delivery (?:problem|failure)"
    r"|failure (?:notice|delivery)"
    r"|return(?:ed|ing) (?:mail|message|to sender)|mail (?:delivery )?(?:failed|failure|error|system error)"
    r"|non[- ]?delivery"
    r"|non remis|could not be delivered|permanent delivery|user unknown|unzustellbar|nicht zustell|message delivery"
    r"|not (?:be )?delivered|delivery report|bounce|mail could not|message status|error(?:s)? from|loop alert"
    r"|error sending your"
    r"|malformed recipient|warning: (?:could not|message)|delivery.{0,20}delayed|warning-*could not"
    r"|niet bezorgd|no entregado"
    r"|non recapitabil|доставк|недоставлен|退信|配信|送信(?:エラー|できません)",
    re.I,
)
_INNER = re.compile(r"\nFrom MAILER-DAEMON |\nReturn-Path: <>\n")
_BODY = re.compile(
    r"(?:could|can)(?:not|'t| not) be delivered|unable to deliver|was not delivered|n'a pas pu|delivery failed", re.I
)
_DELAYED = re.compile(
    r"(?:will (?:be|continue|keep|try)[^.\n]{0,40}(?:retri|tr(?:y|ied|ying)|attempt)|not yet been delivered|"
    r"do not need to resend|delivery attempts will continue|still (?:being|trying)|"
    r"message (?:is |has been |was )?delayed|"
    r"could not be delivered (?:yet|for the (?:past|last))|warning message only|delivery status notification \(delay\)|"
    r"has been delayed|could not send (?:mail|message) for past)",
    re.I,
)
_GAVE_UP = re.compile(
    r"permanent|gave up|giving up|given up|will not be retried|no further|returned to (?:you|sender)", re.I
)


def read_report(raw: bytes) -> MailReport:
    """Return what the bytes of a mail report. Never raises: what is not understood is ordinary mail."""
    mail = read_mail(raw)
    found = read_feedback(mail) or read_ses_notice(mail)
    if found is not None:
        return found
    if mail.disposition:
        return MailReport(MailKind.MDN)
    if mail.statuses:
        found = _from_statuses(mail)
        if found is not None:
            return found
    if is_challenge(mail) and not mail.statuses:
        return MailReport(MailKind.CHALLENGE)
    if is_autoreply(mail) and not _looks_like_bounce(mail, strictly=True):
        return MailReport(MailKind.AUTOREPLY)
    if _looks_like_bounce(mail, strictly=False):
        found = _from_text(mail)
        if found is not None and (found.recipients or not is_answer(mail)):
            return found
    return MailReport(MailKind.ORDINARY)


def _from_statuses(mail: Mail) -> MailReport | None:
    reports, actions = read_statuses(mail.statuses)
    if not reports and actions and actions <= {"delivered", "relayed", "expanded"}:
        return MailReport(MailKind.DELIVERED, (), _message_id(mail))
    unique = {r.address: r for r in reversed(reports) if r.address}
    reports = [_with_words(r, mail) for r in reversed(unique.values())]
    if not reports:
        return _of_returned(mail)
    return MailReport(_kind(reports), tuple(reports), _message_id(mail))


def _of_returned(mail: Mail) -> MailReport | None:
    """A report that lost its recipients is about the one the returned message was written to."""
    text, below = cut_returned("\n".join(mail.texts[:3]))
    returned = "\n".join(mail.returned) or below
    to = addresses_in(header_value(returned, "to"))
    if len(to) != 1 or any(named_recipients(text, ours=frozenset())):
        return None
    judged = judge(to[0], "failed", "", text)
    return MailReport(MailKind.BOUNCE, (judged,), _message_id(mail)) if judged else None


def _with_words(report: RecipientReport, mail: Mail) -> RecipientReport:
    """Where the report has no diagnostic, read what the text for people says."""
    late = any("in reply to end of data" in " ".join(t.lower().split()) for t in mail.texts[:1])
    if late and report.reason is Reason.USER_UNKNOWN and not report.status.startswith("5.1."):
        # Accepted at RCPT and "unknown" after the content: a filter that does not say so (mobile providers in Japan).
        return replace(report, klass=BounceClass.SOFT, reason=Reason.FILTERED)
    if report.diagnostic or report.klass is BounceClass.DELAYED or not mail.texts:
        return report
    text, _ = cut_returned(mail.texts[0])
    reason, status = classify(text, report.status)
    verdict = VERDICTS[reason]
    return replace(
        report,
        klass=verdict.klass,
        counts=verdict.counts,
        reason=reason,
        status=status,
        diagnostic=text.strip()[:1000],
    )


def _kind(reports: list[RecipientReport]) -> MailKind:
    delayed = sum(r.klass is BounceClass.DELAYED for r in reports)
    if delayed == len(reports):
        return MailKind.DELAYED
    return MailKind.MIXED if delayed else MailKind.BOUNCE


def _looks_like_bounce(mail: Mail, *, strictly: bool) -> bool:
    if mail.header("x-failed-recipients"):
        return True
    robot = bool(_ROBOT.search(mail.header("from"))) or mail.header("return-path") == "<>"
    spoken = bool(_SUBJECT.search(mail.header("subject")))
    if mail.message.get_content_type() == "multipart/report" and not strictly:
        return True
    if strictly or (robot and spoken):
        return robot and spoken
    return (robot or spoken) and (bool(mail.returned) or any(_BODY.search(t[:4000]) for t in mail.texts[:2]))


def _from_text(mail: Mail) -> MailReport | None:
    whole = "\n".join(mail.texts[:3])
    text, below = cut_returned(whole)
    below = below or "\n".join(mail.returned)
    delayed = bool(_DELAYED.search(text) or _DELAYED.search(mail.header("subject"))) and not _GAVE_UP.search(text)
    action = "delayed" if delayed else "failed"
    named = _named(mail, text, below)
    if not named:
        # Nobody is named: our own mark must say whom it is about.
        found = _forwarded(whole) or (_of_returned(mail) if "transcript of session" in text.lower() else None)
        return found or MailReport(MailKind.DELAYED if delayed else MailKind.BOUNCE, (), _message_id(mail))
    reports = [r for a, said in named if (r := judge(a, action, "", said)) is not None]
    return MailReport(_kind(reports), tuple(reports), _message_id(mail))


def _forwarded(text: str) -> MailReport | None:
    """Read a report that was itself sent on inside a text."""
    found = _INNER.search(text)
    if found is None:
        return None
    inner = read_mail(text[found.start() + 1 :].encode("utf-8", "replace"))
    return _from_statuses(inner) if inner.statuses else None


def _named(mail: Mail, text: str, below: str) -> list[tuple[str, str]]:
    failed = addresses_in(mail.header("x-failed-recipients"))
    ours = _ours(mail, below) - set(failed)
    found = [(n.address, n.diagnostic) for n in named_recipients(text, ours=ours)]
    if failed:
        said = dict(found)
        return [(a, said.get(a, text)) for a in failed]
    # A text that gives the reason once, before or after the list, gives it for all.
    return [(a, said if classify(said)[0] is not Reason.UNDEFINED else text) for a, said in found]


def _ours(mail: Mail, below: str) -> frozenset[str]:
    """Addresses that are no failed recipients: the reporter, the mailbox reported to, the returned mail's sender."""
    values = [mail.header(h) for h in ("from", "to", "delivered-to")]
    values += [header_value(below, h) for h in ("from", "return-path")]
    return frozenset(a for value in values for a in addresses_in(value))


def _message_id(mail: Mail) -> str:
    for text in [*mail.returned, *(cut_returned(t)[1] for t in mail.texts[:1])]:
        found = header_value(text, "message-id")
        if found:
            return found.strip("<>")
    return ""
