"""Resend: its webhooks are signed as Svix (Standard Webhooks) does it, over id, time and raw body."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterator
from datetime import datetime

from subscribers.bounces.event import Reason
from subscribers.bounces.provider_marks import MARK_FIELDS, handed_back
from subscribers.bounces.providers.notice import Happened, Notice, Refusal
from subscribers.bounces.providers.payload import addresses, inner, listed, moment, objects, read_json, text
from subscribers.bounces.providers.provider import Entry, Headers, Provider
from subscribers.bounces.providers.verifying import Posted, Secrets, WebhookRefused, check_fresh, require

IDENTITY, TIMESTAMP, SIGNATURE = "svix-id", "svix-timestamp", "svix-signature"
SECRET_PREFIX = "whsec_"  # noqa: S105  (how every secret of Svix begins)
MOST_SIGNATURES = 10
KINDS: dict[str, Happened] = {
    "email.scheduled": Happened.QUEUED,
    "email.sent": Happened.SENT,
    "email.delivered": Happened.DELIVERED,
    "email.delivery_delayed": Happened.DEFERRED,
    "email.bounced": Happened.BOUNCED,
    "email.suppressed": Happened.REJECTED,
    "email.failed": Happened.FAILED,
    "email.complained": Happened.COMPLAINED,
    "email.opened": Happened.OPENED,
    "email.clicked": Happened.CLICKED,
}
HARDNESS = {"permanent": True, "transient": False}
# Its subtypes of a bounce are those of the service that it sends through.
CAUSES: dict[str, Reason] = {
    "noemail": Reason.USER_UNKNOWN,
    "mailboxfull": Reason.MAILBOX_FULL,
    "messagetoolarge": Reason.TOO_BIG,
    "contentrejected": Reason.CONTENT,
    "attachmentrejected": Reason.CONTENT,
}


def split(body: bytes, headers: Headers) -> list[Entry]:
    identity = headers.get(IDENTITY, "")
    return [{**entry, IDENTITY: identity} for entry in objects(read_json(body))]


def tell(entry: Entry) -> Iterator[Notice]:
    happened = KINDS.get(text(entry, "type").lower(), Happened.UNKNOWN)
    data = inner(entry, "data")
    refused = inner(data, "bounce") or inner(data, "suppressed") or inner(data, "failed")
    note, part = text(refused, "message", "reason"), text(refused, "subType", "type").lower()
    suppressed = part in ("suppressed", "onaccountsuppressionlist") or "suppress" in note.lower()
    refusal: Refusal | None = None
    if happened in (Happened.BOUNCED, Happened.REJECTED):
        refusal = Refusal.BLOCKED if suppressed or happened is Happened.REJECTED else Refusal.BOUNCED
    elif happened is Happened.COMPLAINED:
        refusal = Refusal.SPAM
    yield Notice(
        happened=happened,
        refusal=refusal,
        address=next(addresses(listed(data, "to")), ""),
        event_id=text(entry, IDENTITY),
        words=" ".join(word for word in listed(refused, "diagnosticCode") if isinstance(word, str)),
        note=note,
        cause=Reason.SUPPRESSED if suppressed else CAUSES.get(part),
        # Before it said which, every bounce that it told of was a permanent one.
        hard=HARDNESS.get(text(refused, "type").lower(), None if "type" in refused else True),
        at=moment(entry.get("created_at")),
        message_id=text(data, "message_id").strip("<>"),
        remote_id=text(data, "email_id"),
        mark=_mark(data),
    )


def _mark(data: Entry) -> str:
    name = MARK_FIELDS["resend"].name.lower()
    for header in objects(listed(data, "headers")):
        if text(header, "name").lower() == name:
            return handed_back(text(header, "value"))
    return ""


def verify(posted: Posted, secrets: Secrets, now: datetime) -> None:
    key = _key(require(secrets.secret).decode())
    identity, timestamp = posted.headers.get(IDENTITY, ""), posted.headers.get(TIMESTAMP, "")
    expected = base64.b64encode(hmac.digest(key, f"{identity}.{timestamp}.".encode() + posted.body, "sha256"))
    given = [part.partition(",") for part in posted.headers.get(SIGNATURE, "").split()[:MOST_SIGNATURES]]
    # While a secret is being replaced there is a signature by each; every one is compared, found or not.
    held = [hmac.compare_digest(signature.encode(), expected) for version, _, signature in given if version == "v1"]
    if not any(held):
        raise WebhookRefused("The signature does not hold.")
    check_fresh(timestamp, now)


def _key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (ValueError, binascii.Error):
        raise WebhookRefused("The secret is none of Resend's.") from None


RESEND = Provider("resend", "Resend", (("secret",),), split, tell, verify)
