"""
The last look at the finished bytes, after composing and before the wire: what fails is held, whatever made it.

Every copy is checked as a whole. Nothing here trusts the composer: the standard library's writer can be made to
inject header fields, and servers disagree about bare CR and LF (SMTP smuggling).
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache

from newsletter.errors import NewsletterError

LONGEST_LINE = 998
OUR_LONGEST_LINE = 76
_PRINTABLE = bytes(range(0x20, 0x7F))
# Possessive, so that 20 kB take 8 us; the CR counts as one. That no line begins with a dot costs nothing to see here.
_BODY_LINES = re.compile(rb"(?:.{0,%d}+\n)*+" % (OUR_LONGEST_LINE + 1))
_DOTLESS_LINES = re.compile(rb"(?:(?!\.).{0,%d}+\n)*+" % (OUR_LONGEST_LINE + 1))
_FIELDS = re.compile(
    rb"(?:(?!\.)[!-9;-~]++: *+[^\r ][^\r]{0,%d}+\r\n(?: [^\r]{1,%d}+\r\n)*+)++" % ((LONGEST_LINE - 80,) * 2)
)
_NAMES = re.compile(rb"\r\n([!-9;-~]++):")
_ONCE = ("from", "to", "subject", "date", "message-id", "mime-version", "content-type")
_LIST_ONCE = ("list-unsubscribe", "list-unsubscribe-post", "list-id")
_SIGNATURE = "dkim-signature"
MOST_SIGNATURES = 2
_NEVER = ("bcc", "cc", "resent-to", "resent-cc", "resent-bcc")
_ONE_CLICK = b"\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
_WEB_LINK = re.compile(rb"\r\nList-Unsubscribe:\s++<https?://[!-;=?-~]++>")


class GateRefused(NewsletterError):
    """The finished bytes of one copy break a rule; the copy is held and others go on."""

    code = "gate"


def check_message(message: bytes, *, recipient: str, newsletter: bool = True, signatures: int | None = None) -> bool:
    """
    Let a finished message pass, or refuse it; return whether a line begins with a dot, so that it must be `stuffed`.

    Args:
        message: With CRLF line ends, before dot-stuffing, without the final dot.
        recipient: The address of RCPT TO; it must be the only one of To.
        newsletter: False for notices, which carry no List-Unsubscribe.
        signatures: How many DKIM-Signature fields there must be; null allows one for each kind of key.

    Raises:
        GateRefused: With the first rule that is broken.
    """
    rest = message.translate(None, _PRINTABLE)
    if rest != b"\r\n" * (len(rest) // 2):
        raise GateRefused(_name_the_byte(rest))
    if message[-2:] != b"\r\n":
        raise GateRefused("The message does not end with a line end.")
    end = message.find(b"\r\n\r\n")
    if end <= 0:
        raise GateRefused("The message has no header or no body.")
    dotless = _DOTLESS_LINES.fullmatch(message, end + 4) is not None
    if not dotless and not _BODY_LINES.fullmatch(message, end + 4):
        raise GateRefused(f"A line of the body has more than {OUR_LONGEST_LINE} bytes.")
    _check_header(message[: end + 2], recipient, newsletter, signatures)
    return not dotless


def stuffed(message: bytes) -> bytes:
    """Double the dot that begins a line. Source: RFC 5321 4.5.2."""
    message = message.replace(b"\r\n.", b"\r\n..")
    return b"." + message if message[:1] == b"." else message


def _check_header(header: bytes, recipient: str, newsletter: bool, signatures: int | None) -> None:
    if not _FIELDS.fullmatch(header):
        raise GateRefused("The header has a line that is no field, is empty, or is too long.")
    # With a line end before the first field as well, a name is found only where a field begins.
    fields = b"\r\n" + header
    if problem := _wrong_names(tuple(_NAMES.findall(fields)), newsletter, signatures):
        raise GateRefused(problem)
    if b"\r\nTo: " + recipient.encode("ascii", "replace") + b"\r\n" not in fields:
        raise GateRefused("To is not the address that the copy goes to.")
    if newsletter and not _WEB_LINK.search(fields):
        raise GateRefused("List-Unsubscribe does not begin with a web address.")
    if newsletter and _ONE_CLICK not in fields:
        raise GateRefused("List-Unsubscribe-Post is not List-Unsubscribe=One-Click.")


@lru_cache(maxsize=256)  # the copies of an issue have the same few headers
def _wrong_names(names: tuple[bytes, ...], newsletter: bool, signatures: int | None) -> str | None:
    """Return what is wrong with the names of a header's fields; None when nothing is."""
    counts = Counter(name.lower().decode("ascii") for name in names)
    for name in _ONCE + (_LIST_ONCE if newsletter else ()):
        if counts[name] != 1:
            return f"The header has {name} {counts[name]} times; once is right."
    signed = counts[_SIGNATURE]
    if signed > MOST_SIGNATURES or signatures not in (None, signed):
        wanted = f"at most {MOST_SIGNATURES}" if signatures is None else signatures
        return f"The header has {_SIGNATURE} {signed} times; {wanted} is right."
    for name in _NEVER:
        if name in counts:
            return f"The header has {name}: one copy is for one person."
    return None


def _name_the_byte(rest: bytes) -> str:
    remains = rest.replace(b"\r\n", b"")
    byte = remains[0] if remains else 0x0D
    if byte in (0x0A, 0x0D):
        return "A CR or LF stands alone; only CRLF ends a line."
    if byte == 0:
        return "The message holds a NUL byte."
    if byte < 0x20 or byte == 0x7F:
        return f"The message holds the control character {byte:#04x}."
    return f"The message holds the byte {byte:#04x}; only 7-bit mail is sent."
