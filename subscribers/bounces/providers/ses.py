"""Amazon SES: its event and feedback notifications, as SNS delivers them. Nothing is read of another sender's topic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from subscribers.bounces.event import Reason
from subscribers.bounces.provider_marks import handed_back
from subscribers.bounces.providers import sns
from subscribers.bounces.providers.notice import Happened, Notice, Refusal
from subscribers.bounces.providers.payload import inner, listed, moment, objects, read_json, text
from subscribers.bounces.providers.provider import Entry, Headers, Provider

# Its kinds of event; the part of the event that says more is named by the second.
KINDS: dict[str, tuple[Happened, str]] = {
    "bounce": (Happened.BOUNCED, "bounce"),
    "complaint": (Happened.COMPLAINED, "complaint"),
    "delivery": (Happened.DELIVERED, "delivery"),
    "deliverydelay": (Happened.DEFERRED, "deliveryDelay"),
    "send": (Happened.SENT, "send"),
    "reject": (Happened.REJECTED, "reject"),
    "open": (Happened.OPENED, "open"),
    "click": (Happened.CLICKED, "click"),
    "rendering failure": (Happened.FAILED, "failure"),
    "subscription": (Happened.UNKNOWN, "subscription"),
}
HARDNESS = {"permanent": True, "transient": False}
# What each bounceSubType means, where the receiver's own words do not say more.
CAUSES: dict[str, Reason] = {
    "noemail": Reason.USER_UNKNOWN,
    "suppressed": Reason.SUPPRESSED,
    "onaccountsuppressionlist": Reason.SUPPRESSED,
    "unsubscribedrecipient": Reason.SUPPRESSED,
    "mailboxfull": Reason.MAILBOX_FULL,
    "messagetoolarge": Reason.TOO_BIG,
    "customtimeoutexceeded": Reason.EXPIRED,
    "contentrejected": Reason.CONTENT,
    "attachmentrejected": Reason.CONTENT,
}
FEEDBACK_NOT_SPAM = "not-spam"


def split(body: bytes, headers: Headers) -> list[Entry]:
    """Return the event inside an SNS envelope, with the envelope's id; the bare event is read as well."""
    del headers
    found = read_json(body)
    if isinstance(found, Mapping) and isinstance(found.get("Message"), str) and "TopicArn" in found:
        if text(found, "Type") != sns.NOTIFICATION:
            return []
        identity = text(found, "MessageId")
        return [{**event, "snsMessageId": identity} for event in objects(_message(found["Message"]))]
    return objects(found)


def _message(written: str) -> Any:
    """Return the event of a message; SNS also sends sentences of its own, which are no events."""
    return read_json(written) if written.lstrip()[:1] in ("{", "[") else []


def tell(entry: Entry) -> Iterator[Notice]:
    kind = text(entry, "eventType", "notificationType").lower()
    happened, part = KINDS.get(kind, (Happened.UNKNOWN, ""))
    mail, details = inner(entry, "mail"), inner(entry, part)
    common = {
        "event_id": text(entry, "snsMessageId"),
        "at": moment(details.get("timestamp")) or moment(mail.get("timestamp")),
        "message_id": given_message_id(mail),
        "remote_id": text(mail, "messageId"),
        "mark": given_mark(mail),
    }
    if happened is Happened.BOUNCED:
        yield from _bounces(details, common)
    elif happened is Happened.COMPLAINED:
        yield from _complaints(details, common)
    elif happened is Happened.DEFERRED:
        yield from _delays(details, common)
    else:
        yield from _others(happened, mail, details, common)


def _bounces(details: Entry, common: dict[str, Any]) -> Iterator[Notice]:
    kind, part = text(details, "bounceType"), text(details, "bounceSubType")
    cause = CAUSES.get(part.lower())
    hard = HARDNESS.get(kind.lower())
    for recipient in objects(listed(details, "bouncedRecipients")):
        words, status = text(recipient, "diagnosticCode"), text(recipient, "status")
        # What an out-of-office answer looks like here: temporary, and not a word from the receiving server.
        vague = hard is False and cause is None and not words and not status
        yield Notice(
            happened=Happened.BOUNCED,
            refusal=Refusal.BLOCKED if cause is Reason.SUPPRESSED else Refusal.BOUNCED,
            address=text(recipient, "emailAddress"),
            words=words,
            status=status,
            note=f"{kind}: {part}".strip(": "),
            cause=cause,
            hard=hard,
            counts=not vague,
            **common,
        )


def _complaints(details: Entry, common: dict[str, Any]) -> Iterator[Notice]:
    kind = text(details, "complaintFeedbackType")
    happened = Happened.UNKNOWN if kind.lower() == FEEDBACK_NOT_SPAM else Happened.COMPLAINED
    if text(details, "complaintSubType").lower() == "onaccountsuppressionlist":
        happened = Happened.REJECTED  # not sent, because of a complaint long ago
    for recipient in objects(listed(details, "complainedRecipients")):
        yield Notice(
            happened=happened, refusal=Refusal.SPAM, address=text(recipient, "emailAddress"), note=kind, **common
        )


def _delays(details: Entry, common: dict[str, Any]) -> Iterator[Notice]:
    for recipient in objects(listed(details, "delayedRecipients")):
        yield Notice(
            happened=Happened.DEFERRED,
            address=text(recipient, "emailAddress"),
            words=text(recipient, "diagnosticCode"),
            status=text(recipient, "status"),
            note=text(details, "delayType"),
            **common,
        )


def _others(happened: Happened, mail: Entry, details: Entry, common: dict[str, Any]) -> Iterator[Notice]:
    if "newTopicPreferences" in details:
        happened = Happened.UNSUBSCRIBED if _leaves(details) else Happened.SUBSCRIBED
    for address in listed(details, "recipients") or listed(mail, "destination"):
        yield Notice(
            happened=happened,
            refusal=Refusal.BLOCKED if happened is Happened.REJECTED else None,
            address=address if isinstance(address, str) else "",
            words=text(details, "smtpResponse"),
            note=text(details, "reason", "errorMessage"),
            cause=Reason.VIRUS if happened is Happened.REJECTED else None,
            **common,
        )


def _leaves(details: Entry) -> bool:
    wanted = inner(details, "newTopicPreferences")
    topics = objects(listed(wanted, "topicSubscriptionStatus"))
    left = any(text(topic, "subscriptionStatus").lower() == "optout" for topic in topics)
    return wanted.get("unsubscribeAll") is True or left


def given_message_id(mail: Entry) -> str:
    """Return the Message-ID that we gave; `commonHeaders` holds the one that Amazon made of it."""
    for header in objects(listed(mail, "headers")):
        if text(header, "name").lower() == "message-id":
            return text(header, "value").strip("<>")
    return text(inner(mail, "commonHeaders"), "messageId").strip("<>")


def given_mark(mail: Entry) -> str:
    """Return our mark, which stands in a tag of the mail."""
    for value in listed(inner(mail, "tags"), "mark"):
        if isinstance(value, str) and (mark := handed_back(value)):
            return mark
    return ""


SES = Provider("ses", "Amazon SES", (("topics",),), split, tell, sns.verify)
