"""
The members of a Mailman 3 list, as `mailman members` and Postorius write them: a line each, `Name <address>`.

Neither says for whom delivery is switched off: that is another file, and the user says which one this is. The roster
of its REST interface does not say it either, so that it is not read.

Source: Mailman, src/mailman/commands/cli_members.py (formataddr, --nomail); Postorius, views/list.py csv_view.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.utils import parseaddr
from pathlib import Path

from subscribers.errors import InvalidValue
from subscribers.imports import columns as fields
from subscribers.imports.peers.export import Export
from subscribers.imports.peers.state import State
from subscribers.imports.tabular import Row, file_sha256, text_lines

_MEANING = {"email": fields.ADDRESS, "name": fields.NAME, "status": fields.STATUS, "evidence": fields.EVIDENCE}


def read(path: Path, state: State | None) -> Export:
    """
    Open a list of members.

    Raises:
        InvalidValue: When nobody says what these members are.
    """
    if state is None:
        raise InvalidValue(
            "A list of Mailman's members does not say to whom mail was switched off.",
            hint="Write one with `mailman members --nomail enabled` and import it with --state subscribed; "
            "others with --nomail bybounces and byuser, with --state bounced and unsubscribed.",
        )
    stands = state

    def translate(cells: Sequence[str]) -> Sequence[str]:
        name, address = _member(cells[0])
        return [address, name, stands.value, f"Mailman: {stands.value}"]

    return Export(
        path, file_sha256(path), tuple(_MEANING), _MEANING, lambda: _members(path), translate, state.is_leaving
    )


def _members(path: Path) -> Iterator[Row]:
    for number, text, problem in text_lines(path):
        if problem or (text.strip() and not text.startswith("#")):
            yield Row(number, [text], problem)


def _member(line: str) -> tuple[str, str]:
    name, address = parseaddr(line)
    if not address:
        raise InvalidValue(f"'{line.strip()[:80]}' is no member")
    try:
        return str(make_header(decode_header(name))), address
    except (HeaderParseError, LookupError, UnicodeDecodeError):
        return name, address
