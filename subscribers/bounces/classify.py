"""
Decide what a refusal means: one classifier for reports that come back and for replies met while sending.

The receiver's words are heard first, then the enhanced status code, then the reply code; a code alone never makes a
recipient hard unless it says that the mailbox or the domain does not exist.
"""

from __future__ import annotations

import re

from subscribers.bounces.event import Reason
from subscribers.bounces.reasons import STATUSES
from subscribers.bounces.words import WORDS

_STATUS = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])")
_CODE = re.compile(r"(?<![\d.:/-])([45]\d\d)(?=[\s\-#:]|$)")
_SPACE = re.compile(r"\s+")
LONGEST_DIAGNOSTIC = 4_000


def normalise(text: str) -> str:
    """Return *text* in lower case on one line, at most `LONGEST_DIAGNOSTIC` characters."""
    return _SPACE.sub(" ", text[:LONGEST_DIAGNOSTIC]).lower()


def find_status(text: str) -> str:
    """Return the first enhanced status code that says more than x.0.0, else the first, else nothing."""
    found = [".".join(m.groups()) for m in _STATUS.finditer(text[:LONGEST_DIAGNOSTIC])]
    return next((s for s in found if not s.endswith(".0.0")), found[0] if found else "")


def find_code(text: str) -> int | None:
    """Return the first reply code of a refusal in *text*."""
    found = _CODE.search(text[:LONGEST_DIAGNOSTIC])
    return int(found.group(1)) if found else None


def classify(diagnostic: str, status: str = "") -> tuple[Reason, str]:
    """
    Return the reason, and the status code it was judged by.

    Args:
        diagnostic: What the receiver said, with codes if any.
        status: The Status field of a report; a code in the diagnostic that says more wins (RFC 3464 2.3.4).
    """
    stated = find_status(diagnostic)
    if stated and (not status or status.endswith(".0.0") or stated[0] == status[0]):
        status = stated if not stated.endswith(".0.0") else status or stated
    text = normalise(diagnostic)
    reason = _by_words(text)
    local = text.startswith("x-unix")  # a delivery program's own trouble, whatever code its caller made of it
    if reason is None or (reason in _WEAK and _detail(status) in _STRONG and not local):
        reason = STATUSES.get(_detail(status), reason or _by_code(text, status))
    return reason, status


# Words that only describe the refusal yield to a code that names the mailbox.
_WEAK = (Reason.FILTERED, Reason.SYSTEM, Reason.POLICY, Reason.CONTENT, Reason.REJECTED, Reason.NETWORK)
_STRONG = ("1.1", "1.2", "1.10", "2.2", "4.7")


def _detail(status: str) -> str:
    return status.partition(".")[2]


def _by_words(text: str) -> Reason | None:
    for reason, words in WORDS:
        for word in words:
            if word in text:
                return reason
    return None


def _by_code(text: str, status: str) -> Reason:
    code = find_code(text)
    if code in (450, 451, 452, 421):
        return Reason.SYSTEM
    if code == 552:
        return Reason.MAILBOX_FULL
    if code in (550, 551, 553, 554):
        return Reason.FILTERED
    if code is not None and 500 <= code <= 504:
        return Reason.SYNTAX
    if status.startswith("4"):
        return Reason.EXPIRED
    return Reason.UNDEFINED
