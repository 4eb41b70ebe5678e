"""
When one refusal concerns more than one subscriber: a provider refuses us, content is refused, copies are held. Pure.

A breaker keeps a provider's other subscribers from being tried while it refuses us; past a threshold the issue pauses.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from newsletter.send.replies import SmtpReply

OPEN_FOR = timedelta(minutes=30)
REFUSALS_THAT_PAUSE = 10
DOMAINS_THAT_PAUSE = 3
SAME_CONTENT_REFUSALS_THAT_PAUSE = 3
FEWEST_HELD_FOR_PERCENT = 3


@dataclass
class Breakers:
    """What was refused in this run so far. Methods that return words mean: pause the issue, for this reason."""

    planned: int
    held_pause_count: int
    held_pause_percent: float
    _refusals: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _open: dict[str, datetime] = field(default_factory=dict)
    _contents: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _held: int = 0

    def accepted(self, domain: str) -> None:
        """Forget a domain's refusals: it takes our mail."""
        if self._refusals:
            self._refusals.pop(domain, None)
            self._open.pop(domain, None)

    def open_until(self, domain: str, now: datetime) -> datetime | None:
        """Return until when *domain* is left alone; None when it may be tried."""
        until = self._open.get(domain) if self._open else None
        return until if until is not None and until > now else None

    def refused_by_policy(self, domain: str, reply: SmtpReply, now: datetime) -> str | None:
        """Open the breaker of *domain*."""
        self._refusals[domain] += 1
        self._open[domain] = now + OPEN_FOR
        if self._refusals[domain] >= REFUSALS_THAT_PAUSE:
            return f"{domain} refuses our mail by policy: {reply}"
        if len(self._refusals) >= DOMAINS_THAT_PAUSE:
            return f"{len(self._refusals)} receiving domains refuse our mail by policy, the last {domain}: {reply}"
        return None

    def refused_content(self, reply: SmtpReply) -> str | None:
        """Count a copy whose content was refused."""
        kind = f"{reply.code} {reply.status or ''}"
        self._contents[kind] += 1
        if self._contents[kind] >= SAME_CONTENT_REFUSALS_THAT_PAUSE:
            return f"{self._contents[kind]} copies were refused for their content: {reply}"
        return None

    def held(self, why: str) -> str | None:
        """Count a copy that was held before the wire."""
        self._held += 1
        share = 100 * self._held / max(1, self.planned)
        too_many = self._held >= FEWEST_HELD_FOR_PERCENT and share >= self.held_pause_percent
        if self._held >= self.held_pause_count or too_many:
            return f"{self._held} copies are held, the last because: {why}"
        return None
