"""
Read any bytes as a mail, guarded: whatever arrives gives headers, texts and reports, never an exception.

Only the parts that a report is made of are decoded, each cut at a size that no report needs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from email.feedparser import FeedParser
from email.header import decode_header
from email.message import Message
from email.parser import HeaderParser
from email.policy import Compat32, compat32
from itertools import count
from typing import Any

MOST_READ_BYTES = 1_000_000
LARGEST_TEXT = 100_000
LONGEST_HEADER = 50_000
LONGEST_PARAMETERS = 5_000
LONGEST_ENCODED_HEADER = 10_000
LONGEST_BOUNDARY = 500  # RFC 2046 5.1.1 allows 70 characters
MOST_PARTS = 50
MOST_PARSED_PARTS = 1_000
_TAGS = re.compile(r"<(?:br|/p|/div|/tr|/td|/li|/h\d)[^>]{0,200}>", re.I)
_ANY_TAG = re.compile(r"<(?![\w.+-]{1,64}@)[^<>]{1,500}>")


class _Part(Message):
    """
    A part that reads its content type once, for the parser asks for it seven times, each a walk through the header.

    What no mail program writes is cut, because the time it takes grows with the square of its length (parameters) or
    it is compiled as a pattern and kept (boundaries).
    """

    _content_type = ""

    def get_content_type(self) -> str:
        if not self._content_type:
            self._content_type = super().get_content_type()
        return self._content_type

    def set_raw(self, name: str, value: str) -> None:
        has_parameters = name[:8].lower() == "content-"
        super().set_raw(name, value[: LONGEST_PARAMETERS if has_parameters else LONGEST_HEADER])

    def get_boundary(self, failobj: Any = None) -> Any:
        found = super().get_boundary(failobj)
        return failobj if isinstance(found, str) and len(found) > LONGEST_BOUNDARY else found

    def set_default_type(self, ctype: str) -> None:
        super().set_default_type(ctype)
        self._content_type = ""


@dataclass(slots=True)
class Mail:
    """
    The readable parts of one mail.

    Attributes:
        texts: Decoded text parts in order, before any returned message.
        statuses: Bodies of message/delivery-status parts; `feedback` of message/feedback-report; `disposition` of
            message/disposition-notification.
        returned: The returned message or its headers, as text.
    """

    message: Message
    texts: list[str] = field(default_factory=list)
    statuses: list[str] = field(default_factory=list)
    feedback: list[str] = field(default_factory=list)
    disposition: list[str] = field(default_factory=list)
    returned: list[str] = field(default_factory=list)
    _headers: dict[str, str] = field(default_factory=dict)

    def header(self, name: str) -> str:
        """Return a header decoded and on one line; empty when absent."""
        found = self._headers
        if not found:
            # raw_items gives what was read; get() would hide bytes beyond ASCII in a Header object of unknown charset.
            for written, value in self.message.raw_items():
                found.setdefault(written.lower(), str(value))
        return decode(_unescaped(found.get(name.lower(), "")))


def read_mail(raw: bytes) -> Mail:
    """Read *raw*; line ends of any kind, at most `MOST_READ_BYTES` bytes."""
    raw = raw[:MOST_READ_BYTES]
    if b"\r" in raw:
        raw = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if raw.startswith(b"From "):
        raw = raw.partition(b"\n")[2]
    message = _parse(raw)
    mail = Mail(message)
    _collect(message, mail, [0])
    return mail


def _parse(raw: bytes) -> Message:
    """Parse a mail wholly, else its header alone, else nothing of it: its text is still there."""
    text = raw.decode("ascii", "surrogateescape")
    for parse in (_in_parts, HeaderParser().parsestr):
        try:
            return parse(text)
        except Exception:  # noqa: S112  (the parser of the standard library has raised on odd bytes before)
            continue
    message = Message()
    message.set_payload(raw.decode("latin-1"))
    return message


class _TooManyParts(Exception):
    """A mail of 100 kB can be made to fall into 100,000 parts, each an object; no report has more than a few."""


def _in_parts(text: str) -> Message:
    # In one piece: fed in blocks, as message_from_bytes does, the parser joins lines that a block cut.
    parser = FeedParser(_counted_parts())
    parser.feed(text)
    return parser.close()


def _counted_parts() -> Callable[..., _Part]:
    made = count()

    def make(policy: Compat32 = compat32) -> _Part:
        if next(made) > MOST_PARSED_PARTS:
            raise _TooManyParts
        return _Part(policy)

    return make


def decode(value: str) -> str:
    """Return a header value with its encoded words decoded, folded white space as one blank."""
    if "=?" in value:
        try:
            cut = value[:LONGEST_ENCODED_HEADER]  # the decoder's time grows with the square of the length
            value = "".join(_word(text, charset) for text, charset in decode_header(cut))
        except Exception:  # a malformed encoded word is shown as it stands
            return " ".join(value.split())
    return " ".join(value.split())


def _unescaped(value: str) -> str:
    """Return a header whose raw bytes the parser kept as surrogates: UTF-8 where it is, else Latin-1."""
    if value.isascii():
        return value
    return _decode_bytes(value.encode("utf-8", "surrogateescape"), None)


def _word(text: bytes | str, charset: str | None) -> str:
    return text if isinstance(text, str) else _decode_bytes(text, charset)


def _decode_bytes(raw: bytes, charset: str | None) -> str:
    for name in (charset or "utf-8", "utf-8"):
        try:
            return raw.decode(name)
        except (LookupError, UnicodeError, ValueError):
            continue
    return raw.decode("latin-1")


def _collect(part: Message, mail: Mail, count: list[int]) -> None:
    count[0] += 1
    if count[0] > MOST_PARTS:
        return
    kind = part.get_content_type()
    payload = _payload(part)
    if kind in ("message/delivery-status", "message/global-delivery-status"):
        mail.statuses.append(_inner_text(part))
    elif kind == "message/feedback-report":
        mail.feedback.append(_inner_text(part))
    elif kind in ("message/disposition-notification", "message/global-disposition-notification"):
        mail.disposition.append(_inner_text(part))
    elif kind.startswith("message/") or kind == "text/rfc822-headers":
        mail.returned.append(_inner_text(part))
    elif isinstance(payload, list):
        for inner in payload:
            if isinstance(inner, Message):
                _collect(inner, mail, count)
    elif kind.startswith("text/") or part.get_content_maintype() not in ("image", "audio", "video", "application"):
        _add_text(_part_text(part), kind, mail)


def _add_text(text: str, kind: str, mail: Mail) -> None:
    if kind == "text/html":
        text = _ANY_TAG.sub("", _TAGS.sub("\n", text)).replace("&lt;", "<").replace("&gt;", ">").replace("&nbsp;", " ")
    mail.texts.append(text)


def _inner_text(part: Message) -> str:
    """Return the text of a message/* part, which the parser may have split into messages of its own."""
    payload = _payload(part)
    if isinstance(payload, list):
        encoding = str(part.get("content-transfer-encoding", "")).strip().lower()
        if encoding in ("base64", "quoted-printable"):
            inner = Message()
            inner["Content-Transfer-Encoding"] = encoding
            inner.set_payload("\n\n".join(_flat(p) for p in payload if isinstance(p, Message)))
            return _part_text(inner)
        return "\n\n".join(_flat(p) for p in payload if isinstance(p, Message))[:LARGEST_TEXT]
    return _part_text(part)


def _flat(part: Message) -> str:
    headers = "\n".join(f"{name}: {value}" for name, value in part.items())
    payload = _payload(part)
    body = payload if isinstance(payload, str) else ""
    if isinstance(payload, list):
        body = "\n\n".join(_flat(p) for p in payload[:MOST_PARTS] if isinstance(p, Message))
    return f"{headers}\n\n{body}"[:LARGEST_TEXT]


def _payload(part: Message) -> Any:
    """Return the parts of a part or its text; nothing when a charset that does not exist keeps it from being text."""
    try:
        return part.get_payload()
    except Exception:  # a charset parameter of RFC 2231 syntax, or a codec that is none for text
        return None


def _part_text(part: Message) -> str:
    try:
        raw = part.get_payload(decode=True)
    except Exception:  # unknown encodings and broken base64: the undecoded text is better than nothing
        raw = None
    if isinstance(raw, bytes):
        return _decode_bytes(raw[:LARGEST_TEXT], _charset(part))
    payload = _payload(part)
    return payload[:LARGEST_TEXT] if isinstance(payload, str) else ""


def _charset(part: Message) -> str | None:
    try:
        return part.get_content_charset()
    except Exception:  # a charset parameter of broken RFC 2231 syntax
        return None
