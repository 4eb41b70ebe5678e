"""
The envelope sender of a copy: one of its own for each delivery (VERP), so that what comes back names the delivery.

The mark is signed: a forged one is found out and bounces nobody. It holds no address and works in lower case alone.
"""

from __future__ import annotations

import hmac
import re

from newsletter.config import Config
from subscribers.tokens import Key, Keyring, sign

MARK_BYTES = 10
_LOCAL = re.compile(r"b\+(\d{1,18})\.([0-9a-f]{20})", re.IGNORECASE)


def fixed_sender(config: Config) -> str:
    """Return the one envelope sender of mail that carries no mark of its own."""
    return f"bounces@{config.bounces.domain}" if config.bounces.domain else config.organisation.from_address


def marked_sender(key: Key, delivery_id: int, bounce_domain: str) -> str:
    """Return the envelope sender of one delivery."""
    return f"b+{delivery_id}.{_mark(key, delivery_id)}@{bounce_domain}"


def read_envelope_sender(keyring: Keyring, local_part: str) -> int | None:
    """Return the delivery that a marked local part names; None for anything that no key of ours signed."""
    found = _LOCAL.fullmatch(local_part)
    if not found:
        return None
    delivery_id = int(found[1])
    if any(hmac.compare_digest(found[2].lower(), _mark(key, delivery_id)) for key in keyring.keys):
        return delivery_id
    return None


def _mark(key: Key, delivery_id: int) -> str:
    return sign(key, "verp", str(delivery_id).encode())[:MARK_BYTES].hex()
