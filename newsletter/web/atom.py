"""The archive as an Atom feed, the newest issue first. An entry's id never changes, whatever becomes of its address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from lxml import etree

from newsletter.render.personal import one_line

NAMESPACE = "http://www.w3.org/2005/Atom"
_XML_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
_REFUSED = dict.fromkeys([*range(0xFFFE, 0x10000), *range(0xD800, 0xE000)])  # no characters of XML


@dataclass(frozen=True, slots=True)
class Entry:
    """An issue as the feed tells it; its `number` is its row, which nobody else ever gets."""

    number: int
    slug: str
    title: str
    summary: str
    language: str
    published: datetime


def atom_feed(entries: Sequence[Entry], *, web_url: str, domain: str, name: str, empty_since: datetime) -> bytes:
    """
    Return the feed.

    Args:
        domain: Of the organisation's addresses; the ids are made from it.
        empty_since: What a feed without entries was last changed at.

    Source: RFC 4287 4.1 and 4.2; RFC 4151 2.1 (tag URIs).
    """
    feed = etree.Element(_name("feed"), nsmap={None: NAMESPACE})  # type: ignore[dict-item]  # the stubs lack None
    _add(feed, "id", f"tag:{domain},2026:newsletter")
    _add(feed, "title", name)
    _add(feed, "updated", _time(max((entry.published for entry in entries), default=empty_since)))
    _add(_add(feed, "author"), "name", name)
    _add(feed, "link", rel="self", type="application/atom+xml", href=f"{web_url}/archive/feed.atom")
    _add(feed, "link", rel="alternate", type="text/html", href=f"{web_url}/archive")
    for entry in entries:
        element = _add(feed, "entry")
        element.set(_XML_LANGUAGE, entry.language)
        _add(element, "id", f"tag:{domain},2026:newsletter/{entry.number}")
        _add(element, "title", entry.title)
        _add(element, "link", rel="alternate", type="text/html", href=f"{web_url}/archive/{entry.slug}")
        _add(element, "published", _time(entry.published))
        _add(element, "updated", _time(entry.published))
        _add(element, "summary", entry.summary)
    return bytes(etree.tostring(feed, xml_declaration=True, encoding="utf-8"))


def _name(tag: str) -> str:
    return f"{{{NAMESPACE}}}{tag}"


def _add(parent: etree._Element, tag: str, text: str = "", **attributes: str) -> etree._Element:
    element = etree.SubElement(parent, _name(tag), attributes)
    element.text = one_line(text.translate(_REFUSED)) or None
    return element


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
