"""
Word lists -> patterns: a list has one alternative a line, so that a word can be added without reading the others.

Each alternative is a regular expression without nested repetition, so that no text takes more than linear time.
"""

from __future__ import annotations

import re


def one_of(alternatives: str) -> str:
    """Return a group that matches any of the lines."""
    return "(?:" + "|".join(line.strip() for line in alternatives.splitlines() if line.strip()) + ")"


def words(alternatives: str) -> re.Pattern[str]:
    """Compile a pattern that finds any of the lines as whole words, in any case."""
    return re.compile(rf"\b{one_of(alternatives)}(?!\w)", re.IGNORECASE)


def whole_line(alternatives: str) -> re.Pattern[str]:
    """Compile a pattern for lines that are one of the alternatives and nothing else (use `fullmatch`)."""
    return re.compile(one_of(alternatives), re.IGNORECASE)
