"""
Read RSS, Atom and JSON Feed: bytes in, items out.

feedparser sees only what the XML guard let through, so its work is bounded and it never opens anything itself.
"""

from __future__ import annotations

import hashlib
import html
import io
import json
import re
from datetime import UTC, date, datetime
from typing import Any

from newsletter.compose.cleaning import canonical_url, clean_html, clean_line, clean_title, summary_of
from newsletter.compose.sources.item import Reading, SourceItem
from newsletter.compose.sources.markup import (
    FoundPicture,
    clean_alt,
    credit_from,
    first_picture,
    kind_of,
    parse_moment,
)
from newsletter.compose.sources.xml_guard import MAX_ITEMS, guard_xml
from newsletter.errors import SourceError

ACCEPT = "application/atom+xml, application/rss+xml, application/feed+json, application/xml;q=0.9, */*;q=0.5"
_PICTURE_TYPE = re.compile(r"(?i)^image/(?:jpe?g|png|gif|webp)$")
_PICTURE_NAME = re.compile(r"(?i)\.(?:jpe?g|png|gif|webp)$")
_HAS_CLOCK = re.compile(r"\d{1,2}:\d{2}")


def read_feed(body: bytes, *, url: str | None, content_type: str = "", cut: bool = False) -> Reading:
    """
    Return the items of a feed, newest first as the feed has them.

    Args:
        url: Where it came from; relative links are resolved against it.
        cut: The body is only the beginning of the feed.

    Raises:
        SourceError: When nothing of it can be read.
    """
    if body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{":
        return _read_json_feed(body, url=url, cut=cut)
    guarded = guard_xml(body, content_type=content_type, cut=cut)
    parsed = _parse(guarded.data, url)
    if not parsed.version and not parsed.entries:
        raise SourceError("It is XML, but no feed.", hint="Give the address of an RSS, Atom or JSON feed.")
    base = url or canonical_url(parsed.feed.get("link"))
    problems = list(guarded.problems)
    items: dict[str, SourceItem] = {}
    for entry in parsed.entries[:MAX_ITEMS]:
        item = _entry_item(entry, base)
        if item is None:
            problems.append("An item with neither title nor text was left out.")
        else:
            items.setdefault(item.guid, item)
    return Reading(tuple(items.values()), tuple(dict.fromkeys(problems)))


def guid_for(*parts: object) -> str:
    """Return a name for something its source gave none, from what it says."""
    return hashlib.sha256("\x1f".join(str(part or "") for part in parts).encode()).hexdigest()


def _parse(data: bytes, url: str | None) -> Any:
    import feedparser

    headers = {"content-type": "application/xml; charset=utf-8"}
    if url:
        headers["content-location"] = url
    # A stream, not the bytes themselves: feedparser would take bytes for the name of a file.
    return feedparser.parse(io.BytesIO(data), response_headers=headers, sanitize_html=False)


def _entry_item(entry: Any, base: str | None) -> SourceItem | None:
    markup = _content(entry)
    summary, truncated = summary_of(entry.get("summary") or "", markup)
    title = clean_title(entry.get("title"))
    if not title and not summary:
        return None
    url = canonical_url(entry.get("link"), base)
    categories = _categories(entry)
    picture = _picture(entry, base) or first_picture(markup or entry.get("summary") or "", base)
    starts = parse_moment(entry.get("ev_startdate"))
    return SourceItem(
        guid=clean_line(entry.get("id") or "", limit=1000) or url or guid_for(title, summary),
        kind="event" if starts else kind_of(url, categories, has_document=_has_document(entry)),
        title=title or summary[:80],
        summary=summary,
        body_html=clean_html(markup or entry.get("summary") or "", base=base),
        truncated=truncated,
        url=url,
        published=_published(entry),
        authors=_authors(entry),
        categories=categories,
        image_url=picture.url if picture else None,
        image_alt=picture.alt if picture else None,
        image_credit=picture.credit if picture else None,
        starts=starts if isinstance(starts, datetime) else None,
        ends=_only_time(parse_moment(entry.get("ev_enddate"))),
        starts_on=None if isinstance(starts, datetime) else starts,
        timezone="UTC" if isinstance(starts, datetime) else None,
        place=clean_line(entry.get("ev_location") or "") or None,
    )


def _only_time(moment: datetime | date | None) -> datetime | None:
    return moment if isinstance(moment, datetime) else None


def _content(entry: Any) -> str:
    contents = [c for c in entry.get("content") or [] if c.get("value")]
    markup = next((c for c in contents if "html" in (c.get("type") or "")), contents[0] if contents else None)
    return str(markup["value"]) if markup else ""


def _published(entry: Any) -> datetime | date | None:
    # `in` first: feedparser answers a question for "updated" with "published", and warns of it.
    for name in ("published", "created", "updated"):
        if f"{name}_parsed" not in entry or entry[f"{name}_parsed"] is None:
            continue
        year, month, day, hour, minute, second = entry[f"{name}_parsed"][:6]
        try:
            moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        except (ValueError, OverflowError):
            continue
        return moment if _HAS_CLOCK.search(str(entry[name])) else moment.date()
    return None


def _authors(entry: Any) -> tuple[str, ...]:
    names = [a.get("name") or "" for a in entry.get("authors") or []] or [entry.get("author") or ""]
    return tuple(dict.fromkeys(name for name in (clean_title(n) for n in names) if name))


def _categories(entry: Any) -> tuple[str, ...]:
    names = (clean_title(tag.get("label") or tag.get("term")) for tag in entry.get("tags") or [])
    return tuple(dict.fromkeys(name for name in names if name))


def _has_document(entry: Any) -> bool:
    return any(
        (link.get("type") or "") == "application/pdf"
        for link in entry.get("links") or []
        if link.get("rel") == "enclosure"
    )


def _picture(entry: Any, base: str | None) -> FoundPicture | None:
    """Return the picture that the entry's own elements name, the largest kind first."""
    candidates = [m for m in entry.get("media_content") or [] if _is_picture(m)]
    candidates += [e for e in entry.get("enclosures") or [] if _is_picture(e)]
    candidates += entry.get("media_thumbnail") or []
    if isinstance(entry.get("image"), dict):
        candidates.append(entry["image"])
    for candidate in candidates:
        url = canonical_url(candidate.get("url") or candidate.get("href"), base)
        if url:
            credit = " ".join(c.get("content") or "" for c in entry.get("media_credit") or [])
            described = entry.get("media_description") or candidate.get("title")
            in_text = first_picture(_content(entry) or entry.get("summary") or "", base)
            alt = clean_alt(described) or (in_text.alt if in_text and in_text.url == url else None)
            return FoundPicture(url, alt, clean_title(credit) or None)
    return None


def _is_picture(media: Any) -> bool:
    kind = media.get("type") or ""
    if kind:
        return _PICTURE_TYPE.match(kind) is not None
    address = str(media.get("url") or media.get("href") or "")
    return media.get("medium") == "image" or _PICTURE_NAME.search(address.partition("?")[0]) is not None


def _read_json_feed(body: bytes, *, url: str | None, cut: bool) -> Reading:
    feed = load_json(body, cut=cut)
    if not isinstance(feed, dict) or not isinstance(feed.get("items"), list):
        raise SourceError("It is JSON, but no JSON Feed: there is no list of items.")
    entries = feed["items"]
    problems = [f"Only the first {MAX_ITEMS} items were read; the feed holds more."] if len(entries) > MAX_ITEMS else []
    items: dict[str, SourceItem] = {}
    for entry in entries[:MAX_ITEMS]:
        item = _json_item(entry, url or canonical_url(feed.get("home_page_url"))) if isinstance(entry, dict) else None
        if item is None:
            problems.append("An item with neither title nor text was left out.")
        else:
            items.setdefault(item.guid, item)
    return Reading(tuple(items.values()), tuple(dict.fromkeys(problems)))


def load_json(body: bytes, *, cut: bool = False) -> Any:
    """
    Return the JSON document.

    Raises:
        SourceError: When it is too large, damaged or nested absurdly.
    """
    if cut:
        raise SourceError("The document is larger than 2 MB, or ended early.", hint="Ask for fewer items.")
    try:
        return json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise SourceError(f"It is no JSON, or damaged: {error}.") from None


def words(value: object) -> str:
    """Return *value* if it is text, else nothing: JSON from outside holds anything anywhere."""
    return value if isinstance(value, str) else ""


def objects(value: object) -> list[dict[str, Any]]:
    """Return the objects of a list, whatever else is in it."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _json_item(entry: dict[str, Any], base: str | None) -> SourceItem | None:
    markup = words(entry.get("content_html"))
    summary, truncated = summary_of(words(entry.get("summary")), markup, _escaped(words(entry.get("content_text"))))
    title = clean_title(words(entry.get("title")))
    if not title and not summary:
        return None
    url = canonical_url(entry.get("url") or entry.get("external_url"), base)
    tags = entry.get("tags") if isinstance(entry.get("tags"), list) else []
    categories = tuple(dict.fromkeys(filter(None, (clean_title(words(tag)) for tag in tags or []))))
    people = objects(entry.get("authors")) or objects([entry.get("author")])
    image_url = canonical_url(words(entry.get("image")) or words(entry.get("banner_image")), base)
    in_text = first_picture(markup, base)
    if image_url is None or (in_text and in_text.url == image_url):
        picture = in_text
    else:
        picture = FoundPicture(
            image_url, clean_alt(words(entry.get("image_alt"))), credit_from(words(entry.get("image_credit")))
        )
    attachments = objects(entry.get("attachments"))
    return SourceItem(
        guid=clean_line(entry.get("id") or "", limit=1000) or url or guid_for(title, summary),
        kind=kind_of(url, categories, has_document=any(a.get("mime_type") == "application/pdf" for a in attachments)),
        title=title or summary[:80],
        summary=summary,
        body_html=clean_html(markup, base=base) or clean_html(_escaped(words(entry.get("content_text")))),
        truncated=truncated,
        url=url,
        published=parse_moment(entry.get("date_published")),
        authors=tuple(filter(None, (clean_title(words(person.get("name"))) for person in people))),
        categories=categories,
        image_url=picture.url if picture else None,
        image_alt=picture.alt if picture else None,
        image_credit=picture.credit if picture else None,
    )


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)
