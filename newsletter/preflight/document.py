"""A rendered variant taken apart once for all rules: links, pictures, headings, visible text, sizes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Any
from urllib.parse import urlsplit

import lxml.html

from newsletter.compose.content import Event, IssueContent, Post
from newsletter.preflight.values import RenderedVariant
from newsletter.render.message import quoted_printable
from newsletter.render.personal import PersonalValues, fill_html, fill_text, fill_with_fallbacks

TOKEN_LENGTH = 60  # the longest unsubscribe token
INLINE = frozenset(("a", "b", "em", "i", "span", "strong"))
URL = re.compile(r"https?://[^\s<>\"]+")


@dataclass(frozen=True, slots=True)
class Link:
    """One link: its address, its visible words, and the label that screen readers say instead."""

    href: str
    text: str
    label: str

    @property
    def host(self) -> str:
        return host_of(self.href)

    @property
    def name(self) -> str:
        return self.label or self.text or self.href or "a link without words"


@dataclass(frozen=True, slots=True)
class Picture:
    """One `img`; `alt` null when the attribute is missing."""

    src: str
    alt: str | None
    width: str

    @property
    def name(self) -> str:
        return self.alt or self.src or "a picture without address"


@dataclass(frozen=True)
class Document:
    """One variant as its members get it, its slots filled with values as long as real ones."""

    variant: RenderedVariant
    html: str
    text: str
    subject: str
    preheader: str

    @classmethod
    def of(cls, variant: RenderedVariant) -> Document:
        values = _longest_values(variant.content)
        rendered = variant.rendered
        return cls(
            variant,
            fill_html(rendered.html, values),
            fill_text(rendered.text, values),
            fill_with_fallbacks(rendered.subject).strip(),
            fill_with_fallbacks(rendered.preheader).strip(),
        )

    @property
    def content(self) -> IssueContent:
        return self.variant.content

    @cached_property
    def root(self) -> lxml.html.HtmlElement:
        return lxml.html.document_fromstring(self.html if self.html.strip() else "<html><body></body></html>")

    @cached_property
    def links(self) -> tuple[Link, ...]:
        return tuple(
            Link((a.get("href") or "").strip(), plain(a.text_content()), plain(a.get("aria-label") or ""))
            for a in self.root.iter("a")
        )

    @cached_property
    def pictures(self) -> tuple[Picture, ...]:
        return tuple(Picture(i.get("src") or "", i.get("alt"), i.get("width") or "") for i in self.root.iter("img"))

    @cached_property
    def headings(self) -> tuple[tuple[int, str], ...]:
        found = self.root.iter("h1", "h2", "h3", "h4", "h5", "h6")
        return tuple((int(h.tag[1]), plain(h.text_content())) for h in found)

    @cached_property
    def visible_text(self) -> str:
        bodies = self.root.findall("body")
        return plain("".join(_words(bodies[0]))) if bodies else ""

    @cached_property
    def runs(self) -> tuple[tuple[lxml.html.HtmlElement, str], ...]:
        """Each piece of visible text with the element that shows it, in reading order."""
        bodies = self.root.findall("body")
        return tuple(_runs(bodies[0])) if bodies else ()

    @cached_property
    def html_bytes(self) -> int:
        return len(self.html.encode())

    @cached_property
    def encoded_bytes(self) -> int:
        return len(quoted_printable(self.html))

    @cached_property
    def style_bytes(self) -> int:
        return sum(len((style.text or "").encode()) for style in self.root.iter("style"))

    @cached_property
    def text_urls(self) -> tuple[str, ...]:
        return tuple(URL.findall(self.text))

    @property
    def events(self) -> Iterator[Event]:
        return (b for section in self.content.sections for b in section.blocks if isinstance(b, Event))

    @property
    def items(self) -> Iterator[Post | Event]:
        yield from self.posts
        yield from self.events

    @property
    def posts(self) -> Iterator[Post]:
        return (b for section in self.content.sections for b in section.blocks if isinstance(b, Post))


def plain(text: str) -> str:
    return " ".join(text.split())


def host_of(address: str) -> str:
    try:
        return (urlsplit(address).hostname or "").lower().rstrip(".")
    except ValueError:
        return ""


def style_of(element: lxml.html.HtmlElement) -> dict[str, str]:
    """Return the declarations of the element's `style` attribute."""
    return _declarations(element.get("style") or "")


@lru_cache(maxsize=1024)
def _declarations(style: str) -> dict[str, str]:
    pairs = (part.partition(":") for part in style.split(";"))
    return {name.strip().lower(): value.strip().lower() for name, _, value in pairs if name.strip()}


def _runs(element: lxml.html.HtmlElement) -> Iterator[tuple[Any, str]]:
    if not isinstance(element.tag, str) or element.tag in ("style", "script"):
        return
    if style_of(element).get("display") == "none":
        return
    if element.text and element.text.strip():
        yield element, element.text
    for child in element:
        yield from _runs(child)
        if child.tail and child.tail.strip():
            yield element, child.tail


def _words(element: lxml.html.HtmlElement) -> Iterator[str]:
    """Yield the text with a space where a block begins or ends, so that a link in a sentence cuts no word off."""
    if not isinstance(element.tag, str) or element.tag in ("style", "script"):
        return
    if style_of(element).get("display") == "none":
        return
    edge = "" if element.tag in INLINE else " "
    yield edge + (element.text or "")
    for child in element:
        yield from _words(child)
        yield child.tail or ""
    yield edge


def _longest_values(content: IssueContent) -> PersonalValues:
    token = "v1." + "x" * (TOKEN_LENGTH - 3)
    web = content.web_url
    return PersonalValues(
        "", "", "", f"{web}/unsubscribe/{token}", f"{web}/preferences/{token}", datetime(2000, 1, 1, tzinfo=UTC), ""
    )
