"""
The one address on the web that a post points to, if it has one.

A post has its own address only when exactly one is written in it and the words point there ("Book here: ...", a line of
its own, the last words of the text). Two addresses are two sources, not a page of the post. A bare host name counts
when the text points to it, and is read as https. Where the page cut a text, an address at the cut may be half of one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from newsletter.compose.cleaning import canonical_url

MOST_ADDRESSES = 100  # in one paragraph: more are a list of links, of which none is the post's

_ADDRESS = re.compile(
    r"(?<![\w@./-])(?:(?P<url>https?://[^\s<>\"'“”‘’]{3,2000})"
    r"|(?P<host>(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,5}(?:com|org|net|uk|eu|ie|info|scot|wales|cymru|charity|ngo|coop|gov|edu|io|co)"
    r"(?![\w@-])(?:/[^\s<>\"'“”‘’]{0,500})?))",
    re.IGNORECASE,
)
_POINTS = re.compile(
    r"(?:[:→>]|\b(?:here|at|visit|see|read|download|on|via|from|link|website|online|out|more|to|is|find|information))"
    r"\s?[(\[]?$",
    re.IGNORECASE,
)
_BOOKS = re.compile(r"\b(?:book|booking|register|registration|ticket|tickets|rsvp|reserve|sign up)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class OwnUrl:
    """A post's address; `books` when it is for booking a place."""

    url: str
    books: bool


def own_url(paragraphs: Sequence[str], *, truncated: bool) -> OwnUrl | None:
    """Return the only address that the paragraphs point to."""
    own: OwnUrl | None = None
    seen: set[str] = set()
    for at, paragraph in enumerate(paragraphs):
        cut = truncated and at == len(paragraphs) - 1
        for match in islice(_ADDRESS.finditer(paragraph), MOST_ADDRESSES):
            url = _canonical(match["url"] or f"https://{match['host']}")
            if url is None:
                continue
            seen.add(url)
            if len(seen) > 1:
                return None
            if own is None and not (cut and match.end() == len(paragraph)) and _points(paragraph, match):
                own = OwnUrl(url, _BOOKS.search(paragraph[max(0, match.start() - 120) : match.end()]) is not None)
    return own


def _points(paragraph: str, match: re.Match[str]) -> bool:
    before, after = paragraph[: match.start()], paragraph[match.end() :]
    return not before.strip() or not after.strip(" .)!") or _POINTS.search(before[-40:]) is not None


def _canonical(url: str) -> str | None:
    """Without the full stop or bracket of its sentence, in the form in which addresses are stored."""
    url = url.rstrip(".,;:!?*_…")
    if url.endswith(")") and "(" not in url:
        url = url[:-1]
    canonical = canonical_url(url)
    return canonical if canonical and "." in canonical.split("/")[2] else None
