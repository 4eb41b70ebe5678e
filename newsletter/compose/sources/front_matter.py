"""
The head of a Markdown file: TOML between ``+++`` lines, or ``key: value`` lines and simple lists between ``---`` lines.

The second form is the part of YAML that people write there. What is not of that form is an error with its line, never
a guess: YAML's own reading of ``no`` or ``12:30`` has surprised enough people.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from datetime import date, datetime

from newsletter.errors import SourceError

Value = str | list[str] | date | datetime
_KEY = re.compile(r"^([A-Za-z][A-Za-z0-9_-]{0,40})[ \t]*:(?:[ \t]+(.*))?$")
_ENTRY = re.compile(r"^[ \t]*-[ \t]+(.+)$")


@dataclass(frozen=True, slots=True)
class MarkdownFile:
    """The head's values by key (lower case, ``_`` for ``-``), and the text below it."""

    head: dict[str, Value]
    text: str


def split_front_matter(text: str) -> MarkdownFile:
    """
    Return head and text of a file; without a head all of it is text.

    Raises:
        SourceError: When the head is not closed or a line of it cannot be understood; the message names the line.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    fence = lines[0].strip()
    if fence not in ("---", "+++"):
        return MarkdownFile({}, "\n".join(lines))
    end = next((number for number, line in enumerate(lines[1:], 1) if line.strip() == fence), None)
    if end is None:
        raise SourceError(f"The head that begins with {fence} has no closing {fence} line.")
    head = _toml(lines[1:end]) if fence == "+++" else _lines(lines[1:end])
    return MarkdownFile(
        {key.lower().replace("-", "_"): value for key, value in head.items()}, "\n".join(lines[end + 1 :])
    )


def _toml(lines: list[str]) -> dict[str, Value]:
    try:
        values = tomllib.loads("\n".join(lines))
    except tomllib.TOMLDecodeError as error:
        raise SourceError(f"The head is no TOML: {error}.") from None
    made: dict[str, Value] = {}
    for key, value in values.items():
        if isinstance(value, list):
            made[key] = [str(entry) for entry in value]
        elif isinstance(value, dict):
            raise SourceError(f"The head's '{key}' is a table; only values and lists are read.")
        else:
            made[key] = value if isinstance(value, date) else str(value)
    return made


def _lines(lines: list[str]) -> dict[str, Value]:
    made: dict[str, Value] = {}
    list_key: str | None = None
    for number, line in enumerate(lines, 2):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        entry = _ENTRY.match(line)
        if entry and list_key is not None:
            held = made[list_key]
            assert isinstance(held, list)
            held.append(_scalar(entry[1], number))
            continue
        found = _KEY.match(line)
        if found is None:
            raise SourceError(
                f"Line {number} of the head is neither 'key: value' nor a list entry: {line.strip()[:60]}"
            )
        key, value = found[1], (found[2] or "").strip()
        if key in made:
            raise SourceError(f"Line {number} of the head gives '{key}' a second time.")
        list_key = key if not value else None
        made[key] = [] if not value else _value(value, number)
    return {key: "" if value == [] else value for key, value in made.items()}


def _value(text: str, number: int) -> Value:
    if text.startswith("[") and text.endswith("]"):
        inner = text[1:-1].strip()
        return [_scalar(part, number) for part in _split_list(inner)] if inner else []
    if text[0] in "|>{&*!%@`":
        raise SourceError(f"Line {number} of the head uses '{text[0]}', which is not read; put the value in quotes.")
    return _scalar(text, number)


def _split_list(inner: str) -> list[str]:
    return [
        part for part in re.findall(r"""\s*("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^,]+)\s*(?:,|$)""", inner) if part.strip()
    ]


def _scalar(text: str, number: int) -> str:
    text = text.strip()
    if text[:1] not in ("'", '"'):
        return re.sub(r"\s+#.*$", "", text)
    if len(text) < 2 or text[-1] != text[0]:
        raise SourceError(f"Line {number} of the head has a quote that is not closed: {text[:60]}")
    inner = text[1:-1]
    return inner.replace("''", "'") if text[0] == "'" else inner.replace('\\"', '"').replace("\\\\", "\\")
