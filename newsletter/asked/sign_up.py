"""
Answers a sign-up: nothing is written to the ledger, nobody is on a list, before the link of the mail was confirmed.

What is refused is refused in silence. Everything that is known of the address is looked up here, never by the site.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter.asked import limits
from newsletter.asked.deciding import SILENCE, Reply, decide, is_role, is_timely
from newsletter.asked.form_ticket import FormTicket, unseal
from newsletter.asked.requests import Asked
from newsletter.keys import load_keys
from newsletter.render.environment import make_environment
from newsletter.render.links import confirmation_url, requests_url
from newsletter.render.notice import NoticeText, render_notice
from newsletter.send.envelope import addresses_of_ours, discreet_address
from newsletter.send.notices import post
from newsletter.send.report import Parts
from newsletter.tables import NoticeKind
from subscribers import one_time, signing_up
from subscribers.addresses import Address, parse_address
from subscribers.errors import InvalidValue
from subscribers.tables import MailingList

PURPOSE = "sign-up"
BY_PROGRAM = "program"  # a field that no form sets: the interface has counted the request by its token already
CONFIRM_WITHIN = timedelta(days=7)


def answer(app: Parts, session: Session, asked: Asked) -> None:
    """Answer one sign-up, in the transaction that marks it done."""
    ticket, address = _ticket(app, asked), _address(app, asked)
    if ticket is None or address is None or not _may_ask(app, session, asked, ticket):
        return
    now = app.now()
    offered = _offered(session, ticket, asked)
    known = signing_up.standing(session, address, pepper=app.keys.pepper, now=now)
    decision = decide({one.id for one in offered}, known, now)
    if decision == SILENCE or not _may_mail(app, session, address, now):
        return
    chosen = [one for one in offered if one.id in decision.list_ids]
    if decision.reply is Reply.ALREADY:
        _tell_already(app, session, address, ticket)
    else:
        _ask_to_confirm(app, session, asked, address, ticket, chosen, discreet=known.discreet)


def _ticket(app: Parts, asked: Asked) -> FormTicket | None:
    """Return what the form carried; None when it is not ours, was filled in by a machine, or too soon or too late."""
    if asked.fields.get("trap"):
        return None
    settings = app.config.signup
    form = asked.text("form")
    # The site signs with a new key as soon as there is one; this process may have read the keys before.
    ticket = unseal(app.keys.links, form) or unseal(load_keys(app.workspace.secrets).links, form)
    shortest, longest = timedelta(seconds=settings.min_fill_seconds), timedelta(hours=settings.form_hours)
    if ticket is None or not is_timely(ticket, asked.at, shortest=shortest, longest=longest):
        return None
    return ticket


def _address(app: Parts, asked: Asked) -> Address | None:
    """Return the address that was typed; None when it cannot be mailed, is of a role, or is one of our own."""
    try:
        address = parse_address(asked.text("email"))
    except InvalidValue:
        return None
    organisation = app.config.organisation
    own = (organisation.from_address, organisation.reply_to, discreet_address(app.config))
    ours = {*map(str.lower, own), *addresses_of_ours(app.config)}
    if not address.ascii_local or is_role(address) or address.key in ours:
        return None
    return address


def _may_ask(app: Parts, session: Session, asked: Asked, ticket: FormTicket) -> bool:
    settings, now = app.config.signup, app.now()
    if asked.text(BY_PROGRAM):
        return True
    if not limits.may_ask(session, asked.network, settings.per_hour_per_network, now):
        return False
    if ticket.embedded:
        return limits.may_ask_embedded(session, settings.per_hour_embedded, now)
    until = ticket.made_at + timedelta(hours=settings.form_hours)
    return not ticket.number or limits.may_send_form(session, ticket.number, until)


def _may_mail(app: Parts, session: Session, address: Address, now: datetime) -> bool:
    settings = app.config.signup
    if not limits.may_mail(session, address.domain, settings.per_hour_per_domain, now):
        return False
    pause = timedelta(minutes=settings.breaker_minutes)
    return limits.may_mail_anybody(session, settings.per_hour, pause, now)


def _offered(session: Session, ticket: FormTicket, asked: Asked) -> list[MailingList]:
    """Return the lists that were ticked, as far as the form offered them and they are offered still."""
    ticked = asked.fields.get("lists")
    names = {name for name in ticked if isinstance(name, str)} if isinstance(ticked, list) else set()
    statement = select(MailingList).where(
        MailingList.name.in_(names & set(ticket.offered)), MailingList.open, MailingList.archived_at.is_(None)
    )
    return list(session.scalars(statement.order_by(MailingList.title, MailingList.id)))


def _ask_to_confirm(
    app: Parts,
    session: Session,
    asked: Asked,
    address: Address,
    ticket: FormTicket,
    chosen: list[MailingList],
    *,
    discreet: bool,
) -> None:
    """Mail the link; to somebody who asked for discreet mail it names neither the lists nor who writes."""
    now = app.now()
    until = now + CONFIRM_WITHIN
    row = signing_up.note_mailed(session, address, pepper=app.keys.pepper, now=now, until=until)
    payload = {
        "sign_up": row.id,
        "wordings": {str(one.id): ticket.wording(one.name) for one in chosen},
        "source": f"sign-up form on {ticket.page}",
        "asked": _evidence(asked, ticket),
        "asked_at": asked.at.isoformat(),
        "mailed_at": now.isoformat(),
        "language": ticket.language,
    }
    token = one_time.mint(session, PURPOSE, now=now, lifetime=CONFIRM_WITHIN, payload=payload)
    text = _text(
        app,
        "confirmation",
        ticket.language,
        discreet=discreet,
        lists=[] if discreet else [ticket.offered[one.name] for one in chosen],
        link=confirmation_url(app.config.web.url, token),
        until=until.astimezone(app.config.organisation.zone).date(),
    )
    post(app, session, text, kind=NoticeKind.CONFIRMATION, to=address.address)


def _tell_already(app: Parts, session: Session, address: Address, ticket: FormTicket) -> None:
    signing_up.note_told(session, address, pepper=app.keys.pepper, now=app.now())
    text = _text(app, "already-subscribed", ticket.language)
    post(app, session, text, kind=NoticeKind.CONFIRMATION, to=address.address)


def _text(app: Parts, name: str, language: str, *, discreet: bool = False, **values: object) -> NoticeText:
    organisation = app.config.organisation
    contact = organisation.reply_to or organisation.from_address
    if discreet:
        contact = app.config.discreet.reply_to or discreet_address(app.config)
    return render_notice(
        make_environment(app.template_folders),
        name,
        language=language,
        organisation=organisation.name,
        postal_address=organisation.postal_address,
        contact=contact,
        privacy_url=organisation.privacy_url,
        requests_url=requests_url(app.config.web.url),
        **values,
    )


def _evidence(asked: Asked, ticket: FormTicket) -> str:
    """Return what the ledger keeps of the form; the sender's network is not in it."""
    shown = "embedded form made" if ticket.embedded else "form shown"
    origin = asked.text("origin")
    return (
        f"form {ticket.version} in {ticket.language}, {shown} {ticket.made_at:%Y-%m-%d %H:%M:%S} UTC, "
        f"sent {asked.at:%Y-%m-%d %H:%M:%S} UTC, request {asked.id}" + (f", from {origin}" if origin else "")
    )
