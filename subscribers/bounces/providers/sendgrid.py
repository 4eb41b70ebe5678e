"""SendGrid: its event webhook, signed with ECDSA over time and raw body."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from cryptography.hazmat.primitives.hashes import SHA256

from subscribers.bounces.event import Reason
from subscribers.bounces.provider_marks import handed_back
from subscribers.bounces.providers.notice import Happened, Notice, Refusal
from subscribers.bounces.providers.payload import moment, objects, read_json, text
from subscribers.bounces.providers.provider import Entry, Headers, Provider
from subscribers.bounces.providers.verifying import Posted, Secrets, check_ecdsa, check_fresh, public_key

SIGNATURE, TIMESTAMP = "x-twilio-email-event-webhook-signature", "x-twilio-email-event-webhook-timestamp"
KINDS: dict[str, Happened] = {
    "processed": Happened.QUEUED,
    "deferred": Happened.DEFERRED,
    "delivered": Happened.DELIVERED,
    "bounce": Happened.BOUNCED,
    "blocked": Happened.BOUNCED,
    "dropped": Happened.REJECTED,
    "open": Happened.OPENED,
    "click": Happened.CLICKED,
    "spamreport": Happened.COMPLAINED,
    "unsubscribe": Happened.UNSUBSCRIBED,
    "group_unsubscribe": Happened.UNSUBSCRIBED,
    "group_resubscribe": Happened.SUBSCRIBED,
}
# Why a mail was dropped (`reason`), or what kind of bounce it is (`type`).
REFUSALS: dict[str, Refusal] = {
    "invalid": Refusal.INVALID,
    "unsubscribed address": Refusal.UNSUBSCRIBED,
    "bounced address": Refusal.BOUNCED,
    "bounce": Refusal.BOUNCED,
    "bounced": Refusal.BOUNCED,
    "spam reporting address": Refusal.SPAM,
    "spam content (if spam checker app enabled)": Refusal.SPAM,
    "blocked": Refusal.BLOCKED,
    "expired": Refusal.TIMED_OUT,
}
# Its classification of bounces.
CAUSES: dict[str, Reason] = {
    "invalid address": Reason.USER_UNKNOWN,
    "mailbox unavailable": Reason.MAILBOX_FULL,
    "technical": Reason.SYSTEM,
    "technical failure": Reason.SYSTEM,
    "content": Reason.CONTENT,
    "reputation": Reason.REPUTATION,
    "frequency or volume too high": Reason.RATE,
    "frequency/volume": Reason.RATE,
}


def split(body: bytes, headers: Headers) -> list[Entry]:
    del headers
    return objects(read_json(body))


def tell(entry: Entry) -> Iterator[Notice]:
    happened = KINDS.get(text(entry, "event").lower(), Happened.UNKNOWN)
    kind, reason = text(entry, "type").lower(), text(entry, "reason")
    refusal: Refusal | None = None
    if happened is Happened.REJECTED:
        refusal = REFUSALS.get(reason.lower(), Refusal.OTHER)
    elif happened is Happened.BOUNCED:
        refusal = Refusal.BLOCKED if text(entry, "event") == "blocked" else REFUSALS.get(kind, Refusal.BOUNCED)
    elif happened is Happened.COMPLAINED:
        refusal = Refusal.SPAM
    yield Notice(
        happened=happened,
        refusal=refusal,
        address=text(entry, "email"),
        event_id=text(entry, "sg_event_id"),
        words="" if happened is Happened.REJECTED else text(entry, "reason", "response"),
        note=reason,
        status="" if happened is Happened.REJECTED else text(entry, "status"),
        cause=CAUSES.get(text(entry, "bounce_classification").lower()),
        at=moment(entry.get("timestamp")),
        message_id=text(entry, "smtp-id").strip("<>"),
        remote_id=_identity(text(entry, "sg_message_id")),
        mark=handed_back(text(entry, "mark")),
    )


def _identity(message_id: str) -> str:
    """Return the part that the reply to the dot had; of mail that was dropped there is none."""
    first = message_id.partition(".")[0]
    return "" if first.startswith("filter") else first


def verify(posted: Posted, secrets: Secrets, now: datetime) -> None:
    key = public_key(secrets.public_key)
    timestamp = posted.headers.get(TIMESTAMP, "")
    check_ecdsa(key, posted.headers.get(SIGNATURE, ""), timestamp.encode() + posted.body, SHA256())
    check_fresh(timestamp, now)


SENDGRID = Provider("sendgrid", "SendGrid", (("public_key",),), split, tell, verify)
