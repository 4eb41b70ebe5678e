"""What the site shows to everybody: an issue's page, its pictures, and the calendar file of an event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from newsletter.web.conditional import conditional
from newsletter.web.published import calendar_of, media_path, web_version
from newsletter.web.site import Site, found


def issue_policy(script_hash: str) -> str:
    """
    Return the policy of an issue's page, which holds what others wrote: an origin of its own, and no form.

    The one script that runs is the quick exit, named by its hash.
    """
    return (
        f"default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; script-src '{script_hash}'; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'; "
        "sandbox allow-scripts allow-popups allow-popups-to-escape-sandbox"
    )


@dataclass
class Showing:
    """The handlers."""

    site: Site

    def routes(self) -> Sequence[BaseRoute]:
        return [
            Route("/view/{name}", self.view),
            Route("/media/{name}", self.media),
            Route("/events/{name}.ics", self.event),
        ]

    async def view(self, request: Request) -> Response:
        site, name, pages = self.site, request.path_params["name"], self.site.pages
        body = await site.read(lambda: web_version(site.app, site.keys.current().marks, name, pages.script))
        return HTMLResponse(found(body), headers={"content-security-policy": issue_policy(pages.script_hash)})

    async def media(self, request: Request) -> Response:
        site = self.site
        path, kind = found(media_path(site.app.workspace.media, request.path_params["name"]))
        content = found(await site.read(lambda: path.read_bytes() if path.is_file() else None))
        headers = {
            "cache-control": "public, max-age=31536000, immutable",
            "content-security-policy": "default-src 'none'; sandbox",
            "cross-origin-resource-policy": "cross-origin",  # web mail shows our pictures on its own pages
        }
        return Response(content, media_type=kind, headers=headers)

    async def event(self, request: Request) -> Response:
        app, name = self.site.app, request.path_params["name"]
        host = urlsplit(app.config.web.url).hostname or "localhost"
        marks = self.site.keys.current().marks
        content = found(await self.site.read(lambda: calendar_of(app, marks, name, host)))
        headers = {"content-disposition": 'attachment; filename="event.ics"', "cache-control": "no-cache"}
        answer = Response(content, media_type="text/calendar; charset=utf-8; method=PUBLISH", headers=headers)
        return conditional(request, answer)
