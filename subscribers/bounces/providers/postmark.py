"""Postmark: its webhooks are not signed, so it is known by the user name and password that it is given."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from subscribers.bounces.event import Reason
from subscribers.bounces.provider_marks import handed_back
from subscribers.bounces.providers.notice import Happened, Notice, Refusal
from subscribers.bounces.providers.payload import inner, moment, objects, read_json, text
from subscribers.bounces.providers.provider import Entry, Headers, Provider
from subscribers.bounces.providers.verifying import Posted, Secrets, check_password

RECORDS: dict[str, Happened] = {
    "delivery": Happened.DELIVERED,
    "open": Happened.OPENED,
    "click": Happened.CLICKED,
    "bounce": Happened.BOUNCED,
    "spamcomplaint": Happened.COMPLAINED,
}
# Its types of bounce, which also stand as the reason of a suppression.
# A filter that took the mail for spam is no complaint of a person: nobody may be unsubscribed by a machine.
TYPES: dict[str, tuple[Happened, Refusal | None, Reason | None, bool | None]] = {
    "hardbounce": (Happened.BOUNCED, Refusal.BOUNCED, None, True),
    "softbounce": (Happened.BOUNCED, Refusal.BOUNCED, None, False),
    "transient": (Happened.DEFERRED, None, None, None),
    "dnserror": (Happened.DEFERRED, None, Reason.NETWORK, None),
    "openrelaytest": (Happened.DEFERRED, None, None, None),
    "unsubscribe": (Happened.UNSUBSCRIBED, Refusal.UNSUBSCRIBED, None, None),
    "manualsuppression": (Happened.UNSUBSCRIBED, Refusal.UNSUBSCRIBED, None, None),
    "subscribe": (Happened.SUBSCRIBED, None, None, None),
    "autoresponder": (Happened.AUTORESPONDED, None, None, None),
    "addresschange": (Happened.AUTORESPONDED, None, None, None),
    "challengeverification": (Happened.AUTORESPONDED, None, None, None),
    "spamnotification": (Happened.BOUNCED, Refusal.SPAM, Reason.SPAM, None),
    "spamcomplaint": (Happened.COMPLAINED, Refusal.SPAM, None, None),
    "virusnotification": (Happened.BOUNCED, Refusal.OTHER, Reason.VIRUS, None),
    "bademailaddress": (Happened.REJECTED, Refusal.INVALID, None, None),
    "manuallydeactivated": (Happened.REJECTED, Refusal.BLOCKED, Reason.SUPPRESSED, None),
    "unconfirmed": (Happened.REJECTED, None, Reason.SUPPRESSED, None),
    "blocked": (Happened.REJECTED, Refusal.BLOCKED, Reason.BLOCKED, None),
    "dmarcpolicy": (Happened.REJECTED, Refusal.BLOCKED, Reason.AUTHENTICATION, None),
    "smtpapierror": (Happened.FAILED, None, Reason.SYSTEM, None),
    "templaterenderingfailed": (Happened.FAILED, None, Reason.CONTENT, None),
    "inbounderror": (Happened.UNKNOWN, None, None, None),
    "unknown": (Happened.UNKNOWN, None, None, None),
}


def split(body: bytes, headers: Headers) -> list[Entry]:
    del headers
    return objects(read_json(body))


def tell(entry: Entry) -> Iterator[Notice]:
    happened, refusal, cause, hard = _judge(entry)
    yield Notice(
        happened=happened,
        refusal=refusal,
        address=text(entry, "Email", "Recipient"),
        event_id=text(entry, "ID"),
        words=text(entry, "Details"),
        note=text(entry, "Description", "Name"),
        cause=cause,
        hard=hard,
        own_act=_is_own_act(entry),
        at=next((t for name in TIMES if (t := moment(entry.get(name)))), None),
        remote_id=text(entry, "MessageID"),
        mark=handed_back(text(inner(entry, "Metadata"), "mark")),
    )


def _is_own_act(entry: Entry) -> bool:
    """Whether the person asked: an admin or a customer's program can suppress by hand as well."""
    by_hand = text(entry, "SuppressionReason").lower() == "manualsuppression"
    return not by_hand or text(entry, "Origin").lower() == "recipient"


TIMES = ("BouncedAt", "DeliveredAt", "ReceivedAt", "ChangedAt")


def _judge(entry: Entry) -> tuple[Happened, Refusal | None, Reason | None, bool | None]:
    record = text(entry, "RecordType").lower()
    if record == "subscriptionchange":
        if entry.get("SuppressSending") is False:
            return TYPES["subscribe"]
        return TYPES.get(text(entry, "SuppressionReason").lower(), TYPES["unknown"])
    happened = RECORDS.get(record, Happened.UNKNOWN)
    if happened not in (Happened.BOUNCED, Happened.COMPLAINED):
        return happened, None, None, None
    known = TYPES.get(text(entry, "Type").lower())
    if happened is Happened.COMPLAINED:
        return TYPES["spamcomplaint"]
    return known or (Happened.BOUNCED, Refusal.BOUNCED, None, None)


def verify(posted: Posted, secrets: Secrets, now: datetime) -> None:
    del now
    check_password(posted, secrets)


POSTMARK = Provider("postmark", "Postmark", (("username", "password"),), split, tell, verify)
