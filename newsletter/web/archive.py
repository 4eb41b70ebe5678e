"""
The pages of the archive: the list with its search, the issues in it, the feed, the calendar and the page of an event.

Where it is off, all of it but the page of an event does not exist. Nothing here knows who is looking.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit
from zoneinfo import ZoneInfo

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from newsletter.compose import archive
from newsletter.publishing.archiving import without_tags
from newsletter.render.links import event_mark
from newsletter.tables import Issue, Item
from newsletter.web.archived_pages import ArchivedPages
from newsletter.web.atom import Entry, atom_feed
from newsletter.web.calendar_file import calendar_feed
from newsletter.web.conditional import conditional
from newsletter.web.event_page import shown_event, structured_data
from newsletter.web.published import announced_event
from newsletter.web.showing import issue_policy
from newsletter.web.site import Site, found

FEED_LENGTH = 30
EVENTS_SHOWN = 10
PAGE_NUMBER = re.compile(r"[1-9][0-9]{0,4}")
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)  # what an empty feed was last changed at
FOUND_BY_ENGINES = {"x-robots-tag": "all"}


@dataclass
class Archive:
    """The handlers."""

    site: Site
    pages: ArchivedPages = field(init=False)

    def __post_init__(self) -> None:
        self.pages = ArchivedPages(self.site.app, self.site.pages.script)

    def routes(self) -> Sequence[BaseRoute]:
        return [
            Route("/archive", self.overview),
            Route("/archive/feed.atom", self.feed),
            Route("/archive/events.ics", self.events),
            Route("/archive/{slug}", self.issue),
            Route("/events/{name}", self.event),
        ]

    async def overview(self, request: Request) -> Response:
        self._must_be_open()
        app = self.site.app
        query, number = request.query_params.get("q", "").strip()[: archive.MOST_QUERY], _number(request)

        def look() -> dict[str, Any] | None:
            with app.database.read() as session:
                page = archive.listed(session, query, number)
                if page is None:
                    return None
                events = archive.coming_events(session, now=app.now(), zone=self._zone) if not query else []
                return {
                    "issues": [self._row(issue) for issue in page.issues],
                    "number": page.number,
                    "total": page.total,
                    "newer": _page_link(query, page.number - 1) if page.number > 1 else "",
                    "older": _page_link(query, page.number + 1) if page.number < page.last else "",
                    "events": [self._event_row(item) for item in events[:EVENTS_SHOWN]],
                    "follow": archive.has_indexed(session),
                }

        values = found(await self.site.read(look))
        robots = {"x-robots-tag": "noindex, follow"} if values.pop("follow") else {}
        answer = self.site.page("archive", query=query, **values)
        answer.headers.update(robots)
        return conditional(request, answer)

    async def issue(self, request: Request) -> Response:
        self._must_be_open()
        slug = request.path_params["slug"]
        page = found(await self.site.read(lambda: self.pages.get(slug)))
        headers = {"content-security-policy": issue_policy(self.site.pages.script_hash)}
        headers |= FOUND_BY_ENGINES if page.is_indexed else {}
        return conditional(request, HTMLResponse(page.html, headers=headers), page.modified)

    async def feed(self, request: Request) -> Response:
        self._must_be_open()
        app = self.site.app

        def make() -> tuple[bytes, datetime]:
            with app.database.read() as session:
                entries = [_entry(issue) for issue in archive.newest(session, FEED_LENGTH)]
            organisation = app.config.organisation
            newest = max((entry.published for entry in entries), default=BEGINNING)
            domain = organisation.from_address.rpartition("@")[2]
            content = atom_feed(
                entries, web_url=app.config.web.url, domain=domain, name=organisation.name, empty_since=BEGINNING
            )
            return content, newest

        content, newest = await self.site.read(make)
        answer = Response(content, media_type="application/atom+xml")
        return conditional(request, answer, newest)

    async def events(self, request: Request) -> Response:
        self._must_be_open()
        app = self.site.app

        def make() -> bytes:
            with app.database.read() as session:
                items = archive.coming_events(session, now=app.now(), zone=self._zone)
                organisation = app.config.organisation
                return calendar_feed(
                    items, host=self._host, fallback_timezone=organisation.timezone, name=organisation.name
                )

        content = await self.site.read(make)
        return conditional(request, Response(content, media_type="text/calendar; charset=utf-8; method=PUBLISH"))

    async def event(self, request: Request) -> Response:
        app, name = self.site.app, request.path_params["name"]
        marks = self.site.keys.current().marks

        def look() -> dict[str, Any] | None:
            with app.database.read() as session:
                item = announced_event(session, marks, name)
                if item is None:
                    return None
                data = structured_data(
                    item,
                    self._zone,
                    organisation=app.config.organisation.name,
                    page_url=f"{app.config.web.url}/events/{name}",
                )
                indexed = app.config.archive.enabled and archive.is_indexed_event(session, item.id)
                return {"event": shown_event(item, self._zone), "data": data, "indexed": indexed}

        values = found(await self.site.read(look))
        answer = self.site.page("event", calendar=f"{name}.ics", **values)
        if values["indexed"]:
            answer.headers.update(FOUND_BY_ENGINES)
        return conditional(request, answer)

    def _must_be_open(self) -> None:
        if not self.site.app.config.archive.enabled:
            raise HTTPException(404)

    @property
    def _zone(self) -> ZoneInfo:
        return self.site.app.config.organisation.zone

    @property
    def _host(self) -> str:
        return urlsplit(self.site.app.config.web.url).hostname or "localhost"

    def _row(self, issue: Issue) -> dict[str, object]:
        assert issue.planned_at is not None
        return {
            "slug": issue.slug,
            "title": without_tags(issue.subject),
            "summary": without_tags(issue.preheader),
            "language": issue.language,
            "day": issue.planned_at.astimezone(self._zone).date(),
        }

    def _event_row(self, item: Item) -> dict[str, object]:
        mark = event_mark(self.site.keys.current().marks.current, item.id)
        return {"name": f"{item.id}-{mark}", "event": shown_event(item, self._zone)}


def _number(request: Request) -> int:
    """Return the number of the page that is asked for; what is no number is a page that does not exist."""
    given = request.query_params.get("page", "1")
    if not PAGE_NUMBER.fullmatch(given):
        raise HTTPException(404)
    return int(given)


def _page_link(query: str, number: int) -> str:
    return "archive?" + urlencode({**({"q": query} if query else {}), "page": str(number)})


def _entry(issue: Issue) -> Entry:
    assert issue.published_at is not None
    title, summary = without_tags(issue.subject), without_tags(issue.preheader)
    return Entry(issue.id, issue.slug, title, summary, issue.language, issue.published_at)
