"""
Cleaned HTML of letters and blurbs, re-emitted tag by tag with our classes, and as plain text.

Only the tags named here come out, with no attribute of their own but a safe link; everything else gives its text.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import lxml.html

INLINE = {"strong": "strong", "b": "strong", "em": "em", "i": "em"}
BLOCKS = frozenset(
    "p div ul ol li blockquote h1 h2 h3 h4 h5 h6 pre table tbody thead tr td th dl dt dd figure section hr".split()  # noqa: SIM905
)
DROPPED = frozenset("script style template iframe object svg math form select textarea img head".split())  # noqa: SIM905
LINK_SCHEMES = ("https://", "http://", "mailto:", "tel:")

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
    return found if found.lower().startswith(LINK_SCHEMES) and not any(c.isspace() for c in found) else ""


def _runs(element: lxml.html.HtmlElement) -> Iterator[list[str | lxml.html.HtmlElement]]:
    """Yield the content as runs of inline nodes, or single block elements."""
    run: list[str | lxml.html.HtmlElement] = [element.text or ""]
    for child in element:
        if isinstance(child.tag, str) and child.tag in BLOCKS:
            yield run
            yield [child]
            run = []
        elif isinstance(child.tag, str) and child.tag not in DROPPED:
            run.append(child)
        run.append(child.tail or "")
    yield run


def _is_block(run: list[str | lxml.html.HtmlElement]) -> bool:
    return len(run) == 1 and not isinstance(run[0], str) and run[0].tag in BLOCKS


def _html_blocks(element: lxml.html.HtmlElement, mark: TextFilter, heading: str) -> Iterator[str]:
    for run in _runs(element):
        if _is_block(run):
            yield _html_block(run[0], mark, heading)  # type: ignore[arg-type]
        elif inline := _html_inline(run, mark).strip():
            yield f'<p class="p dm-text">{inline}</p>'


def _html_block(element: lxml.html.HtmlElement, mark: TextFilter, heading: str) -> str:
    tag = element.tag
    if tag in ("ul", "ol"):
        items = "".join(
            f'<li class="li dm-text">{_list_item(child, mark, heading)}</li>' for child in element if child.tag == "li"
        )
        return f'<{tag} class="list dm-text">{items}</{tag}>' if items else ""
    inner = "".join(_html_blocks(element, mark, heading))
    if tag == "blockquote" and inner:
        return f'<blockquote class="blockquote dm-text">{inner}</blockquote>'
    if tag in ("h1", "h2", "h3", "h4", "h5", "h6"):
        inline = _html_inline([element.text or "", *_with_tails(element)], mark).strip()
        if not inline:
            return ""
        if heading:
            return f'<{heading} class="subheading dm-text">{inline}</{heading}>'
        return f'<p class="p dm-text"><strong>{inline}</strong></p>'
    return inner


def _list_item(element: lxml.html.HtmlElement, mark: TextFilter, heading: str) -> str:
    parts = []
    for run in _runs(element):
        block = _is_block(run)
        nested = block and run[0].tag in ("ul", "ol")  # type: ignore[union-attr]
        if nested:
            parts.append(_html_block(run[0], mark, heading))  # type: ignore[arg-type]
        else:
            content = [run[0].text or "", *_with_tails(run[0])] if block else run  # type: ignore[union-attr,arg-type]
            parts.append(_html_inline(content, mark).strip())
    return " ".join(part for part in parts if part)


def _with_tails(element: lxml.html.HtmlElement) -> list[str | lxml.html.HtmlElement]:
    nodes: list[str | lxml.html.HtmlElement] = []
    for child in element:
        if isinstance(child.tag, str) and child.tag not in DROPPED:
            nodes.append(child)
        nodes.append(child.tail or "")
    return nodes


def _html_inline(nodes: list[str | lxml.html.HtmlElement], mark: TextFilter) -> str:
    parts = []
    for node in nodes:
        if isinstance(node, str):
            parts.append(mark(node))
            continue
        inner = _html_inline([node.text or "", *_with_tails(node)], mark)
        if node.tag == "br":
            parts.append("<br>")
        elif node.tag == "a" and (link := safe_link(node.get("href"))) and inner.strip():
            parts.append(f'<a class="link dm-link" href="{html.escape(link)}">{inner}</a>')
        elif node.tag in INLINE and inner.strip():
            parts.append(f"<{INLINE[node.tag]}>{inner}</{INLINE[node.tag]}>")
        else:
            parts.append(inner)
    return "".join(parts)


def _text_blocks(element: lxml.html.HtmlElement, mark: TextFilter, first: str, rest: str) -> Iterator[TextBlock]:
    for run in _runs(element):
        if not _is_block(run):
            block = TextBlock("", first, rest)
            block.text = "\n".join(" ".join(line.split()) for line in _text_inline(run, mark, block.links).split("\n"))
            block.text = block.text.strip()
            if block.text or block.links:
                yield block
                first = rest
            continue
        child: lxml.html.HtmlElement = run[0]  # type: ignore[assignment]
        if child.tag in ("ul", "ol"):
            for number, item in enumerate((c for c in child if c.tag == "li"), 1):
                bullet = "* " if child.tag == "ul" else f"{number}. "
                yield from _text_blocks(item, mark, rest + bullet, rest + " " * len(bullet))
        elif child.tag == "blockquote":
            yield from _text_blocks(child, mark, f"{rest}> ", f"{rest}> ")
        else:
            yield from _text_blocks(child, mark, first, rest)
            first = rest


def _text_inline(nodes: list[str | lxml.html.HtmlElement], mark: TextFilter, links: list[str]) -> str:
    parts = []
    for node in nodes:
        if isinstance(node, str):
            parts.append(mark(" ".join(f"x{node}x".split())[1:-1]))
            continue
        inner = _text_inline([node.text or "", *_with_tails(node)], mark, links)
        if node.tag == "a" and (link := safe_link(node.get("href"))) and inner.strip():
            links.append(link)
        parts.append("\n" if node.tag == "br" else inner)
    return "".join(parts)
