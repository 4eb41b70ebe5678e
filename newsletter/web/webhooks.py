"""
Where mail providers post what became of the mail.

Nothing of a post is believed before it is verified on its raw bytes, and nothing of it is ever logged. It is answered
with success once it is kept; what the database could not keep is asked for again.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
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

from newsletter.config.returning import Webhook
from newsletter.config.settings import Config
from newsletter.errors import SourceError
from newsletter.web.sns_certificates import Certificates
from newsletter.webhook_secrets import secrets_of
from subscribers.bounces.event import Once, ProviderEvent
from subscribers.bounces.intake import Taken
from subscribers.bounces.providers import PROVIDERS, Provider, sns
from subscribers.bounces.providers.notice import is_thrown_away, to_event
from subscribers.bounces.providers.payload import PayloadUnreadable
from subscribers.bounces.providers.verifying import Posted, Secrets, WebhookRefused
from subscribers.errors import DatabaseUnavailable

MOST_BODY_BYTES = 256 * 1024
BODY_SECONDS = 30.0
RETRY_AFTER_SECONDS = 60
MOST_REFUSED = 3
WRITE_WAIT_SECONDS = 20
logger = logging.getLogger("newsletter.web")


class Door(Protocol):
    """Where events are kept: `Intake`."""

    def take_events(self, events: Sequence[ProviderEvent], *, way: str, once: Once | None) -> Sequence[Taken]: ...


@dataclass(frozen=True, slots=True)
class _Hook:
    """A configured webhook."""

    provider: Provider
    path_secret: str
    secrets: Secrets


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
            told = [(notice, to_event(notice, event_id, raw)) for event_id, notice, raw in batch.notices]
            wanted = [event for notice, event in told if not is_thrown_away(notice, event.raw)]
            wanted += [hook.provider.unread(raw) for raw in batch.unreadable]
            unreadable = len(batch.unreadable)
            lost = self._store(wanted, hook.provider, _once(hook, posted))
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

    def _store(self, events: list[ProviderEvent], provider: Provider, once: Once | None) -> int:
        """Keep all in one transaction; if that fails, each in one of its own. Return how many could not be kept."""
        if not events and once is None:
            return 0
        try:
            self._door.take_events(events, way=f"webhook:{provider.name}", once=once)
        except WebhookRefused:
            raise
        except Exception:  # one event that the program or database trips over must not cost the others
            if not events:
                raise
            return self._store_each(events, provider, once)
        return 0

    def _store_each(self, events: list[ProviderEvent], provider: Provider, once: Once | None) -> int:
        """
        Keep each event alone; one that cannot be kept as what it is is filed as what nobody understood.

        Raises:
            WebhookRefused: When the post's token was used for something else.
            DatabaseUnavailable: When the database refuses several: it is away, and the provider must come again.
        """
        lost, refused, way = 0, 0, f"webhook:{provider.name}"
        failed: list[ProviderEvent] = []
        for event in events:
            try:
                self._door.take_events([event], way=way, once=once)
            except WebhookRefused:
                raise
            except DatabaseUnavailable:
                lost, refused = lost + 1, refused + 1
                failed.append(event)
                if refused >= min(MOST_REFUSED, len(events)):
                    raise
            except Exception as error:
                lost += 1
                logger.error("%s: an event was not kept: %s", way, type(error).__name__)
                failed.append(event)
        if lost < len(events):  # else all is asked for again
            self._file_unread(failed, provider, once)
        return lost

    def _file_unread(self, events: list[ProviderEvent], provider: Provider, once: Once | None) -> None:
        """Leave a trace of each event that was not kept, since its provider is told that all went well."""
        for event in events:
            try:
                self._door.take_events([provider.unread(event.raw)], way=f"webhook:{provider.name}", once=once)
            except Exception as error:
                logger.error("webhook %s: nor was it filed: %s", provider.name, type(error).__name__)


def _hook(webhook: Webhook, web_url: str) -> _Hook:
    return _Hook(
        PROVIDERS[webhook.provider],
        webhook.path_secret.get_secret_value(),
        secrets_of(webhook, web_url),
    )


def _once(hook: _Hook, posted: Posted) -> Once | None:
    """Return what a post may be used for once only, where its signature does not cover the body."""
    if hook.provider.token is None:
        return None
    token = f"{hook.provider.name}\0{hook.provider.token(posted, hook.secrets)}"
    return Once(hashlib.sha256(token.encode()).digest(), hashlib.sha256(posted.body).digest())


async def _body(request: Request) -> bytes:
    """Return the raw body, which the route caps while it is being read."""
    try:
        with anyio.fail_after(BODY_SECONDS):
            return await request.body()
    except (TimeoutError, ClientDisconnect):
        raise HTTPException(400) from None


def _later() -> Response:
    return Response(status_code=503, headers={"retry-after": str(RETRY_AFTER_SECONDS)})
