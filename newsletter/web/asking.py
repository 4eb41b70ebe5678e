"""
How a page asks for something that is answered by mail: one row is added, and nothing is looked up.

Whoever it is about, the same statements run and the same page is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from newsletter.asked.requests import network_of, write_down
from newsletter.tables import WebRequestKind
from newsletter.web.languages import marked
from newsletter.web.site import Site

TOO_OFTEN = (
    marked("Please write to us instead"),
    (marked("This page was used very often just now, so nothing was sent."),),
)
Limit = Callable[[Session, str, datetime], bool]


async def ask(
    site: Site, request: Request, kind: WebRequestKind, fields: Mapping[str, Any], *, limit: Limit | None = None
) -> bool:
    """
    Write down what was asked for; it is durable when this returns.

    Args:
        fields: JSON values, as they were typed.
        limit: Says, by the sender's network, whether one more may be written down.

    Returns:
        Whether *limit* let it.

    Raises:
        HTTPException: 503 when it cannot be kept now.
    """
    network = network_of(request.client.host if request.client else None)

    def write() -> tuple[bool, bool]:
        now = site.app.now()
        with site.app.database.write() as session:
            if limit is not None and not limit(session, network, now):
                return False, False
            return True, write_down(session, kind, fields=fields, network=network, now=now)

    allowed, written = await site.write(write)
    if allowed and not written:
        raise HTTPException(503)
    return allowed


def used_too_often(site: Site) -> Response:
    """Return what is said where a limit does not let somebody: another way, and that nothing was sent."""
    heading, lines = TOO_OFTEN
    return site.page("notice", 429, heading=heading, lines=lines, contact=site.contact)
