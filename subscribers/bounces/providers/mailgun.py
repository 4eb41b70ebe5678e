"""
Mailgun: its webhooks as JSON, and the older ones as a form.

The signature covers a time and a token only, so a token is good for one body: see `Provider.token`. In a form our own
variables stand beside Mailgun's fields, after them: the first of a name is Mailgun's.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from subscribers.bounces.event import Reason
from subscribers.bounces.provider_marks import handed_back
from subscribers.bounces.providers.notice import Happened, Notice, Refusal
from subscribers.bounces.providers.payload import inner, moment, objects, read_form, read_json, text
from subscribers.bounces.providers.provider import Entry, Headers, Provider
from subscribers.bounces.providers.verifying import (
    Posted,
    Secrets,
    WebhookRefused,
    check_fresh,
    require,
    sha256,
)

KINDS: dict[str, Happened] = {
    "accepted": Happened.QUEUED,
    "delivered": Happened.DELIVERED,
    "failed": Happened.BOUNCED,
    "bounced": Happened.BOUNCED,
    "dropped": Happened.REJECTED,
    "rejected": Happened.REJECTED,
    "opened": Happened.OPENED,
    "clicked": Happened.CLICKED,
    "complained": Happened.COMPLAINED,
    "unsubscribed": Happened.UNSUBSCRIBED,
}
# Its reasons of a failure, and what each means where the receiver's words do not say more.
REFUSALS: dict[str, tuple[Refusal, Reason | None]] = {
    "bounce": (Refusal.BOUNCED, None),
    "hardfail": (Refusal.BOUNCED, None),
    "generic": (Refusal.OTHER, None),
    "greylisted": (Refusal.OTHER, Reason.RATE),
    "old": (Refusal.TIMED_OUT, Reason.EXPIRED),
    "espblock": (Refusal.BLOCKED, Reason.BLOCKED),
    "suppress-bounce": (Refusal.BLOCKED, Reason.SUPPRESSED),
    "suppress-complaint": (Refusal.SPAM, Reason.SUPPRESSED),
    "suppress-unsubscribe": (Refusal.UNSUBSCRIBED, Reason.SUPPRESSED),
}
# Its own codes for mail that it did not try.
NOT_TRIED: dict[str, Refusal] = {"605": Refusal.BOUNCED, "606": Refusal.UNSUBSCRIBED, "607": Refusal.SPAM}
LATE_FOR = timedelta(hours=9)  # Mailgun tries again for eight hours; its tokens are remembered for longer than this
HARDNESS = {"permanent": True, "temporary": False}


def split(body: bytes, headers: Headers) -> list[Entry]:
    del headers
    if body.lstrip()[:1] in (b"{", b"["):
        return objects(read_json(body))
    return [read_form(body)]


def tell(entry: Entry) -> Iterator[Notice]:
    yield _from_json(inner(entry, "event-data")) if "event-data" in entry else _from_form(entry)


def _from_json(event: Entry) -> Notice:
    happened = KINDS.get(text(event, "event").lower(), Happened.UNKNOWN)
    status, hard = inner(event, "delivery-status"), HARDNESS.get(text(event, "severity").lower())
    if happened is Happened.BOUNCED and hard is False:
        happened = Happened.DEFERRED
    refusal, cause = _refusal(happened, text(event, "reason").lower(), text(status, "code"))
    tried = cause is not Reason.SUPPRESSED
    return Notice(
        happened=happened,
        refusal=refusal,
        address=text(event, "recipient"),
        event_id=text(event, "id"),
        words=_reply(status) if tried else "",
        note=text(status, "description", "message") or text(inner(event, "reject"), "reason"),
        status=text(status, "enhanced-code") if tried else "",
        cause=cause,
        hard=hard,
        at=moment(event.get("timestamp")),
        message_id=text(inner(event, "message", "headers"), "message-id").strip("<>"),
        mark=handed_back(text(inner(event, "user-variables"), "mark")),
    )


def _from_form(fields: Entry) -> Notice:
    event = text(fields, "event").lower()
    happened = KINDS.get(event, Happened.UNKNOWN)
    refusal, cause = _refusal(happened, text(fields, "reason").lower(), text(fields, "code"))
    return Notice(
        happened=happened,
        refusal=refusal,
        address=text(fields, "recipient"),
        event_id=text(fields, "token"),
        words=text(fields, "error", "description") if happened is Happened.BOUNCED else "",
        note=text(fields, "description", "notification", "reason"),
        cause=cause,
        hard=event == "bounced" or None,
        at=moment(fields.get("timestamp")),
        message_id=text(fields, "Message-Id", "message-id").strip("<>"),
        mark=handed_back(text(fields, "mark")),
    )


def _refusal(happened: Happened, reason: str, code: str) -> tuple[Refusal | None, Reason | None]:
    if happened is Happened.COMPLAINED:
        return Refusal.SPAM, None
    if happened not in (Happened.BOUNCED, Happened.REJECTED, Happened.DEFERRED):
        return None, None
    if code in NOT_TRIED:
        return NOT_TRIED[code], Reason.SUPPRESSED
    if reason in REFUSALS:
        return REFUSALS[reason]
    return (Refusal.OTHER if happened is Happened.REJECTED else Refusal.BOUNCED), None


def _reply(status: dict[str, Any]) -> str:
    """Return the receiver's reply with its code, which Mailgun keeps apart."""
    said = text(status, "message", "description")
    code = text(status, "code")
    return said if not code.isdigit() or said.startswith(code) else f"{code} {said}".strip()


def verify(posted: Posted, secrets: Secrets, now: datetime) -> None:
    check_fresh(_signed(posted, secrets)[0], now, late=LATE_FOR)


def token(posted: Posted, secrets: Secrets) -> str:
    """Return what may be used for one body only."""
    return sha256("\0".join(_signed(posted, secrets)).encode())


def _signed(posted: Posted, secrets: Secrets) -> tuple[str, str]:
    """
    Return time and token of the signature that holds: the account's own, or that of the account above it.

    Raises:
        WebhookRefused: When neither does.
    """
    key = require(secrets.secret)
    entry = next(iter(split(posted.body, {})), {})
    for fields in (inner(entry, "signature") or entry, inner(entry, "parent-signature")):
        timestamp, given = text(fields, "timestamp"), text(fields, "token")
        signature = text(fields, "signature").lower()
        expected = hmac.new(key, f"{timestamp}{given}".encode("utf-8", "surrogatepass"), "sha256").hexdigest()
        if timestamp and given and hmac.compare_digest(signature.encode("utf-8", "surrogatepass"), expected.encode()):
            return timestamp, given
    raise WebhookRefused("The signature does not hold.")


MAILGUN = Provider("mailgun", "Mailgun", (("secret",),), split, tell, verify, token)
