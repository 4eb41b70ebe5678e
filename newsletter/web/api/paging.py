"""
Pages by cursor: the id after which the next page begins, signed for one token and one question.

Rows that come or go meanwhile neither repeat nor hide another: a page never counts from the beginning.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from newsletter.web.api.problems import Problem
from subscribers.errors import TokenInvalid
from subscribers.tokens import MAC_BYTES, Keyring, sign

PURPOSE = "api-cursor"
ID_BYTES = 8
CURSOR_CHARACTERS = 36  # of base64: the number of the key, the id, the signature, two bytes to spare


@dataclass(frozen=True, slots=True)
class Question:
    """
    What is asked, without its page: a cursor of one question is none of another.

    Attributes:
        address: Of the resource, as others reach it.
        filters: Those that were given.
    """

    address: str
    filters: Mapping[str, Any]
    limit: int
    token_id: int
    keys: Keyring

    def _payload(self, last_id: int) -> bytes:
        asked = json.dumps([self.address, sorted(self.filters.items()), self.token_id]).encode()
        return last_id.to_bytes(ID_BYTES, "big") + hashlib.sha256(asked).digest()

    def cursor(self, last_id: int) -> str:
        key = self.keys.current
        mac = sign(key, PURPOSE, self._payload(last_id))
        raw = bytes([key.key_id]) + last_id.to_bytes(ID_BYTES, "big") + mac
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    def after(self, cursor: str | None) -> int | None:
        """
        Return the id that a cursor names.

        Raises:
            Problem: When we did not make it, for this token and question.
        """
        if cursor is None:
            return None
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            key_id, last, mac = raw[0], raw[1 : 1 + ID_BYTES], raw[1 + ID_BYTES :]
            if len(mac) != MAC_BYTES:
                raise ValueError
            last_id = int.from_bytes(last, "big")
            expected = sign(self.keys.get(key_id), PURPOSE, self._payload(last_id))
            if not hmac.compare_digest(mac, expected):
                raise ValueError
        except (ValueError, IndexError, TokenInvalid):
            raise Problem("cursor", "Follow the link of the page before, or begin without a cursor.") from None
        return last_id

    def link(self, last_id: int) -> str:
        """Return the `Link` header that leads to the next page (RFC 8288)."""
        asked = {**self.filters, "limit": self.limit, "cursor": self.cursor(last_id)}
        return f'<{self.address}?{urlencode(asked, doseq=True)}>; rel="next"'
