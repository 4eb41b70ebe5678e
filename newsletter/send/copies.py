"""One subscriber's copy: composed from the frozen variant and row, looked at by the gate, ready for the wire."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter.config.settings import Config
from newsletter.errors import InvalidValue
from newsletter.keys import Keys
from newsletter.render.links import preferences_url, unsubscribe_url
from newsletter.render.message import CompiledMessage, compile_message
from newsletter.render.personal import PersonalValues
from newsletter.send.claims import Claimed
from newsletter.send.envelope import fixed_sender
from newsletter.send.gate import check_message, stuffed
from newsletter.send.plan import stored_headers, stored_rendering, stored_signing
from newsletter.tables import Variant
from subscribers.bounces.provider_marks import mark_fields, written_mark
from subscribers.bounces.verp import marked_local_part
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
    A variant as it was planned, and all that its copies' bytes depend on beside the row.

    Attributes:
        hands_mark_back: A header holds the mark for a provider that hands it back.
        signer: Null when copies are not signed.
        body_is_relaxed: That the signer need not look for white space that DKIM leaves out.
    """

    compiled: CompiledMessage
    links_key: Key
    marks_key: Key
    web_url: str
    hands_mark_back: bool = False
    signer: Signer | None = None
    signed_at: int = 0
    body_is_relaxed: bool = False

    @classmethod
    def load(cls, row: Variant, config: Config, keys: Keys, *, signed: bool = True) -> FrozenVariant:
        """
        Read a variant; what an older version did not freeze yet is taken from today's configuration.

        Args:
            signed: False leaves the signatures out, for looking at a copy whose keys are gone.

        Raises:
            DkimKeyUnusable: When a key that its copies must be signed with is not there any more.
        """
        stored = row.headers
        fields = mark_fields(stored.get("providers", ()))
        compiled = compile_message(stored_rendering(row), stored_headers(row), fields)
        made = cls(
            compiled,
            keys.links.get(stored["links_key_id"]),
            keys.marks.get(stored["marks_key_id"]) if "marks_key_id" in stored else keys.marks.current,
            stored.get("web_url") or config.web.url.rstrip("/"),
            bool(fields),
        )
        signing = stored_signing(row) if signed else None
        if signing is None:
            return made
        signer = signing.signer(keys.dkim)
        return replace(made, signer=signer, signed_at=signing.signed_at, body_is_relaxed=is_relaxed(compiled))

    @property
    def signatures(self) -> int:
        return 0 if self.signer is None else len(self.signer.keys)

    def local_part(self, row: Claimed) -> str:
        """Return the envelope sender's local part that marks a copy."""
        return marked_local_part(self.marks_key, row.id)

    def compose(self, row: Claimed) -> bytes:
        """
        Return one member's whole message, with its signatures; the same row gives the same bytes in every attempt.

        Raises:
            InvalidValue: When a value cannot stand where it belongs.
        """
        token = unsubscribe_token(self.links_key, row.token_id, row.list_id)
        values = PersonalValues(
            address=row.address,
            first_name=row.slots.get("first_name", ""),
            name=row.slots.get("name", ""),
            unsubscribe_url=unsubscribe_url(self.web_url, token),
            preferences_url=preferences_url(self.web_url, token),
            date=row.date,
            message_id=row.message_id,
            mark=written_mark(self.local_part(row)) if self.hands_mark_back else "",
        )
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

    def __init__(self, config: Config, variants: dict[int, FrozenVariant]) -> None:
        self._variants, self._bounce_domain = variants, config.bounce_domain
        # Where a relay rewrites the envelope, a mark in it would be lost anyway.
        self._fixed_sender = fixed_sender(config) if config.bounces.envelope == "fixed" else None

    @classmethod
    def load(cls, session: Session, issue_id: int, config: Config, keys: Keys) -> CopyMaker:
        """
        Read an issue's variants; each is made by the keys that were current when it was planned.

        Raises:
            DkimKeyUnusable: When a key that its copies must be signed with is not there any more.
        """
        rows = session.scalars(select(Variant).where(Variant.issue_id == issue_id)).all()
        return cls(config, {row.id: FrozenVariant.load(row, config, keys) for row in rows})

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
        message = variant.compose(row)
        if check_message(message, recipient=row.address, signatures=variant.signatures):
            message = stuffed(message)
        sender = self._fixed_sender or f"{variant.local_part(row)}@{self._bounce_domain}"
        return Copy(row, *envelope_commands(sender, row.address), message, not_before)

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
