"""Rules on links: none empty, local or unsafe; words that say where each goes."""

from __future__ import annotations

import ipaddress
import re
from collections import defaultdict
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

from newsletter.preflight.document import Document, Link, host_of
from newsletter.preflight.registry import Found, document_rule
from newsletter.preflight.values import IssueFacts

MOST_LINKS = 40
LOCAL_SUFFIXES = ("localhost", "local", "internal", "lan", "home", "test", "invalid")
SHORTENERS = frozenset(("bit.ly", "t.co", "tinyurl.com", "goo.gl", "ow.ly", "is.gd", "buff.ly", "rb.gy", "cutt.ly"))
VAGUE = frozenset(("click here", "here", "read more", "more", "this link", "link", "this", "learn more"))
_LOOKS_LIKE_HOST = re.compile(r"(?:https?://)?((?:[a-z0-9-]+\.)+[a-z]{2,})(?:/\S*)?", re.IGNORECASE)


@document_rule("empty-link", blocks=True)
def empty_link(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    for link in document.links:
        if not link.href or link.href.startswith("#"):
            yield Found(link.name, f"The link '{link.href}' leads nowhere.", "Give it an address, or take it away.")
        elif not link.href.startswith(("http:", "https:", "mailto:", "tel:")):
            yield Found(link.name, f"'{link.href}' is no address that works in a mail.", "Write a whole https address.")
        elif link.href.startswith("http") and not link.host:
            yield Found(link.name, f"'{link.href}' names no site.", "Write a whole https address.")


@document_rule("local-link", blocks=True)
def local_link(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    for name, address in _addresses(document):
        if _is_local(host_of(address)):
            yield Found(
                name,
                f"{address} is a machine of your own: nobody else can open it.",
                "Link to the public address; for our own pages set web.url.",
            )


@document_rule("http-link-of-ours", blocks=True)
def http_link_of_ours(document: Document, facts: IssueFacts) -> Iterator[Found]:
    for name, address in _addresses(document):
        if address.startswith("http:") and host_of(address) in facts.own_hosts:
            yield Found(
                name, f"{address} is not encrypted, and it is our own.", "Use https there; for our pages set web.url."
            )


@document_rule("http-link", blocks=False)
def http_link(document: Document, facts: IssueFacts) -> Iterator[Found]:
    for name, address in _addresses(document):
        if address.startswith("http:") and host_of(address) not in facts.own_hosts:
            yield Found(name, f"{address} is not encrypted.", "Try the same address with https.")


@document_rule("link-without-words", blocks=False)
def link_without_words(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    for link in document.links:
        if not link.text and not link.label:
            yield Found(link.href, "This link has no words.", "Write what opens.")


@document_rule("vague-link", blocks=False)
def vague_link(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    for link in document.links:
        if (link.label or link.text).casefold().strip(" .:>»") in VAGUE:
            yield Found(
                link.text,
                f"'{link.text}' does not say what opens; screen readers list links without the words around them.",
                "Link the words that name the page.",
            )


@document_rule("same-words-two-addresses", blocks=False)
def same_words_two_addresses(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    targets: dict[str, set[str]] = defaultdict(set)
    for link in document.links:
        targets[(link.label or link.text).casefold()].add(link.href)
    for words, addresses in targets.items():
        if words and len(addresses) > 1:
            yield Found(words, f"The same words lead to {len(addresses)} addresses.", "Make the words differ.")


@document_rule("bare-address", blocks=False)
def bare_address(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    for link in document.links:
        if link.text.startswith(("http://", "https://")):
            yield Found(link.text, "The address itself is the link's text.", "Link words instead.")


@document_rule("disguised-link", blocks=False)
def disguised_link(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    for link in document.links:
        shown = _LOOKS_LIKE_HOST.fullmatch(link.text)
        if shown and link.host and not _same_site(shown[1].lower(), link.host):
            yield Found(
                link.text,
                f"It shows {shown[1]} but opens {link.host}: filters take that for a fraud.",
                "Make them agree.",
            )


@document_rule("shortened-link", blocks=False)
def shortened_link(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    for link in document.links:
        if link.host.removeprefix("www.") in SHORTENERS:
            yield Found(link.name, f"{link.href} hides where it leads; filters distrust it.", "Use the full address.")


@document_rule("mixed-campaign-marks", blocks=False)
def mixed_campaign_marks(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    marks = {q for link in document.links for q in parse_qs(_query(link)).get("utm_campaign", [])}
    if len(marks) > 1:
        yield Found("links", f"Links carry different campaign marks: {', '.join(sorted(marks))}.", "Use one, or none.")


@document_rule("many-links", blocks=False)
def many_links(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    count = len({link.href for link in document.links})
    if count > MOST_LINKS:
        yield Found("links", f"There are {count} different links; over {MOST_LINKS} tire readers.", "Leave some out.")


@document_rule("file-link", blocks=False)
def file_link(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    links = {link.href: link for link in reversed(document.links)}  # the first of those that lead to one file
    for link in reversed(links.values()):
        path = link.href.partition("?")[0].lower()
        ending = path.rpartition(".")[2]
        if ending in ("pdf", "docx", "xlsx", "pptx") and not _tells_file(document, link, ending):
            yield Found(
                link.name,
                f"It opens a file ({ending.upper()}) and does not say so with its size.",
                f"Say it in the link or its blurb: ({ending.upper()}, 340 kB).",
            )


def _tells_file(document: Document, link: Link, ending: str) -> bool:
    told = [other.name + other.text for other in document.links if other.href == link.href]
    told += [item.blurb_html for item in document.items if item.url == link.href]
    return any(ending in words.lower() and re.search(r"\d\s*[km]b", words.lower()) for words in told)


def _addresses(document: Document) -> Iterator[tuple[str, str]]:
    yield from ((link.name, link.href) for link in document.links if link.href.startswith("http"))
    yield from ((p.name, p.src) for p in document.pictures if p.src.startswith("http"))


def _is_local(host: str) -> bool:
    if not host:
        return False
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        labels = host.split(".")
        return labels[-1] in LOCAL_SUFFIXES or "staging" in labels or len(labels) == 1


def _same_site(shown: str, opened: str) -> bool:
    shown, opened = shown.removeprefix("www."), opened.removeprefix("www.")
    return shown == opened or opened.endswith(f".{shown}") or shown.endswith(f".{opened}")


def _query(link: Link) -> str:
    try:
        return urlsplit(link.href).query
    except ValueError:
        return ""
