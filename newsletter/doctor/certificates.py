"""How long a certificate still holds; pure."""

from __future__ import annotations

import math
import ssl
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from newsletter.doctor.findings import Finding, fail, ok, warn

# The shortest certificates of common authorities live 47 days and are renewed with a third of that left.
WARN_DAYS, FAIL_DAYS = 14, 3


def days_left(certificate: Mapping[str, Any] | None, now: datetime) -> int | None:
    """Return whole days until the end; None when the peer showed no certificate that was verified."""
    if not certificate or "notAfter" not in certificate:
        return None
    return math.floor((ssl.cert_time_to_seconds(certificate["notAfter"]) - now.timestamp()) / 86_400)


def judge_days(check: str, place: str, days: int | None, well: str) -> Finding:
    """Return *well* with the days, or a warning in their place."""
    if days is None:
        return ok(check, f"{well}.")
    if days >= WARN_DAYS:
        return ok(check, f"{well}, its certificate is good for {days} days.")
    make = fail if days < FAIL_DAYS else warn
    return make(
        check, f"The certificate of {place} ends in {days} days.", "Renew it, and find out why it did not itself."
    )


def words_of(error: ssl.SSLError) -> str:
    """Return why a certificate or TLS itself was refused, in as few words as there are."""
    return getattr(error, "verify_message", "") or error.reason or str(error)
