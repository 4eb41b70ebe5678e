"""
Leaving a list by the link of a mail: what a request asks for, and the one write that does it.

Only a POST comes here. It is durable before it is answered, the same however often it is repeated, and done for good
also when the person, the list or the issue has been deleted since.

Source: RFC 8058 3.1 and 3.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from sqlalchemy.orm import Session

from subscribers import consent, people
from subscribers.tables import MailingList
from subscribers.tokens import ALL_LISTS, UnsubscribeClaim

ONE_CLICK_FIELD, ONE_CLICK_VALUE = "List-Unsubscribe", "One-Click"
ACTOR = "subscriber"


class Scope(StrEnum):
    """What is left: the list that the mail came by, or every list."""

    LIST = "list"
    ALL = "all"


class Way(StrEnum):
    """How it was asked: by the mail program's own button, or by the page's."""

    ONE_CLICK = "one-click unsubscribe (RFC 8058)"
    PAGE = "unsubscribe page"


def read_request(fields: Mapping[str, object]) -> tuple[Scope, Way] | None:
    """Return what the fields of a POST ask for; None when they ask for nothing we know, and nothing may change."""
    if str(fields.get(ONE_CLICK_FIELD, "")).strip().lower() == ONE_CLICK_VALUE.lower():
        return Scope.LIST, Way.ONE_CLICK
    asked = str(fields.get("scope", ""))
    return (Scope(asked), Way.PAGE) if asked in set(Scope) else None


def leave(session: Session, claim: UnsubscribeClaim, scope: Scope, way: Way, *, now: datetime) -> None:
    """Withdraw the consent that the token speaks for. Somebody or some list that is gone has nothing to withdraw."""
    subscriber = people.by_token(session, claim.subscriber_token_id)
    if subscriber is None:
        return
    everything = scope is Scope.ALL or claim.list_id == ALL_LISTS
    mailing_list = None if everything else session.get(MailingList, claim.list_id)
    if mailing_list is None and not everything:
        return
    consent.withdraw(
        session, subscriber, mailing_list, source=way.value, actor=ACTOR, evidence="link in a mail, POST", at=now
    )
