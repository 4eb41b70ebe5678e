"""Plain text in lines that every mail program shows whole."""

from __future__ import annotations

import textwrap

TEXT_COLUMNS = 74


def wrapped(text: str, first: str = "", rest: str = "") -> str:
    """Return *text* in lines of at most 74 characters; words, addresses among them, are never cut."""
    lines = [
        textwrap.fill(
            line,
            TEXT_COLUMNS,
            initial_indent=first if index == 0 else rest,
            subsequent_indent=rest,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for index, line in enumerate(text.split("\n"))
    ]
    return "\n".join(lines)
