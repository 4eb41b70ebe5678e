"""
Many people taken off a list at once, with a statement or two a table: what a burst of one-click unsubscribes needs.

The ledger and the state beside it are those that `consent.withdraw` makes of each of them, one after the other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from sqlalchemy import Row, and_, insert, select, update
from sqlalchemy.orm import Session

from subscribers.never_mail.changes import living_tokens
from subscribers.tables import (
    Basis,
    ConsentAction,
    ConsentEvent,
    MailingList,
    Subscriber,
    Subscription,
    SubscriptionState,
)

_GONE = SubscriptionState.UNSUBSCRIBED
_Person = Row[int, bytes, SubscriptionState, Basis]


def withdraw_many(
    session: Session,
    list_id: int,
    token_ids: Iterable[bytes],
    *,
    source: str,
    actor: str,
    evidence: str,
    at: datetime,
) -> int:
    """
    Take people off one list; return how many left it now.

    A person or a list that is gone has nothing to withdraw, and whoever had left before stays as they are. Somebody
    who never was on the list is written down as unsubscribed from it, so that no import puts them there.

    Args:
        token_ids: Of the people, as links carry them; one may stand there twice.
    """
    if session.scalar(select(MailingList.id).where(MailingList.id == list_id)) is None:
        return 0
    leaving = [person for person in _people(session, list_id, token_ids) if person.state != _GONE]
    if not leaving:
        return 0
    session.execute(
        insert(ConsentEvent),
        [
            {
                "subscriber_id": person.id,
                "address_hash": person.address_hash,
                "list_id": list_id,
                "action": ConsentAction.WITHDRAWN,
                "basis": person.basis or Basis.CONSENT,
                "at": at,
                "source": source[:200],
                "actor": actor[:200],
                "evidence": evidence,
            }
            for person in leaving
        ],
    )
    _settle(session, list_id, leaving, at)
    return len(leaving)


def _people(session: Session, list_id: int, token_ids: Iterable[bytes]) -> Sequence[_Person]:
    """Return the people with what they are on the list; the link of a record that is gone means whom it lives on in."""
    tokens = set(token_ids)
    found = list(_locked(session, list_id, tokens))
    if len(found) < len(tokens) and (lives := set(living_tokens(session, tokens).values()) - tokens):
        found += _locked(session, list_id, lives)
    return found


def _locked(session: Session, list_id: int, token_ids: Collection[bytes]) -> Sequence[_Person]:
    """Return people whom nobody else may change until the transaction ends."""
    here = and_(Subscription.subscriber_id == Subscriber.id, Subscription.list_id == list_id)
    return session.execute(
        select(Subscriber.id, Subscriber.address_hash, Subscription.state, Subscription.basis)
        .outerjoin(Subscription, here)
        .where(Subscriber.token_id.in_(list(token_ids)))
        .order_by(Subscriber.id)
        .with_for_update(key_share=True, of=Subscriber)
    ).all()


def _settle(session: Session, list_id: int, leaving: Sequence[_Person], at: datetime) -> None:
    """Bring the stored state to what the replay of the ledger is after a withdrawal."""
    known = [person.id for person in leaving if person.state is not None]
    never = [person.id for person in leaving if person.state is None]
    if known:
        session.execute(
            update(Subscription)
            .where(Subscription.list_id == list_id, Subscription.subscriber_id.in_(known))
            .values(state=_GONE, since=at),
            execution_options={"synchronize_session": False},
        )
    if never:
        row = {"list_id": list_id, "state": _GONE, "basis": Basis.CONSENT, "since": at}
        session.execute(insert(Subscription), [{**row, "subscriber_id": number} for number in never])
