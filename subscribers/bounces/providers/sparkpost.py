"""SparkPost (Bird): its webhooks are not signed; it sends the user name and password that it is given."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from subscribers.bounces.event import Reason
from subscribers.bounces.provider_marks import handed_back
from subscribers.bounces.providers.notice import Happened, Notice, Refusal
from subscribers.bounces.providers.payload import inner, moment, objects, read_json, text
from subscribers.bounces.providers.provider import Entry, Headers, Provider
from subscribers.bounces.providers.verifying import Posted, Secrets, check_password

KINDS: dict[str, Happened] = {
    "injection": Happened.QUEUED,
    "delivery": Happened.DELIVERED,
    "delay": Happened.DEFERRED,
    "bounce": Happened.BOUNCED,
    "out_of_band": Happened.BOUNCED,
    "policy_rejection": Happened.REJECTED,
    "generation_rejection": Happened.REJECTED,
    "generation_failure": Happened.FAILED,
    "spam_complaint": Happened.COMPLAINED,
    "list_unsubscribe": Happened.UNSUBSCRIBED,
    "link_unsubscribe": Happened.UNSUBSCRIBED,
    "open": Happened.OPENED,
    "amp_open": Happened.OPENED,
    "click": Happened.CLICKED,
    "amp_click": Happened.CLICKED,
}
# Its bounce classification codes. The kind replaces that of the event, where the class says that it is no bounce.
CLASSES: dict[str, tuple[Happened | None, Refusal, Reason | None, bool | None]] = {
    "1": (None, Refusal.OTHER, None, None),
    "10": (None, Refusal.INVALID, Reason.USER_UNKNOWN, True),
    "20": (None, Refusal.BOUNCED, None, False),
    "21": (None, Refusal.BOUNCED, Reason.HOST_UNKNOWN, False),
    "22": (None, Refusal.BOUNCED, Reason.MAILBOX_FULL, False),
    "23": (None, Refusal.BOUNCED, Reason.TOO_BIG, False),
    "24": (None, Refusal.TIMED_OUT, Reason.EXPIRED, False),
    "25": (None, Refusal.BLOCKED, Reason.SUPPRESSED, None),
    "26": (None, Refusal.OTHER, Reason.POLICY, False),
    "30": (None, Refusal.BOUNCED, None, True),
    "40": (None, Refusal.OTHER, None, False),
    "50": (None, Refusal.BLOCKED, Reason.BLOCKED, None),
    "51": (None, Refusal.SPAM, Reason.REPUTATION, None),
    "52": (None, Refusal.SPAM, Reason.SPAM, None),
    "53": (None, Refusal.BLOCKED, Reason.CONTENT, None),
    "54": (None, Refusal.BLOCKED, Reason.RELAYING, None),
    "60": (Happened.AUTORESPONDED, Refusal.OTHER, None, None),
    "70": (None, Refusal.OTHER, None, False),
    "80": (Happened.SUBSCRIBED, Refusal.OTHER, None, None),
    "90": (Happened.UNSUBSCRIBED, Refusal.UNSUBSCRIBED, None, None),
    "100": (Happened.AUTORESPONDED, Refusal.OTHER, None, None),
}
TRIED_AND_REFUSED = (Happened.BOUNCED, Happened.REJECTED)


def split(body: bytes, headers: Headers) -> list[Entry]:
    """Return what stands below ``msys``, whatever the group of events is called; an empty one tests the address."""
    del headers
    found: list[Entry] = []
    for entry in objects(read_json(body)):
        groups = inner(entry, "msys")
        found += [group for group in groups.values() if isinstance(group, dict)]
    return found


def tell(entry: Entry) -> Iterator[Notice]:
    happened = KINDS.get(text(entry, "type").lower(), Happened.UNKNOWN)
    refusal: Refusal | None = None
    cause: Reason | None = None
    hard: bool | None = None
    if happened in TRIED_AND_REFUSED and text(entry, "bounce_class") in CLASSES:
        instead, refusal, cause, hard = CLASSES[text(entry, "bounce_class")]
        happened = instead or happened
    elif happened in TRIED_AND_REFUSED:
        refusal = Refusal.BOUNCED if happened is Happened.BOUNCED else Refusal.BLOCKED
    elif happened is Happened.COMPLAINED:
        refusal = Refusal.SPAM
    elif happened is Happened.DEFERRED:
        refusal = CLASSES.get(text(entry, "bounce_class"), (None, Refusal.OTHER, None, None))[1]
    yield Notice(
        happened=happened,
        refusal=refusal,
        address=text(entry, "raw_rcpt_to", "rcpt_to"),
        event_id=text(entry, "event_id"),
        words=text(entry, "raw_reason", "reason"),
        cause=cause,
        hard=hard,
        at=moment(entry.get("timestamp")),
        remote_id=text(entry, "transmission_id", "message_id"),
        mark=handed_back(text(inner(entry, "rcpt_meta"), "mark")),
    )


def verify(posted: Posted, secrets: Secrets, now: datetime) -> None:
    del now
    check_password(posted, secrets)


SPARKPOST = Provider("sparkpost", "SparkPost", (("username", "password"),), split, tell, verify)
