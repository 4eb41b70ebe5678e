"""
Amazon's signing certificates, fetched once and kept, and the one address by which a subscription is confirmed.

Only addresses that `sns` has judged come here; a redirect is never followed.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from newsletter.compose.fetching import Fetcher, Limits
from newsletter.errors import SourceError
from subscribers.bounces.providers.sns import LARGEST_CERTIFICATE_BYTES, check_certificate

KEEP_FOR = timedelta(days=1)
MOST_KEPT = 16
LIMITS = Limits(seconds=10.0, max_bytes=LARGEST_CERTIFICATE_BYTES, redirects=0, ports=(443,))


class Certificates:
    """Fetches by one policy: https on its own port, public addresses, no redirect."""

    def __init__(self, fetcher: Fetcher | None = None, limits: Limits = LIMITS) -> None:
        self._fetcher, self._limits = fetcher or Fetcher(), limits
        self._kept: dict[str, tuple[bytes, datetime]] = {}

    async def get(self, url: str, now: datetime) -> bytes:
        """
        Return the certificate at an address; one that does not pass is not kept.

        Raises:
            SourceError: When it cannot be fetched, also when it is somewhere else by now.
            WebhookRefused: When it is no certificate of Amazon's in date.
        """
        pem, until = self._kept.get(url, (b"", now))
        if now < until:
            return pem
        fetched = await self._fetcher.fetch(url, accept="*/*", limits=self._limits)
        if fetched.cut:
            raise SourceError("The certificate is longer than any is.")
        leaf = check_certificate(fetched.body, now)
        while len(self._kept) >= MOST_KEPT:
            self._kept.pop(next(iter(self._kept)))
        self._kept[url] = fetched.body, min(now + KEEP_FOR, leaf.not_valid_after_utc)
        return fetched.body

    async def confirm(self, url: str) -> None:
        """
        Confirm a subscription.

        Raises:
            SourceError: When Amazon does not answer that it is.
        """
        await self._fetcher.fetch(url, accept="*/*", limits=self._limits)
