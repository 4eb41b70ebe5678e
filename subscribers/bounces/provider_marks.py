"""
How a copy is known again by a provider: its id in the reply to the dot, and our mark in a header that it hands back.

The mark stands there as ``b-ID-MAC``: letters, digits and dashes are what every provider lets through.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_WRITTEN = re.compile(r"b-([1-9]\d{0,17})-([a-z2-7]{16})", re.IGNORECASE | re.ASCII)
_LOCAL_PART = re.compile(r"b\+([1-9]\d{0,17})\.([a-z2-7]{16})", re.IGNORECASE | re.ASCII)
_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
LONGEST_REMOTE_ID = 128


@dataclass(frozen=True, slots=True)
class MarkField:
    """A header field that a provider hands back: its name, and what stands around the mark."""

    name: str
    before: str = ""
    after: str = ""


# The header of each provider that hands one back. Of the others the Message-ID or the reply's id is enough.
MARK_FIELDS: dict[str, MarkField] = {
    "ses": MarkField("X-SES-MESSAGE-TAGS", "mark="),
    "sendgrid": MarkField("X-SMTPAPI", '{"unique_args": {"mark": "', '"}}'),
    "mailgun": MarkField("X-Mailgun-Variables", '{"mark": "', '"}'),
    "postmark": MarkField("X-PM-Metadata-mark"),
    "brevo": MarkField("X-Mailin-custom", '{"mark": "', '"}'),
    "mailjet": MarkField("X-MJ-CustomID"),
    "sparkpost": MarkField("X-MSYS-API", '{"metadata": {"mark": "', '"}}'),
    "resend": MarkField("X-Mark"),
    "mailtrap": MarkField("X-MT-Custom-Variables", '{"mark": "', '"}'),
    "mandrill": MarkField("X-MC-Metadata", '{"mark": "', '"}'),
    "unisender_go": MarkField("X-UNIONE", '{"global_metadata": {"mark": "', '"}}'),
}

# Where the reply to the dot names the copy as its webhooks will.
_REPLIES: dict[str, re.Pattern[str]] = {
    "ses": re.compile(
        r"\b([0-9a-f]{16}-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}-\d{6})\b", re.IGNORECASE | re.ASCII
    ),
    "sendgrid": re.compile(r"queued as ([A-Za-z0-9_-]{10,64})(?![A-Za-z0-9_.-])"),
    "postmark": re.compile(rf"\b({_UUID})\b", re.IGNORECASE | re.ASCII),
    "brevo": re.compile(r"<([^<>\s@]{1,64}@[^<>\s]{1,63})>"),
    "mailjet": re.compile(rf"\b({_UUID}|\d{{15,20}})\b", re.IGNORECASE | re.ASCII),
    "resend": re.compile(rf"\b({_UUID})\b", re.IGNORECASE | re.ASCII),
    "mailersend": re.compile(r"\b([0-9a-f]{24})\b"),
    "mailtrap": re.compile(rf"\b({_UUID})\b", re.IGNORECASE | re.ASCII),
    "unisender_go": re.compile(r"\b([0-9A-Za-z]{6}-[0-9A-Za-z]{5,11}-[0-9A-Za-z]{2,4})\b"),
}


def remote_id(provider: str, reply_text: str) -> str | None:
    """
    Return what a provider calls a copy, read from its reply to the dot; None where it does not say.

    Args:
        reply_text: Without the code.
    """
    pattern = _REPLIES.get(provider)
    found = pattern.search(reply_text) if pattern else None
    return found[1][:LONGEST_REMOTE_ID] if found else None


def mark_fields(providers: Iterable[str]) -> tuple[MarkField, ...]:
    """Return the fields that these providers hand back, each once, in an order that does not depend on theirs."""
    return tuple(MARK_FIELDS[name] for name in sorted(set(providers)) if name in MARK_FIELDS)


def written_mark(local_part: str) -> str:
    """
    Return a marked local part (``b+ID.MAC``) as it may stand in a header that is handed back.

    Raises:
        ValueError: When it is none.
    """
    found = _LOCAL_PART.fullmatch(local_part)
    if not found:
        raise ValueError(f"'{local_part}' is no mark")
    return f"b-{found[1]}-{found[2]}"


def handed_back(text: str) -> str:
    """Return the local part that a handed-back mark stands for; empty when it is none of ours."""
    found = _WRITTEN.fullmatch(text.strip())
    return f"b+{found[1]}.{found[2]}" if found else ""
