"""
The interface, put together: its resources, its one kind of refusal, and its description (OpenAPI 3.1).

The description is served as a document only: there is no page with scripts of others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import ASGIApp

from newsletter.errors import NewsletterError
from newsletter.web.api import problems
from newsletter.web.api.documents import ProblemShown
from newsletter.web.api.door import DESCRIPTION_PATH, Door
from newsletter.web.api.interface import Interface
from newsletter.web.api.issues import Issues
from newsletter.web.api.lists import Lists
from newsletter.web.api.subscribers import Subscribers
from newsletter.web.api.suppressions import Suppressions
from newsletter.web.site import Site
from subscribers.errors import SubscribersError

SUMMARY = "Subscribers, lists, issues, deliveries and suppressions, for forms and other programs."
REFUSALS = {
    400: "The request cannot be read.",
    401: "No valid token.",
    403: "The token may not do this.",
    404: "There is none, or not for this token.",
    408: "The body took too long.",
    409: "What is stored forbids this.",
    412: "It was changed meanwhile.",
    413: "The body is too large.",
    415: "The body is no JSON.",
    422: "A value cannot be used.",
    428: "Say which version you change.",
    429: "Too many requests: wait for `Retry-After` seconds.",
    500: "A fault of ours.",
    503: "Nothing was changed; try again after `Retry-After` seconds.",
}
CONDITION = "If-Match"
ONLY_WITH_BODY = frozenset((408, 409, 413, 415))
ONLY_WHEN_CONDITIONAL = frozenset((412, 428))


def make_interface(site: Site, pages: ASGIApp) -> Door:
    """Return the interface with its door; what is not below its path goes on to *pages*."""
    interface = Interface(site)
    api = FastAPI(
        title="Newsletter",
        summary=SUMMARY,
        version="1",
        openapi_url=DESCRIPTION_PATH,
        docs_url=None,
        redoc_url=None,
        servers=[{"url": interface.address}],
        root_path_in_servers=False,
        redirect_slashes=False,
        separate_input_output_schemas=False,
        exception_handlers={
            problems.Problem: problems.on_problem,
            RequestValidationError: problems.on_invalid_request,
            SubscribersError: problems.on_error_of_ours,
            NewsletterError: problems.on_error_of_ours,
            Exception: problems.on_fault,
        },
    )
    for resource in (Subscribers, Lists, Issues, Suppressions):
        api.include_router(resource(interface).router())

    paths = Paths(api)

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 405:
            below = request.scope["path"].removeprefix(request.scope["root_path"])
            return problems.problem(405, headers={"allow": paths.allowed(below)})
        return await problems.on_http_exception(request, error)

    api.add_exception_handler(HTTPException, refused)
    described = api.openapi
    api.openapi = lambda: _complete(described())  # type: ignore[method-assign]
    return Door(site, api, pages, paths.takes_body)


@dataclass
class Paths:
    """Which methods each path knows, and which of them take a body: read off the description."""

    api: FastAPI

    @cached_property
    def _operations(self) -> list[tuple[re.Pattern[str], Mapping[str, Any]]]:
        described = self.api.openapi()["paths"].items()
        return [(compile_path(template)[0], operations) for template, operations in described]

    def allowed(self, below: str) -> str:
        """Return every method of a path: it may be several routes."""
        found = {"GET"} if below == DESCRIPTION_PATH else set()
        for pattern, operations in self._operations:
            if pattern.match(below):
                found |= {method.upper() for method in operations}
        return ", ".join(sorted(found))

    def takes_body(self, method: str, below: str) -> bool:
        return any(
            "requestBody" in operations.get(method.lower(), {})
            for pattern, operations in self._operations
            if pattern.match(below)
        )


def _complete(description: dict[str, Any]) -> dict[str, Any]:
    """Describe every refusal as what it is; FastAPI itself knows only of one, of another form."""
    if "Problem" in description["components"]["schemas"]:
        return description
    schemas = description["components"]["schemas"]
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    schemas["Problem"] = ProblemShown.model_json_schema()
    for methods in description["paths"].values():
        for operation in methods.values():
            operation["responses"].pop("422", None)
            for parameter in operation.get("parameters", ()):
                # It is looked for by the handler: its absence has a status of its own.
                parameter["required"] = parameter["required"] or parameter["name"] == CONDITION
            for status, words in REFUSALS.items():
                if status in ONLY_WITH_BODY and "requestBody" not in operation:
                    continue
                if status in ONLY_WHEN_CONDITIONAL and not _is_conditional(operation):
                    continue
                operation["responses"][str(status)] = _refusal(status, words)
    return description


def _is_conditional(operation: dict[str, Any]) -> bool:
    return any(each["name"] == CONDITION for each in operation.get("parameters", ()))


def _refusal(status: int, words: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "description": words,
        "content": {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status in (429, 503):
        found["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "required": True}}
    return found
