"""
Read posts from the REST API of a WordPress site, or from its answers saved as a file.

A page is what ``/wp-json/wp/v2/posts?_embed`` answers: media, terms and authors are embedded, so one page needs no
further questions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from newsletter.compose.cleaning import canonical_url, clean_html, clean_line, clean_title, summary_of
from newsletter.compose.fetching import Fetched, Fetcher, Limits
from newsletter.compose.sources.feed import guid_for, load_json, objects, words
from newsletter.compose.sources.item import Reading, SourceItem
from newsletter.compose.sources.markup import (
    FoundPicture,
    clean_alt,
    credit_from,
    first_picture,
    kind_of,
    parse_moment,
)
from newsletter.compose.sources.xml_guard import MAX_ITEMS
from newsletter.errors import SourceError

PER_PAGE = 20
MAX_PAGES = MAX_ITEMS // PER_PAGE
_POSTS_ROUTE = "/wp/v2/posts"


@dataclass(frozen=True, slots=True)
class _Pages:
    first: Fetched
    bodies: tuple[bytes, ...]
    problems: tuple[str, ...]


async def fetch_wordpress(
    location: str, fetcher: Fetcher, *, etag: str | None = None, last_modified: str | None = None
) -> Reading:
    """
    Return the newest posts of a site, page after page within the caps.

    Args:
        location: The site's address, or that of one of its REST collections.

    Raises:
        SourceError: When the first page cannot be read. Trouble with a later page is a problem of the reading.
    """
    deadline = asyncio.get_running_loop().time() + fetcher.limits.seconds
    try:
        async with asyncio.timeout_at(deadline):
            first = await _first_page(location, fetcher, etag, last_modified)
    except TimeoutError:
        raise SourceError(f"{location} did not answer within {fetcher.limits.seconds:g} seconds.") from None
    if first.not_modified:
        return Reading((), not_modified=True, etag=etag, last_modified=last_modified)
    if first.cut:
        raise SourceError(f"A page of {PER_PAGE} posts is larger than 2 MB.", hint="Add the site's feed instead.")
    pages = await _later_pages(first, fetcher, deadline)
    reading = read_wordpress(pages.bodies, url=first.url)
    return replace(
        reading, problems=(*pages.problems, *reading.problems), etag=first.etag, last_modified=first.last_modified
    )


def read_wordpress(bodies: Sequence[bytes], *, url: str | None) -> Reading:
    """
    Return the items of one or more pages of posts.

    Raises:
        SourceError: When the first page is no list of posts.
    """
    items: dict[str, SourceItem] = {}
    problems: list[str] = []
    for number, body in enumerate(bodies, 1):
        try:
            posts = _posts(load_json(body))
        except SourceError as error:
            if number == 1:
                raise
            problems.append(f"Page {number}: {error.message}")
            continue
        for post in posts:
            item = _item(post, url)
            if item is None:
                problems.append(f"Post {post.get('id', '?')} has neither title nor text, or is protected: left out.")
            elif len(items) < MAX_ITEMS:
                items.setdefault(item.guid, item)
            elif item.guid not in items:
                problems.append(f"Only the first {MAX_ITEMS} posts were read; there are more.")
    return Reading(tuple(items.values()), tuple(dict.fromkeys(problems)))


def api_url(location: str, *, page: int = 1, plain: bool = False) -> str:
    """
    Return the address of a page of posts.

    Args:
        plain: For sites without rewritten addresses: ``?rest_route=`` instead of ``/wp-json``.
    """
    parts = urlsplit(location)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    path = parts.path
    if "/wp-json" not in path and "rest_route" not in query:
        path = path.rstrip("/") + ("/" if plain else f"/wp-json{_POSTS_ROUTE}")
        if plain:
            query["rest_route"] = _POSTS_ROUTE
    elif path.rstrip("/").endswith("/wp-json") and "rest_route" not in query:
        path = path.rstrip("/") + _POSTS_ROUTE
    query = {"per_page": str(PER_PAGE), "_embed": "1", **query, "page": str(page)}
    return urlunsplit((parts.scheme, parts.netloc, path, urlencode(query), ""))


async def _first_page(location: str, fetcher: Fetcher, etag: str | None, last_modified: str | None) -> Fetched:
    address = api_url(location)
    try:
        return await fetcher.fetch(address, accept="application/json", etag=etag, last_modified=last_modified)
    except SourceError as error:
        plain = api_url(location, plain=True)
        if plain == address or " answers 404" not in error.message:
            raise
    return await fetcher.fetch(plain, accept="application/json", etag=etag, last_modified=last_modified)


async def _later_pages(first: Fetched, fetcher: Fetcher, deadline: float) -> _Pages:
    """Ask for the other pages one after the other; all of them share the seconds and the bytes of one fetch."""
    bodies, problems = [first.body], []
    caps = fetcher.limits
    left = caps.max_bytes - len(first.body)
    last = min(first.pages or 1, MAX_PAGES)
    following = first.next_url
    try:
        async with asyncio.timeout_at(deadline):
            for number in range(2, MAX_PAGES + 1):
                if number > last and following is None:
                    break
                limits = Limits(caps.seconds, left, caps.redirects, caps.ports)
                page = await fetcher.fetch(api_url(first.url, page=number), accept="application/json", limits=limits)
                if page.cut:
                    raise SourceError(f"the pages together are larger than {caps.max_bytes / 1_000_000:g} MB.")
                bodies.append(page.body)
                left -= len(page.body)
                following = page.next_url
    except SourceError as error:
        problems.append(f"Page {len(bodies) + 1} was not read: {error.message}")
    except TimeoutError:
        problems.append(f"Only {len(bodies)} pages were read: the site took longer than {fetcher.limits.seconds:g} s.")
    if first.pages and first.pages > MAX_PAGES:
        problems.append(f"Only the first {MAX_ITEMS} posts were read; there are more.")
    return _Pages(first, tuple(bodies), tuple(problems))


def _posts(document: Any) -> list[dict[str, Any]]:
    if isinstance(document, dict) and isinstance(document.get("posts"), list):
        document = document["posts"]
    if isinstance(document, dict) and "title" in document and "content" in document:
        document = [document]
    if not isinstance(document, list):
        said = clean_line(words(document.get("message"))) if isinstance(document, dict) else ""
        raise SourceError(f"It is no list of WordPress posts{f': {said}' if said else ''}.")
    return objects(document)


def _item(post: dict[str, Any], base: str | None) -> SourceItem | None:
    if words(post.get("status")) not in ("", "publish") or _is_protected(post):
        return None
    content, excerpt = _rendered(post.get("content")), _rendered(post.get("excerpt"))
    title = clean_title(_rendered(post.get("title")))
    summary, truncated = summary_of(excerpt, content)
    if not title and not summary:
        return None
    url = canonical_url(post.get("link"), base)
    embedded = post.get("_embedded") if isinstance(post.get("_embedded"), dict) else {}
    assert embedded is not None
    categories = _terms(embedded)
    picture = _picture(embedded, url or base) or first_picture(content, url or base)
    return SourceItem(
        guid=clean_line(_rendered(post.get("guid")), limit=1000) or url or guid_for(post.get("id"), title),
        kind=kind_of(url, (*categories, words(post.get("type")))),
        title=title or summary[:80],
        summary=summary,
        body_html=clean_html(content, base=url or base),
        truncated=truncated,
        url=url,
        published=_published(post),
        authors=tuple(filter(None, (clean_title(words(a.get("name"))) for a in objects(embedded.get("author"))))),
        categories=categories,
        image_url=picture.url if picture else None,
        image_alt=picture.alt if picture else None,
        image_credit=picture.credit if picture else None,
    )


def _rendered(value: Any) -> str:
    """Return the text of ``{"rendered": ...}``, which some plugins flatten to the text itself."""
    return words(value.get("rendered")) if isinstance(value, dict) else words(value)


def _is_protected(post: dict[str, Any]) -> bool:
    content = post.get("content")
    return isinstance(content, dict) and content.get("protected") is True


def _published(post: dict[str, Any]) -> datetime | date | None:
    """`date_gmt` is UTC without saying so; `date` is the site's own time, of which only the day can be relied on."""
    exact = parse_moment(post.get("date_gmt"), default_utc=True)
    return exact or parse_moment(words(post.get("date"))[:10])


def _terms(embedded: dict[str, Any]) -> tuple[str, ...]:
    groups = embedded.get("wp:term")
    terms = [term for group in groups for term in objects(group)] if isinstance(groups, list) else []
    names = (clean_title(words(t.get("name"))) for t in terms if t.get("taxonomy") in ("category", "post_tag", None))
    return tuple(dict.fromkeys(name for name in names if name and name.casefold() != "uncategorized"))


def _picture(embedded: dict[str, Any], base: str | None) -> FoundPicture | None:
    media = next(iter(objects(embedded.get("wp:featuredmedia"))), None)
    if media is None or not words(media.get("mime_type") or "image/").startswith("image/"):
        return None
    url = canonical_url(words(media.get("source_url")), base)
    if url is None:
        return None
    caption = _rendered(media.get("caption"))
    return FoundPicture(url, clean_alt(media.get("alt_text")), credit_from(caption))
