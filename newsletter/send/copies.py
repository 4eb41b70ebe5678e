"""One subscriber's copy: composed from the frozen variant and row, looked at by the gate, ready for the wire."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
from newsletter.send.plan import stored_headers, stored_rendering, stored_signing
from newsletter.tables import Variant
from subscribers.tokens import Key, unsubscribe_token

if TYPE_CHECKING:  # what signs is loaded only where something is signed
    from newsletter.send.dkim import Signer

Deliver = Callable[[Sequence[Claimed], Sequence[float]], None]
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


@dataclass(frozen=True, slots=True)
class FrozenVariant:
    """
    A variant as it was planned, and the keys that its copies are made by.

    Attributes:
        signer: Null when copies are not signed.
        body_is_relaxed: That the signer need not look for white space that DKIM leaves out.
    """

    compiled: CompiledMessage
    links_key: Key
    signer: Signer | None = None
    signed_at: int = 0
    body_is_relaxed: bool = False

    @classmethod
    def load(cls, row: Variant, keys: Keys) -> FrozenVariant:
        compiled = compile_message(stored_rendering(row), stored_headers(row))
        links_key, signing = keys.links.get(row.headers["links_key_id"]), stored_signing(row)
        if signing is None:
            return cls(compiled, links_key)
        return cls(compiled, links_key, signing.signer(keys.dkim), signing.signed_at, is_relaxed(compiled))

    @property
    def signatures(self) -> int:
        return 0 if self.signer is None else len(self.signer.keys)

    def compose(self, values: PersonalValues) -> bytes:
        """Return one member's whole message, with its signatures."""
        message = self.compiled.compose(values)
        if self.signer is None:
            return message
        return self.signer.sign(message, self.signed_at, body_is_relaxed=self.body_is_relaxed)


def is_relaxed(compiled: CompiledMessage) -> bool:
    """
    Return whether DKIM's relaxed form of each copy's body is the body itself.

    It is asked of what copies share; a personal value stands on lines of its own, and none of these has two spaces.
    """
    from newsletter.send.dkim import relaxed_body

    body = b"".join(compiled.segments).partition(b"\r\n\r\n")[2]
    return relaxed_body(body) == body


class CopyMaker:
    """Compile each variant once; then make copies."""

    def __init__(self, config: Config, keys: Keys, variants: dict[int, FrozenVariant]) -> None:
        self._mark_key, self._variants, self._bounce_domain = keys.marks.current, variants, config.bounce_domain
        # Where a relay rewrites the envelope, a mark in it would be lost anyway.
        self._fixed_sender = fixed_sender(config) if config.bounces.envelope == "fixed" else None
        self._web_url = config.web.url.rstrip("/")

    @classmethod
    def load(cls, session: Session, issue_id: int, config: Config, keys: Keys) -> CopyMaker:
        """
        Read an issue's variants; each is made by the keys that were current when it was planned.

        Raises:
            DkimKeyUnusable: When a key that its copies must be signed with is not there any more.
        """
        rows = session.scalars(select(Variant).where(Variant.issue_id == issue_id)).all()
        return cls(config, keys, {row.id: FrozenVariant.load(row, keys) for row in rows})

    @property
    def signs(self) -> bool:
        """Whether copies are signed, so that making one takes longer than sending it."""
        return any(variant.signer is not None for variant in self._variants.values())

    def make(self, row: Claimed, not_before: float = 0.0) -> Copy:
        """
        Compose one copy and let it through the gate; the same row gives the same bytes in every attempt.

        Raises:
            NewsletterError: When a value cannot stand where it belongs, or the gate refuses the bytes.
        """
        variant = self._variants[row.variant_id]
        token = unsubscribe_token(variant.links_key, row.token_id, row.list_id)
        values = PersonalValues(
            address=row.address,
            first_name=row.slots.get("first_name", ""),
            name=row.slots.get("name", ""),
            unsubscribe_url=unsubscribe_url(self._web_url, token),
            preferences_url=preferences_url(self._web_url, token),
            date=row.date,
            message_id=row.message_id,
        )
        message = variant.compose(values)
        check_message(message, recipient=row.address, signatures=variant.signatures)
        sender = self._fixed_sender or marked_sender(self._mark_key, row.id, self._bounce_domain)
        return Copy(row, *envelope_commands(sender, row.address), stuffed(message), not_before)

    def hand_in(self, rows: Sequence[Claimed], slots: Sequence[float], deliver: Deliver) -> None:
        """Tell of rows whose copies will be wanted; here none is made before it is asked for."""
        deliver(rows, slots)

    def keep(self, copy: Copy) -> None:
        """Take back a copy that was not begun; here it is made again, which gives the same."""


def envelope_commands(sender: str, recipient: str) -> tuple[bytes, bytes]:
    """
    Return MAIL and RCPT.

    Raises:
        InvalidValue: When an address holds what could begin another command.
    """
    if not (_ADDRESS.fullmatch(sender) and _ADDRESS.fullmatch(recipient)):
        raise InvalidValue("An address of this copy cannot stand in an SMTP command: it is not plain ASCII.")
    return f"MAIL FROM:<{sender}>\r\n".encode("ascii"), f"RCPT TO:<{recipient}>\r\n".encode("ascii")
