"""Names of lists, segments, tags and attributes: one rule each, and the nearest known name for a wrong one."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable

from subscribers.errors import InvalidValue

LONGEST_NAME = 64
LONGEST_PERSON_NAME = 200
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9_.-]*[a-z0-9])?")

# Characters that reorder or hide text: in a name they make one person look like another.
_INVISIBLE = {"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"}
# Joiners that Persian, Hindi and family emoji need; harmless inside a name.
_KEPT = {"\u200c", "\u200d"}


def check_slug(what: str, name: str) -> str:
    """
    Return *name* when it can name a list or segment on a command line.

    Raises:
        InvalidValue: Otherwise, with the rule and the nearest name that would do.
    """
    if len(name) <= LONGEST_NAME and _SLUG.fullmatch(name):
        return name
    better = re.sub(r"[^a-z0-9_.-]+", "-", name.casefold()).strip("-._")[:LONGEST_NAME]
    raise InvalidValue(
        f"'{name}' cannot name a {what}: use small letters, digits, '-', '_' and '.', at most {LONGEST_NAME}.",
        hint=f"For example: {better}" if better else "",
    )


def is_slug(text: str) -> bool:
    return len(text) <= LONGEST_NAME and _SLUG.fullmatch(text) is not None


def nearest(name: str, known: Iterable[str]) -> str:
    """Return 'Did you mean X?', or what is known when there is little of it, or nothing."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"Did you mean '{close[0]}'?"
    return f"Known: {', '.join(names)}." if 0 < len(names) <= 12 else ""


def clean_text(text: str) -> str:
    """Return *text* in NFC without control and bidi characters, runs of white space as one space."""
    spaced = " ".join(unicodedata.normalize("NFC", text).split())
    if spaced.isascii() and spaced.isprintable():
        return spaced
    return "".join(c for c in spaced if c in _KEPT or unicodedata.category(c) not in _INVISIBLE)


def clean_person_name(text: str) -> str:
    """
    Return a person's name as it is stored.

    Raises:
        InvalidValue: When it is longer than a name can be.
    """
    name = clean_text(text)
    if len(name) > LONGEST_PERSON_NAME:
        raise InvalidValue(f"This name has {len(name)} characters; {LONGEST_PERSON_NAME} is the most.")
    return name


def clean_tag(text: str) -> str:
    """
    Return a tag in its one spelling: lower case, single spaces.

    Raises:
        InvalidValue: When it is empty or too long.
    """
    tag = clean_text(text).casefold()
    if not tag or len(tag) > LONGEST_NAME:
        raise InvalidValue(f"'{tag[:LONGEST_NAME]}' cannot be a tag: 1 to {LONGEST_NAME} characters.")
    return tag
