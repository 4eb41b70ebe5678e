"""
Text of a copied page -> its lines as units, each with the blank lines before it; no line's words are changed.

Line ends, no-break spaces, blank lines that hold spaces and hard-wrapped paragraphs are settled here, once, so that
nothing after this module knows of them. Invisible characters (zero width, direction marks, controls) are dropped.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from itertools import pairwise

WIDEST_WRAP = 100  # a page with longer lines was never hard-wrapped: browsers copy a paragraph as one line
SHORTEST_WRAP = 50
WRAP_TOLERANCE = 12

_LINE_END = re.compile(r"\r\n|[\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_BLANKS = re.compile(r"\s+")
_RULE = re.compile(r"[-=*_~#•·.\u2013\u2014\s]{3,}")
_UNDERLINE = re.compile(r"(?:={3,}|-{3,}|~{3,})")
_HEADING_MARK = re.compile(r"#{1,6}\s+(?=\S)")
_BYLINE = re.compile(r"(?:by|on|in|posted)\s[^|·•]{1,60}\s[|·•]\s")  # begins in lower case and goes on from nothing
_SENTENCE_END = re.compile(r"[.!?:;…][\"'’”)\]]*$")


@dataclass(frozen=True, slots=True)
class Unit:
    """
    One line of the page, or one hard-wrapped paragraph joined again.

    Attributes:
        gap: Blank lines before it (0 = it follows the previous line directly).
        heading: It was marked as a heading (``#`` before it, or a line of ``===`` below).
        after_rule: A drawn line separates it from what stands before.
    """

    text: str
    gap: int
    heading: bool = False
    after_rule: bool = False


def read_units(text: str) -> list[Unit]:
    """Split a copied page into units."""
    return _join_wrapped(_without_rules(_clean_lines(text)))


def _clean_lines(text: str) -> list[str]:
    return [_clean(line) for line in _LINE_END.split(text)]


def _clean(line: str) -> str:
    spaced = _BLANKS.sub(" ", line).strip()
    if spaced.isprintable():
        return spaced
    return "".join(character for character in spaced if not _invisible(character)).strip()


def _invisible(character: str) -> bool:
    if character in "\u200c\u200d":  # joiners: emoji and several scripts are spelt with them
        return False
    return unicodedata.category(character) in {"Cf", "Cc", "Cs", "Co"}


def _without_rules(lines: list[str]) -> list[Unit]:
    """Count blank lines, and turn drawn lines and heading marks into facts of the units beside them."""
    units: list[Unit] = []
    gap, after_rule = 0, False
    for line in lines:
        if not line:
            gap += 1
        elif units and gap == 0 and _UNDERLINE.fullmatch(line) and len(units[-1].text) <= 2 * WIDEST_WRAP:
            last = units[-1]
            units[-1] = Unit(last.text, last.gap, heading=True, after_rule=last.after_rule)
        elif _RULE.fullmatch(line):
            gap, after_rule = gap + 1, True
        else:
            bare = _HEADING_MARK.sub("", line, count=1)
            units.append(Unit(bare, gap, heading=bare != line, after_rule=after_rule))
            gap, after_rule = 0, False
    return units


def _join_wrapped(units: list[Unit]) -> list[Unit]:
    width = _wrap_width(units)
    if width is None:
        return units
    joined: list[Unit] = []
    parts: list[str] = []
    for before, unit in zip([None, *units], units, strict=False):
        if before is not None and _continues(before, unit, width):
            parts.append(unit.text)
            continue
        _close(joined, parts)
        joined.append(unit)
        parts = [unit.text]
    _close(joined, parts)
    return joined


def _close(joined: list[Unit], parts: list[str]) -> None:
    if len(parts) > 1:
        first = joined[-1]
        joined[-1] = Unit(" ".join(parts), first.gap, first.heading, first.after_rule)


def _wrap_width(units: list[Unit]) -> int | None:
    """
    Return the width at which the page was hard-wrapped, or None.

    Evidence is a line that goes on in lower case directly below a line as wide as the widest, in a page without long
    lines.
    """
    widest = max((len(unit.text) for unit in units), default=0)
    if not SHORTEST_WRAP <= widest <= WIDEST_WRAP:
        return None
    for before, unit in pairwise(units):
        full = len(before.text) >= widest - WRAP_TOLERANCE
        goes_on = unit.text[0].islower() and not _SENTENCE_END.search(before.text[-8:])
        if full and unit.gap == 0 and goes_on and not _BYLINE.match(unit.text):
            return widest
    return None


def _continues(before: Unit, unit: Unit, width: int) -> bool:
    """Say whether *unit* goes on where *before* was wrapped: its first word would not have fitted."""
    if unit.gap or unit.heading or before.heading or unit.after_rule or _BYLINE.match(unit.text):
        return False
    if unit.text[0].islower() and not _SENTENCE_END.search(before.text[-8:]):
        return True
    first_word = unit.text.split(" ", 1)[0]
    return len(before.text) + 1 + len(first_word) > width
