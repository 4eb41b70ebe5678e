"""
Cleaned HTML of letters and blurbs, re-emitted tag by tag with our classes, and as plain text.

Only the tags named here come out, with no attribute of their own but a safe link; everything else gives its text.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import lxml.html

from newsletter.render.links import ascii_link

INLINE = {"strong": "strong", "b": "strong", "em": "em", "i": "em"}
BLOCKS = frozenset(
    "p div ul ol li blockquote h1 h2 h3 h4 h5 h6 pre table tbody thead tr td th dl dt dd figure section hr".split()  # noqa: SIM905
)
DROPPED = frozenset("script style template iframe object svg math form select textarea img head".split())  # noqa: SIM905
LINK_SCHEMES = ("https://", "http://", "mailto:", "tel:")

Element: TypeAlias = lxml.html.HtmlElement
Node: TypeAlias = str | Element
TextFilter = Callable[[str], str]


@dataclass(slots=True)
class TextBlock:
    """A paragraph of plain text: its words, what each line begins with, and its links in order."""

    text: str
    first: str = ""
    rest: str = ""
    links: list[str] = field(default_factory=list)


def parse_fragment(markup: str) -> lxml.html.HtmlElement:
    return lxml.html.fragment_fromstring(markup or "", create_parent="div")


def fragment_html(root: lxml.html.HtmlElement, *, mark: TextFilter, heading: str = "") -> str:
    """
    Return block markup of p, ul, ol, li and blockquote with our classes.

    Args:
        root: From `parse_fragment`.
        mark: Applied to each run of text (unescaped); returns HTML, so it escapes.
        heading: Tag for headings, ``h3`` say; empty makes them bold paragraphs, so that no level is ever skipped.
    """
    return "".join(_html_blocks(root, mark, heading))


def fragment_text(root: lxml.html.HtmlElement, *, mark: TextFilter) -> list[TextBlock]:
    """Return the paragraphs as plain text; links are listed after the paragraph that holds them."""
    return [block for block in _text_blocks(root, mark, "", "") if block.text or block.links]


def safe_link(address: str | None) -> str:
    """Return the address if a mail may link to it, else nothing."""
    found = (address or "").strip()
    if not found.lower().startswith(LINK_SCHEMES) or any(c.isspace() for c in found):
        return ""
    return ascii_link(found)


def _runs(element: Element) -> Iterator[tuple[Element | None, list[Node]]]:
    """Yield the content as runs of inline nodes, and between them each block element alone."""
    run: list[Node] = [element.text or ""]
    for child in element:
        if isinstance(child.tag, str) and child.tag in BLOCKS:
            yield None, run
            yield child, []
            run = []
        elif isinstance(child.tag, str) and child.tag not in DROPPED:
            run.append(child)
        run.append(child.tail or "")
    yield None, run


def _html_blocks(element: Element, mark: TextFilter, heading: str) -> Iterator[str]:
    for block, run in _runs(element):
        if block is not None:
            yield _html_block(block, mark, heading)
        elif inline := _html_inline(run, mark).strip():
            yield f'<p class="p dm-text">{inline}</p>'


def _html_block(element: Element, mark: TextFilter, heading: str) -> str:
    tag = element.tag
    if tag in ("h1", "h2", "h3", "h4", "h5", "h6"):
        return _html_heading(_html_inline(_content(element), mark).strip(), heading)
    if tag in ("ul", "ol"):
        items = "".join(
            f'<li class="li dm-text">{_list_item(child, mark, heading)}</li>' for child in element if child.tag == "li"
        )
        return f'<{tag} class="list dm-text">{items}</{tag}>' if items else ""
    inner = "".join(_html_blocks(element, mark, heading))
    if tag == "blockquote" and inner:
        return f'<blockquote class="blockquote dm-text">{inner}</blockquote>'
    return inner


def _html_heading(inline: str, heading: str) -> str:
    if not inline:
        return ""
    if heading:
        return f'<{heading} class="subheading dm-text">{inline}</{heading}>'
    return f'<p class="p dm-text"><strong>{inline}</strong></p>'


def _list_item(element: Element, mark: TextFilter, heading: str) -> str:
    parts = []
    for block, run in _runs(element):
        if block is not None and block.tag in ("ul", "ol"):
            parts.append(_html_block(block, mark, heading))
        else:
            parts.append(_html_inline(run if block is None else _content(block), mark).strip())
    return " ".join(part for part in parts if part)


def _content(element: Element) -> list[Node]:
    """Return text and inline elements in order."""
    nodes: list[Node] = [element.text or ""]
    for child in element:
        if isinstance(child.tag, str) and child.tag not in DROPPED:
            nodes.append(child)
        nodes.append(child.tail or "")
    return nodes


def _html_inline(nodes: list[Node], mark: TextFilter) -> str:
    parts = []
    for node in nodes:
        if isinstance(node, str):
            parts.append(mark(node))
            continue
        inner = _html_inline(_content(node), mark)
        if node.tag == "br":
            parts.append("<br>")
        elif node.tag == "a" and (link := safe_link(node.get("href"))) and inner.strip():
            parts.append(f'<a class="link dm-link" href="{html.escape(link)}">{inner}</a>')
        elif node.tag in INLINE and inner.strip():
            parts.append(f"<{INLINE[node.tag]}>{inner}</{INLINE[node.tag]}>")
        else:
            parts.append(inner)
    return "".join(parts)


def _text_blocks(element: Element, mark: TextFilter, first: str, rest: str) -> Iterator[TextBlock]:
    for child, run in _runs(element):
        if child is None:
            block = TextBlock("", first, rest)
            block.text = "\n".join(" ".join(line.split()) for line in _text_inline(run, mark, block.links).split("\n"))
            block.text = block.text.strip()
            if block.text or block.links:
                yield block
                first = rest
            continue
        if child.tag in ("ul", "ol"):
            for number, item in enumerate((c for c in child if c.tag == "li"), 1):
                bullet = "* " if child.tag == "ul" else f"{number}. "
                yield from _text_blocks(item, mark, rest + bullet, rest + " " * len(bullet))
        elif child.tag == "blockquote":
            yield from _text_blocks(child, mark, f"{rest}> ", f"{rest}> ")
        else:
            yield from _text_blocks(child, mark, first, rest)
            first = rest


def _text_inline(nodes: list[Node], mark: TextFilter, links: list[str]) -> str:
    parts = []
    for node in nodes:
        if isinstance(node, str):
            parts.append(mark(" ".join(f"x{node}x".split())[1:-1]))
            continue
        inner = _text_inline(_content(node), mark, links)
        if node.tag == "a" and (link := _link_in_text(node, inner)):
            links.append(link)
        parts.append("\n" if node.tag == "br" else inner)
    return "".join(parts)


def _link_in_text(node: Element, words: str) -> str:
    """Return what to write below the paragraph: nothing for a mail address or number that its words already say."""
    link = safe_link(node.get("href"))
    if not words.strip() or link.startswith("http"):
        return link if words.strip() else ""
    bare = link.partition(":")[2].partition("?")[0]
    return "" if bare.replace(" ", "") in words.replace(" ", "") else bare
