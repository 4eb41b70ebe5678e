"""
What a sign-up form carries, signed: when and where it was shown, in which words, and which lists it offered. Pure.

So the ledger can keep what the person saw, although the form itself is remembered nowhere. Anybody can read it; only
this workspace can make one. A form that stands on another site was made once for all: it has no time that counts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from subscribers.errors import TokenInvalid
from subscribers.tokens import Keyring, read_signed_text, sign_text

PURPOSE = "sign-up form"
VERSION = "sign-up/1"
LONGEST = 8000


@dataclass(frozen=True, slots=True)
class FormTicket:
    """
    One form as it was shown.

    Attributes:
        made_at: When the page was asked for, or the form to embed was made; whole seconds.
        embedded: It stands on another site as it is.
        page: Where it stands.
        version: Of the form.
        language: That it was in.
        statement: The words of consent, as they stood beside the button.
        offered: What each list was called, by its name.
        number: Drawn by lot, so that no two forms are one; empty where the same form is sent by many.
    """

    made_at: datetime
    embedded: bool
    page: str
    version: str
    language: str
    statement: str
    offered: Mapping[str, str]
    number: str = ""

    def wording(self, name: str) -> str:
        """Return what somebody who ticked this list agreed to, as the ledger keeps it."""
        return f"{self.statement}\n{self.offered[name]}"


def seal(ring: Keyring, ticket: FormTicket) -> str:
    """Return what the form carries."""
    fields = [
        int(ticket.made_at.timestamp()),
        int(ticket.embedded),
        ticket.page,
        ticket.version,
        ticket.language,
        ticket.statement,
        dict(ticket.offered),
        *([ticket.number] if ticket.number else ()),
    ]
    return sign_text(ring.current, PURPOSE, json.dumps(fields, ensure_ascii=False, separators=(",", ":")))


def unseal(ring: Keyring, text: str) -> FormTicket | None:
    """Return what a form carried; None for anything that this workspace did not make."""
    if len(text) > LONGEST:
        return None
    try:
        made_at, embedded, *rest = json.loads(read_signed_text(ring, PURPOSE, text))
        return FormTicket(datetime.fromtimestamp(made_at, UTC), bool(embedded), *rest)
    except (TokenInvalid, ValueError, TypeError):
        return None
