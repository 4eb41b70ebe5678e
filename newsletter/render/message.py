"""
A variant compiled once into byte segments and slots, so that a member's copy costs a join and not a rendering.

Every line of a copy has at most 76 bytes of body (78 in the header where it can be folded), ends in CRLF, holds
printable ASCII only and never begins with a dot, so dot-stuffing never changes it. The body has no two spaces together
and none ends a line, so it is its own relaxed form (DKIM). The same values give the same bytes.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote

from newsletter.errors import InvalidValue
from newsletter.render import headers as h
from newsletter.render.headers import MessageHeaders
from newsletter.render.issue import RenderedIssue
from newsletter.render.personal import LINK_SLOTS, PersonalValues, Slot, fill_subject, split_slots
from subscribers.bounces.provider_marks import MarkField

LINE_BYTES = 76
SOFT_BREAK = b"=\r\n"
_SAFE_VALUE = re.compile(r"https?://[A-Za-z0-9:/._~%+-]*")
_MESSAGE_ID = re.compile(r"<?([A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9.-]+)>?")
_LINK = re.compile(r"https?://[!-;=?-~]+")
_QP = [bytes([b]) if 33 <= b <= 126 and b != 61 else b" " if b == 32 else b"=%02X" % b for b in range(256)]

Encoder = Callable[[PersonalValues], bytes]


@dataclass(frozen=True, slots=True)
class CompiledMessage:
    """
    One variant, ready for splicing.

    `segments` are the finished bytes with an empty place for each slot; `holes` say which place, and what fills it.
    """

    segments: tuple[bytes, ...]
    holes: tuple[tuple[int, Encoder], ...]

    def compose(self, values: PersonalValues) -> bytes:
        """
        Return one member's whole message.

        Raises:
            InvalidValue: When a value cannot stand where it belongs (a line break in an address, say).
        """
        pieces = list(self.segments)
        for index, encode in self.holes:
            pieces[index] = encode(values)
        return b"".join(pieces)


def compile_message(
    rendered: RenderedIssue, headers: MessageHeaders, mark_fields: Sequence[MarkField] = ()
) -> CompiledMessage:
    """
    Encode what all copies share; leave places for what differs. A variant without HTML becomes a message of text alone.

    Args:
        mark_fields: Headers that carry a copy's mark, because the provider that sends it hands them back.
    """
    boundary = _boundary(rendered) if rendered.html else ""
    segments: list[bytes] = []
    holes: list[tuple[int, Encoder]] = []
    for piece in (*_header_pieces(rendered, headers, mark_fields, boundary), *_body_pieces(rendered, boundary)):
        if not isinstance(piece, bytes):
            holes.append((len(segments), piece))
            segments.append(b"")
        elif segments and segments[-1]:
            segments[-1] += piece
        else:
            segments.append(piece)
    return CompiledMessage(tuple(segments), tuple(holes))


def quoted_printable(text: str) -> bytes:
    """
    Encode text, its line ends as CRLF, every line at most 76 bytes and none beginning with a dot.

    Source: RFC 2045 6.7; RFC 5321 4.5.2 for the dot.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return b"\r\n".join(_quoted_line(line) for line in lines)


def _boundary(rendered: RenderedIssue) -> str:
    content = f"{rendered.subject}\0{rendered.html}\0{rendered.text}"
    # "=_" cannot occur in quoted-printable text, so no content can hold the boundary.
    return f"=_{hashlib.sha256(content.encode()).hexdigest()[:32]}"


def _header_pieces(
    rendered: RenderedIssue, headers: MessageHeaders, mark_fields: Sequence[MarkField], boundary: str
) -> Iterator[bytes | Encoder]:
    yield h.mailbox("From", headers.from_name, headers.from_address)
    yield _to
    yield _subject(rendered.subject)
    yield lambda values: h.date_header(values.date)
    yield _message_id
    for field in mark_fields:
        yield _mark(field)
    if headers.reply_to:
        yield h.mailbox("Reply-To", "", headers.reply_to)
    yield h.list_id(headers.list_title, headers.list_id)
    yield _list_unsubscribe(headers.unsubscribe_mailto)
    yield h.structured("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")
    yield h.structured("Precedence", "bulk")
    if headers.feedback_id and len(headers.feedback_id) < h.LINE_CHARACTERS:  # it cannot be folded, and may be absent
        yield h.structured("Feedback-ID", headers.feedback_id)
    yield h.structured("Content-Language", headers.language)
    yield h.structured("MIME-Version", "1.0")
    if boundary:
        yield h.structured("Content-Type", "multipart/alternative;", f'boundary="{boundary}"')


def _body_pieces(rendered: RenderedIssue, boundary: str) -> Iterator[bytes | Encoder]:
    if not boundary:
        yield from _part("plain", rendered.text, _quoted_line)
        return
    delimiter = b"\r\n--" + boundary.encode()
    for kind, stored in (("plain", rendered.text), ("html", rendered.html)):
        yield delimiter + b"\r\n"
        yield from _part(kind, stored, _html_value if kind == "html" else _quoted_line)
    yield delimiter + b"--\r\n"


def _part(kind: str, stored: str, encode: Callable[[str], bytes]) -> Iterator[bytes | Encoder]:
    yield b"Content-Type: text/" + kind.encode() + b"; charset=utf-8\r\n"
    yield b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    yield from _encoded_pieces(stored, encode)


def _encoded_pieces(stored: str, encode: Callable[[str], bytes]) -> Iterator[bytes | Encoder]:
    for piece in split_slots(stored):
        if isinstance(piece, str):
            yield quoted_printable(piece)
        else:
            yield SOFT_BREAK
            yield _slot_encoder(piece, encode)
            yield SOFT_BREAK


def _slot_encoder(slot: Slot, encode: Callable[[str], bytes]) -> Encoder:
    name = slot.name
    if name in LINK_SLOTS:
        return lambda values: _link_value(getattr(values, name))
    encoded = lru_cache(maxsize=16_384)(lambda value: encode(slot.clean(value)))
    return lambda values: encoded(getattr(values, name))


def _html_value(value: str) -> bytes:
    return _quoted_line(html.escape(value, quote=True))


@lru_cache(maxsize=256)  # one address stands in several places of a copy
def _link_value(url: str) -> bytes:
    """Encode an address of ours: of characters that need no escape anywhere, as a rule, so cut it and nothing else."""
    cut = LINE_BYTES - 1
    if _SAFE_VALUE.fullmatch(url) and len(url) < 2 * cut and url[cut : cut + 1] != ".":
        raw = url.encode("ascii")
        return raw if len(raw) <= cut else raw[:cut] + SOFT_BREAK + raw[cut:]
    return _quoted_line(html.escape(_checked_link(url), quote=True))


def _checked_link(url: str) -> str:
    if not _LINK.fullmatch(url) or "," in url:
        raise InvalidValue("A link of this copy is no web address that a mail can carry.")
    return url


def _quoted_line(line: str) -> bytes:
    encoded = b"".join([_QP[byte] for byte in line.encode()])
    while b"  " in encoded:
        encoded = encoded.replace(b"  ", b"=20 ")
    if encoded[-1:] == b" ":
        encoded = encoded[:-1] + b"=20"
    chunks, position = [], 0
    while len(encoded) - position > (room := _room(encoded, position)):
        end = position + room
        if encoded[end - 1 : end] == b"=":
            end -= 1
        elif encoded[end - 2 : end - 1] == b"=":
            end -= 2
        chunks.append(_no_dot(encoded[position:end]))
        position = end
    chunks.append(_no_dot(encoded[position:]))
    return SOFT_BREAK.join(chunks)


def _room(encoded: bytes, position: int) -> int:
    """One byte is the soft break's; a dot at the beginning of a line takes three."""
    return LINE_BYTES - (3 if encoded[position : position + 1] == b"." else 1)


def _no_dot(chunk: bytes) -> bytes:
    return b"=2E" + chunk[1:] if chunk[:1] == b"." else chunk


def _to(values: PersonalValues) -> bytes:
    return b"To: " + h.plain_address("To", values.address).encode("ascii") + b"\r\n"


def _subject(stored: str) -> bytes | Encoder:
    if all(isinstance(piece, str) for piece in split_slots(stored)):
        return h.unstructured("Subject", stored)
    encode = lru_cache(maxsize=16_384)(lambda subject: h.unstructured("Subject", subject))
    return lambda values: encode(fill_subject(stored, values))


def _message_id(values: PersonalValues) -> bytes:
    found = _MESSAGE_ID.fullmatch(values.message_id)
    if not found:
        raise InvalidValue("The Message-ID of this copy is malformed: it must be one name@domain in ASCII.")
    return b"Message-ID: <" + found[1].encode("ascii") + b">\r\n"


def _mark(field: MarkField) -> Encoder:
    before, after = f"{field.name}: {field.before}".encode("ascii"), f"{field.after}\r\n".encode("ascii")

    def encode(values: PersonalValues) -> bytes:
        return before + values.mark.encode("ascii") + after if values.mark else b""

    return encode


def _list_unsubscribe(mailto: str) -> bytes | Encoder:
    target = mailto if mailto.startswith("mailto:") else f"mailto:{mailto}?subject=unsubscribe"
    h.structured("List-Unsubscribe", target)
    before, placeholder, after = (f"\r\n <{target}>\r\n".partition("{token}")) if mailto else ("\r\n", "", "")
    start, end = before.encode("ascii"), after.encode("ascii")

    def encode(values: PersonalValues) -> bytes:
        url = _checked_link(values.unsubscribe_url)
        token = quote(url.rpartition("/")[2]).encode("ascii") if placeholder else b""
        comma = b"," if mailto else b""
        return b"List-Unsubscribe: <" + url.encode("ascii") + b">" + comma + start + token + end

    return encode
