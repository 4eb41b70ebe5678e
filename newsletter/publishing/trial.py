"""Copies to look at before anybody gets one: whose values they show, one member's whole message, tests by mail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import select, true
from sqlalchemy.orm import Session

from newsletter.app import App
from newsletter.compose.issue import content_hash, find
from newsletter.errors import NotFound
from newsletter.publishing.facts import signing_trouble
from newsletter.publishing.frozen import Look, planned_message
from newsletter.publishing.headers import message_headers
from newsletter.publishing.prepare import Prepared, discreet_form
from newsletter.render.links import preferences_url, unsubscribe_url
from newsletter.render.message import compile_message
from newsletter.render.personal import PersonalValues
from newsletter.send.plan_rows import message_id
from newsletter.send.signing import sign_message
from newsletter.send.trial import nobodys_values, send_test_copy
from newsletter.tables import Issue
from subscribers.addresses import parse_address
from subscribers.tables import Subscriber
from subscribers.tokens import unsubscribe_token


def sample_values(app: App) -> PersonalValues:
    """Return an invented reader, so that no real person's links lie about in files."""
    return replace(nobodys_values(app), address="alex@example.org", first_name="Alex", name="Alex Example")


def sample_message(app: App, session: Session, issue: Issue, look: Look, *, discreet: bool = False) -> bytes:
    """
    Return the whole message of the first member who gets variant 1; without an audience, of an invented one.

    Args:
        discreet: In the form for people who chose discreet mail, of an invented one.
    """
    if look.prepared is None and not discreet:
        planned = planned_message(app, session, issue)
        if planned is not None:
            return planned
    variant, person = look.variants[0], None
    if discreet:
        variant = discreet_form(app, variant)
    elif look.prepared is not None:
        person = _first_reader(app, session, issue, look.prepared)
    headers = message_headers(session, issue, app.config, discreet=variant.discreet)
    message = compile_message(variant.rendered, headers).compose(person or sample_values(app))
    if signing_trouble(app.config, app.keys, app.now()) is not None:  # preflight tells; this is only to be looked at
        return message
    return sign_message(app.config, app.keys, message, app.now())


def send_tests(
    app: App, slug: str, look: Look, *, number: int, addresses: Sequence[str], discreet: bool = False
) -> None:
    """
    Mail a marked copy of one variant to each address, and record that this content was tested.

    Args:
        discreet: In the form for people who chose discreet mail.

    Raises:
        NotFound: When there is no such variant.
        InvalidValue: When an address cannot be mailed; then nobody gets one.
        NotDelivered: When the mail server does not take one.
    """
    variant = next((each for each in look.variants if each.number == number), None)
    if variant is None:
        known = ", ".join(str(each.number) for each in look.variants)
        raise NotFound(f"variant of {slug}", str(number), hint=f"Known: {known}.")
    for address in addresses:
        parse_address(address)
    if discreet:
        variant = discreet_form(app, variant)
    with app.database.read() as session:
        headers = message_headers(session, find(session, slug), app.config, discreet=variant.discreet)
    for address in addresses:
        send_test_copy(app, variant.rendered, headers, to=address)
    if look.prepared is None:
        return
    with app.database.write() as session:
        issue = find(session, slug)
        if content_hash(issue, app.config) == look.prepared.content_hash:
            issue.tested_hash = look.prepared.content_hash


def _first_reader(app: App, session: Session, issue: Issue, prepared: Prepared) -> PersonalValues | None:
    if prepared.readers.chosen is None:
        return None
    chosen = prepared.readers.chosen.subquery()
    condition = prepared.readers.sets[0].condition
    statement = select(Subscriber, chosen.c.list_id).join(chosen, chosen.c.subscriber_id == Subscriber.id)
    wanted = statement.where(true() if condition is None else condition).order_by(Subscriber.id).limit(1)
    row = session.execute(wanted).first()
    if row is None:
        return None
    person, list_id = row
    token = unsubscribe_token(app.keys.links.current, person.token_id, list_id)
    web_url = app.config.web.url.rstrip("/")
    return PersonalValues(
        address=person.address,
        first_name=person.first_name or "",
        name=person.name or "",
        unsubscribe_url=unsubscribe_url(web_url, token),
        preferences_url=preferences_url(web_url, token),
        date=app.now().replace(microsecond=0),
        message_id=message_id(app.keys.message_ids, issue.id, person.id, app.config.bounce_domain),
    )
