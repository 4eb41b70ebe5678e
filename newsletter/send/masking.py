"""
Take people out of the words of mail servers, so that what one of them said can be shown as an example; pure.

A server quotes the address that it refuses, often in a dress of its own (VERP, SRS, percent signs), or only what stands
before the `@`, or the name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = "(somebody)"
FEWEST_CHARACTERS = 3  # shorter names are words of the language as often
_ADDRESS = re.compile(
    r"""[^\s<>()\[\]"',;:]+(?:@|%40|=40|&#64;)[^\s<>()\[\]"',;:]+|"[^"]*"@[^\s<>()\[\]"',;:]+""", re.I
)


def without_people(text: str, address: str = "", names: Iterable[str] = ()) -> str:
    """Return *text* without any address, and without what it says of the one whom *address* and *names* belong to."""
    masked = _ADDRESS.sub(MASK, text)
    for word in (address, address.rpartition("@")[0], *names):
        if len(word) >= FEWEST_CHARACTERS:
            masked = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", MASK, masked, flags=re.IGNORECASE)
    return masked
