"""
Words that the chair sets: of the issue by name, of a block by its number (`12.headline`).

Every value is checked before the first is stored: a command with one mistake changes nothing.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Any

from newsletter.compose.cleaning import canonical_url
from newsletter.compose.language import parse_language
from newsletter.compose.sections import find_block
from newsletter.errors import InvalidValue
from newsletter.tables import Block, BlockKind, Issue

ISSUE_FIELDS = ("subject", "preheader", "language")
BLOCK_FIELDS = {
    BlockKind.ITEM: ("headline", "blurb", "audience"),
    BlockKind.QUOTE: ("text", "by", "audience"),
    BlockKind.DIVIDER: ("audience",),
    BlockKind.BUTTON: ("label", "url", "audience"),
    BlockKind.LETTER: ("title", "text", "by", "audience"),
}
_COLUMNS = ("headline", "blurb", "audience")
_MAY_BE_EMPTY = ("headline", "blurb", "audience", "by", "preheader", "subject")
LONGEST_LINE, LONGEST_TEXT = 500, 20_000

CheckSegment = Callable[[str], None]


def set_fields(issue: Issue, assignments: Sequence[str], *, check_segment: CheckSegment) -> list[str]:
    """
    Set `FIELD=VALUE` and `BLOCK.FIELD=VALUE`; an empty value goes back to the item's own words.

    Args:
        check_segment: Raises when an expression cannot be used.

    Returns:
        The names that were set.

    Raises:
        InvalidValue, NotFound: Before anything is changed.
    """
    settled = [_settle(issue, assignment, check_segment) for assignment in assignments]
    for target, field, value in settled:
        if isinstance(target, Issue) or field in _COLUMNS:
            setattr(target, field, value if value or isinstance(target, Issue) else None)
        else:
            target.payload = {**target.payload, field: value}
    return [name for name, equals, _ in (a.partition("=") for a in assignments) if equals]


def quotation(text: str, by: str) -> dict[str, str]:
    return {"text": _checked("text", text), "by": _line("by", by)}


def button(label: str, url: str) -> dict[str, str]:
    return {"label": _checked("label", label), "url": _checked("url", url)}


def _settle(issue: Issue, assignment: str, check_segment: CheckSegment) -> tuple[Issue | Block, str, str]:
    name, equals, value = assignment.partition("=")
    number, dot, field = name.strip().rpartition(".")
    if not equals:
        raise InvalidValue(f"'{assignment}' sets nothing.", hint='Write it like subject="Our news" or 12.blurb="...".')
    if not dot:
        return issue, _known(field, ISSUE_FIELDS, "An issue"), _checked(field, value)
    if not number.isascii() or not number.isdigit():
        raise InvalidValue(f"'{number}' is no block.", hint=f"Blocks have numbers: newsletter issue show {issue.slug}")
    block = find_block(issue, int(number))
    _known(field, BLOCK_FIELDS[block.kind], f"Block {number} ({block.kind.value})")
    checked = _checked(field, value)
    if field == "audience" and checked:
        check_segment(checked)
    return block, field, checked


def _known(field: str, fields: Sequence[str], what: str) -> str:
    if field in fields:
        return field
    near = difflib.get_close_matches(field, fields, n=1, cutoff=0.5)
    raise InvalidValue(
        f"{what} has no field '{field}'.", hint=f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(fields)}."
    )


def _checked(field: str, value: str) -> str:
    value = value.strip()
    if not value and field not in _MAY_BE_EMPTY:
        raise InvalidValue(f"{field} cannot be empty.")
    if field == "language":
        return parse_language(value)
    if field == "url":
        return _address(value)
    if field in ("blurb", "text"):
        return _long(field, value)
    return _line(field, value)


def _address(value: str) -> str:
    if value.lower().startswith("mailto:") and "@" in value and not any(c.isspace() for c in value):
        return value
    url = canonical_url(value)
    if url is None:
        raise InvalidValue(f"'{value}' is no address of a page.", hint="Write it whole: https://example.org/page")
    return url


def _line(field: str, value: str) -> str:
    if any(ord(c) < 32 or ord(c) in (127, 0x2028, 0x2029) for c in value):
        raise InvalidValue(f"{field} must be one line without control characters.")
    if len(value) > LONGEST_LINE:
        raise InvalidValue(f"{field} has {len(value)} characters; {LONGEST_LINE} is the most.")
    return value


def _long(field: str, value: str) -> str:
    if len(value) > LONGEST_TEXT:
        raise InvalidValue(f"{field} has {len(value)} characters; {LONGEST_TEXT} is the most.")
    return value.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")


def set_letter(issue: Issue, values: dict[str, Any]) -> None:
    """Set the chair's letter; keys `letter` (Markdown), `letter_name`, `letter_role`, `letter_picture_id`."""
    checked = {
        name: _long("letter", value) if name == "letter" else _line(name, value) if isinstance(value, str) else value
        for name, value in values.items()
    }
    for name, value in checked.items():
        setattr(issue, name, value)
