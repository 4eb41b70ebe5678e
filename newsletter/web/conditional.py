"""
Answers that a reader may keep and asks about again: ETag, Last-Modified and 304.

The tag is of the bytes, so it is right whatever the page was made from.

Source: RFC 9110 8.8, 13.1 and 15.4.5.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

from starlette.requests import Request
from starlette.responses import Response

ASK_AGAIN = "no-cache"
_OF_THE_BODY = ("content-length", "content-type")


def conditional(request: Request, answer: Response, modified: datetime | None = None) -> Response:
    """
    Return *answer* with its tag, or a 304 when the reader has it already.

    Args:
        modified: When what it shows was last changed; null where only the tag can tell.
    """
    answer.headers["etag"] = f'"{hashlib.sha256(answer.body).hexdigest()[:32]}"'
    answer.headers.setdefault("cache-control", ASK_AGAIN)
    if modified is not None:
        answer.headers["last-modified"] = format_datetime(modified.astimezone(UTC).replace(microsecond=0), usegmt=True)
    if not _has_it(request, answer):
        return answer
    # Every other header too: a browser lays those of a 304 over what it has kept, the policy among them.
    headers = {name: value for name, value in answer.headers.items() if name not in _OF_THE_BODY}
    return Response(status_code=304, headers=headers)


def _has_it(request: Request, answer: Response) -> bool:
    """The tag decides where one is given; the date only where none is."""
    tags = request.headers.get("if-none-match")
    if tags is not None:
        mine = answer.headers["etag"]
        return tags.strip() == "*" or any(tag.strip().removeprefix("W/") == mine for tag in tags.split(","))
    since, modified = request.headers.get("if-modified-since"), answer.headers.get("last-modified")
    if since is None or modified is None:
        return False
    try:
        given = parsedate_to_datetime(since)
    except ValueError:
        return False
    return given.tzinfo is not None and parsedate_to_datetime(modified) <= given
