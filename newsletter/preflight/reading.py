"""Rules on reading: headings in order, type that is large and dark enough, directions marked."""

from __future__ import annotations

import re
from collections.abc import Iterator

import lxml.html

from newsletter.preflight.document import Document, plain, style_of
from newsletter.preflight.registry import Found, document_rule
from newsletter.preflight.values import IssueFacts

SMALLEST_PIXELS = 14
LOWEST_CONTRAST = 4.5
_HEX = re.compile(r"#([0-9a-f]{6})")
_DARK_RULE = re.compile(r"\.(dm-[a-z-]+)\{([^}]*)\}")
_LATIN_RUN = re.compile(r"[A-Za-z]{3,}(?:[ '’.-]+[A-Za-z]{2,}){1,}")


@document_rule("headings", blocks=False)
def headings(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    levels = [level for level, _ in document.headings]
    if levels.count(1) != 1:
        yield Found(
            "HTML", f"There are {levels.count(1)} first-level headings.", "Keep exactly one h1 in the template."
        )
    for (before, _), (level, text) in zip(document.headings, document.headings[1:], strict=False):
        if level > before + 1:
            yield Found(text, f"The heading is h{level} after h{before}.", f"Make it h{before + 1}.")
    for level, text in document.headings:
        if not text:
            yield Found("HTML", f"A heading (h{level}) is empty.", "Write one, or take it away.")


@document_rule("small-type", blocks=False)
def small_type(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    for element, text in document.runs:
        size = _inherited(element, "font-size")
        if text.strip("\xa0 \n") and size.endswith("px") and _number(size) < SMALLEST_PIXELS:
            yield Found(plain(text)[:60], f"The type is {size}.", f"{SMALLEST_PIXELS}px is the least.")


@document_rule("contrast", blocks=False)
def contrast(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    """Judge each text in the light colours, and in the dark ones that the kept style block sets by class."""
    dark = _dark_colours(document)
    for element, text in document.runs:
        if not text.strip("\xa0 \n\u2007\ufeff\u034f"):
            continue
        for scheme, classes in (("light", {}), ("dark", dark)):
            colour, behind = _shown(element, "color", classes), _shown(element, "background-color", classes)
            ratio = _contrast(colour, behind) if colour and behind else LOWEST_CONTRAST
            if ratio < LOWEST_CONTRAST:
                yield Found(
                    plain(text)[:60],
                    f"{colour} on {behind} ({scheme}) has a contrast of {ratio:.1f}; {LOWEST_CONTRAST} is the least.",
                    "Change the colours in templates/email/theme.json.",
                )


@document_rule("direction-of-words", blocks=False)
def direction_of_words(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    if document.content.direction != "rtl":
        return
    for element, text in document.runs:
        if (found := _LATIN_RUN.search(text)) and _closest(element, "dir") != "ltr":
            yield Found(
                found[0], "Latin words in a right-to-left issue may be shown in the wrong order.", "Check them."
            )


def _closest(element: lxml.html.HtmlElement, attribute: str) -> str:
    return next((e.get(attribute) for e in (element, *element.iterancestors()) if e.get(attribute)), "")


def _inherited(element: lxml.html.HtmlElement, name: str) -> str:
    return next((v for e in (element, *element.iterancestors()) if (v := style_of(e).get(name, ""))), "")


def _shown(element: lxml.html.HtmlElement, name: str, classes: dict[str, dict[str, str]]) -> str:
    for each in (element, *element.iterancestors()):
        for word in (each.get("class") or "").split():
            if value := classes.get(word, {}).get(name):
                return value
        if value := style_of(each).get(name, ""):
            return value
    return ""


def _dark_colours(document: Document) -> dict[str, dict[str, str]]:
    rules: dict[str, dict[str, str]] = {}
    for style in document.root.iter("style"):
        if "prefers-color-scheme" not in (style.text or ""):
            continue
        for name, body in _DARK_RULE.findall(style.text or ""):
            pairs = (part.partition(":") for part in body.split(";"))
            rules[name] = {key.strip(): value.replace("!important", "").strip() for key, _, value in pairs}
    return rules


def _number(size: str) -> float:
    try:
        return float(size.removesuffix("px"))
    except ValueError:
        return float(SMALLEST_PIXELS)


def _contrast(one: str, other: str) -> float:
    """Source: WCAG 2.2, relative luminance and contrast ratio."""
    first, second = _HEX.fullmatch(one), _HEX.fullmatch(other)
    if not first or not second:
        return LOWEST_CONTRAST
    light, dark = sorted((_luminance(first[1]), _luminance(second[1])), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
