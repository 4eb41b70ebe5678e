"""
What one SMTP reply means: the whole table, pure. The reason is found by the classifier that also reads bounce reports.

A refusal of the sender (policy, authentication) is never the subscriber's fault, so it never bounces anybody.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from subscribers.bounces.classify import classify as classify_refusal
from subscribers.bounces.event import Reason
from subscribers.bounces.policy import suppresses_at_once

LONGEST_TEXT = 512


class Stage(StrEnum):
    """
    Which command the reply answers, once a connection is ready for mail.

    `BODY` is a reply that came while the body was on its way, before the dot.
    """

    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    BODY = "body"
    DOT = "dot"


class Verdict(StrEnum):
    """
    Whom a reply concerns, and so what is done.

    CONNECTION: nobody is charged, the row goes back, the connection ends. CONFIGURATION and SENDER: the issue pauses.
    POLICY: the breaker of the receiving domain opens, the row is deferred. CONTENT: this copy is held; the same from
    several recipients pauses the issue. UNCERTAIN is no reply at all to the dot.
    """

    SENT = "sent"
    BOUNCED = "bounced"
    DEFERRED = "deferred"
    POLICY = "policy"
    CONTENT = "content"
    SENDER = "sender"
    CONFIGURATION = "configuration"
    CONNECTION = "connection"
    UNCERTAIN = "uncertain"


@dataclass(frozen=True, slots=True)
class SmtpReply:
    """One reply, its lines joined by a blank, exactly as far as it can be shown: no control characters, 512 at most."""

    code: int
    text: str = ""

    @property
    def status(self) -> str | None:
        """The enhanced status code, for example ``5.1.1``. Source: RFC 2034, RFC 3463."""
        found = _STATUS.match(self.text)
        return found[0] if found and int(found[1]) == self.code // 100 else None

    def __str__(self) -> str:
        return f"{self.code} {self.text}".strip()


@dataclass(frozen=True, slots=True)
class Judgement:
    """
    What a reply means for a delivery.

    Attributes:
        unknown_mailbox: The address does not exist: the person is suppressed at once.
        closes: The connection is of no more use.
    """

    verdict: Verdict
    unknown_mailbox: bool = False
    closes: bool = False


_SENT = Judgement(Verdict.SENT)
_STATUS = re.compile(r"([245])\.\d{1,3}\.\d{1,3}(?!\d)")
_AUTHENTICATION = re.compile(r"authenticat|starttls|\bauth\b|log ?in (?:first|required)", re.IGNORECASE)
_GREYLIST = re.compile(r"gr[ae]y-?list|try again (?:later|in \d)|postgrey", re.IGNORECASE)
_AUTH_CODES = frozenset({530, 534, 535, 538})
_SENDER_STATUS = frozenset({"5.1.7", "5.1.8", "4.1.7", "4.1.8"})

# What a reason means while sending. Reasons that are not here are about the recipient at RCPT, the content later.
_BY_REASON: dict[Reason, Verdict] = {
    **dict.fromkeys(
        (
            Reason.AUTHENTICATION,
            Reason.BLOCKED,
            Reason.POLICY,
            Reason.RATE,
            Reason.RELAYING,
            Reason.REPUTATION,
            Reason.SPAM,
        ),
        Verdict.POLICY,
    ),
    **dict.fromkeys((Reason.CONTENT, Reason.SYNTAX, Reason.TOO_BIG, Reason.VIRUS), Verdict.CONTENT),
    **dict.fromkeys(
        (
            Reason.HAS_MOVED,
            Reason.HOST_UNKNOWN,
            Reason.MAILBOX_FULL,
            Reason.NOT_ACCEPTING,
            Reason.SUSPENDED,
            Reason.USER_UNKNOWN,
        ),
        Verdict.BOUNCED,
    ),
}


def classify(stage: Stage, reply: SmtpReply) -> Judgement:
    """
    Decide what one reply means for the delivery that it answers.

    Source: RFC 5321 4.2 and 4.5.4.1; RFC 3463; RFC 2920 3.1 for the reply that follows a pipelined dot.
    """
    if stage is Stage.DOT and 200 <= reply.code < 300:
        return _SENT
    if not 400 <= reply.code < 600:
        # Neither yes nor no, to a command that wants one of both: the two sides are out of step.
        return Judgement(Verdict.UNCERTAIN if stage is Stage.DOT else Verdict.CONNECTION, closes=True)
    if reply.code in _AUTH_CODES:
        return Judgement(Verdict.CONFIGURATION, closes=True)
    if reply.code == 421 and stage is not Stage.DOT and not _is_policy_of_421(stage, reply):
        return Judgement(Verdict.CONNECTION, closes=True)
    judged = _about_mail(reply) if stage is Stage.MAIL else _about_recipient_or_content(stage, reply)
    return Judgement(judged.verdict, judged.unknown_mailbox, closes=reply.code == 421 or judged.closes)


def _is_policy_of_421(stage: Stage, reply: SmtpReply) -> bool:
    """Tell whether a server ends the connection because of who we are, as Google and Yahoo do: 421 4.7.28."""
    about_us = (reply.status or "")[2:4] == "7." and not _GREYLIST.search(reply.text)
    return about_us and stage in (Stage.RCPT, Stage.DATA, Stage.BODY)


def _about_mail(reply: SmtpReply) -> Judgement:
    status = reply.status or ""
    if status == "5.7.0" and _AUTHENTICATION.search(reply.text):
        return Judgement(Verdict.CONFIGURATION, closes=True)
    if status == "5.3.4":
        return Judgement(Verdict.CONTENT)
    if reply.code >= 500:
        return Judgement(Verdict.SENDER, closes=True)
    return Judgement(Verdict.CONNECTION, closes=True)


def _about_recipient_or_content(stage: Stage, reply: SmtpReply) -> Judgement:
    status = reply.status or ""
    if status == "5.7.0" and _AUTHENTICATION.search(reply.text):
        return Judgement(Verdict.CONFIGURATION, closes=True)
    if status in _SENDER_STATUS:
        return Judgement(Verdict.SENDER if reply.code >= 500 else Verdict.DEFERRED)
    if reply.code == 503:
        return Judgement(Verdict.CONNECTION, closes=True)
    reason, _ = classify_refusal(str(reply), status)
    verdict = _BY_REASON.get(reason, Verdict.BOUNCED if stage is Stage.RCPT else Verdict.CONTENT)
    if status[2:4] == "7.":
        verdict = Verdict.POLICY  # a security code is about us, whatever its words
    if reply.code < 500:
        # 4.5.3, too many recipients, is about one transaction; we send one recipient in each.
        policy = verdict is Verdict.POLICY and status != "4.5.3" and not _GREYLIST.search(reply.text)
        return Judgement(Verdict.POLICY if policy else Verdict.DEFERRED)
    return Judgement(verdict, unknown_mailbox=verdict is Verdict.BOUNCED and suppresses_at_once(reason, status))
