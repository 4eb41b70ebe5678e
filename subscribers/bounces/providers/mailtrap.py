"""Mailtrap: its webhooks are signed with HMAC-SHA256 over the raw body; events come in batches, also a line each."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from subscribers.bounces.event import Reason
from subscribers.bounces.provider_marks import handed_back
from subscribers.bounces.providers.notice import Happened, Notice, Refusal
from subscribers.bounces.providers.payload import PayloadUnreadable, inner, moment, objects, read_json, text
from subscribers.bounces.providers.provider import Entry, Headers, Provider
from subscribers.bounces.providers.verifying import Posted, Secrets, check_hmac, require

SIGNATURE = "mailtrap-signature"
KINDS: dict[str, tuple[Happened, Refusal | None, bool | None]] = {
    "delivery": (Happened.DELIVERED, None, None),
    "open": (Happened.OPENED, None, None),
    "click": (Happened.CLICKED, None, None),
    "unsubscribe": (Happened.UNSUBSCRIBED, Refusal.UNSUBSCRIBED, None),
    "spam": (Happened.COMPLAINED, Refusal.SPAM, None),
    "soft bounce": (Happened.DEFERRED, Refusal.OTHER, False),
    "bounce": (Happened.BOUNCED, Refusal.BOUNCED, True),
    "suspension": (Happened.DEFERRED, Refusal.OTHER, None),
    "reject": (Happened.REJECTED, Refusal.BLOCKED, None),
}
CAUSES: dict[str, Reason] = {
    "badmailbox": Reason.USER_UNKNOWN,
    "baddomain": Reason.HOST_UNKNOWN,
    "mailboxfull": Reason.MAILBOX_FULL,
    "spam": Reason.SPAM,
    "virus": Reason.VIRUS,
    "policy": Reason.POLICY,
}


def split(body: bytes, headers: Headers) -> list[Entry]:
    """Return the events of ``{"events": [...]}``, of a bare list, or of lines of JSON."""
    del headers
    try:
        found = read_json(body)
    except PayloadUnreadable:
        lines = [line for line in body.splitlines() if line.strip()]
        if len(lines) < 2:
            raise
        found = [read_json(line) for line in lines]
    if isinstance(found, dict) and isinstance(found.get("events"), list):
        found = found["events"]
    return objects(found)


def tell(entry: Entry) -> Iterator[Notice]:
    happened, refusal, hard = KINDS.get(text(entry, "event").lower().replace("_", " "), (Happened.UNKNOWN, None, None))
    yield Notice(
        happened=happened,
        refusal=refusal,
        address=text(entry, "email"),
        event_id=text(entry, "event_id"),
        words=text(entry, "response"),
        note=text(entry, "reason", "bounce_category"),
        cause=CAUSES.get(text(entry, "bounce_category").lower().replace("_", "").replace(" ", "")),
        hard=hard,
        at=moment(entry.get("timestamp")),
        remote_id=text(entry, "message_id"),
        mark=handed_back(text(inner(entry, "custom_variables"), "mark")),
    )


def verify(posted: Posted, secrets: Secrets, now: datetime) -> None:
    del now
    check_hmac(require(secrets.secret), posted.body, posted.headers.get(SIGNATURE, ""))


MAILTRAP = Provider("mailtrap", "Mailtrap", (("secret",),), split, tell, verify)
