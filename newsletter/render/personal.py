"""
Personal values: the tags that the chair may type, the slots they become, and filling them.

A tag is ``{{first_name}}`` or ``{{first_name|fallback}}``; the names are an allow-list, there is no code in it. A slot
is ``U+FDD0 name|fallback U+FDD1`` in the stored variant: noncharacters, taken out of everything else first, so that
no content can forge one. A value is escaped for where it stands and never scanned again.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

NAME_TAGS = ("first_name", "name")
LINK_SLOTS = ("unsubscribe_url", "preferences_url")
OPEN, CLOSE = "\ufdd0", "\ufdd1"

TAG = re.compile(r"\{\{\s*(" + "|".join(NAME_TAGS) + r")\s*(?:\|([^{}|<>]*))?\}\}")
SLOT = re.compile(OPEN + r"([a-z_]+)(?:\|([^" + CLOSE + r"]*))?" + CLOSE)
UNRESOLVED = re.compile(r"\{\{.{0,80}?\}\}|\{%.{0,80}?%\}|\*\|.{1,80}?\|\*|\{\{|\}\}", re.DOTALL)

# C0, DEL, C1, line and paragraph separators, and what turns the reading direction of everything after it.
_UNWANTED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufdd0\ufdd1]+")


@dataclass(frozen=True, slots=True)
class PersonalValues:
    """
    What makes one copy different from the next.

    Attributes:
        date: Aware; the Date header, the same in every attempt.
        message_id: With or without its angle brackets; the same in every attempt.
        mark: What providers hand back, where one is configured; empty leaves their headers out.
    """

    address: str
    first_name: str
    name: str
    unsubscribe_url: str
    preferences_url: str
    date: datetime
    message_id: str
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Slot:
    """A place that a personal value fills; `fallback` when the value is empty."""

    name: str
    fallback: str = ""

    def __str__(self) -> str:
        return f"{OPEN}{self.name}|{self.fallback}{CLOSE}" if self.fallback else f"{OPEN}{self.name}{CLOSE}"

    def value(self, values: PersonalValues) -> str:
        """Return what stands here in one member's copy."""
        return self.clean(getattr(values, self.name))

    def clean(self, value: str) -> str:
        """Return a value as it may stand in text: on one line, without control characters, or the fallback."""
        return one_line(value) or self.fallback


def one_line(text: str) -> str:
    """Return *text* without control and direction characters, its white space collapsed."""
    return " ".join(_UNWANTED.sub(" ", text).split())


def split_tags(text: str) -> Iterator[str | Slot]:
    """Yield the text between tags of the allow-list, and the tags as slots."""
    position = 0
    for found in TAG.finditer(text):
        if found.start() > position:
            yield text[position : found.start()]
        yield Slot(found[1], one_line(found[2] or ""))
        position = found.end()
    if position < len(text):
        yield text[position:]


def split_slots(stored: str) -> Iterator[str | Slot]:
    """Yield the text between slots of a stored variant, and the slots."""
    position = 0
    for found in SLOT.finditer(stored):
        if found.start() > position:
            yield stored[position : found.start()]
        yield _slot(found)
        position = found.end()
    if position < len(stored):
        yield stored[position:]


def unresolved_tags(text: str) -> list[str]:
    """Return what looks like a tag and is none of ours, in text that holds no markup."""
    return UNRESOLVED.findall(TAG.sub("", text))


def unresolved_tags_in_html(markup: str) -> list[str]:
    """As `unresolved_tags`; inside an HTML tag (an address, say) no tag of ours is filled either."""
    found: list[str] = []
    for index, part in enumerate(re.split(r"(<[^>]*>)", markup)):
        found += UNRESOLVED.findall(part) if index % 2 else unresolved_tags(part)
    return found


def fill_html(stored: str, values: PersonalValues) -> str:
    return _fill(stored, lambda slot: html.escape(slot.value(values), quote=True))


def fill_text(stored: str, values: PersonalValues) -> str:
    return _fill(stored, lambda slot: slot.value(values))


def fill_subject(stored: str, values: PersonalValues) -> str:
    return one_line(fill_text(stored, values))


def fill_with_fallbacks(stored: str, *, escape_html: bool = False) -> str:
    """Return text as a reader without a name sees it: for the web version, inbox previews and lengths."""
    return _fill(stored, lambda slot: html.escape(slot.fallback) if escape_html else slot.fallback)


def _fill(stored: str, value_of: Callable[[Slot], str]) -> str:
    return SLOT.sub(lambda found: value_of(_slot(found)), stored)


def _slot(found: re.Match[str]) -> Slot:
    return Slot(found[1], found[2] or "")
