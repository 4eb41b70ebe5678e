"""
Every refusal of the interface as one kind of document (RFC 9457), whatever refused: a handler, the router, a fault.

A refusal never repeats what was sent, so that no log of a client's holds an address by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from newsletter import errors as ours
from newsletter.web.site import RETRY_AFTER_SECONDS
from subscribers import errors as theirs
from subscribers.segments import SegmentError

MEDIA_TYPE = "application/problem+json"
URN = "urn:newsletter:problem:"

# type -> status and title; docs/api.md has the same table.
KINDS: Mapping[str, tuple[int, str]] = {
    "scope-missing": (403, "The token may not do this"),
    "list-required": (403, "This token is for some lists: name one of them"),
    "confirmation-required": (403, "This token can only ask; the person confirms"),
    "known": (409, "There is a subscriber with this address"),
    "not-to-be-mailed": (409, "This person is not to be mailed"),
    "unsubscribed": (409, "This person left the list"),
    "list-closed": (409, "The list takes nobody"),
    "conflict": (409, "What is stored forbids this"),
    "changed-meanwhile": (412, "The subscriber was changed meanwhile"),
    "condition-required": (428, "Say which version you change"),
    "invalid": (422, "A value cannot be used"),
    "segment": (422, "The segment cannot be used"),
    "cursor": (422, "This cursor does not belong to this question"),
    "idempotency-key": (422, "This key was used for another request"),
    "too-many": (429, "Too many requests"),
}


class Problem(Exception):
    """
    A refusal.

    Args:
        kind: A key of `KINDS`.
        detail: What was wrong, to what; without a name or address.
        headers: Of the answer.
        more: Members of the document besides the usual ones.
    """

    def __init__(
        self, kind: str, detail: str = "", *, headers: Mapping[str, str] | None = None, **more: object
    ) -> None:
        super().__init__(kind)
        self.kind, self.detail, self.headers, self.more = kind, detail, dict(headers or {}), more

    def response(self) -> Response:
        status, title = KINDS[self.kind]
        return problem(status, URN + self.kind, title, self.detail, self.headers, **self.more)


def problem(
    status: int,
    kind: str = "about:blank",
    title: str = "",
    detail: str = "",
    headers: Mapping[str, str] | None = None,
    **more: object,
) -> Response:
    """Return a refusal as an answer."""
    document: dict[str, Any] = {"type": kind, "title": title or HTTPStatus(status).phrase, "status": status}
    if detail:
        document["detail"] = detail
    return JSONResponse({**document, **more}, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def unauthorised() -> Response:
    """Return the one answer to every token that is not valid, and to none."""
    return problem(
        401, detail="A valid token is needed: Authorization: Bearer ...", headers={"www-authenticate": "Bearer"}
    )


def later() -> Response:
    return problem(
        503, detail="Nothing was changed. Try again later.", headers={"retry-after": str(RETRY_AFTER_SECONDS)}
    )


def problem_not_found() -> HTTPException:
    """Return what is raised for something that does not exist, or not for this token: the two are one."""
    return HTTPException(404)


async def on_problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.response()


async def on_http_exception(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 503:
        return later()
    return problem(error.status_code, headers=error.headers)


async def on_invalid_request(_request: Request, error: Exception) -> Response:
    """Name each value that does not fit, by where it stands, without repeating it."""
    assert isinstance(error, RequestValidationError)
    found = [{"pointer": _pointer(each["loc"]), "detail": str(each["msg"])[:200]} for each in error.errors()]
    return Problem("invalid", "The request does not fit its description.", errors=found[:20]).response()


def _pointer(place: Sequence[int | str]) -> str:
    """Return the place as a JSON Pointer in a fragment for a body, else as `query/limit`."""
    where, *path = place
    steps = [str(step).replace("~", "~0").replace("/", "~1")[:100] for step in path]
    return "/".join(["#", *steps]) if where == "body" else "/".join([str(where), *steps])


async def on_error_of_ours(_request: Request, error: Exception) -> Response:
    """Turn an error of either package into a refusal. Hints are for the command line, and name what is stored."""
    if isinstance(error, theirs.DatabaseUnavailable):
        return later()
    if isinstance(error, SegmentError):
        return Problem("segment", error.reason, start=error.place.start, end=error.place.end).response()
    if isinstance(error, theirs.NotFound | ours.NotFound):
        return problem(404)
    if isinstance(error, theirs.Conflict | ours.Conflict):
        return Problem("conflict").response()
    if isinstance(error, theirs.InvalidValue | ours.InvalidValue):
        return Problem("invalid", "A value cannot be used.").response()
    return problem(500, detail="The fault is ours. Please try again in a few minutes.")


async def on_fault(_request: Request, _error: Exception) -> Response:
    return problem(500, detail="The fault is ours. Please try again in a few minutes.")
