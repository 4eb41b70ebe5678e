"""
Putting somebody on a list directly, with basis and evidence; a suppression always stands in the way.

Whether somebody who left may come back is for the caller to say: a person at a command line may hear their wish, a
program may not.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from sqlalchemy.orm import Session

from subscribers import consent, suppression
from subscribers.errors import Conflict
from subscribers.tables import Basis, MailingList, Subscriber, Subscription, SubscriptionState, Suppression


class NotToBeMailed(Conflict):
    """A suppression of the person or the domain covers this list."""

    def __init__(self, address: str, entry: Suppression) -> None:
        super().__init__(
            f"{address} is not to be mailed: {entry.reason}, since {entry.since:%Y-%m-%d}.",
            hint="If they asked to come back: newsletter suppressions lift ADDRESS --reason TEXT, then again.",
        )
        self.entry = entry


class HasLeft(Conflict):
    """The person left this list."""

    def __init__(self, address: str, list_name: str, since: datetime) -> None:
        super().__init__(f"{address} left {list_name} on {since:%Y-%m-%d}.")


def standing_against(
    session: Session, *, address_hash: bytes, domain: str, list_ids: Sequence[int], now: datetime
) -> Suppression | None:
    """Return an entry that forbids to mail somebody for any of these lists; None when nothing does."""
    for entry in suppression.of_address(session, address_hash=address_hash, domain=domain, now=now):
        if entry.list_id is None or entry.list_id in list_ids:
            return entry
    return None


def join(
    session: Session,
    person: Subscriber,
    mailing_list: MailingList,
    *,
    basis: Basis,
    evidence: str,
    source: str,
    actor: str,
    at: datetime,
    charity_number: str = "",
    collected_on: date | None = None,
    also_who_left: bool = False,
) -> None:
    """
    Put a person on a list and write down why.

    Args:
        also_who_left: Whoever left the list comes back by it.

    Raises:
        InvalidValue: When the basis is not shown.
        NotToBeMailed: When a suppression stands.
        HasLeft: When they left, unless *also_who_left*.
    """
    consent.check_basis(basis, evidence=evidence, charity_number=charity_number, collected_on=collected_on)
    held = standing_against(
        session, address_hash=person.address_hash, domain=person.domain, list_ids=[mailing_list.id], now=at
    )
    if held is not None:
        raise NotToBeMailed(person.address, held)
    present = session.get(Subscription, (person.id, mailing_list.id))
    if present is not None and present.state is SubscriptionState.UNSUBSCRIBED and not also_who_left:
        raise HasLeft(person.address, mailing_list.name, present.since)
    given = f" (given on {collected_on:%Y-%m-%d})" if collected_on else ""
    consent.grant(
        session,
        person,
        mailing_list,
        basis=basis,
        source=source,
        actor=actor,
        evidence=f"{evidence}{given}",
        at=at,
    )
