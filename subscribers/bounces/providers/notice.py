"""
What a provider says of one recipient, in the one vocabulary of mail services, and what that means for us.

A provider that did not even try (suppressed, dropped, blocked) reports no new bounce: such a notice never counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from subscribers.bounces.classify import classify
from subscribers.bounces.event import BounceClass, EventKind, ProviderEvent, Reason
from subscribers.bounces.reasons import VERDICTS

LONGEST_WORDS = 1_000
LONGEST_ADDRESS = 320


class Happened(StrEnum):
    """What became of the mail; each provider's own words are mapped onto these."""

    QUEUED = "queued"
    SENT = "sent"
    REJECTED = "rejected"
    FAILED = "failed"
    BOUNCED = "bounced"
    DEFERRED = "deferred"
    DELIVERED = "delivered"
    AUTORESPONDED = "autoresponded"
    OPENED = "opened"
    CLICKED = "clicked"
    COMPLAINED = "complained"
    UNSUBSCRIBED = "unsubscribed"
    SUBSCRIBED = "subscribed"
    UNKNOWN = "unknown"


class Refusal(StrEnum):
    """Why a mail was not delivered, as coarsely as all providers say it."""

    INVALID = "invalid"
    BOUNCED = "bounced"
    TIMED_OUT = "timed_out"
    BLOCKED = "blocked"
    SPAM = "spam"
    UNSUBSCRIBED = "unsubscribed"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """
    One recipient's part of one event.

    Attributes:
        words: What the receiving server said; the classifier reads them.
        note: What the provider itself says, for people; it is never classified.
        cause: What the provider's own category means, where it has one.
        hard: What the provider calls it: permanent, temporary, or nothing.
        own_act: Of an unsubscribe: by the person; false where somebody at the provider's entered it.
        counts: False where the provider's report is too vague to hold against anybody.
    """

    happened: Happened
    refusal: Refusal | None = None
    address: str = ""
    event_id: str = ""
    words: str = ""
    note: str = ""
    status: str = ""
    cause: Reason | None = None
    hard: bool | None = None
    counts: bool = True
    own_act: bool = True
    at: datetime | None = None
    message_id: str = ""
    remote_id: str = ""
    mark: str = ""


KINDS: dict[Happened, EventKind] = {
    Happened.REJECTED: EventKind.BOUNCE,
    Happened.FAILED: EventKind.BOUNCE,
    Happened.BOUNCED: EventKind.BOUNCE,
    Happened.DEFERRED: EventKind.DELAYED,
    Happened.DELIVERED: EventKind.DELIVERED,
    Happened.AUTORESPONDED: EventKind.AUTOREPLY,
    Happened.COMPLAINED: EventKind.COMPLAINT,
    Happened.UNSUBSCRIBED: EventKind.UNSUBSCRIBED,
}

# Known and of no use: who read what is nobody's business here, and what was only accepted says nothing yet.
_READING = re.compile(
    rb'"(?:event|status|\w*type|event[-_]name)"\s*:\s*"[\w. -]*(?:open|click|track|view)[\w. -]*"', re.IGNORECASE
)
THROWN_AWAY = (Happened.QUEUED, Happened.SENT, Happened.OPENED, Happened.CLICKED, Happened.SUBSCRIBED)

# Reasons that only say that there was a refusal: the provider's category, where it has one, says more.
_VAGUE = (Reason.UNDEFINED, Reason.FILTERED, Reason.SYSTEM)
# Of a bounce, these refusals mean that the provider or the receiver's policy stood in the way, not the mailbox.
_NOT_THE_MAILBOX = (Refusal.BLOCKED, Refusal.SPAM, Refusal.UNSUBSCRIBED)


def is_thrown_away(notice: Notice, raw: bytes) -> bool:
    """Whether nothing of a notice is kept; a kind that nobody knows is, unless it looks as if it told who read what."""
    if notice.happened is Happened.UNKNOWN:
        return _READING.search(raw) is not None
    return notice.happened in THROWN_AWAY


def to_event(notice: Notice, event_id: str, raw: bytes = b"") -> ProviderEvent:
    """Return what a notice means in the words of this package; *raw* is the entry that it stands in."""
    kind = KINDS.get(notice.happened, EventKind.OTHER)
    klass: BounceClass | None = None
    counts, reason, status = False, None, notice.status
    if kind is EventKind.BOUNCE:
        klass, counts, reason, status = _judge(notice)
    elif kind is EventKind.DELAYED:
        klass, (reason, status) = BounceClass.DELAYED, _heard(notice)
    return ProviderEvent(
        event_id=event_id,
        kind=kind,
        address=notice.address[:LONGEST_ADDRESS],
        klass=klass,
        counts=counts,
        status=status,
        reason=reason,
        words=(notice.words or notice.note)[:LONGEST_WORDS],
        at=notice.at,
        message_id=notice.message_id or None,
        remote_id=notice.remote_id or None,
        mark=notice.mark or None,
        may_be_answer=kind is EventKind.BOUNCE and not notice.counts,
        own_act=notice.own_act,
        raw=raw,
    )


def _judge(notice: Notice) -> tuple[BounceClass, bool, Reason, str]:
    """Judge a mail that did not arrive: by the receiver's words, by the provider's category where they are vague."""
    reason, status = _heard(notice)
    if notice.happened is Happened.REJECTED or notice.refusal in _NOT_THE_MAILBOX:
        return BounceClass.SOFT, False, _other_than_the_mailbox(reason, notice), status
    verdict = VERDICTS[reason]
    klass, counts = verdict.klass, verdict.counts
    if reason is Reason.UNDEFINED and notice.hard:
        klass = BounceClass.HARD
    if notice.happened is Happened.FAILED and not notice.hard:
        counts = False  # the provider's own trouble with the mail, such as a template
    if klass is BounceClass.HARD and (notice.hard is False or status.startswith("4") or not counts):
        klass = BounceClass.SOFT
    return klass, counts and notice.counts, reason, status


def _heard(notice: Notice) -> tuple[Reason, str]:
    reason, status = Reason.UNDEFINED, notice.status
    if notice.words or notice.status:
        reason, status = classify(notice.words, notice.status)
    if reason in _VAGUE and notice.cause is not None:
        reason = notice.cause
    return reason, status


def _other_than_the_mailbox(reason: Reason, notice: Notice) -> Reason:
    """Name the reason of a refusal that never counts: what was heard if that never counts either."""
    if notice.cause is not None and not VERDICTS[notice.cause].counts:
        return notice.cause
    return Reason.SUPPRESSED if VERDICTS[reason].counts else reason
