"""
Write a notice and put it into the outbox, in one call and in the caller's transaction.

`finished` is the one place that the bytes of every notice and test copy pass before they are stored: what happens to
them there is in every attempt.
"""

from __future__ import annotations

import secrets
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter.config.settings import Config
from newsletter.dkim_keys import DkimKeyUnusable
from newsletter.render.discreet import discreet_notice
from newsletter.render.environment import make_environment
from newsletter.render.notice import NoticeHeaders, NoticeText, compose_notice
from newsletter.send.envelope import discreet_address
from newsletter.send.outbox import enqueue
from newsletter.send.report import Parts
from newsletter.send.signing import sign_message
from newsletter.tables import Notice, NoticeKind
from subscribers.addresses import parse_address
from subscribers.tables import Subscriber
from subscribers.tokens import address_hash

TO_READERS = (NoticeKind.CONFIRMATION, NoticeKind.LINK)


def post(
    app: Parts,
    session: Session,
    text: NoticeText,
    *,
    kind: NoticeKind,
    to: str,
    reply_to: str = "",
    dedupe: str | None = None,
    expires_at: datetime | None = None,
) -> Notice | None:
    """
    Compose a notice from the organisation to one person and enqueue it.

    To somebody who chose discreet mail it goes under a neutral name and subject, and begins neutrally.

    Args:
        reply_to: Where an answer goes; empty: where answers to issues go.
        dedupe: As `enqueue` takes it.

    Returns:
        The notice, or None when its suppression rule or its dedupe says no.

    Raises:
        InvalidValue: When a value cannot stand in a header, or *to* cannot be mailed.
        DkimKeyUnusable: When it should be signed and there is no key for that; an alert goes unsigned instead.
    """
    mark = new_message_id(app.config, kind.value)
    discreet = kind in TO_READERS and _is_discreet(app, session, to)
    if discreet:
        language = text.language or app.config.organisation.language
        text = discreet_notice(text, make_environment(app.template_folders), language, app.config.discreet.subject)
    message = written(
        app, text, to=to, message_id=mark, reply_to=reply_to, alert=kind is NoticeKind.ALERT, discreet=discreet
    )
    return enqueue(
        session,
        kind=kind,
        to=to,
        subject=text.subject,
        message=message,
        message_id=mark,
        now=app.now(),
        pepper=app.keys.pepper,
        dedupe=dedupe,
        expires_at=expires_at,
    )


def written(
    app: Parts,
    text: NoticeText,
    *,
    to: str,
    message_id: str,
    reply_to: str = "",
    alert: bool = False,
    discreet: bool = False,
) -> bytes:
    """
    Return the finished bytes of a notice from the organisation.

    Args:
        alert: It goes unsigned rather than not at all.
        discreet: Its header tells nothing of who writes.
    """
    organisation, neutral = app.config.organisation, app.config.discreet
    headers = NoticeHeaders(
        from_name=neutral.from_name if discreet else organisation.from_name or organisation.name,
        from_address=discreet_address(app.config) if discreet else organisation.from_address,
        to=parse_address(to).address,
        reply_to=neutral.reply_to if discreet else reply_to or organisation.reply_to,
        message_id=message_id,
        date=app.now().replace(microsecond=0),
        language=text.language or organisation.language,
    )
    message = compose_notice(text, headers)
    try:
        return finished(app, message)
    except DkimKeyUnusable:
        if not alert:
            raise
        return message


def _is_discreet(app: Parts, session: Session, to: str) -> bool:
    digest = address_hash(app.keys.pepper, parse_address(to).key)
    return bool(session.scalar(select(Subscriber.discreet).where(Subscriber.address_hash == digest)))


def finished(app: Parts, message: bytes) -> bytes:
    """
    Return the bytes as every attempt sends them: signed, where mail is signed by us and not by the relay.

    Raises:
        DkimKeyUnusable: When there is no key for that.
    """
    return sign_message(app.config, app.keys, message, app.now())


def new_message_id(config: Config, word: str) -> str:
    """Return a Message-ID that nobody can guess; *word* tells people what it belongs to."""
    return f"{word}.{secrets.token_hex(12)}@{config.bounce_domain}"
