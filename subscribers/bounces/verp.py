"""
The mark: an envelope sender of its own for each delivery (VERP), so that what comes back names the delivery.

It is signed, so a forged one is found out and bounces nobody; it holds no address, works in any letter case, and is
found again where a relay or a forwarding wrapped it (BATV, SRS, quotes, ``=`` or ``-`` instead of ``+``).
"""

from __future__ import annotations

import hmac
import re

from subscribers.tokens import Key, Keyring, sign

# What a mail server must take for us: `b+` and anything.
PREFIX = "b+"
# Where a mail program writes to leave a list by mail; what speaks for the person is the token in the subject.
LEAVE_LOCAL_PART = f"{PREFIX}unsubscribe"
_MAC_BYTES = 10
_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = [first + second for first in _LETTERS for second in _LETTERS]
_MARK = re.compile(
    r'(?:^|[=+"<])b(?:[+=-]|=2b|%2b)([1-9]\d{0,17})\.([a-z2-7]{16})(?=$|[=@">])', re.IGNORECASE | re.ASCII
)


def marked_local_part(key: Key, delivery_id: int) -> str:
    """Return the local part that marks one delivery: at most 37 octets."""
    return f"{PREFIX}{delivery_id}.{_mac(key, delivery_id)}"


def read_mark(keyring: Keyring, text: str) -> int | None:
    """Return the delivery that an address or local part names; None for anything that no key of ours signed."""
    found = _MARK.search(text.strip())
    if found is None:
        return None
    delivery_id, mac = int(found[1]), found[2].lower()
    if any(hmac.compare_digest(mac, _mac(key, delivery_id)) for key in keyring.keys):
        return delivery_id
    return None


def has_form_of_mark(local_part: str) -> bool:
    """Whether a local part looks like a mark of ours, signed by whomever: for whoever may not tell which are."""
    return _MARK.search(local_part) is not None


def _mac(key: Key, delivery_id: int) -> str:
    """Return ten bytes as 16 letters of base32. By a table: one is made for each copy, and `base64` takes 5 us."""
    number, pairs = int.from_bytes(sign(key, "verp", str(delivery_id).encode())[:_MAC_BYTES]), _PAIRS
    return "".join([pairs[number >> shift & 1023] for shift in range(70, -1, -10)])
