"""Postal: its webhooks are signed with RSA over the raw body, by the key that it also signs mail with."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from cryptography.hazmat.primitives.hashes import SHA1, SHA256

from subscribers.bounces.event import Reason
from subscribers.bounces.providers.notice import Happened, Notice, Refusal
from subscribers.bounces.providers.payload import inner, moment, objects, read_json, text
from subscribers.bounces.providers.provider import Entry, Headers, Provider
from subscribers.bounces.providers.verifying import Posted, Secrets, check_rsa, public_key

SIGNATURE, SIGNATURE_256 = "x-postal-signature", "x-postal-signature-256"
KINDS: dict[str, tuple[Happened, Refusal | None]] = {
    "messagesent": (Happened.DELIVERED, None),
    "messagedelayed": (Happened.DEFERRED, None),
    "messagedeliveryfailed": (Happened.FAILED, None),
    "messagebounced": (Happened.BOUNCED, Refusal.BOUNCED),
    "messageheld": (Happened.QUEUED, None),
    "messageloaded": (Happened.OPENED, None),
    "messagelinkclicked": (Happened.CLICKED, None),
}
HARDNESS = {"hardfail": True, "softfail": False}


def split(body: bytes, headers: Headers) -> list[Entry]:
    del headers
    return objects(read_json(body))


def tell(entry: Entry) -> Iterator[Notice]:
    payload = inner(entry, "payload")
    happened, refusal = KINDS.get(text(entry, "event").lower(), (Happened.UNKNOWN, None))
    if "bounce" in payload:
        happened, refusal = KINDS["messagebounced"]
    message = inner(payload, "original_message") or inner(payload, "message")
    yield Notice(
        happened=happened,
        refusal=refusal,
        address=text(message, "to"),
        event_id=text(entry, "uuid"),
        words=text(payload, "output"),
        note=text(payload, "details"),
        cause=Reason.SUPPRESSED if "suppression list" in text(payload, "details").lower() else None,
        hard=HARDNESS.get(text(payload, "status").lower()),
        at=moment(entry.get("timestamp")),
        message_id=text(message, "message_id").strip("<>"),
        remote_id=text(message, "token"),
    )


def verify(posted: Posted, secrets: Secrets, now: datetime) -> None:
    """The newer of its two signatures is believed where it is sent; the older one covers the same bytes."""
    del now
    key = public_key(secrets.public_key)
    if newer := posted.headers.get(SIGNATURE_256):
        check_rsa(key, newer, posted.body, SHA256())
    else:
        check_rsa(key, posted.headers.get(SIGNATURE, ""), posted.body, SHA1())  # noqa: S303  (what Postal 2 signs with)


POSTAL = Provider("postal", "Postal", (("public_key",),), split, tell, verify)
