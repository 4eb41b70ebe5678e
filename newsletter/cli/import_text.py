"""The differences that a dry run of an import found, as lines that fit a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from newsletter.cli.output import plain
from subscribers.imports.diff import CHANGED, NEW, SUPPRESSED, Difference

WIDTH = 80
_LONGEST_VALUE = 28
_TITLES = {CHANGED: "Changed", NEW: "New", SUPPRESSED: "Kept out"}


def difference_lines(kept: Sequence[Difference], counted: Mapping[str, int]) -> Iterator[str]:
    """Yield the changed people first, then the new and those kept out, and how many of each are not shown."""
    for what, title in _TITLES.items():
        shown = [one for one in kept if one.what == what]
        if not shown:
            continue
        yield f"{title}:"
        for one in shown:
            yield from _of_person(one)
        if (more := counted[what] - len(shown)) > 0:
            yield f"  and {more:,} more; all of them with: --diff"


def _of_person(one: Difference) -> Iterator[str]:
    parts = [_change(name, *values) for name, values in one.changes.items()]
    yield from _wrapped(f"  {plain(one.address)}", [one.reason] if one.reason else parts)


def _change(name: str, before: Any, after: Any) -> str:
    if name == "tags":
        return "tags " + " ".join(f"+{plain(tag)}" for tag in after)
    return f"{name} {_value(after)}" if before is None else f"{name} {_value(before)} -> {_value(after)}"


def _value(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    if isinstance(value, float) and value.is_integer():
        text = str(int(value))
    text = plain(text)
    return f"'{text}'" if len(text) <= _LONGEST_VALUE else f"'{text[: _LONGEST_VALUE - 1]}…'"


def _wrapped(head: str, parts: Iterable[str]) -> Iterator[str]:
    """Yield *head* and the parts behind it, on further lines where they do not fit."""
    line = head
    fresh = True
    for part in parts:
        joined = f"{line}  {part}" if fresh else f"{line}, {part}"
        if len(joined) <= WIDTH:
            line, fresh = joined, False
            continue
        yield line if fresh else f"{line},"
        line, fresh = f"      {part}", False
    yield line
