"""Mandrill (Mailchimp Transactional): a form, signed with HMAC-SHA1 over the address posted to and its fields."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterator
from datetime import datetime

from subscribers.bounces.event import Reason
from subscribers.bounces.provider_marks import handed_back
from subscribers.bounces.providers.notice import Happened, Notice, Refusal
from subscribers.bounces.providers.payload import digest, inner, moment, objects, read_form, read_json, text
from subscribers.bounces.providers.provider import Entry, Headers, Provider
from subscribers.bounces.providers.verifying import Posted, Secrets, check_same, require

SIGNATURE = "x-mandrill-signature"
EVENTS = "mandrill_events"
KINDS: dict[str, tuple[Happened, Refusal | None, bool | None]] = {
    "send": (Happened.SENT, None, None),
    "delivered": (Happened.DELIVERED, None, None),
    "deferral": (Happened.DEFERRED, None, None),
    "hard_bounce": (Happened.BOUNCED, Refusal.BOUNCED, True),
    "soft_bounce": (Happened.BOUNCED, Refusal.BOUNCED, False),
    "reject": (Happened.REJECTED, Refusal.BLOCKED, None),
    "spam": (Happened.COMPLAINED, Refusal.SPAM, None),
    "unsub": (Happened.UNSUBSCRIBED, Refusal.UNSUBSCRIBED, None),
    "open": (Happened.OPENED, None, None),
    "click": (Happened.CLICKED, None, None),
}
# What its descriptions of bounces mean, where the receiver's words do not say more.
CAUSES: dict[str, Reason] = {
    "bad_mailbox": Reason.USER_UNKNOWN,
    "invalid_domain": Reason.HOST_UNKNOWN,
    "mailbox_full": Reason.MAILBOX_FULL,
    "disabled_mailbox": Reason.SUSPENDED,
    "relaying_denied": Reason.RELAYING,
    "spam": Reason.SPAM,
    "virus": Reason.VIRUS,
    "message_too_large": Reason.TOO_BIG,
    "invalid_sender": Reason.REJECTED,
}


def split(body: bytes, headers: Headers) -> list[Entry]:
    """Return the events of the form's one field; the bare list is read as well."""
    del headers
    if body.lstrip()[:1] in (b"[", b"{"):
        return objects(read_json(body))
    return objects(read_json(read_form(body).get(EVENTS, "")))


def tell(entry: Entry) -> Iterator[Notice]:
    kind = text(entry, "event")
    happened, refusal, hard = KINDS.get(kind.lower(), (Happened.UNKNOWN, None, None))
    message, rejected = inner(entry, "msg"), inner(entry, "reject")
    described = text(message, "bounce_description").lower()
    identity = text(entry, "_id") or text(message, "_id")
    yield Notice(
        happened=happened,
        refusal=refusal,
        address=text(message, "email") or text(rejected, "email"),
        # `_id` is the message's, not the event's.
        event_id=digest(identity, kind, entry.get("ts")) if identity else "",
        words=text(message, "diag"),
        note=described or text(rejected, "reason"),
        cause=CAUSES.get(described),
        hard=hard,
        at=moment(entry.get("ts")),
        remote_id=identity,
        mark=handed_back(text(inner(message, "metadata"), "mark")),
    )


def verify(posted: Posted, secrets: Secrets, now: datetime) -> None:
    del now
    key = require(secrets.secret)
    fields = read_form(posted.body)
    signed = secrets.url + "".join(name + fields[name] for name in sorted(fields))
    expected = base64.b64encode(hmac.digest(key, signed.encode("utf-8", "surrogatepass"), "sha1")).decode()
    check_same(posted.headers.get(SIGNATURE, "").strip(), expected)


MANDRILL = Provider("mandrill", "Mandrill", (("secret",),), split, tell, verify, probes=("HEAD",))
