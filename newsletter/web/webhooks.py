"""
Where mail providers post what became of the mail.

Nothing of a post is believed before it is verified on its raw bytes, and nothing of it is ever logged. It is answered
with success once it is kept; what the database could not keep is asked for again.
"""

from __future__ import annotations

import hmac
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

import anyio
import anyio.to_thread
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from newsletter.config import Config
from newsletter.config_returning import Webhook
from newsletter.errors import SourceError
from newsletter.web.sns_certificates import Certificates
from newsletter.webhook_secrets import secrets_of
from subscribers.bounces.event import EventKind, ProviderEvent
from subscribers.bounces.intake import Taken
from subscribers.bounces.providers import PROVIDERS, Provider, sns
from subscribers.bounces.providers.notice import to_event
from subscribers.bounces.providers.payload import PayloadUnreadable
from subscribers.bounces.providers.verifying import FRESH_FOR, Posted, Secrets, WebhookRefused, sha256
from subscribers.errors import DatabaseUnavailable

MOST_BODY_BYTES = 256 * 1024
BODY_SECONDS = 30.0
RETRY_AFTER_SECONDS = 60
MOST_TOKENS = 20_000
MOST_REFUSED = 3
WRITE_WAIT_SECONDS = 20
logger = logging.getLogger("newsletter.web")


class Door(Protocol):
    """Where events are kept: `Intake`."""

    def take_events(self, events: Sequence[ProviderEvent], *, way: str) -> Sequence[Taken]: ...


@dataclass(frozen=True, slots=True)
class _Hook:
    """A configured webhook."""

    provider: Provider
    path_secret: str
    secrets: Secrets


class UsedTokens:
    """
    Tokens of posts whose signature does not cover the body: each is good for one body, as long as it is fresh.

    The very same post again passes, so that a provider that missed our answer can repeat itself.
    """

    def __init__(self) -> None:
        self._used: OrderedDict[str, tuple[str, datetime]] = OrderedDict()

    def check(self, token: str, body: bytes, now: datetime) -> None:
        """
        Note a token with its body.

        Raises:
            WebhookRefused: When it came with another body before.
        """
        while self._used and (len(self._used) > MOST_TOKENS or now - self._oldest > 2 * FRESH_FOR):
            self._used.popitem(last=False)
        seen, _ = self._used.setdefault(token, (sha256(body), now))
        if seen != sha256(body):
            raise WebhookRefused("The token was used for something else.")

    @property
    def _oldest(self) -> datetime:
        return next(iter(self._used.values()))[1]


class Webhooks:
    """
    The handlers of all configured webhooks.

    Args:
        writers: The turn that every write of the site waits for.
        certificates: Amazon's, fetched and kept.
    """

    def __init__(
        self,
        config: Config,
        *,
        door: Door,
        clock: Callable[[], datetime],
        writers: anyio.CapacityLimiter,
        certificates: Certificates | None = None,
    ) -> None:
        self._hooks = tuple(_hook(webhook, config.web.url) for webhook in config.bounces.webhooks)
        self._door, self._clock, self._writers = door, clock, writers
        self._certificates = certificates or Certificates()
        self._tokens = UsedTokens()

    def route(self) -> Route:
        """Return the route; without a configured webhook every path below it is unknown."""
        methods = ["GET", "HEAD", "POST"]
        return Route("/webhooks/{provider}/{secret}", self.receive, methods=methods, max_body_size=MOST_BODY_BYTES)

    async def receive(self, request: Request) -> Response:
        hook = self._find(request.path_params["provider"], request.path_params["secret"])
        if request.method in hook.provider.probes:
            return Response()
        if request.method != "POST":
            raise HTTPException(405, headers={"allow": "POST"})
        posted = Posted(await _body(request), {name.lower(): value for name, value in request.headers.items()})
        try:
            await self._verify(hook, posted)
            return await self._keep(hook, posted)
        except WebhookRefused as error:
            logger.warning("webhook %s refused: %s", hook.provider.name, error.message)
            headers = {"www-authenticate": 'Basic realm="webhooks"'} if error.ask_for_password else None
            return Response(status_code=401 if headers else 403, headers=headers)
        except PayloadUnreadable as error:
            logger.warning("webhook %s unreadable: %s", hook.provider.name, error.message)
            return Response(status_code=400)
        except SourceError as error:
            logger.warning("webhook %s: %s", hook.provider.name, error.message)
            return _later()

    def _find(self, provider: str, secret: str) -> _Hook:
        """Return the webhook at a path; every one is compared in constant time, so that no path can be found by it."""
        given = f"{provider}/{secret}".encode("utf-8", "surrogatepass")
        found: _Hook | None = None
        for hook in self._hooks:
            if hmac.compare_digest(given, f"{hook.provider.name}/{hook.path_secret}".encode()) and hook.path_secret:
                found = hook
        if found is None:
            raise HTTPException(404)
        return found

    async def _verify(self, hook: _Hook, posted: Posted) -> None:
        """Check the signature, and follow what a verified post of Amazon's asks for: to confirm a subscription."""
        provider, now = hook.provider, self._clock()
        if provider.name != "ses":
            provider.verify(posted, hook.secrets, now)
            if provider.token is not None:
                self._tokens.check(provider.token(posted, hook.secrets), posted.body, now)
            return
        url = sns.certificate_url(posted.body, hook.secrets)
        provider.verify(replace(posted, certificate=await self._certificates.get(url, now)), hook.secrets, now)
        confirmation = sns.confirmation_url(posted.body, hook.secrets)
        if confirmation is not None:
            await self._certificates.confirm(confirmation)
            logger.warning("webhook ses: the subscription to its topic is confirmed")

    async def _keep(self, hook: _Hook, posted: Posted) -> Response:
        """Keep what matters, in a thread of its own; a failure is answered only when none of it could be kept."""
        name = hook.provider.name

        def work() -> tuple[int, int]:
            batch = hook.provider.read_batch(posted.body, posted.headers)
            told = [to_event(notice, event_id, raw) for event_id, notice, raw in batch.notices]
            # Who opened or clicked is nobody's business here, and what was only accepted says nothing yet.
            wanted = [event for event in told if event.kind is not EventKind.OTHER]
            lost = self._store(wanted, f"webhook:{name}")
            unreadable = len(batch.unreadable)
            logger.info("webhook %s: %d events, %d kept", name, len(told) + unreadable, len(wanted) - lost)
            if unreadable:
                logger.warning("webhook %s: %d entries of a form nobody knows", name, unreadable)
            return len(wanted), lost

        with anyio.move_on_after(WRITE_WAIT_SECONDS):
            try:
                wanted, lost = await anyio.to_thread.run_sync(work, limiter=self._writers)
            except DatabaseUnavailable:
                return _later()
            return Response(status_code=500) if wanted and lost == wanted else Response()
        return _later()

    def _store(self, events: list[ProviderEvent], way: str) -> int:
        """Keep all in one transaction; if that fails, each in one of its own. Return how many could not be kept."""
        if not events:
            return 0
        try:
            self._door.take_events(events, way=way)
        except Exception:  # one event that the program or database trips over must not cost the others
            return self._store_each(events, way)
        return 0

    def _store_each(self, events: list[ProviderEvent], way: str) -> int:
        """
        Keep each event alone.

        Raises:
            DatabaseUnavailable: When the database refuses several: it is away, and the provider must come again.
        """
        lost, refused = 0, 0
        for event in events:
            try:
                self._door.take_events([event], way=way)
            except DatabaseUnavailable:
                lost, refused = lost + 1, refused + 1
                if refused >= min(MOST_REFUSED, len(events)):
                    raise
            except Exception as error:
                lost += 1
                logger.error("%s: an event was not kept: %s", way, type(error).__name__)
        return lost


def _hook(webhook: Webhook, web_url: str) -> _Hook:
    return _Hook(
        PROVIDERS[webhook.provider],
        webhook.path_secret.get_secret_value(),
        secrets_of(webhook, web_url),
    )


async def _body(request: Request) -> bytes:
    """Return the raw body, which the route caps while it is being read."""
    try:
        with anyio.fail_after(BODY_SECONDS):
            return await request.body()
    except (TimeoutError, ClientDisconnect):
        raise HTTPException(400) from None


def _later() -> Response:
    return Response(status_code=503, headers={"retry-after": str(RETRY_AFTER_SECONDS)})
