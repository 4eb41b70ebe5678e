"""
The link of a confirmation: looking at it changes nothing, its button writes to the ledger what was asked and confirmed.

What the lists were called and which words the person agreed to are those of the form that they filled in, not today's.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from newsletter.asked.sign_up import PURPOSE
from newsletter.send.report import Parts
from subscribers import one_time, signing_up
from subscribers.errors import Conflict, TokenInvalid
from subscribers.signing_up import Evidence
from subscribers.tables import OneTimeToken

DONE = "done"  # in the payload of a link that was used: what came of it


def look(session: Session, token: str, *, now: datetime) -> None:
    """
    Refuse a link that cannot be used now.

    Raises:
        TokenInvalid: The same for every cause.
    """
    _require_pending(session, one_time.look(session, PURPOSE, token, now=now), now)


def confirm(app: Parts, session: Session, token: str) -> bool:
    """
    Use the link; return False when only a person can put this address on a list.

    The second press of a double click changes nothing, and is told what the first one did.

    Raises:
        TokenInvalid: As `look`.
    """
    now = app.now()
    spent = one_time.spend(session, PURPOSE, token, now=now, again_within=one_time.PRESSED_AGAIN)
    if DONE in spent.payload:
        return bool(spent.payload[DONE])
    _require_pending(session, spent, now)
    payload = spent.payload
    evidence = Evidence(
        wordings={int(number): wording for number, wording in payload["wordings"].items()},
        source=payload["source"],
        asked=payload["asked"],
        asked_at=datetime.fromisoformat(payload["asked_at"]),
        confirmed=f"button on the page of the link that was mailed {_moment(payload['mailed_at'])}",
        language=_own_language(payload["language"], app.config.organisation.language),
    )
    done = True
    try:
        signing_up.confirm(session, payload["sign_up"], evidence.wordings, evidence, pepper=app.keys.pepper, now=now)
    except Conflict:
        done = False
    spent.payload = {**payload, DONE: done}
    return done


def _require_pending(session: Session, token: OneTimeToken, now: datetime) -> None:
    if signing_up.pending_address(session, token.payload["sign_up"], now=now) is None:
        raise TokenInvalid("This link is not valid.")


def _own_language(chosen: str, usual: str) -> str | None:
    """Return the language of the form where it is not what everybody gets anyway."""
    return chosen if chosen.partition("-")[0].lower() != usual.partition("-")[0].lower() else None


def _moment(stored: str) -> str:
    return f"{datetime.fromisoformat(stored):%Y-%m-%d %H:%M} UTC"
