"""
Erase somebody, whoever asks for it: an operator's command or the person's own button; both reach the same things.

Only the keyed hash stays, so that nothing brings the person back. What backups hold goes when they are deleted.
"""

from __future__ import annotations

from dataclasses import dataclass

from newsletter.app import App
from newsletter.send.ended_records import forget_address, forget_replies, stop_deliveries
from newsletter.send.notice_rows import cancel
from newsletter.tables import Notice
from subscribers import leaving, people

REASON = "erased"


@dataclass(frozen=True, slots=True)
class Erased:
    """What was erased: how many copies of issues do not say any more whose they were."""

    copies: int


def erase_person(app: App, address: str, *, evidence: str) -> Erased:
    """
    Erase a person at their request, in one transaction.

    Args:
        evidence: How they asked; without name or address, for it stays.

    Raises:
        NotFound: When nobody has this address.
    """
    at = app.now()
    with app.database.write() as session:
        person = people.find(session, address)
        stop_deliveries(session, person.id, reason=REASON, at=at)
        forget_replies(session, person, at=at)
        copies = forget_address(session, person.id)
        cancel(session, Notice.address_hash == person.address_hash, reason=REASON, now=at)
        leaving.erase(session, person, evidence=evidence, at=at)
    return Erased(copies)
