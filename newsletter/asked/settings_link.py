"""
The answer to somebody who asks for the link to their settings: a fresh one, mailed to the address on record.

An address that is not known gets nothing, and neither does one that asks too often: then silence is the answer, which
whoever asked cannot tell from a mail on its way.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from newsletter.asked.requests import Asked
from newsletter.render.environment import make_environment
from newsletter.render.links import settings_url
from newsletter.render.notice import NoticeText, render_notice
from newsletter.send.notices import post
from newsletter.send.report import Parts
from newsletter.tables import Notice, NoticeKind
from subscribers import one_time, people
from subscribers.addresses import parse_address
from subscribers.errors import InvalidValue
from subscribers.tables import Subscriber

LINK = "settings-link"
LINK_FOR = timedelta(minutes=60)
LIMITS = ((timedelta(minutes=10), 1), (timedelta(days=1), 5))  # to one address: in so long, so many


def answer_link(app: Parts, session: Session, asked: Asked) -> None:
    """Mail a link to whom a request means, unless nobody is meant, or they had links enough."""
    person = _whom(session, asked)
    if person is None or _had_enough(session, person, app.now()):
        return
    with session.begin_nested() as attempt:
        token = one_time.mint(session, LINK, now=app.now(), lifetime=LINK_FOR, subscriber_id=person.id)
        posted = post(
            app,
            session,
            _text(app, person, token),
            kind=NoticeKind.LINK,
            to=person.address,
            expires_at=app.now() + LINK_FOR,
        )
        if posted is None:  # a suppression says no: then there is no link either
            attempt.rollback()


def _whom(session: Session, asked: Asked) -> Subscriber | None:
    """Return whom a request means, by the token of a mail or by an address as it was typed, if mail can reach them."""
    try:
        if number := asked.text("person"):
            found = people.by_token(session, bytes.fromhex(number))
        else:
            found = people.find_or_none(session, asked.text("address"))
    except (ValueError, InvalidValue):
        return None
    return found if found is not None and parse_address(found.address).ascii_local else None


def _had_enough(session: Session, person: Subscriber, now: datetime) -> bool:
    for span, most in LIMITS:
        had = select(func.count()).where(
            Notice.kind == NoticeKind.LINK,
            Notice.address_hash == person.address_hash,
            Notice.created_at > now - span,
        )
        if (session.scalar(had) or 0) >= most:
            return True
    return False


def _text(app: Parts, person: Subscriber, token: str) -> NoticeText:
    organisation = app.config.organisation
    return render_notice(
        make_environment(app.template_folders),
        "settings-link",
        language=person.language or organisation.language,
        url=settings_url(app.config.web.url, token),
        organisation="" if person.discreet else organisation.name,
    )
