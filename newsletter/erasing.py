"""
Erase somebody, whoever asks for it: an operator's command or the person's own button; both reach the same things.

Only the keyed hash stays, so that nothing brings the person back. What backups hold goes when they are deleted.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from newsletter.app import App
from newsletter.send.ended_records import forget_address, forget_replies, stop_deliveries
from newsletter.send.notice_rows import cancel
from newsletter.tables import Notice
from subscribers import leaving, people
from subscribers.tables import Subscriber

REASON = "erased"


def erase_address(app: App, address: str, *, evidence: str) -> int:
    """
    Erase whoever has an address, in a transaction of its own; return as `erase_person`.

    Raises:
        NotFound: When nobody has this address.
    """
    with app.database.write() as session:
        return erase_person(session, people.find(session, address), evidence=evidence, at=app.now())


def erase_person(session: Session, person: Subscriber, *, evidence: str, at: datetime) -> int:
    """
    Erase a person at their request; return how many copies of issues do not say any more whose they were.

    Args:
        evidence: How they asked; without name or address, for it stays.
    """
    stop_deliveries(session, person.id, reason=REASON, at=at)
    forget_replies(session, person, at=at)
    copies = forget_address(session, person.id)
    cancel(session, Notice.address_hash == person.address_hash, reason=REASON, now=at)
    leaving.erase(session, person, evidence=evidence, at=at)
    return copies
