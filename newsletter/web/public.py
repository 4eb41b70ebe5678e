"""
The public site, put together: what members reach by the links of a mail.

GET and HEAD never change anything, because mail gateways open every link. What a POST writes is committed before it
is answered.
"""

from __future__ import annotations

from dataclasses import dataclass

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from newsletter.app import App
from newsletter.fresh_keys import FreshKeys
from newsletter.web.api.application import make_interface
from newsletter.web.archive import Archive
from newsletter.web.front import Front, prefix_of
from newsletter.web.health import Health
from newsletter.web.languages import Spoken
from newsletter.web.link_requests import LinkRequests
from newsletter.web.opening import Opening
from newsletter.web.pages import load_pages
from newsletter.web.protection import Count, Protection, page_headers
from newsletter.web.requesting import Requesting
from newsletter.web.settings_pages import SettingsPages
from newsletter.web.showing import Showing
from newsletter.web.signing_up import SigningUp
from newsletter.web.site import Site
from newsletter.web.sns_certificates import Certificates
from newsletter.web.standing import Standing, without_slash
from newsletter.web.unsubscribing import Unsubscribing
from newsletter.web.webhooks import Webhooks
from subscribers.errors import DatabaseUnavailable

MOST_BODY_BYTES = 16 * 1024


def make_site(
    app: App, *, certificates: Certificates | None = None, count: Count | None = None, opening: bool = False
) -> Protection:
    """
    Return the site as an ASGI application. Keys are read and templates compiled now, so a fault shows at once.

    Args:
        opening: Let nobody in before the database is there, and of our version.
    """
    pages = load_pages(app.template_folders, app.config.organisation, web=app.config.web)
    writers = anyio.CapacityLimiter(1 if app.database.is_sqlite else 10)
    site = Site(app, pages, FreshKeys(app.workspace.secrets), writers)
    webhooks = Webhooks(app.config, door=app.intake, clock=app.now, writers=writers, certificates=certificates)
    faults = _Faults(site)
    starlette = Starlette(
        routes=[
            *Unsubscribing(site).routes(),
            *LinkRequests(site).routes(),
            *SettingsPages(site).routes(),
            *Showing(site).routes(),
            *Health(site).routes(),
            *SigningUp(site).routes(),
            *Requesting(site).routes(),
            *Archive(site).routes(),
            *Standing(site).routes(),
            webhooks.route(),
        ],
        exception_handlers={
            HTTPException: faults.refused,
            DatabaseUnavailable: faults.database_away,
            Exception: faults.fault,
        },
        max_body_size=MOST_BODY_BYTES,
    )
    starlette.router.redirect_slashes = False
    https = app.config.web.url.startswith("https:")
    inner = make_interface(site, Spoken(starlette))
    front = Front(Opening(site, inner) if opening else inner, app.config.web)
    headers = page_headers(pages.style_hash, pages.script_hash, https=https)
    return Protection(front, headers, count, prefix=prefix_of(app.config.web))


@dataclass
class _Faults:
    """What is answered when a handler could not."""

    site: Site

    async def refused(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 404 and (elsewhere := without_slash(request)):
            return elsewhere
        answer = self.site.later() if error.status_code == 503 else self.site.notice(error.status_code)
        answer.headers.update(error.headers or {})
        return answer

    async def database_away(self, _request: Request, _error: Exception) -> Response:
        return self.site.later()

    async def fault(self, _request: Request, _error: Exception) -> Response:
        return self.site.notice(500)
