"""
Unisender Go: its posts carry an MD5 of themselves with the API key in its place.

What is hashed is the raw body, so a body that was written anew does not pass. Nothing can be added to it either: what
follows a JSON text makes it none.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from datetime import datetime

from subscribers.bounces.event import Reason
from subscribers.bounces.provider_marks import handed_back
from subscribers.bounces.providers.notice import Happened, Notice, Refusal
from subscribers.bounces.providers.payload import inner, listed, moment, objects, read_json, text
from subscribers.bounces.providers.provider import Entry, Headers, Provider
from subscribers.bounces.providers.verifying import Posted, Secrets, WebhookRefused, check_same, require

_AUTH = re.compile(rb'"auth"\s*:\s*"([0-9a-fA-F]{32})"')
KINDS: dict[str, Happened] = {
    "sent": Happened.SENT,
    "delivered": Happened.DELIVERED,
    "opened": Happened.OPENED,
    "clicked": Happened.CLICKED,
    "hard_bounced": Happened.BOUNCED,
    "soft_bounced": Happened.DEFERRED,
    "spam": Happened.COMPLAINED,
    "unsubscribed": Happened.UNSUBSCRIBED,
    "subscribed": Happened.SUBSCRIBED,
}
# Its delivery statuses, and what each means where the receiver's words do not say more.
STATUSES: dict[str, tuple[Refusal, Reason | None]] = {
    "err_user_unknown": (Refusal.BOUNCED, Reason.USER_UNKNOWN),
    "err_user_inactive": (Refusal.BOUNCED, Reason.SUSPENDED),
    "err_will_retry": (Refusal.OTHER, None),
    "err_mailbox_discarded": (Refusal.BOUNCED, Reason.USER_UNKNOWN),
    "err_mailbox_full": (Refusal.BOUNCED, Reason.MAILBOX_FULL),
    "err_spam_rejected": (Refusal.SPAM, Reason.SPAM),
    "err_blacklisted": (Refusal.BLOCKED, Reason.BLOCKED),
    "err_too_large": (Refusal.BOUNCED, Reason.TOO_BIG),
    "err_unsubscribed": (Refusal.UNSUBSCRIBED, Reason.SUPPRESSED),
    "err_unreachable": (Refusal.BOUNCED, Reason.SUPPRESSED),
    "err_skip_letter": (Refusal.OTHER, Reason.SUPPRESSED),
    "err_domain_inactive": (Refusal.BOUNCED, Reason.HOST_UNKNOWN),
    "err_destination_misconfigured": (Refusal.BOUNCED, Reason.SYSTEM),
    "err_delivery_failed": (Refusal.OTHER, None),
    "err_spam_skipped": (Refusal.SPAM, Reason.SPAM),
    "err_lost": (Refusal.OTHER, Reason.SYSTEM),
}


def split(body: bytes, headers: Headers) -> list[Entry]:
    """Return the events of all users in a post; a single event is read as well."""
    del headers
    found: list[Entry] = []
    for post in objects(read_json(body)):
        if "events_by_user" not in post:
            found.append(post)
            continue
        for user in objects(listed(post, "events_by_user")):
            events = objects(listed(user, "events"))
            found += [{"event_name": text(event, "event_name"), **inner(event, "event_data")} for event in events]
    return found


def tell(entry: Entry) -> Iterator[Notice]:
    if text(entry, "event_name") != "transactional_email_status":
        return
    happened = KINDS.get(text(entry, "status").lower(), Happened.UNKNOWN)
    info = inner(entry, "delivery_info")
    status = text(info, "delivery_status").lower()
    refusal: Refusal | None = None
    cause: Reason | None = None
    if happened in (Happened.BOUNCED, Happened.DEFERRED):
        refusal, cause = STATUSES.get(status, (Refusal.BOUNCED, None))
    elif happened is Happened.COMPLAINED:
        refusal = Refusal.SPAM
    yield Notice(
        happened=happened,
        refusal=refusal,
        address=text(entry, "email"),
        words=text(info, "destination_response"),
        note=status or text(entry, "comment"),
        cause=cause,
        hard=happened is Happened.BOUNCED or None,
        at=moment(entry.get("event_time")),
        remote_id=text(entry, "job_id"),
        mark=handed_back(text(inner(entry, "metadata"), "mark")),
    )


def verify(posted: Posted, secrets: Secrets, now: datetime) -> None:
    del now
    key = require(secrets.secret)
    found = list(_AUTH.finditer(posted.body))
    if len(found) != 1:
        raise WebhookRefused("There is no signature, or more than one.")
    start, end = found[0].span(1)
    expected = hashlib.md5(posted.body[:start] + key + posted.body[end:], usedforsecurity=False).hexdigest()
    check_same(found[0][1].decode().lower(), expected)


UNISENDER_GO = Provider("unisender_go", "Unisender Go", (("secret",),), split, tell, verify, probes=("GET", "HEAD"))
