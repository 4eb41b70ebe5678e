"""What every site is asked for: robots.txt and a neutral icon. Neither says whose site it is or what may be found."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from newsletter.web.site import Site

ONE_DAY = "public, max-age=86400"
OPEN_PATHS = ("/archive", "/events/", "/media/")
ICON = base64.b64decode(  # a grey disc of 16 by 16 points, as a PNG
    "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQBAMAAADt3eJSAAAAGFBMVEVufo4AAAB1hpZ2eHhmbpZufo5wgZFwgZHIaWIQAAAACHRS"
    "TlP8APoDD5hgpPOv5kMAAAB/SURBVHjaJYo7CsJAFADnvU0QkmJ9mHpZf52Cx7AUPIGVh/ISHsEj5ARhuyCIpjYQLXaamWLEOLTo"
    "hJhy5uZFbLg8KKvW1XXfffz4RhRgW9AogIpqAOCkXzJaZkcdcySaVZ6LvXVAWOOIoJuF87vj0+ZhJjb4K6/7JPZbJojpD+xAGXLV"
    "AFevAAAAAElFTkSuQmCC"
)


@dataclass
class Standing:
    """The handlers."""

    site: Site

    def routes(self) -> Sequence[BaseRoute]:
        return [Route("/robots.txt", self.robots), Route("/favicon.ico", self.icon)]

    async def robots(self, _request: Request) -> Response:
        """Let nobody crawl, but for an archive: there each page says by a header whether it may be indexed."""
        is_open = self.site.app.config.archive.enabled
        lines = ["User-agent: *", *(f"Allow: {path}" for path in OPEN_PATHS if is_open), "Disallow: /", ""]
        return PlainTextResponse("\n".join(lines), headers={"cache-control": ONE_DAY})

    async def icon(self, _request: Request) -> Response:
        # An issue's page has an origin of its own, from which even this is another site's.
        headers = {"cache-control": ONE_DAY, "cross-origin-resource-policy": "cross-origin"}
        return Response(ICON, media_type="image/png", headers=headers)


def without_slash(request: Request) -> Response | None:
    """Send a reader of ``/archive/`` to ``/archive``; a POST is never sent elsewhere, as one-click must not be."""
    whole: str = request.scope["path"]
    if request.method not in ("GET", "HEAD") or not whole.endswith("/"):
        return None
    last = whole[:-1].rpartition("/")[2]
    if not last.strip(".") or not all(c.isascii() and (c.isalnum() or c in "-_.~") for c in last):
        return None
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"../{last}{query}", 308)  # relative: a proxy may have put us below a path
