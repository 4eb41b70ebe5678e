"""
An issue's content as plain values for the templates: text decided, HTML fragments re-emitted, tags turned into tokens.

A token is plain letters and digits, so that it passes through HTML parsers and address quoting unchanged; it holds a
hash of the whole content, so that no content can contain one. `Tokens.resolve` turns them into slots afterwards.
"""

from __future__ import annotations

import dataclasses
import hashlib
import html
import re
from collections.abc import Callable
from typing import Any

from markupsafe import Markup

from newsletter.compose import content as c
from newsletter.render.dates import local_times, long_day, tile, when
from newsletter.render.environment import Environment
from newsletter.render.fragments import TextBlock, fragment_html, fragment_text, parse_fragment, safe_link
from newsletter.render.links import ascii_link, requests_url
from newsletter.render.personal import Slot, one_line, split_tags
from newsletter.render.wrapping import wrapped

CARD_WIDTH = 536
COVER_WIDTH, COVER_HEIGHT = 144, 204  # beside the words of a resource, mostly the cover of a leaflet
LOGO_WIDTH = 280
PHOTOGRAPH_WIDTH = 96
PHONE = re.compile(r"\+?\d(?:[\s()-]*\d){7,14}")
# As `personal`, but line ends and tabs may stay in longer text.
_UNWANTED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufdd0\ufdd1]")


class Tokens:
    """The slots of one rendering, each under a token that no content holds."""

    def __init__(self, content: c.IssueContent) -> None:
        self._prefix = f"slot{hashlib.sha256(repr(content).encode()).hexdigest()[:16]}n"
        self._slots: dict[str, Slot] = {}

    def token(self, slot: Slot) -> str:
        token = f"{self._prefix}{len(self._slots):03d}e"
        self._slots[token] = slot
        return token

    def resolve(self, rendered: str) -> str:
        return re.sub(self._prefix + r"\d{3}e", lambda found: str(self._slots[found[0]]), rendered)

    def typed(self, text: str) -> str:
        """Return text that the chair typed, its tags as tokens."""
        return "".join(part if isinstance(part, str) else self.token(part) for part in split_tags(text))


def without_unwanted(value: Any) -> Any:
    """Return a value of content without control, direction and slot characters, however deep they stand."""
    if isinstance(value, str):
        return _UNWANTED.sub("", value.replace("\u2028", "\n").replace("\u2029", "\n"))
    if isinstance(value, tuple):
        return tuple(without_unwanted(part) for part in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        changed = {f.name: without_unwanted(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return dataclasses.replace(value, **changed)
    return value


def view_of(content: c.IssueContent, environment: Environment, tokens: Tokens) -> dict[str, Any]:
    """Return what the templates are given; *content* went through `without_unwanted`."""
    words = environment.words(content.language)
    rtl = content.direction == "rtl"
    builder = _Builder(content.language, words, tokens)
    return {
        "language": content.language,
        "dir": content.direction,
        "start": "right" if rtl else "left",
        "end": "left" if rtl else "right",
        "theme": environment.theme,
        "font": environment.theme["font_rtl" if rtl else "font"],
        "words": words,
        "subject": tokens.typed(one_line(content.subject)),
        "preheader": tokens.typed(one_line(content.preheader)),
        "sender": _sender(content.sender),
        "letter": builder.letter(content.letter) if content.letter else None,
        "sections": [builder.section(part) for part in content.sections if part.blocks],
        "helpline": helpline_of(content.sender) if content.sender.helpline.strip() else None,
        "reason": one_line(content.reason) or f"{words['reason']} {one_line(content.sender.name)}.",
        "view_url": safe_link(content.view_url),
        "requests_url": safe_link(requests_url(content.web_url)),
    }


def helpline_of(sender: c.Sender) -> dict[str, Any]:
    """Return the standing notice, its wording untouched, cut where its telephone number is to be linked."""
    text = " ".join(sender.helpline.split())
    phone = " ".join(sender.helpline_phone.split())
    found = _phone_in(text, phone)
    if phone and not found:
        text = f"{text} {phone}"
        found = re.search(re.escape(phone) + "$", text)
    parts = [{"text": text, "tel": ""}]
    if found:
        tel = re.sub(r"[^\d+]", "", found[0])
        parts = [
            {"text": text[: found.start()], "tel": ""},
            {"text": found[0], "tel": tel},
            {"text": text[found.end() :], "tel": ""},
        ]
    return {"text": text, "parts": [p for p in parts if p["text"]], "url": safe_link(sender.helpline_url)}


def _phone_in(text: str, phone: str) -> re.Match[str] | None:
    """Find the number, however it is spaced; without a configured one, the first that the text holds."""
    wanted = re.sub(r"\D", "", phone)
    return next((m for m in PHONE.finditer(text) if not wanted or re.sub(r"\D", "", m[0]) == wanted), None)


def _with_ellipsis(markup: str) -> str:
    """Show that the source cut its summary here."""
    body, closing = re.fullmatch(r"(.*?)((?:\s*</\w+>)*\s*)", markup, re.DOTALL).groups()  # type: ignore[union-attr]
    return markup if not body or body.endswith(("…", "...")) else f"{body.rstrip()}…{closing}"


@dataclasses.dataclass(frozen=True, slots=True)
class _Builder:
    language: str
    words: dict[str, str]
    tokens: Tokens

    def letter(self, letter: c.Letter) -> dict[str, Any]:
        markup, text = self._body(letter.body_html, typed=True, indent="", heading="h2")
        return {
            "html": markup,
            "text": text,
            "name": one_line(letter.name),
            "role": one_line(letter.role),
            "photograph": _image(letter.photograph, PHOTOGRAPH_WIDTH),
        }

    def section(self, section: c.Section) -> dict[str, Any]:
        return {
            "title": one_line(section.title),
            "layout": section.layout,
            "blocks": [self._block(block, section.layout) for block in section.blocks],
        }

    def _block(self, block: c.Block, layout: str) -> dict[str, Any]:
        if isinstance(block, c.Post):
            is_cover = layout == "resources"
            return self._post(block, _image(block.image, *((COVER_WIDTH, COVER_HEIGHT) if is_cover else (CARD_WIDTH,))))
        if isinstance(block, c.Event):
            return self._event(block)
        if isinstance(block, c.Quote):
            return {"kind": "quote", "text": one_line(block.text), "by": one_line(block.by)}
        if isinstance(block, c.Button):
            return {"kind": "button", "label": one_line(block.label), "url": ascii_link(block.url.strip())}
        return {"kind": "divider"}

    def _post(self, post: c.Post, image: dict[str, Any] | None) -> dict[str, Any]:
        blurb = _with_ellipsis(post.blurb_html) if post.truncated else post.blurb_html
        markup, text = self._body(blurb, typed=post.blurb_is_typed, indent="  ")
        meta = [f"{self.words['by']} {', '.join(one_line(author) for author in post.authors)}"] if post.authors else []
        if post.published:
            meta.append(long_day(post.published, self.language))
        return {
            "kind": "post",
            "title": one_line(post.title),
            "meta": ", ".join(meta),
            "html": markup,
            "text": text,
            "url": safe_link(post.url),
            "label": self.words["read_more"] if post.label in ("", "Read more") else one_line(post.label),
            "image": image,
        }

    def _event(self, event: c.Event) -> dict[str, Any]:
        markup, text = self._body(event.blurb_html, typed=event.blurb_is_typed, indent="  ")
        title = one_line(event.title)
        url, booking = safe_link(event.url), safe_link(event.booking_url)
        return {
            "kind": "event",
            "title": f"{self.words['cancelled']}: {title}" if event.cancelled else title,
            "context": self._context(event, title),
            "when": when(event, self.language, self.words),
            "tile": tile(event, self.language),
            "place": one_line(event.place),
            "image": _image(event.image, CARD_WIDTH),
            "html": markup,
            "text": text,
            "url": url,
            "action": self.words["book"] if booking else self.words["details"],
            "action_url": "" if event.cancelled else booking or url,
            "calendar_url": "" if event.cancelled else safe_link(event.calendar_url),
        }

    def _context(self, event: c.Event, title: str) -> str:
        """Return what tells this event's links from those of the same event on another day."""
        start, _ = local_times(event)
        day = start.date() if start else event.starts_on
        return f"{title}, {long_day(day, self.language)}" if day else title

    def _body(self, markup: str, *, typed: bool, indent: str, heading: str = "") -> tuple[Markup, str]:
        """Return a cleaned fragment as our HTML and as wrapped text. Tags count only in what the chair typed."""
        mark: Callable[[str], str] = self.tokens.typed if typed else str
        root = parse_fragment(markup)
        emitted = fragment_html(root, mark=lambda text: html.escape(mark(text), quote=False), heading=heading)
        blocks = [_text_block(block, indent) for block in fragment_text(root, mark=mark)]
        return Markup(emitted), "\n\n".join(blocks)  # noqa: S704  (re-emitted tag by tag, text escaped)


def _text_block(block: TextBlock, indent: str) -> str:
    parts = [wrapped(block.text, indent + block.first, indent + block.rest)] if block.text else []
    return "\n".join([*parts, *(f"{indent}{block.rest}{link}" for link in block.links)])


def _sender(sender: c.Sender) -> dict[str, Any]:
    return {
        "name": one_line(sender.name),
        "postal_address": one_line(sender.postal_address),
        "charity_number": one_line(sender.charity_number),
        "website": safe_link(sender.website),
        "privacy_url": safe_link(sender.privacy_url),
        "logo": _image(sender.logo, LOGO_WIDTH),
    }


def _image(image: c.Image | None, widest: int, highest: int = 0) -> dict[str, Any] | None:
    """Return a picture no wider (and, where that is given, no higher) than its place, in proportion."""
    if image is None:
        return None
    width = min(image.width, widest)
    if highest and image.height * width > highest * image.width:
        width = max(1, round(image.width * highest / image.height))
    height = round(image.height * width / image.width) if image.width else image.height
    return {
        "url": image.url,
        "width": width,
        "height": height,
        "alt": one_line(image.alt),
        "credit": one_line(image.credit),
    }
