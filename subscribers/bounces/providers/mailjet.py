"""Mailjet: its event API is not signed, so it is known by the user name and password in the address it is given."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from subscribers.bounces.event import Reason
from subscribers.bounces.provider_marks import handed_back
from subscribers.bounces.providers.notice import Happened, Notice, Refusal
from subscribers.bounces.providers.payload import moment, objects, read_json, text
from subscribers.bounces.providers.provider import Entry, Headers, Provider
from subscribers.bounces.providers.verifying import Posted, Secrets, check_password

KINDS: dict[str, Happened] = {
    "sent": Happened.DELIVERED,
    "open": Happened.OPENED,
    "click": Happened.CLICKED,
    "bounce": Happened.BOUNCED,
    "blocked": Happened.REJECTED,
    "spam": Happened.COMPLAINED,
    "unsub": Happened.UNSUBSCRIBED,
}
# Its table of errors.
ERRORS: dict[str, tuple[Refusal, Reason]] = {
    "user unknown": (Refusal.BOUNCED, Reason.USER_UNKNOWN),
    "mailbox inactive": (Refusal.BOUNCED, Reason.SUSPENDED),
    "quota exceeded": (Refusal.BOUNCED, Reason.MAILBOX_FULL),
    "blacklisted": (Refusal.BLOCKED, Reason.SUPPRESSED),
    "spam reporter": (Refusal.SPAM, Reason.SUPPRESSED),
    "invalid domain": (Refusal.BOUNCED, Reason.HOST_UNKNOWN),
    "no mail host": (Refusal.BOUNCED, Reason.HOST_UNKNOWN),
    "relay/access denied": (Refusal.BOUNCED, Reason.RELAYING),
    "greylisted": (Refusal.OTHER, Reason.RATE),
    "typofix": (Refusal.INVALID, Reason.SUPPRESSED),
    "bad or empty template": (Refusal.OTHER, Reason.CONTENT),
    "error in template language": (Refusal.OTHER, Reason.CONTENT),
    "sender blocked": (Refusal.BLOCKED, Reason.REPUTATION),
    "content blocked": (Refusal.BLOCKED, Reason.CONTENT),
    "policy issue": (Refusal.BLOCKED, Reason.POLICY),
    "system issue": (Refusal.OTHER, Reason.SYSTEM),
    "protocol issue": (Refusal.OTHER, Reason.SYNTAX),
    "connection issue": (Refusal.OTHER, Reason.NETWORK),
    "preblocked": (Refusal.BLOCKED, Reason.SUPPRESSED),
    "duplicate in campaign": (Refusal.OTHER, Reason.SUPPRESSED),
}


def split(body: bytes, headers: Headers) -> list[Entry]:
    del headers
    return objects(read_json(body))


def tell(entry: Entry) -> Iterator[Notice]:
    happened = KINDS.get(text(entry, "event").lower(), Happened.UNKNOWN)
    hard = entry.get("hard_bounce")
    if happened is Happened.BOUNCED and hard is False:
        happened = Happened.DEFERRED
    refusal: Refusal | None = None
    cause: Reason | None = None
    error = text(entry, "error").lower()
    if happened in (Happened.BOUNCED, Happened.DEFERRED, Happened.REJECTED):
        refusal, cause = ERRORS.get(error, (Refusal.OTHER if error else Refusal.BOUNCED, None))
    elif happened is Happened.COMPLAINED:
        refusal = Refusal.SPAM
    yield Notice(
        happened=happened,
        refusal=refusal,
        address=text(entry, "email"),
        words=text(entry, "comment", "smtp_reply"),
        note=error,
        cause=cause,
        hard=hard if isinstance(hard, bool) else None,
        at=moment(entry.get("time")),
        remote_id=text(entry, "Message_GUID", "MessageID", "mj_message_id"),
        mark=handed_back(text(entry, "CustomID")),
    )


def verify(posted: Posted, secrets: Secrets, now: datetime) -> None:
    del now
    check_password(posted, secrets)


MAILJET = Provider("mailjet", "Mailjet", (("username", "password"),), split, tell, verify)
