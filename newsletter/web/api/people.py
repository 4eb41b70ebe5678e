"""
Who may be seen and found through a token: one for some lists knows only people of those lists, and only those lists.

A filter is never a way around that: what a segment says of other lists, or of copies, is refused.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, select, true
from sqlalchemy.orm import Session

from newsletter.api_tokens import Access, Scope
from newsletter.app import App
from newsletter.predicates import PREDICATES
from newsletter.web.api.problems import Problem, problem_not_found
from subscribers import exporting, segments
from subscribers.errors import NotFound
from subscribers.exporting import Person
from subscribers.segments.nodes import Belongs, Compare, Node, OneOf, walk
from subscribers.tables import MailingList, Subscriber, Subscription, SubscriptionState


def find_list(session: Session, access: Access, name: str, pointer: str) -> MailingList:
    """
    Return a list of those that exist for a token.

    Raises:
        Problem: When there is none; one that the token is not for is no different.
    """
    found = session.scalar(select(MailingList).where(MailingList.name == name))
    if found is None or not access.may_see_list(found.id):
        raise Problem("invalid", "There is no list of this name.", errors=[{"pointer": pointer, "detail": "unknown"}])
    return found


def find_open_list(session: Session, access: Access, name: str, pointer: str) -> MailingList:
    """
    Return a list that takes people.

    Raises:
        Problem: As `find_list`, and when it is archived.
    """
    found = find_list(session, access, name, pointer)
    if found.archived_at is not None:
        raise Problem("list-closed", "The list was archived.")
    return found


def find_person(session: Session, access: Access, subscriber_id: int, *, lock: bool = False) -> Subscriber:
    """
    Return somebody whom a token may know.

    Args:
        lock: Nobody else changes the row until the transaction ends: what is looked at holds when it is acted on.

    Raises:
        HTTPException: 404 when there is nobody; somebody of other lists only is no different.
    """
    statement = select(Subscriber).where(Subscriber.id == subscriber_id, visible(access))
    found = session.scalar(statement.with_for_update() if lock else statement)
    if found is None:
        raise problem_not_found()
    return found


def visible(access: Access) -> ColumnElement[bool]:
    """Return the condition that a token may know somebody: they are, or were, on a list that it is for."""
    if access.list_ids is None:
        return true()
    return Subscriber.id.in_(select(Subscription.subscriber_id).where(Subscription.list_id.in_(access.list_ids)))


def of_list(access: Access, list_id: int | None, state: str | None) -> tuple[ColumnElement[bool], str | None]:
    """
    Return the condition of a filter by state, and the state that is left to `exporting.select_people`.

    Without a named list, a state is looked for on those lists only that the token is for.
    """
    if access.list_ids is None or list_id is not None or state not in set(SubscriptionState):
        return visible(access), state
    on = select(Subscription.subscriber_id).where(
        Subscription.list_id.in_(access.list_ids), Subscription.state == SubscriptionState(state)
    )
    return Subscriber.id.in_(on), None


def in_segment(app: App, session: Session, access: Access, text: str) -> ColumnElement[bool]:
    """
    Return the condition of a segment, by name or expression.

    Raises:
        SegmentError: When it cannot be used.
        Problem: When there is none of this name, or it asks for what the token may not know.
    """
    try:
        node = segments.resolve(session, text)
    except NotFound:
        raise Problem("segment", "There is no segment of this name.") from None
    predicates = PREDICATES if access.list_ids is None and access.may(Scope.DELIVERIES_READ) else ()
    if access.list_ids is not None:
        rows = session.execute(select(MailingList.name).where(MailingList.id.in_(access.list_ids)))
        _refuse_other_lists(node, {name for (name,) in rows})
    return segments.condition(
        session, node, now=app.now(), timezone=app.config.organisation.timezone, predicates=predicates
    )


def _refuse_other_lists(root: Node, names: set[str]) -> None:
    for node, _ in walk(root):
        word = node.word if isinstance(node, Belongs) else getattr(node, "name", "")
        if word not in ("list", "consent"):
            continue
        named: set[Any] = set()
        if word == "list" and isinstance(node, Belongs):
            named = {node.argument}
        elif word == "list" and isinstance(node, Compare):
            named = {node.value}
        elif word == "list" and isinstance(node, OneOf):
            named = set(node.values)
        if not named or not named <= names:
            raise Problem("segment", "This token may ask for its own lists only, by their names.")


def shown(person: Person) -> dict[str, Any]:
    """Return a person as the interface gives them: the command line's keys, and those of its export."""
    return {
        **person.to_json(),
        "first_name": person.first_name,
        "language": person.language,
        "joined_at": person.joined_at,
    }


def shown_in_full(app: App, session: Session, access: Access, subscriber: Subscriber) -> dict[str, Any]:
    person = next(exporting.read_people(session, [subscriber.id], now=app.now(), list_ids=access.list_ids))
    statement = (
        select(MailingList.name, Subscription)
        .join(Subscription, Subscription.list_id == MailingList.id)
        .where(Subscription.subscriber_id == subscriber.id)
        .order_by(MailingList.name)
    )
    if access.list_ids is not None:
        statement = statement.where(and_(Subscription.list_id.in_(access.list_ids)))
    return {
        **shown(person),
        "subscriptions": [
            {"list": name, "state": one.state.value, "basis": one.basis.value, "since": one.since}
            for name, one in session.execute(statement)
        ],
    }
