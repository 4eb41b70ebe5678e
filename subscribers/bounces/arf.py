"""
Complaints: the feedback reports of RFC 5965, DMARC failure reports (RFC 6591), and Microsoft's own form.

A complaint is never a bounce. Only an abuse or opt-out report is about a subscriber; failure reports are about us.
"""

from __future__ import annotations

import re

from subscribers.bounces.event import BounceClass, MailKind, MailReport, RecipientReport
from subscribers.bounces.mail import Mail
from subscribers.bounces.text import addresses_in, header_value

_DMARC = re.compile(r"dmarc (?:forensic|failure) report|authentication failure report|\[?netease dmarc", re.I)


def read_feedback(mail: Mail) -> MailReport | None:
    """Return the complaint that a mail is, with the complainer where it is not redacted; None when it is none."""
    returned = "\n".join(mail.returned)
    if mail.feedback:
        said = "\n".join(mail.feedback)
        value = header_value(said, "original-rcpt-to") or header_value(said, "removal-recipient")
        return _complaint(addresses_in(value), returned, header_value(said, "feedback-type").lower()[:40])
    microsoft = header_value(returned[:4000], "x-hmxmroriginalrecipient")
    if microsoft and "complaint about message from" in mail.header("subject").lower():
        return _complaint(addresses_in(microsoft), returned)
    if _DMARC.search(mail.header("subject")):
        return _complaint([], returned, "auth-failure")
    if mail.header("x-apple-unsubscribe").lower() == "true":
        return _complaint(addresses_in(mail.header("from")), returned)
    return None


def _complaint(addresses: list[str], returned: str, feedback_type: str = "") -> MailReport:
    message_id = header_value(returned, "message-id").strip("<>")
    people = tuple(RecipientReport(a, BounceClass.NONE, counts=False) for a in addresses)
    return MailReport(MailKind.FEEDBACK, people, message_id, feedback_type)
