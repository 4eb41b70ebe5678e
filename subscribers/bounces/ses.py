"""Notices of Amazon SES that were mailed by SNS: the JSON of a webhook, in the body of a mail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from subscribers.bounces.dsn import judge
from subscribers.bounces.event import BounceClass, MailKind, MailReport, RecipientReport
from subscribers.bounces.mail import Mail
from subscribers.bounces.providers.payload import text
from subscribers.bounces.providers.ses import CAUSES, given_mark, given_message_id


def read_ses_notice(mail: Mail) -> MailReport | None:
    """Return what an SES notice in a mail reports; None when the mail holds none."""
    if not mail.texts or "notificationType" not in mail.texts[0]:
        return None
    notice = _json(mail.texts[0])
    if notice is not None and isinstance(notice.get("Message"), str):
        notice = _json(notice["Message"])
    if notice is None:
        return None
    about = _about(_table(notice, "mail"))
    kind = notice.get("notificationType")
    if kind == "Complaint":
        people = _people(_table(notice, "complaint").get("complainedRecipients"))
        complaints = tuple(RecipientReport(address, BounceClass.NONE, counts=False) for address, _ in people)
        return MailReport(MailKind.FEEDBACK, complaints, **about)
    if kind == "Delivery":
        return MailReport(MailKind.DELIVERED, (), **about)
    if kind == "Bounce":
        return MailReport(MailKind.BOUNCE, tuple(_bounced(_table(notice, "bounce"))), **about)
    return None


def _about(mail: dict[str, Any]) -> dict[str, str]:
    """Return what may name the copy: our Message-ID and mark, where SES hands them back, and what it calls the copy."""
    return {"message_id": given_message_id(mail), "remote_id": text(mail, "messageId"), "mark": given_mark(mail)}


def _bounced(bounce: dict[str, Any]) -> Iterator[RecipientReport]:
    kind, cause = text(bounce, "bounceType").lower(), CAUSES.get(text(bounce, "bounceSubType").lower())
    for address, person in _people(bounce.get("bouncedRecipients")):
        said = str(person.get("diagnosticCode", "")) or str(bounce.get("bounceSubType", ""))
        judged = judge(address, str(person.get("action", "failed")), str(person.get("status", "")), said)
        wordless = not person.get("diagnosticCode") and not person.get("status")
        if judged is not None:
            yield replace(judged, may_be_answer=kind == "transient" and cause is None and wordless)


def _json(text: str) -> dict[str, Any] | None:
    body = text.strip()
    for candidate in (body, body.replace("\n ", ""), body.replace("\n", "")):
        try:
            found, _ = json.JSONDecoder(strict=False).raw_decode(candidate)
        except (ValueError, RecursionError):
            continue
        return found if isinstance(found, dict) else None
    return None


def _table(value: dict[str, Any], name: str) -> dict[str, Any]:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _people(value: Any) -> list[tuple[str, dict[str, Any]]]:
    people = [p for p in value if isinstance(p, dict)] if isinstance(value, list) else []
    return [(str(p["emailAddress"]).lower(), p) for p in people if p.get("emailAddress")]
