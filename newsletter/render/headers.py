"""
Header fields as bytes: ASCII, folded at 78, RFC 2047 where needed; a value with a control character is refused.

Our own writer, because the standard library's can be made to inject header fields.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from newsletter.errors import InvalidValue

LINE_CHARACTERS = 78
LONGEST_LINE = 998
ENCODED_WORD_CHARACTERS = 75
LONGEST_PLAIN_WORD = 60  # a longer one is written as encoded words, which can be folded
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
# What may stand as it is in a Q word inside a phrase. Source: RFC 2047 5 (3).
_Q_LITERAL = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+/-")
_Q_TABLE = ["_" if b == 0x20 else chr(b) if b in _Q_LITERAL else f"={b:02X}" for b in range(256)]
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class MessageHeaders:
    """
    What the header of every copy of a variant has in common.

    Attributes:
        list_id: The identifier inside the brackets of List-Id (RFC 2919), for example ``members.news.example.org``.
        unsubscribe_mailto: An address or a ``mailto:`` URL; ``{token}`` in it becomes the copy's unsubscribe token.
        feedback_id: At most four fields, never one for each recipient; empty leaves the header out.
    """

    from_name: str
    from_address: str
    reply_to: str
    list_id: str
    list_title: str
    unsubscribe_mailto: str
    feedback_id: str
    language: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> MessageHeaders:
        return cls(**stored)


def unstructured(name: str, value: str) -> bytes:
    """Return a field of free text (Subject), with its CRLF."""
    _refuse_control(name, value)
    words = value.split(" ")
    if not value.isascii() or "=?" in value or max(map(len, words)) > LONGEST_PLAIN_WORD:
        words = list(_encoded_words(value, LINE_CHARACTERS - len(name) - 2))
    return _fold(name, words)


def mailbox(name: str, display_name: str, address: str) -> bytes:
    """Return a field with one mailbox (From, Reply-To); *display_name* may be empty."""
    _refuse_control(name, display_name)
    if not display_name:
        return _fold(name, [plain_address(name, address)])
    return _fold(name, [*_phrase(display_name, name), f"<{plain_address(name, address)}>"])


def list_id(title: str, identifier: str) -> bytes:
    """Return List-Id with its description. Source: RFC 2919 3."""
    _refuse_control("List-Id", title)
    if not re.fullmatch(r"[A-Za-z0-9._-]+", identifier):
        raise InvalidValue(f"'{identifier}' cannot stand in List-Id: letters, digits, dots and hyphens can.")
    return _fold("List-Id", [*(_phrase(title, "List-Id") if title else ()), f"<{identifier}>"])


def structured(name: str, *words: str) -> bytes:
    """Return a field whose words are ASCII and may be folded between them."""
    for word in words:
        _refuse_control(name, word)
        if not word.isascii():
            raise InvalidValue(f"The header {name} cannot hold '{word}': only ASCII characters can stand there.")
    return _fold(name, list(words))


def plain_address(name: str, address: str) -> str:
    """
    Return *address* if it can stand in a header as it is.

    Raises:
        InvalidValue: It holds anything but one plain ASCII mailbox.
    """
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9.-]+", address):
        raise InvalidValue(f"{name} cannot hold '{_CONTROL.sub('?', address)}': it is not a plain ASCII address.")
    return address


@lru_cache(maxsize=1024)
def date_header(moment: datetime) -> bytes:
    """Return Date. Source: RFC 5322 3.3."""
    utc = moment.astimezone(UTC)
    day, month = _WEEKDAYS[utc.weekday()], _MONTHS[utc.month - 1]
    return f"Date: {day}, {utc.day:02d} {month} {utc.year} {utc:%H:%M:%S} +0000\r\n".encode()


def _refuse_control(name: str, value: str) -> None:
    if _CONTROL.search(value):
        raise InvalidValue(
            f"The header {name} cannot hold '{_CONTROL.sub('?', value)}': it has a line break or control character."
        )


def _fold(name: str, words: list[str]) -> bytes:
    line, lines = f"{name}:", []
    for word in words:
        if len(line) + 1 + len(word) > LINE_CHARACTERS and line.strip() and word:
            lines.append(line)
            line = ""
        line += " " + word
        if len(line) > LONGEST_LINE - 2:
            raise InvalidValue(f"A word of {len(word)} characters is too long for the header {name}.")
    return "\r\n".join([*lines, line, ""]).encode("ascii")


def _phrase(text: str, name: str) -> list[str]:
    can_fold = "=?" not in text and max(map(len, text.split(" "))) <= LONGEST_PLAIN_WORD
    if can_fold and _ATOMS.fullmatch(text):
        return text.split(" ")
    if can_fold and text.isascii():
        quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
        return quoted.split(" ") if len(quoted) > LINE_CHARACTERS - len(name) - 2 else [quoted]
    return list(_encoded_words(text, LINE_CHARACTERS - len(name) - 2))


def _encoded_words(text: str, first_line: int) -> Iterator[str]:
    """Split at characters, so that each encoded word decodes alone. Source: RFC 2047 2, 4.1, 5."""
    use_q = sum(c.isascii() for c in text) * 2 >= len(text)
    overhead = len("=?utf-8?q??=")
    word, size, room = "", 0, min(first_line, ENCODED_WORD_CHARACTERS) - overhead
    for character in text:
        cost = len(_q(character)) if use_q else len(character.encode())
        if word and (size + cost if use_q else -(-(size + cost) // 3) * 4) > room:
            yield _encoded_word(word, use_q)
            word, size, room = "", 0, ENCODED_WORD_CHARACTERS - overhead
        word, size = word + character, size + cost
    yield _encoded_word(word, use_q)


def _encoded_word(text: str, use_q: bool) -> str:
    return f"=?utf-8?q?{_q(text)}?=" if use_q else f"=?utf-8?b?{base64.b64encode(text.encode()).decode()}?="


def _q(text: str) -> str:
    return "".join(_Q_TABLE[byte] for byte in text.encode())
