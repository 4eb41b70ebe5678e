"""Brevo (once Sendinblue): its webhooks are not signed; it sends a user name and password, or a bearer token."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from subscribers.bounces.event import Reason
from subscribers.bounces.provider_marks import handed_back
from subscribers.bounces.providers.notice import Happened, Notice, Refusal
from subscribers.bounces.providers.payload import PayloadUnreadable, moment, objects, read_json, text
from subscribers.bounces.providers.provider import Entry, Headers, Provider
from subscribers.bounces.providers.verifying import Posted, Secrets, check_bearer, check_password, require

KINDS: dict[str, tuple[Happened, Refusal | None, Reason | None, bool | None]] = {
    "request": (Happened.QUEUED, None, None, None),
    "sent": (Happened.QUEUED, None, None, None),
    "delivered": (Happened.DELIVERED, None, None, None),
    "hard_bounce": (Happened.BOUNCED, Refusal.BOUNCED, None, True),
    "soft_bounce": (Happened.BOUNCED, Refusal.BOUNCED, None, False),
    "invalid_email": (Happened.BOUNCED, Refusal.INVALID, Reason.USER_UNKNOWN, True),
    "blocked": (Happened.REJECTED, Refusal.BLOCKED, Reason.SUPPRESSED, None),
    "error": (Happened.FAILED, None, None, None),
    "deferred": (Happened.DEFERRED, None, None, None),
    "spam": (Happened.COMPLAINED, Refusal.SPAM, None, None),
    "complaint": (Happened.COMPLAINED, Refusal.SPAM, None, None),
    "unsubscribe": (Happened.UNSUBSCRIBED, None, None, None),
    "unsubscribed": (Happened.UNSUBSCRIBED, None, None, None),
    "list_addition": (Happened.SUBSCRIBED, None, None, None),
    "opened": (Happened.OPENED, None, None, None),
    "unique_opened": (Happened.OPENED, None, None, None),
    "proxy_open": (Happened.OPENED, None, None, None),
    "unique_proxy_open": (Happened.OPENED, None, None, None),
    "click": (Happened.CLICKED, None, None, None),
}
# Names of the same events in its other lists.
SPELLINGS = {"hardbounce": "hard_bounce", "softbounce": "soft_bounce", "invalid": "invalid_email"}
TIMES = ("ts_event", "ts_epoch", "s_epoch", "ts", "date")


def split(body: bytes, headers: Headers) -> list[Entry]:
    del headers
    return objects(read_json(body))


def tell(entry: Entry) -> Iterator[Notice]:
    kind = text(entry, "event").lower()
    happened, refusal, cause, hard = KINDS.get(SPELLINGS.get(kind, kind), (Happened.UNKNOWN, None, None, None))
    identity = text(entry, "message-id").strip("<>")
    yield Notice(
        happened=happened,
        refusal=refusal,
        address=text(entry, "email"),
        words=text(entry, "reason"),
        cause=cause,
        hard=hard,
        at=next((t for name in TIMES if (t := moment(entry.get(name)))), None),
        message_id=identity,
        remote_id=identity,
        mark=_mark(text(entry, "X-Mailin-custom")),
    )


def _mark(custom: str) -> str:
    """Return the mark in what we sent along, which comes back as the text that it was."""
    try:
        found = read_json(custom) if custom else None
    except PayloadUnreadable:
        return ""
    return handed_back(text(found, "mark")) if isinstance(found, dict) else ""


def verify(posted: Posted, secrets: Secrets, now: datetime) -> None:
    del now
    if secrets.secret:
        check_bearer(posted, require(secrets.secret))
    else:
        check_password(posted, secrets)


BREVO = Provider("brevo", "Brevo", (("username", "password"), ("secret",)), split, tell, verify)
