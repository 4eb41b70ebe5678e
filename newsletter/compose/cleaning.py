"""
Text, HTML and addresses from outside made safe: what leaves here holds no script, picture, control or tracking code.

Every word of a source passes through here exactly once, before the library sees it.
"""

from __future__ import annotations

import html
import re
import unicodedata
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit, urlunsplit

SUMMARY_CHARACTERS = 600
TITLE_CHARACTERS = 300
URL_CHARACTERS = 2000

_TAGS = {
    "a", "abbr", "b", "blockquote", "br", "code", "em", "h2", "h3", "h4", "hr", "i", "li", "ol", "p", "pre", "s",
    "small", "strong", "sub", "sup", "u", "ul",
}  # fmt: skip
_SILENT = {
    "script",
    "style",
    "noscript",
    "template",
    "iframe",
    "object",
    "svg",
    "math",
    "form",
    "title",
    "textarea",
    "figcaption",
}
_ATTRIBUTES: dict[str, set[str]] = {"a": {"href"}, "abbr": {"title"}, "ol": {"start"}}
_BREAKS = re.compile(r"(?i)<(?:/?(?:p|div|li|h[1-6]|tr|table|ul|ol|blockquote|section|article|figure)\b|(?:br|hr)\b)")

_TRACKING = re.compile(
    r"(?i)^(?:utm_\w+|mtm_\w+|pk_\w+|hsa_\w+|_hs\w+|vero_\w+|fbclid|gclid|gclsrc|dclid|gbraid|wbraid|msclkid|twclid"
    r"|ttclid|yclid|igshid|mc_cid|mc_eid|mkt_tok|_ga|_gl|oly_\w+_id|s_cid|wickedid|trk|ref_src)$"
)
_DEFAULT_PORTS = {"http": 80, "https": 443}

# C0 and C1 without tab and line feed, soft hyphen, bidi marks, embeddings and isolates, line and paragraph
# separators, zero width space, BOM, interlinear marks, tag characters, surrogates. Joiners stay: scripts need them.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u2064\u2066-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_ELLIPSIS = re.compile(r"\s*(?:\[\s*(?:\.{3,}|…)\s*\]|\(\s*(?:\.{3,}|…)\s*\)|\.{3,}|…)\s*$")
_SIGNED_OFF = re.compile(r"(?i)\s*\bthe post\b.{1,300}\b(?:appeared first on|first appeared on)\b.{1,200}$")
_READ_ON = re.compile(
    r"(?i)[\s>»]*\b(?:continue reading|read more|read on|more)\b(?:\s+[“\"].{1,200}[”\"])?\s*[→»>]+\s*$"
)
_HEADINGS = {"h1": "h2", "h5": "h4", "h6": "h4"}
_HEADING_TAG = re.compile(r"(?i)<(/?)(h[156])\b")


def clean_line(text: object, *, limit: int = TITLE_CHARACTERS) -> str:
    """Return *text* as one line: no controls, no bidi overrides, single spaces, at most *limit* characters."""
    line = " ".join(_without_controls(str(text or "")).split())
    return line if len(line) <= limit else shorten(line, limit)[0]


def clean_title(markup: object, *, limit: int = TITLE_CHARACTERS) -> str:
    """Return a title that may hold entities or tags as one plain line."""
    return clean_line(plain_text(str(markup or "")), limit=limit)


def plain_text(markup: str) -> str:
    """Return the words of a piece of HTML; what a script or style holds is not words. Blocks end lines."""
    import nh3

    if "<" not in markup and "&" not in markup:
        return _tidy(markup)
    broken = _BREAKS.sub(lambda found: "\n" + found.group(), markup.replace("\n", " "))
    bare = nh3.clean(_without_controls(broken), tags=set(), clean_content_tags=_SILENT)
    return _tidy(html.unescape(bare))


def clean_html(markup: str, *, base: str | None = None) -> str:
    """
    Return the HTML that mail and archive may show.

    Kept are text tags and links to http, https and mailto; pictures, forms, styles, classes and scripts go. Links are
    made absolute with *base*, lose tracking parameters, and a ``mailto:`` loses everything after the address.
    """
    if not markup.strip():
        return ""

    def keep(tag: str, attribute: str, value: str) -> str | None:
        if attribute == "href":
            return _clean_href(value, base)
        return clean_line(value)

    markup = _HEADING_TAG.sub(lambda found: f"<{found[1]}{_HEADINGS[found[2].lower()]}", _without_controls(markup))
    return _drop_empty(_nh3_clean(markup, _cleaner_options() | {"attribute_filter": keep}))


def markdown_html(text: str, *, base: str | None = None) -> str:
    """Return Markdown as clean HTML; raw HTML inside it is cleaned like any other."""
    return clean_html(markdown_to_html(text), base=base)


def markdown_to_html(text: str) -> str:
    """Return Markdown as HTML that has NOT been cleaned, for readers that look for pictures first."""
    rendered: str = _markdown().render(_without_controls(text.replace("\r\n", "\n").replace("\r", "\n")))
    return rendered


def canonical_url(url: object, base: str | None = None) -> str | None:
    """
    Return the one form of a web address under which it is stored, or null when it is none.

    Scheme and host in lower case (IDNA), no default port, no fragment, no tracking parameters, no user name.
    Anything but http and https is null, so is what does not parse.
    """
    text = _without_controls(str(url or "")).strip().replace("\\", "/")
    if not text:
        return None
    try:
        parts = urlsplit(urljoin(base, text) if base else text)
        port = parts.port
        host = _ascii_host(parts.hostname or "")
    except ValueError:
        return None
    scheme = parts.scheme.lower()
    if scheme not in _DEFAULT_PORTS or not host:
        return None
    netloc = host if port in (None, _DEFAULT_PORTS[scheme]) else f"{host}:{port}"
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    made = urlunsplit((scheme, netloc, path, _without_tracking(parts.query), ""))
    return made if len(made) <= URL_CHARACTERS else None


def normal_title(title: str) -> str:
    """Return the form under which titles of different sources are compared: letters and digits, folded."""
    folded = unicodedata.normalize("NFKC", html.unescape(title)).casefold()
    return " ".join(re.sub(r"[^\w]+|_", " ", folded).split())


def summary_of(*candidates: str, limit: int = SUMMARY_CHARACTERS) -> tuple[str, bool]:
    """
    Return the first candidate (HTML or text) that has words, as one plain paragraph, and whether it is cut short.

    It is cut short where the source ended it with an ellipsis or where it is longer than *limit*. Phrases with
    which blogs end their excerpts ("Continue reading", "The post ... appeared first on ...") are no part of it.
    """
    for candidate in candidates:
        whole = _SIGNED_OFF.sub("", " ".join(plain_text(candidate).split()))
        text = _ELLIPSIS.sub("", _READ_ON.sub("", whole))
        if not text:
            continue
        if text != whole:
            return shorten(text, limit)[0], True
        return shorten(text, limit)
    return "", False


def shorten(text: str, limit: int) -> tuple[str, bool]:
    """Return *text* cut at the last word that fits, and whether it was cut."""
    if len(text) <= limit:
        return text, False
    cut = text[: limit + 1].rsplit(None, 1)[0] if " " in text[: limit + 1] else text[:limit]
    return cut.rstrip(" ,;:-–—"), True


def _without_controls(text: str) -> str:
    return _UNSAFE.sub("", text.replace("\u2028", "\n").replace("\u2029", "\n"))


def _tidy(text: str) -> str:
    lines = (" ".join(line.split()) for line in _without_controls(text).split("\n"))
    return "\n".join(line for line in lines if line)


def _clean_href(value: str, base: str | None) -> str | None:
    if value.strip().lower().startswith("mailto:"):
        address = value.strip()[7:].partition("?")[0]
        return f"mailto:{address}" if re.fullmatch(r"[^\s,;<>\"'&%]+@[^\s,;<>\"'&%@]+", address) else None
    return canonical_url(value, base)


def _ascii_host(host: str) -> str:
    host = host.rstrip(".").lower()
    if ":" in host:
        return f"[{host}]"
    if host.isascii():
        return host if re.fullmatch(r"[a-z0-9._-]+", host) else ""
    import idna

    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except idna.IDNAError:
        return ""


def _without_tracking(query: str) -> str:
    pairs = parse_qsl(query, keep_blank_values=True)
    kept = [(name, value) for name, value in pairs if not _TRACKING.match(name)]
    # An untouched query stays as it was written: some sites sign it.
    return quote(query, safe="%/?:@!$&'()*+,;=~-._[]") if len(kept) == len(pairs) else urlencode(kept)


def _drop_empty(markup: str) -> str:
    """Take out paragraphs that held only a picture, and links that lost their address."""
    markup = re.sub(r"<a(?: rel=\"[^\"]*\")?>(.*?)</a>", r"\1", markup, flags=re.DOTALL)
    return re.sub(r"<(p|li|h[2-4]|blockquote)>(?:\s|&nbsp;|<br>)*</\1>", "", markup).strip()


def _cleaner_options() -> dict[str, Any]:
    return {
        "tags": _TAGS,
        "clean_content_tags": _SILENT,
        "attributes": _ATTRIBUTES,
        "url_schemes": {"http", "https", "mailto"},
        "link_rel": None,
        "strip_comments": True,
    }


def _nh3_clean(markup: str, options: dict[str, Any]) -> str:
    import nh3

    return nh3.clean(markup, **options)


@cache
def _markdown() -> Any:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": True}).enable("strikethrough")
