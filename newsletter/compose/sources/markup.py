"""What readers of posts look for in markup before it is cleaned: the first picture worth showing, and a post's kind."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from typing import Literal
from urllib.parse import urlsplit

from newsletter.compose.cleaning import canonical_url, clean_line, plain_text

_DOCUMENT = re.compile(r"(?i)\.(?:pdf|docx?|odt|pptx?|odp|xlsx?|ods|epub)$")
_RESOURCE_WORDS = {
    "resource", "resources", "publication", "publications", "leaflet", "leaflets", "briefing", "briefings", "toolkit",
    "toolkits", "guide", "guides", "guidance", "report", "reports", "factsheet", "factsheets", "download", "downloads",
}  # fmt: skip
_PAST_ISSUE_WORDS = {"newsletter", "newsletters", "past issues", "newsletter archive", "bulletin", "bulletins"}
_FILE_NAME_ALT = re.compile(r"(?i)^(?:\S+\.(?:jpe?g|png|gif|webp|svg|bmp|tiff?)|(?:img|dsc|image|screenshot)[\W_\d]*)$")
_CREDIT = re.compile(
    r"(?i)\b(?:photo(?:graph)?(?: credit)?|image(?: credit)?|picture|credit|©)\s*(?:by|:|©)?\s+\S.{0,160}$"
)
_SPACER_PIXELS = 16
_DAY_ONLY = re.compile(r"^\s*\d{4}-\d{2}-\d{2}\s*$")


@dataclass(frozen=True, slots=True)
class FoundPicture:
    """A picture as its source names it; `alt` null means the source gave none, which the chair is asked to fill."""

    url: str
    alt: str | None = None
    credit: str | None = None


def first_picture(markup: str, base: str | None) -> FoundPicture | None:
    """Return the first picture of a piece of HTML that is no spacer, with its alt text and its figure's credit."""
    if "<img" not in markup.lower():
        return None
    finder = _PictureFinder()
    finder.feed(markup[:500_000])
    finder.close()
    for attributes, caption in finder.found:
        if _is_spacer(attributes):
            continue
        url = canonical_url(attributes.get("src") or attributes.get("data-src"), base)
        if url:
            return FoundPicture(url, clean_alt(attributes.get("alt")), credit_from(caption))
    return None


def clean_alt(alt: object) -> str | None:
    """Return alt text, or null where there is none or only a file's name, which tells nobody anything."""
    text = clean_line(plain_text(str(alt or "")))
    return None if not text or _FILE_NAME_ALT.match(text) else text


def credit_from(caption: str) -> str | None:
    """Return the part of a caption that credits somebody; null when it credits nobody."""
    found = _CREDIT.search(clean_line(plain_text(caption)))
    return found.group().strip() if found else None


def kind_of(
    url: str | None, categories: Iterable[str], *, has_document: bool = False
) -> Literal["post", "resource", "past-issue"]:
    """Return what a post is by where it leads and how its authors filed it."""
    filed = {category.casefold() for category in categories}
    if filed & _PAST_ISSUE_WORDS:
        return "past-issue"
    is_document = url is not None and _DOCUMENT.search(urlsplit(url).path) is not None
    return "resource" if has_document or is_document or filed & _RESOURCE_WORDS else "post"


def parse_moment(text: object, *, default_utc: bool = False) -> datetime | date | None:
    """
    Return an ISO 8601 time (aware) or date; null when it is neither, or states no zone.

    Args:
        default_utc: A time without a zone is UTC (``date_gmt`` of WordPress).
    """
    words = str(text or "").strip()
    try:
        if _DAY_ONLY.match(words):
            return date.fromisoformat(words)
        moment = datetime.fromisoformat(words)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC) if default_utc else None
    return _in_utc(moment)


def _in_utc(moment: datetime) -> datetime | None:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return None


def _is_spacer(attributes: dict[str, str | None]) -> bool:
    sizes = [re.match(r"\d+", attributes.get(name) or "") for name in ("width", "height")]
    return any(size is not None and int(size.group()[:6]) <= _SPACER_PIXELS for size in sizes)


class _PictureFinder(HTMLParser):
    """Collects img tags, and the caption of the figure that each stands in."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[dict[str, str | None], str]] = []
        self._in_caption = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.found.append((dict(attrs), ""))
        self._in_caption = self._in_caption or (tag == "figcaption" and bool(self.found))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("figcaption", "figure"):
            self._in_caption = False

    def handle_data(self, data: str) -> None:
        if self._in_caption:
            attributes, caption = self.found[-1]
            self.found[-1] = (attributes, caption + data)
