"""
What the writes on subscribers do, inside their transaction: ask, add, put on a list, change.

Asking looks nobody up: it is the same for known, unknown and suppressed people, in its answer and in its statements.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from sqlalchemy.orm import Session
from starlette.exceptions import HTTPException

from newsletter.api_tokens import Access, Scope
from newsletter.app import App
from newsletter.asked.form_ticket import LONGEST, VERSION, FormTicket, seal
from newsletter.asked.requests import write_down
from newsletter.asked.sign_up import BY_PROGRAM
from newsletter.tables import WebRequestKind
from newsletter.web.api.documents import AttributeInput, NewSubscriber, SubscriberChange
from newsletter.web.api.interface import SOURCE, Done
from newsletter.web.api.people import find_open_list
from newsletter.web.api.problems import Problem
from subscribers import attributes, joining, naming
from subscribers import people as records
from subscribers.addresses import parse_address
from subscribers.errors import SubscribersError
from subscribers.tables import AttributeKind, Basis, MailingList, Subscriber, Suppression
from subscribers.tokens import Keyring, address_hash


@dataclass(frozen=True, slots=True)
class Given:
    """The ground on which somebody is put on a list."""

    basis: str
    evidence: str
    collected_at: str | None


def check_question(body: NewSubscriber) -> None:
    """
    Refuse what nobody can be asked to confirm.

    Raises:
        Problem: Without the wording, or with what a confirmation does not cover.
        InvalidValue: When it is no address.
    """
    if body.wording is None:
        raise Problem("invalid", "Send the wording that the person agreed to; or basis and evidence.")
    if {"name", "first_name", "tags", "attributes", "collected_at"} & body.model_fields_set:
        raise Problem("invalid", "What is known of a person can be given only together with basis and evidence.")
    parse_address(body.address)


def ask(app: App, session: Session, access: Access, body: NewSubscriber, keys: Keyring) -> Done:
    """
    Leave it to the worker to ask them by mail, as it does for the form of the site: what they saw is sealed the same.

    Raises:
        Problem: For a list that is not offered, or more words than a request can carry.
        HTTPException: 503 while too many wait.
    """
    lists = [find_open_list(session, access, name, "#/lists") for name in dict.fromkeys(body.lists)]
    if not all(one.open for one in lists):
        raise Problem("list-closed", "People can be asked to confirm for a list that is offered on the site.")
    ticket = FormTicket(
        made_at=app.now(),
        embedded=True,
        page=f"the API, token {access.name}",
        version=VERSION,
        language=records.check_language(body.language) or app.config.organisation.language,
        statement=naming.clean_text(body.wording or ""),
        offered={one.name: one.title for one in lists},
    )
    form = seal(keys, ticket)
    if len(form) > LONGEST:
        raise Problem("invalid", "These are too many lists for one request.")
    fields = {"email": body.address.strip(), "lists": list(ticket.offered), "form": form, BY_PROGRAM: access.name}
    network = f"token:{access.token_id}"
    if not write_down(session, WebRequestKind.SIGN_UP, fields=fields, network=network, now=app.now()):
        raise HTTPException(503)
    return Done({"state": "asked"}, "asked somebody to confirm", 202)


def add(app: App, session: Session, access: Access, body: NewSubscriber) -> Done:
    """
    Make a record and put it on lists.

    Raises:
        Problem: When there is one already, or they are not to be mailed.
    """
    assert body.basis is not None
    assert body.evidence is not None
    given = Given(body.basis, body.evidence, body.collected_at)
    lists = [find_open_list(session, access, name, "#/lists") for name in dict.fromkeys(body.lists)]
    parsed = parse_address(body.address)
    known = records.find_or_none(session, body.address)
    if known is not None:
        shown = known.id if access.may(Scope.SUBSCRIBERS_READ) else None
        raise Problem("known", "Put them on a list by their id.", id=shown)
    held = joining.standing_against(
        session,
        address_hash=address_hash(app.keys.pepper, parsed.key),
        domain=parsed.domain,
        list_ids=[one.id for one in lists],
        now=app.now(),
    )
    if held is not None:
        raise _not_to_be_mailed(access, held)
    person = records.add(
        session,
        pepper=app.keys.pepper,
        address=body.address,
        name=body.name,
        first_name=body.first_name,
        language=body.language,
        at=app.now(),
    )
    for tag in body.tags:
        records.add_tag(session, person, tag, at=app.now())
    _store(app, session, person, body.attributes)
    for mailing_list in lists:
        put_on_list(app, session, access, person, mailing_list, given)
    names = sorted(one.name for one in lists)
    document = {"id": person.id, "address": person.address, "lists": names, "state": "subscribed"}
    return Done(document, f"added subscriber {person.id}", 201, subscriber_id=person.id)


def put_on_list(
    app: App, session: Session, access: Access, person: Subscriber, mailing_list: MailingList, given: Given
) -> None:
    """
    Subscribe somebody.

    Raises:
        Problem: When they are suppressed, or left this list.
        InvalidValue: When the basis is not shown.
    """
    try:
        joining.join(
            session,
            person,
            mailing_list,
            basis=Basis(given.basis),
            evidence=given.evidence,
            source=SOURCE,
            actor=access.name,
            at=app.now(),
            charity_number=app.config.organisation.charity_number,
            collected_on=date.fromisoformat(given.collected_at) if given.collected_at else None,
        )
    except joining.NotToBeMailed as error:
        raise _not_to_be_mailed(access, error.entry) from None
    except joining.HasLeft:
        raise Problem("unsubscribed", "They come back only by confirming it themselves.") from None


def _not_to_be_mailed(access: Access, entry: Suppression) -> Problem:
    if not access.may(Scope.SUPPRESSIONS_READ):
        return Problem("not-to-be-mailed")
    return Problem("not-to-be-mailed", reason=entry.reason, since=entry.since.isoformat())


def change(app: App, session: Session, person: Subscriber, body: SubscriberChange) -> None:
    """Change the fields that were sent; the others stay."""
    sent = body.model_fields_set
    if "name" in sent:
        person.name = naming.clean_person_name(body.name or "") or None
    if "first_name" in sent:
        person.first_name = records.clean_first_name(body.first_name or "")
    if "language" in sent:
        person.language = records.check_language(body.language)
    if "tags" in sent:
        wanted = {naming.clean_tag(tag) for tag in body.tags or ()}
        for tag in set(records.tags_of(session, person.id)) - wanted:
            records.remove_tag(session, person, tag, at=app.now())
        for tag in sorted(wanted):
            records.add_tag(session, person, tag, at=app.now())
    _store(app, session, person, body.attributes or {})
    if sent:
        records.touch(session, person, at=app.now())


def _store(app: App, session: Session, person: Subscriber, values: Mapping[str, AttributeInput]) -> None:
    """
    Store attributes.

    Raises:
        Problem: For one that is not declared, or a value that does not fit it.
    """
    if not values:
        return
    for rule in app.config.attributes:
        attributes.declare(session, rule.name, AttributeKind(rule.kind), rule.choices)
    known = attributes.definitions(session)
    for name, value in values.items():
        if name not in known:
            raise Problem(
                "invalid", "There is no such attribute.", errors=[{"pointer": "#/attributes", "detail": "unknown"}]
            )
        try:
            stored = attributes.read_plain(known[name], value)
        except SubscribersError:
            errors = [{"pointer": f"#/attributes/{name}", "detail": f"must be of the kind {known[name].kind.value}"}]
            raise Problem("invalid", "The value does not fit the attribute.", errors=errors) from None
        attributes.store(session, person, known[name], stored)
