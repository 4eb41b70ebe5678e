"""One subscriber's copy: composed from the frozen variant and row, looked at by the gate, ready for the wire."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter.config import Config
from newsletter.errors import InvalidValue
from newsletter.keys import Keys
from newsletter.render.links import preferences_url, unsubscribe_url
from newsletter.render.message import CompiledMessage, compile_message
from newsletter.render.personal import PersonalValues
from newsletter.send.claims import Claimed
from newsletter.send.envelope import fixed_sender, marked_sender
from newsletter.send.gate import check_message, stuffed
from newsletter.send.plan import stored_headers, stored_rendering
from newsletter.tables import Variant
from subscribers.tokens import Key, unsubscribe_token

_ADDRESS = re.compile(r"[!#-;=?-\[\]-~]+@[A-Za-z0-9.-]+")


@dataclass(slots=True)
class Copy:
    """
    What goes over the wire for one delivery. `body` is dot-stuffed and ends in CRLF; the final dot is not in it.

    Attributes:
        not_before: Seconds since the epoch, from the account's rate; 0 for at once.
    """

    row: Claimed
    mail: bytes
    rcpt: bytes
    body: bytes
    not_before: float = 0.0


class CopyMaker:
    """Compile each variant once; then make copies."""

    def __init__(self, config: Config, keys: Keys, variants: dict[int, tuple[CompiledMessage, Key]]) -> None:
        self._mark_key, self._variants, self._bounce_domain = keys.marks.current, variants, config.bounce_domain
        # Where a relay rewrites the envelope, a mark in it would be lost anyway.
        self._fixed_sender = fixed_sender(config) if config.bounces.envelope == "fixed" else None
        self._web_url = config.web.url.rstrip("/")

    @classmethod
    def load(cls, session: Session, issue_id: int, config: Config, keys: Keys) -> CopyMaker:
        """Read an issue's variants; the links of each are signed by the key that was current when it was planned."""
        rows = session.scalars(select(Variant).where(Variant.issue_id == issue_id)).all()
        variants = {
            row.id: (
                compile_message(stored_rendering(row), stored_headers(row)),
                keys.links.get(row.headers["links_key_id"]),
            )
            for row in rows
        }
        return cls(config, keys, variants)

    def make(self, row: Claimed, not_before: float = 0.0) -> Copy:
        """
        Compose one copy and let it through the gate; the same row gives the same bytes in every attempt.

        Raises:
            NewsletterError: When a value cannot stand where it belongs, or the gate refuses the bytes.
        """
        compiled, key = self._variants[row.variant_id]
        token = unsubscribe_token(key, row.token_id, row.list_id)
        values = PersonalValues(
            address=row.address,
            first_name=row.slots.get("first_name", ""),
            name=row.slots.get("name", ""),
            unsubscribe_url=unsubscribe_url(self._web_url, token),
            preferences_url=preferences_url(self._web_url, token),
            date=row.date,
            message_id=row.message_id,
        )
        message = compiled.compose(values)
        check_message(message, recipient=row.address)
        sender = self._fixed_sender or marked_sender(self._mark_key, row.id, self._bounce_domain)
        return Copy(row, *envelope_commands(sender, row.address), stuffed(message), not_before)


def envelope_commands(sender: str, recipient: str) -> tuple[bytes, bytes]:
    """
    Return MAIL and RCPT.

    Raises:
        InvalidValue: When an address holds what could begin another command.
    """
    if not (_ADDRESS.fullmatch(sender) and _ADDRESS.fullmatch(recipient)):
        raise InvalidValue("An address of this copy cannot stand in an SMTP command: it is not plain ASCII.")
    return f"MAIL FROM:<{sender}>\r\n".encode("ascii"), f"RCPT TO:<{recipient}>\r\n".encode("ascii")
