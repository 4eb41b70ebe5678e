"""
DKIM signatures: bytes, keys and a time in, header fields out; the same input gives the same bytes.

Every header field that matters is named once more than it occurs, so that one which is added, taken away or changed
breaks the signature. No length is signed, so nothing can be appended to the body.

Source: RFC 6376; RFC 8463 (Ed25519); RFC 8058 4 (List-Unsubscribe must be covered).
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from newsletter.errors import InvalidValue
from newsletter.render.headers import LINE_CHARACTERS, structured

COVERED = (
    b"from",
    b"to",
    b"subject",
    b"date",
    b"message-id",
    b"reply-to",
    b"sender",
    b"cc",
    b"mime-version",
    b"content-type",
    b"content-transfer-encoding",
    b"list-id",
    b"list-unsubscribe",
    b"list-unsubscribe-post",
    b"feedback-id",
)
HEADER_NAME = "DKIM-Signature"
_PADDING, _HASH = PKCS1v15(), SHA256()
_B64_LINE = LINE_CHARACTERS - len(" b=")

PrivateKey = RSAPrivateKey | Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key, and the selector under which DNS has its public half."""

    selector: str
    key: PrivateKey

    @property
    def algorithm(self) -> str:
        return "rsa-sha256" if isinstance(self.key, RSAPrivateKey) else "ed25519-sha256"

    def sign(self, signed: bytes) -> bytes:
        if isinstance(self.key, RSAPrivateKey):
            return self.key.sign(signed, _PADDING, _HASH)
        return self.key.sign(hashlib.sha256(signed).digest())


@dataclass(frozen=True, slots=True)
class Signer:
    """
    The keys of one domain.

    Args:
        domain: The `d=` of each signature; it should be the domain of From, or one that DMARC aligns with it.
    """

    domain: str
    keys: tuple[SigningKey, ...]

    def sign(self, message: bytes, at: int, *, body_is_relaxed: bool = False) -> bytes:
        """
        Return *message* with a DKIM-Signature for each key before its header.

        Args:
            message: With CRLF line ends.
            at: Seconds since the epoch, for `t=`.
            body_is_relaxed: The caller knows that `relaxed_body` would leave the body as it is.

        Raises:
            InvalidValue: When *message* has no header, or a line of it that is no field.
        """
        end = message.find(b"\r\n\r\n")
        if end <= 0:
            raise InvalidValue("A message without a header and a body cannot be signed.")
        names, fields = relaxed_header(message[: end + 2])
        covered, places = _covered(names)
        header = b"".join([fields[place] for place in places])
        body = message[end + 4 :] if body_is_relaxed else relaxed_body(message[end + 4 :])
        body_hash = b64encode(hashlib.sha256(body).digest())
        signatures = [_signature(key, self.domain, covered, at, header, body_hash) for key in self.keys]
        return b"".join((*signatures, message))


def relaxed_body(body: bytes) -> bytes:
    """
    Return a body in relaxed form: runs of white space are one space, none ends a line, no empty line is the last.

    A body as we write it rarely needs more than being looked at. Source: RFC 6376 3.4.4.
    """
    if b"\t" in body:
        body = body.replace(b"\t", b" ")
    # From the end: in a text of many single spaces the search from the beginning takes three times as long.
    while body.rfind(b"  ") >= 0:
        body = body.replace(b"  ", b" ")
    if body.rfind(b" \r\n") >= 0:
        body = body.replace(b" \r\n", b"\r\n")
    if body[-2:] != b"\r\n":
        body = body.rstrip(b" ") + b"\r\n"
    end = len(body)
    while end >= 4 and body[end - 4 : end] == b"\r\n\r\n":
        end -= 2
    return b"" if end == 2 else body[:end]


def relaxed_header(header: bytes) -> tuple[tuple[bytes, ...], list[bytes]]:
    """
    Return the names of a header's fields in small letters, and each field in relaxed form with its CRLF.

    Source: RFC 6376 3.4.2.

    Raises:
        InvalidValue: When a line is neither a field nor folded.
    """
    header = header.replace(b"\t", b" ").replace(b"\r\n ", b"  ")
    while b"  " in header:
        header = header.replace(b"  ", b" ")
    names, fields = [], []
    for line in header.split(b"\r\n")[:-1]:
        name, colon, value = line.partition(b":")
        if not colon or not name or name[0] == 0x20:
            raise InvalidValue("The header has a line that is no field, so the message cannot be signed.")
        name = name.rstrip(b" ").lower()
        names.append(name)
        fields.append(name + b":" + value.strip(b" ") + b"\r\n")
    return tuple(names), fields


@lru_cache(maxsize=256)  # the copies of an issue have the same few
def _covered(names: tuple[bytes, ...]) -> tuple[str, tuple[int, ...]]:
    """
    Return the value of `h=` with a space where it can be folded, and the places of its fields among *names*.

    Of several fields of one name the last comes first. A name beyond them stands for none. Source: RFC 6376 5.4.2.
    """
    counts = Counter(names)
    words = [":".join([name.decode("ascii")] * (counts[name] + 1)) for name in COVERED]
    last_first = range(len(names) - 1, -1, -1)
    return ": ".join(words), tuple(place for name in COVERED for place in last_first if names[place] == name)


def _signature(key: SigningKey, domain: str, covered: str, at: int, header: bytes, body_hash: bytes) -> bytes:
    """Return one field. It signs itself as well, without the value of `b=`. Source: RFC 6376 3.7."""
    written, relaxed = _beginning(key.algorithm, domain, key.selector, covered, at)
    encoded = b64encode(key.sign(b"".join((header, relaxed, body_hash, b"; b="))))
    lines = [encoded[start : start + _B64_LINE] for start in range(0, len(encoded), _B64_LINE)]
    return b"".join((written, body_hash, b";\r\n b=", b"\r\n ".join(lines), b"\r\n"))


@lru_cache(maxsize=256)
def _beginning(algorithm: str, domain: str, selector: str, covered: str, at: int) -> tuple[bytes, bytes]:
    """Return the field up to the body's hash, as it is written and in relaxed form."""
    tags = f"v=1; a={algorithm}; c=relaxed/relaxed; d={domain}; s={selector}; t={at}; h={covered};"
    written = structured(HEADER_NAME, *tags.split(" ")) + b" bh="
    _, (relaxed,) = relaxed_header(written + b"\r\n")
    return written, relaxed[:-2]
