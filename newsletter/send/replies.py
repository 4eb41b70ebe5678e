"""
What one SMTP reply means: the whole table, pure. Enhanced status codes first, then words, then the basic code.

A refusal of the sender (policy, authentication) is never the subscriber's fault, so it never bounces anybody.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

LONGEST_TEXT = 512


class Stage(StrEnum):
    """Which command the reply answers. `BODY` is a reply that came while the body was on its way, before the dot."""

    CONNECT = "connect"
    AUTH = "auth"
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
        return found[0] if found and found[1] == str(self.code)[0] else None

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


_STATUS = re.compile(r"([245])\.\d{1,3}\.\d{1,3}(?!\d)")
_GREYLIST = re.compile(r"gr[ae]y-?list|try again (?:later|in \d)|postgrey", re.IGNORECASE)
_POLICY = re.compile(
    r"\bspam|spamhaus|spamcop|\bblocked\b|block ?list|black ?list|\bdnsbl\b|\brbl\b|reputation|unsolicited|bulk mail"
    r"|\bdmarc\b|\bspf\b|\bdkim\b|reverse (?:dns|hostname)|relay(?:ing)? (?:access )?(?:denied|not permitted)"
    r"|rate.?limit|too many (?:messages|mails)|policy|complaints?\b",
    re.IGNORECASE,
)
_AUTHENTICATION = re.compile(r"authenticat|starttls|\bauth\b|log ?in (?:first|required)", re.IGNORECASE)
_WHO = r"(?:user|mailbox|recipient|address|account)"
_UNKNOWN = re.compile(
    rf"{_WHO}\b.{{0,40}}\b(?:unknown|not (?:found|exist)|does(?: not|n't) exist|invalid)"
    rf"|(?:unknown|no such|invalid|non-?existent) (?:local )?{_WHO}",
    re.IGNORECASE,
)
_AUTH_CODES = frozenset({530, 534, 535, 538})
_UNKNOWN_STATUS = frozenset({"5.1.1"})
_SENDER_STATUS = frozenset({"5.1.7", "5.1.8", "4.1.7", "4.1.8"})
_CONTENT_STATUS = re.compile(r"5\.(?:3\.4|6\.\d+|5\.\d+)$")


def classify(stage: Stage, reply: SmtpReply) -> Judgement:
    """
    Decide what one reply means for the delivery that it answers.

    Source: RFC 5321 4.2 and 4.5.4.1; RFC 3463; RFC 2920 3.1 for the reply that follows a pipelined dot.
    """
    if stage is Stage.DOT and 200 <= reply.code < 300:
        return Judgement(Verdict.SENT)
    if not 400 <= reply.code < 600:
        # Neither yes nor no, to a command that wants one of both: the two sides are out of step.
        return Judgement(Verdict.UNCERTAIN if stage is Stage.DOT else Verdict.CONNECTION, closes=True)
    if stage is Stage.CONNECT:
        return Judgement(Verdict.CONNECTION, closes=True)
    if stage is Stage.AUTH or reply.code in _AUTH_CODES:
        return Judgement(Verdict.CONFIGURATION, closes=True)
    if reply.code == 421 and stage is not Stage.DOT:
        return Judgement(Verdict.CONNECTION, closes=True)
    judged = _about_mail(reply) if stage is Stage.MAIL else _about_recipient_or_content(stage, reply)
    return Judgement(judged.verdict, judged.unknown_mailbox, closes=reply.code == 421 or judged.closes)


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
    if _is_policy(reply, status):
        return Judgement(Verdict.POLICY)
    if reply.code == 503:
        return Judgement(Verdict.CONNECTION, closes=True)
    if reply.code < 500:
        return Judgement(Verdict.DEFERRED)
    if status in _UNKNOWN_STATUS or (not status and _UNKNOWN.search(reply.text)):
        return Judgement(Verdict.BOUNCED, unknown_mailbox=True)
    if status.startswith(("5.1.", "5.2.", "5.4.")):
        return Judgement(Verdict.BOUNCED)
    if stage is Stage.RCPT and not _CONTENT_STATUS.match(status):
        return Judgement(Verdict.BOUNCED)
    return Judgement(Verdict.CONTENT)


def _is_policy(reply: SmtpReply, status: str) -> bool:
    if reply.code < 500 and _GREYLIST.search(reply.text) and not _POLICY.search(reply.text):
        return False
    if status:
        return status[2:4] == "7."
    return bool(_POLICY.search(reply.text))
