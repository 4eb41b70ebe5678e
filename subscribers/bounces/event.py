"""The words of this package: what a returned mail is, what it says of each recipient, and what that counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

LONGEST_WORDS = 1000


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


class EventKind(StrEnum):
    """What one event of a provider's webhook says."""

    BOUNCE = "bounce"
    DELAYED = "delayed"
    COMPLAINT = "complaint"
    UNSUBSCRIBED = "unsubscribed"
    DELIVERED = "delivered"
    AUTOREPLY = "autoreply"
    OTHER = "other"


class ReportKind(StrEnum):
    """What came back: the kinds of returned mail, of provider events and of refusals met while sending, in one list."""

    BOUNCE = "bounce"
    DELAYED = "delayed"
    COMPLAINT = "complaint"
    UNSUBSCRIBED = "unsubscribed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    AUTOREPLY = "autoreply"
    CHALLENGE = "challenge"
    MDN = "mdn"
    FEEDBACK = "feedback"
    REPLY = "reply"
    OTHER = "other"


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
        may_be_answer: Called a bounce, but it looks as an out-of-office answer does: it may have arrived.
    """

    address: str
    klass: BounceClass
    counts: bool
    reason: Reason | None = None
    status: str = ""
    diagnostic: str = ""
    final: str = ""
    may_be_answer: bool = False


@dataclass(frozen=True, slots=True)
class MailReport:
    """
    What one mail is, and what it says of whom.

    Attributes:
        message_id: That of the mail it is about, where stated.
        remote_id: What the provider calls that mail, in a notice of Amazon's.
        mark: Our mark, where such a notice hands it back.
        feedback_type: Of a feedback report, in lower case: ``abuse``, ``auth-failure``; empty where none is stated.
    """

    kind: MailKind
    recipients: tuple[RecipientReport, ...] = ()
    message_id: str = ""
    feedback_type: str = ""
    remote_id: str = ""
    mark: str = ""


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """
    What one event of a provider's webhook says, in the words of this package.

    Attributes:
        event_id: The provider's own id of the event; the same id again changes nothing.
        klass: Of a bounce; None for every other kind.
        words: The provider's or receiver's words, for people.
        at: When it happened, as the provider says.
        message_id: The Message-ID of the copy, where the provider hands it back.
        remote_id: What the provider calls the copy.
        mark: Our own envelope sender, its local part or our metadata header, where the provider hands it back.
        may_be_answer: Called a bounce, but it looks as an out-of-office answer does: it may have arrived.
        own_act: Of an unsubscribe: by the person; false where somebody at the provider's entered it.
        raw: The entry of the batch that says it, and nothing of the others.
    """

    event_id: str
    kind: EventKind
    address: str
    klass: BounceClass | None = None
    counts: bool = False
    status: str = ""
    reason: Reason | None = None
    words: str = ""
    at: datetime | None = None
    message_id: str | None = None
    remote_id: str | None = None
    mark: str | None = None
    may_be_answer: bool = False
    own_act: bool = True
    raw: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Once:
    """A token that is good for one body: the digests of both."""

    token: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Said:
    """
    What came back says of one recipient, in the same words whichever way it came.

    Attributes:
        address: The recipient it names; empty where it names none, and the mark alone says whom it is about.
        forwarded_to: Another address that the copy had been sent on to, and which failed.
        in_session: An answer to our own session, not a report.
        own_act: Of an unsubscribe: by the person; false where somebody at the provider's entered it.
    """

    kind: ReportKind
    at: datetime
    address: str = ""
    klass: BounceClass = BounceClass.NONE
    counts: bool = False
    status: str = ""
    reason: Reason | None = None
    words: str = ""
    forwarded_to: str = ""
    in_session: bool = False
    own_act: bool = True
