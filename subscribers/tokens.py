"""
Signed tokens bound to one purpose, and the keyed hash of addresses; nothing here reads a file or a clock.

An unsubscribe token holds the subscriber's random id and the list, never the address, and has no end: it works for
years, after the issue is gone. Keys rotate: the first signs, all verify.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from functools import lru_cache

from subscribers.errors import TokenInvalid

MAC_BYTES = 16
SUBSCRIBER_ID_BYTES = 16
ADDRESS_HASH_BYTES = 16
ALL_LISTS = 0


@dataclass(frozen=True, slots=True)
class Key:
    """One secret; *key_id* is 1 to 255 and travels in the token."""

    key_id: int
    secret: bytes


@dataclass(frozen=True, slots=True)
class Keyring:
    """Keys of one purpose, newest first: the first signs, every one verifies."""

    keys: tuple[Key, ...]

    @property
    def current(self) -> Key:
        return self.keys[0]

    def get(self, key_id: int) -> Key:
        for key in self.keys:
            if key.key_id == key_id:
                return key
        raise TokenInvalid("This link is not valid.")


@dataclass(frozen=True, slots=True)
class UnsubscribeClaim:
    """What a valid unsubscribe token says: who (random id), and which list (`ALL_LISTS` for every list)."""

    subscriber_token_id: bytes
    list_id: int


def sign(key: Key, purpose: str, payload: bytes) -> bytes:
    """Return the 16-byte MAC of *payload* under a subkey of *purpose*, so no token passes for another kind."""
    inner_pad, outer_pad = _hmac_states(key.secret, purpose)
    inner, outer = inner_pad.copy(), outer_pad.copy()
    inner.update(bytes([key.key_id]) + payload)
    outer.update(inner.digest())
    return outer.digest()[:MAC_BYTES]


@lru_cache(maxsize=256)
def _hmac_states(secret: bytes, purpose: str) -> tuple[hashlib._Hash, hashlib._Hash]:
    """
    Return HMAC-SHA256 under the subkey of *purpose* with both its pads already hashed.

    A million links are signed while mail goes out: this takes half the time of `hmac.digest`, and does not let go of
    the interpreter, which a busy process would wait long to get back. Source: RFC 2104 4.
    """
    inner, outer = pads(secret, purpose)
    return hashlib.sha256(inner), hashlib.sha256(outer)


def pads(secret: bytes, purpose: str) -> tuple[bytes, bytes]:
    """Return the inner and outer pad of HMAC-SHA256 under the subkey of *purpose*. Source: RFC 2104 2."""
    subkey = hmac.digest(secret, b"newsletter:" + purpose.encode(), "sha256").ljust(64, b"\0")
    return bytes(b ^ 0x36 for b in subkey), bytes(b ^ 0x5C for b in subkey)


def unsubscribe_token(key: Key, subscriber_token_id: bytes, list_id: int) -> str:
    """Return the URL-safe token for one subscriber and list (48 to 60 characters)."""
    payload = subscriber_token_id + _pack(list_id)
    mac = sign(key, "unsubscribe", payload)
    return "v1." + _b64(bytes([key.key_id]) + payload + mac)


def read_unsubscribe_token(keyring: Keyring, token: str) -> UnsubscribeClaim:
    """
    Verify a token and return what it claims.

    Raises:
        TokenInvalid: For anything that this keyring did not sign for this purpose, without saying why.
    """
    try:
        if not token.startswith("v1.") or len(token) > 120:
            raise ValueError
        raw = _unb64(token[3:])
        key_id, payload, mac = raw[0], raw[1:-MAC_BYTES], raw[-MAC_BYTES:]
        list_id = int.from_bytes(payload[SUBSCRIBER_ID_BYTES:], "big")
        if len(payload) <= SUBSCRIBER_ID_BYTES or payload[SUBSCRIBER_ID_BYTES:] != _pack(list_id):
            raise ValueError
    except (ValueError, IndexError):
        raise TokenInvalid("This link is not valid.") from None
    if not hmac.compare_digest(mac, sign(keyring.get(key_id), "unsubscribe", payload)):
        raise TokenInvalid("This link is not valid.")
    return UnsubscribeClaim(payload[:SUBSCRIBER_ID_BYTES], list_id)


def sign_text(key: Key, purpose: str, text: str) -> str:
    """Return *text* as a URL-safe value that only this key makes, for one purpose; it can be read by anybody."""
    payload = text.encode()
    return "v1." + _b64(bytes([key.key_id]) + payload + sign(key, purpose, payload))


def read_signed_text(keyring: Keyring, purpose: str, value: str) -> str:
    """
    Verify a value of `sign_text` and return the text.

    Raises:
        TokenInvalid: For anything that this keyring did not sign for this purpose, without saying why.
    """
    try:
        if not value.startswith("v1."):
            raise ValueError
        raw = _unb64(value[3:])
        key_id, payload, mac = raw[0], raw[1:-MAC_BYTES], raw[-MAC_BYTES:]
        text = payload.decode()
    except (ValueError, IndexError):
        raise TokenInvalid("This link is not valid.") from None
    if not hmac.compare_digest(mac, sign(keyring.get(key_id), purpose, payload)):
        raise TokenInvalid("This link is not valid.")
    return text


def address_hash(pepper: bytes, address_key: str) -> bytes:
    """Return the keyed hash by which suppressions and erasures know a normalised address, 16 bytes."""
    return hmac.digest(pepper, address_key.encode(), hashlib.sha256)[:ADDRESS_HASH_BYTES]


def _pack(number: int) -> bytes:
    return number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big")


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if _b64(raw) != text:  # spare bits must be zero, so that one token has one spelling
        raise ValueError(text)
    return raw
