"""Text from outside made fit to be stored and shown: no control character, no lone surrogate, never too long."""

from __future__ import annotations

import re

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")
_CONTROL_BUT_LINES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def one_line(text: str, most: int) -> str:
    """Return *text* on one line, its control characters as blanks, at most *most* characters."""
    return " ".join(_CONTROL.sub(" ", text[: most * 4]).split())[:most]


def escaped(text: str) -> str:
    r"""Return *text* with its lines kept and every other control character written as ``\x1b``."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROL_BUT_LINES.sub(lambda found: _escape(found[0]), text)


def _escape(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
