"""
Find our marks in a mail that came back: where a mail server wrote to, and the Message-ID of what is returned.

Pure. An envelope sender of ours counts only as the address that the mail came to: a text may quote anybody's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from subscribers.bounces.event import MailKind, MailReport
from subscribers.bounces.mail import Mail
from subscribers.bounces.provider_marks import remote_id
from subscribers.bounces.text import addresses_in, header_value
from subscribers.bounces.verp import read_mark
from subscribers.tokens import Keyring

# Where mail servers write down whom a mail came to, the surest first; To is what a report is addressed with.
_ARRIVED_AT = ("delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "x-delivered-to", "to")
_MOST_HEADERS = 20
_MOST_MESSAGE_IDS = 10
_MESSAGE_ID = re.compile(r"[^\s<>@\"(),;:\[\]]{1,128}@[^\s<>@\"(),;:\[\]]{1,253}")
_ANSWERS = (MailKind.ORDINARY, MailKind.AUTOREPLY, MailKind.CHALLENGE)


@dataclass(frozen=True, slots=True)
class Marks:
    """
    What may name the copy that a mail is about.

    Attributes:
        delivery_id: From an envelope sender that a key of ours signed.
        handed_back: From a mark of ours that a notice of Amazon's hands back.
        remote_id: What Amazon calls the copy; like a Message-ID, only who has had the copy knows it.
        message_ids: Not verified: whoever knows one of ours has had the copy, since it cannot be guessed.
    """

    delivery_id: int | None
    message_ids: tuple[str, ...]
    handed_back: int | None = None
    remote_id: str | None = None


def read_marks(mail: Mail, report: MailReport, keyring: Keyring, *, envelope_to: str | None) -> Marks:
    """Return the marks of one mail. *envelope_to* is the address that it was delivered to, where that is known."""
    signed = (read_mark(keyring, where) for where in _arrived_at(mail, envelope_to))
    return Marks(
        next((number for number in signed if number is not None), None),
        _message_ids(mail, report),
        read_mark(keyring, report.mark) if report.mark else None,
        remote_id("ses", report.remote_id),
    )


def _arrived_at(mail: Mail, envelope_to: str | None) -> list[str]:
    found = [envelope_to] if envelope_to else []
    values = [(name.lower(), str(value)) for name, value in mail.message.raw_items()]
    for header in _ARRIVED_AT:
        for value in [value for name, value in values if name == header][:_MOST_HEADERS]:
            text = value.encode("ascii", "replace").decode()[:2000]
            found += [text, *addresses_in(text)]
    return found


def answered_ids(mail: Mail) -> tuple[str, ...]:
    """Return the Message-IDs of what a mail says to answer, the nearest first."""
    return _in_order(f"{mail.header('in-reply-to')} {mail.header('references')[-4000:]}")


def _message_ids(mail: Mail, report: MailReport) -> tuple[str, ...]:
    if report.kind in _ANSWERS:
        return answered_ids(mail)
    if report.kind is MailKind.MDN:
        return _in_order(" ".join(header_value(text, "original-message-id") for text in mail.disposition))
    return _in_order(report.message_id)


def _in_order(said: str) -> tuple[str, ...]:
    found = _MESSAGE_ID.findall(said)
    return tuple(dict.fromkeys([*found[:1], *reversed(found[1:])]))[:_MOST_MESSAGE_IDS]
