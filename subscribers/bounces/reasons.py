"""
The published table of reasons: what each counts, and which codes mean it; `words` says which words do.

Words win over codes: 5.1.1 alone is what a provider with a rate limit also answers.
Sources: RFC 3463, RFC 5248, RFC 7372, and the public pages of the providers.
"""

from __future__ import annotations

from dataclasses import dataclass

from subscribers.bounces.event import BounceClass, Reason


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a reason means for the address. Only a soft verdict that counts adds to a score."""

    klass: BounceClass
    counts: bool


_HARD = Verdict(BounceClass.HARD, True)
_COUNTS = Verdict(BounceClass.SOFT, True)
_NEVER = Verdict(BounceClass.SOFT, False)

_NEVER_COUNTS = (
    Reason.REPUTATION,
    Reason.BLOCKED,
    Reason.AUTHENTICATION,
    Reason.POLICY,
    Reason.SPAM,
    Reason.VIRUS,
    Reason.CONTENT,
    Reason.TOO_BIG,
    Reason.RATE,
    Reason.REJECTED,
    Reason.RELAYING,
    Reason.NETWORK,
    Reason.TLS,
    Reason.SYSTEM,
    Reason.SYNTAX,
    Reason.SUPPRESSED,
)

VERDICTS: dict[Reason, Verdict] = {
    Reason.USER_UNKNOWN: _HARD,
    Reason.HOST_UNKNOWN: _HARD,
    Reason.HAS_MOVED: _HARD,
    Reason.NOT_ACCEPTING: _HARD,
    Reason.MAILBOX_FULL: _COUNTS,
    Reason.SUSPENDED: _COUNTS,
    Reason.FILTERED: _COUNTS,
    Reason.EXPIRED: _COUNTS,
    Reason.UNDEFINED: _COUNTS,
    **dict.fromkeys(_NEVER_COUNTS, _NEVER),
}

# Enhanced status codes without their class digit; read when no words decide.
STATUSES: dict[str, Reason] = {
    "1.0": Reason.FILTERED,
    "1.1": Reason.USER_UNKNOWN,
    "1.2": Reason.HOST_UNKNOWN,
    "1.3": Reason.USER_UNKNOWN,
    "1.4": Reason.FILTERED,
    "1.6": Reason.HAS_MOVED,
    "1.7": Reason.REJECTED,
    "1.8": Reason.REJECTED,
    "1.10": Reason.USER_UNKNOWN,
    "2.0": Reason.FILTERED,
    "2.1": Reason.SUSPENDED,
    "2.2": Reason.MAILBOX_FULL,
    "2.3": Reason.TOO_BIG,
    "2.4": Reason.FILTERED,
    "3.0": Reason.SYSTEM,
    "3.1": Reason.SYSTEM,
    "3.2": Reason.SYSTEM,
    "3.4": Reason.TOO_BIG,
    "3.5": Reason.SYSTEM,
    "4.0": Reason.NETWORK,
    "4.1": Reason.NETWORK,
    "4.2": Reason.NETWORK,
    "4.3": Reason.NETWORK,
    "4.4": Reason.HOST_UNKNOWN,
    "4.5": Reason.SYSTEM,
    "4.6": Reason.NETWORK,
    "4.7": Reason.EXPIRED,
    "5.0": Reason.SYNTAX,
    "5.1": Reason.SYNTAX,
    "5.2": Reason.SYNTAX,
    "5.3": Reason.RATE,
    "5.4": Reason.SYNTAX,
    "6.0": Reason.CONTENT,
    "6.1": Reason.CONTENT,
    "6.2": Reason.CONTENT,
    "6.3": Reason.CONTENT,
    "6.5": Reason.CONTENT,
    "7.0": Reason.POLICY,
    "7.1": Reason.POLICY,
    "7.2": Reason.POLICY,
    "7.4": Reason.TLS,
    "7.5": Reason.TLS,
    "7.9": Reason.AUTHENTICATION,
    "7.13": Reason.SUSPENDED,
    **{f"7.{n}": Reason.AUTHENTICATION for n in (20, 21, 22, 23, 24, 26, 27, 29, 30, 31, 32, 40, 515)},
    "7.25": Reason.BLOCKED,
    "7.28": Reason.RATE,
}
