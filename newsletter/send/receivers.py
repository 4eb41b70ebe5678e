"""
Whose mailboxes a receiving domain holds: which limit of ours counts for it, and which provider runs it. Pure.

A domain belongs to at most one limit, the most specific, and always to one provider, if need be to itself.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from newsletter.config.settings import DomainRate
from newsletter.send.replies import SmtpReply
from newsletter.send.throttle import Limits

# Domains of one provider: what it says about our mail to one holds for all. A star stands for a country or .com.
_PROVIDERS = {
    "google": ("gmail.com", "googlemail.com", "google.com"),
    "microsoft": ("outlook.*", "hotmail.*", "live.*", "msn.com", "passport.com", "windowslive.com"),
    "yahoo": ("yahoo.*", "ymail.com", "rocketmail.com", "myyahoo.com", "aol.*", "aim.com", "netscape.net", "sky.com"),
    "apple": ("icloud.com", "me.com", "mac.com"),
    "bt": ("btinternet.com", "btopenworld.com", "talk21.com", "btconnect.com"),
    "virgin media": ("virginmedia.com", "virgin.net", "ntlworld.com", "blueyonder.co.uk"),
    "talktalk": ("talktalk.net", "tiscali.co.uk", "lineone.net", "pipex.com"),
    "gmx": ("gmx.*", "web.de", "mail.com"),
    "proton": ("proton.me", "protonmail.com", "protonmail.ch", "pm.me"),
    "nhs": ("nhs.net",),
}
_EXACT = {name: provider for provider, names in _PROVIDERS.items() for name in names if "*" not in name}
_FAMILIES = {name[:-2]: provider for provider, names in _PROVIDERS.items() for name in names if "*" in name}
_COUNTRY = re.compile(r"com|net|(?:com?\.)?[a-z]{2}")

# A domain of its own may be kept by a large provider, whose reply says so. Google and Microsoft sign theirs.
_SIGNED = (
    ("google", re.compile(r"gsmtp|support\.google\.com", re.IGNORECASE)),
    ("microsoft", re.compile(r"\b5\.7\.515\b|\.outlook\.com|\.office365?\.com|microsoft", re.IGNORECASE)),
    ("yahoo", re.compile(r"yahoo(?:inc)?\.(?:com|net)", re.IGNORECASE)),
)


def provider_of(domain: str, reply: SmtpReply | None = None) -> str:
    """Return the provider of a receiving domain: as the reply names itself, as the table knows it, or the domain."""
    if reply is not None:
        for provider, signature in _SIGNED:
            if signature.search(reply.text):
                return provider
    name, _, suffix = domain.partition(".")
    return _EXACT.get(domain) or (_COUNTRY.fullmatch(suffix) and _FAMILIES.get(name)) or domain


@dataclass(frozen=True, slots=True)
class DomainLimit:
    """The limits of one configured domain; `connections` counts copies in hand. 0 is unlimited."""

    name: str
    connections: int
    rate: Limits
    messages_per_connection: int


class DomainLimits:
    """`send.domains`: which limit counts for which receiving domain."""

    def __init__(self, rules: Sequence[DomainRate] = ()) -> None:
        limiting = [r for r in rules if r.connections or r.per_minute or r.messages_per_connection]
        self._by_name = {
            r.domain: DomainLimit(r.domain, r.connections, Limits(r.per_minute), r.messages_per_connection)
            for r in limiting
        }

    def __bool__(self) -> bool:
        return bool(self._by_name)

    def __getitem__(self, name: str) -> DomainLimit:
        return self._by_name[name]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the limits, the most specific first."""
        return tuple(sorted(self._by_name, key=lambda name: (-name.count("."), name)))

    def key_of(self, domain: str) -> str | None:
        """Return the name of the limit that counts for a receiving domain; None when none does."""
        if not self._by_name:
            return None
        name = domain
        while name not in self._by_name:
            _, dot, name = name.partition(".")
            if not dot:
                return None
        return name

    @property
    def fingerprint(self) -> str:
        """Return what changes when a domain may belong to another limit than before; empty without limits."""
        return hashlib.sha256(json.dumps(self.names).encode()).hexdigest()[:16] if self._by_name else ""
