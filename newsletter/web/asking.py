"""
How a page asks for something that is answered by mail: one row is added, and nothing is looked up.

Whoever it is about, the same statements run and the same page is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

from newsletter.asked.requests import network_of, write_down
from newsletter.tables import WebRequestKind
from newsletter.web.site import Site


async def ask(site: Site, request: Request, kind: WebRequestKind, fields: Mapping[str, Any]) -> None:
    """
    Write down what was asked for; it is durable when this returns.

    Args:
        fields: JSON values, as they were typed.

    Raises:
        HTTPException: 503 when it cannot be kept now.
    """
    network = network_of(request.client.host if request.client else None)

    def write() -> bool:
        with site.app.database.write() as session:
            return write_down(session, kind, fields=fields, network=network, now=site.app.now())

    if not await site.write(write):
        raise HTTPException(503)
