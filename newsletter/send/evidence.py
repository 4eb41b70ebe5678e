"""
What is learnt of a copy after its conversation has ended: a report that came back, a provider's event, a reply.

Evidence settles what was uncertain and corrects what the relay only took over; it never sets a copy going again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from newsletter.send.owner import changed
from newsletter.send.replies import LONGEST_TEXT
from newsletter.tables import Delivery
from newsletter.tables import DeliveryState as S


class Evidence(StrEnum):
    """
    What something that came back proves of a copy.

    ACCEPTED: a mail server had it (delayed, delivered or read report, a reply by its reader). RETURNED: it did not
    arrive and will not be tried any more.
    """

    ACCEPTED = "accepted"
    RETURNED = "returned"


# Why a copy is bounced that its mail server had taken: no refusal met in a session has this reason.
CAME_BACK = "a report came back"

# For each evidence: the state that it leads to, from which states, and why.
_EDGES = {
    Evidence.ACCEPTED: (S.SENT, (S.INTENT, S.UNCERTAIN), "a report shows that it was accepted"),
    Evidence.RETURNED: (S.BOUNCED, (S.INTENT, S.UNCERTAIN, S.SENT), CAME_BACK),
}


@dataclass(frozen=True, slots=True)
class MarkedDelivery:
    """
    The copy that a mark names, and whom it went to.

    Attributes:
        date: When its issue was frozen: the age of the mark is counted from here.
        address: As it was frozen; blank after an erasure.
    """

    id: int
    issue_id: int
    subscriber_id: int | None
    list_id: int
    address: str
    address_hash: bytes
    date: datetime
    state: S


def find_delivery(
    session: Session, *, delivery_id: int | None = None, message_id: str | None = None, remote_id: str | None = None
) -> MarkedDelivery | None:
    """
    Return the copy that a mark names; None when there is no such copy.

    Args:
        delivery_id: From a verified envelope sender.
        message_id: With or without its angle brackets. It cannot be guessed, so it is a mark as well.
        remote_id: What the provider calls the copy.
    """
    condition: ColumnElement[bool]
    if delivery_id is not None:
        condition = Delivery.id == delivery_id
    elif message_id is not None:
        condition = Delivery.message_id == message_id.strip().strip("<>")
    elif remote_id is not None:
        condition = Delivery.remote_id == remote_id
    else:
        return None
    row = session.scalar(select(Delivery).where(condition).limit(1))
    if row is None:
        return None
    return MarkedDelivery(
        row.id, row.issue_id, row.subscriber_id, row.list_id, row.address, row.address_hash, row.date, row.state
    )


def settle(
    session: Session, delivery_id: int, evidence: Evidence, *, at: datetime, status: str | None = None, text: str = ""
) -> S | None:
    """
    Let evidence change the state of a copy; return its new state, None when it changes nothing.

    A copy that waits to be sent, or has another end, stays as it is: evidence is of the past. An intent may be
    settled before its reply has come; the reply then finds the row settled.

    Args:
        status: Enhanced status code of the report.
        text: Its words, for people.
    """
    target, before, reason = _EDGES[evidence]
    wanted = update(Delivery).where(Delivery.id == delivery_id, Delivery.state.in_(before))
    values: dict[str, object] = {"state": target, "state_at": at, "reason": reason}
    if evidence is Evidence.RETURNED:
        values |= {"reply_status": (status or "")[:16] or None, "reply_text": text[:LONGEST_TEXT] or None}
    return target if changed(session, wanted.values(values)) else None
