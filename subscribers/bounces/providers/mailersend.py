"""MailerSend: its webhooks are signed with HMAC-SHA256 over the raw body."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from subscribers.bounces.providers.notice import Happened, Notice, Refusal
from subscribers.bounces.providers.payload import PayloadUnreadable, inner, moment, objects, read_json, text
from subscribers.bounces.providers.provider import Entry, Headers, Provider
from subscribers.bounces.providers.verifying import Posted, Secrets, WebhookRefused, check_hmac, require

SIGNATURE = "signature"
# What it posts before it shows the secret, signed with a published one: it tells of nothing, and is only answered.
PING = "webhook.test"
PING_SECRET = b"test_Am3L1GuOIc4blLUuHqAPxxwkZaJyEk8G"
KINDS: dict[str, tuple[Happened, Refusal | None, bool | None]] = {
    "sent": (Happened.SENT, None, None),
    "delivered": (Happened.DELIVERED, None, None),
    "deferred": (Happened.DEFERRED, None, None),
    "soft_bounced": (Happened.BOUNCED, Refusal.BOUNCED, False),
    "hard_bounced": (Happened.BOUNCED, Refusal.BOUNCED, True),
    "spam_complaint": (Happened.COMPLAINED, Refusal.SPAM, None),
    "unsubscribed": (Happened.UNSUBSCRIBED, Refusal.UNSUBSCRIBED, None),
    "opened": (Happened.OPENED, None, None),
    "opened_unique": (Happened.OPENED, None, None),
    "clicked": (Happened.CLICKED, None, None),
    "clicked_unique": (Happened.CLICKED, None, None),
}


def split(body: bytes, headers: Headers) -> list[Entry]:
    del headers
    return [entry for entry in objects(read_json(body)) if text(entry, "type") != PING]


def tell(entry: Entry) -> Iterator[Notice]:
    data = inner(entry, "data")
    kind = text(entry, "type").lower().removeprefix("activity.")
    happened, refusal, hard = KINDS.get(kind, (Happened.UNKNOWN, None, None))
    mail, more = inner(data, "email"), inner(data, "morph")
    bounced = happened in (Happened.BOUNCED, Happened.DEFERRED)
    yield Notice(
        happened=happened,
        refusal=refusal,
        address=text(inner(mail, "recipient"), "email"),
        event_id=text(data, "id"),
        words=text(more, "reason") if bounced else "",
        note=text(more, "readable_reason", "reason"),
        hard=hard,
        at=moment(data.get("created_at")) or moment(entry.get("created_at")),
        message_id=text(inner(mail, "headers"), "message-id", "Message-ID").strip("<>"),
        remote_id=text(inner(mail, "message"), "id"),
    )


def verify(posted: Posted, secrets: Secrets, now: datetime) -> None:
    del now
    if not _is_ping(posted):
        check_hmac(require(secrets.secret), posted.body, posted.headers.get(SIGNATURE, ""))


def _is_ping(posted: Posted) -> bool:
    try:
        check_hmac(PING_SECRET, posted.body, posted.headers.get(SIGNATURE, ""))
        found = read_json(posted.body)
    except (WebhookRefused, PayloadUnreadable):
        return False
    return isinstance(found, dict) and found.get("type") == PING


MAILERSEND = Provider("mailersend", "MailerSend", (("secret",),), split, tell, verify)
