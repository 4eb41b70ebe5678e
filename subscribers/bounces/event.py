"""The words of this package: what a returned mail is, what it says of each recipient, and what that counts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class MailKind(StrEnum):
    """What a mail that came back is."""

    BOUNCE = "bounce"
    DELAYED = "delayed"
    MIXED = "mixed"
    AUTOREPLY = "autoreply"
    CHALLENGE = "challenge"
    FEEDBACK = "feedback"
    MDN = "mdn"
    DELIVERED = "delivered"
    ORDINARY = "ordinary"


class BounceClass(StrEnum):
    """Our verdict on one recipient."""

    HARD = "hard"
    SOFT = "soft"
    DELAYED = "delayed"
    NONE = "none"


class Reason(StrEnum):
    """Why a message was not delivered; `reasons.VERDICTS` says what each counts."""

    USER_UNKNOWN = "user unknown"
    HOST_UNKNOWN = "host unknown"
    HAS_MOVED = "has moved"
    NOT_ACCEPTING = "host accepts no mail"
    MAILBOX_FULL = "mailbox full"
    SUSPENDED = "mailbox disabled"
    FILTERED = "refused for the recipient"
    EXPIRED = "expired"
    REPUTATION = "sender's reputation"
    BLOCKED = "sender's host blocked"
    AUTHENTICATION = "sender's authentication"
    POLICY = "policy"
    SPAM = "judged to be spam"
    VIRUS = "judged to be malware"
    CONTENT = "content refused"
    TOO_BIG = "message too big"
    RATE = "too many messages"
    REJECTED = "sender refused"
    RELAYING = "relaying denied"
    NETWORK = "network trouble"
    TLS = "TLS trouble"
    SYSTEM = "receiving system's trouble"
    SYNTAX = "protocol trouble"
    SUPPRESSED = "suppressed by the provider"
    UNDEFINED = "no reason given"


@dataclass(frozen=True, slots=True)
class RecipientReport:
    """
    What a mail says of one recipient.

    Attributes:
        address: Original-Recipient where stated, else the final one, in lower case.
        final: Final-Recipient where it differs: the target of a forwarding, say.
        klass: The verdict; `counts` says whether a soft one counts against the address.
        status: Enhanced status code of RFC 3463, empty when none.
        diagnostic: The receiver's words, at most 1,000 characters.
    """

    address: str
    klass: BounceClass
    counts: bool
    reason: Reason | None = None
    status: str = ""
    diagnostic: str = ""
    final: str = ""


@dataclass(frozen=True, slots=True)
class MailReport:
    """What one mail is, and what it says of whom. `message_id` is that of the mail it is about, where stated."""

    kind: MailKind
    recipients: tuple[RecipientReport, ...] = ()
    message_id: str = ""
