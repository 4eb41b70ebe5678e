"""
An issue to look at: once it was planned, what was frozen and nobody's later template; before, what would go now.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from newsletter.app import App
from newsletter.dkim_keys import DkimKeyUnusable
from newsletter.preflight import RenderedVariant
from newsletter.publishing.prepare import Prepared, content_of, prepare
from newsletter.render.links import preferences_url, unsubscribe_url
from newsletter.render.message import compile_message
from newsletter.render.personal import PersonalValues
from newsletter.send.copies import FrozenVariant
from newsletter.send.plan import stored_headers, stored_rendering
from newsletter.tables import Delivery, Issue, Variant
from subscribers.tokens import unsubscribe_token


@dataclass(frozen=True, slots=True)
class Look:
    """The variants of an issue; `prepared` is null once they were planned, for then nothing is judged any more."""

    variants: tuple[RenderedVariant, ...]
    prepared: Prepared | None


def look_at(app: App, session: Session, issue: Issue) -> Look:
    """Return the variants that were planned, with the people of each; of an issue not planned yet, those of now."""
    if issue.planned_at is None:
        prepared = prepare(app, session, issue)
        return Look(prepared.variants, prepared)
    counted = (
        select(Delivery.variant_id, func.count()).where(Delivery.issue_id == issue.id).group_by(Delivery.variant_id)
    )
    people = {row[0]: row[1] for row in session.execute(counted)}
    content = content_of(app, session, issue)
    rows = _variants(session, issue)
    return Look(tuple(RenderedVariant(r.number, content, stored_rendering(r), people.get(r.id, 0)) for r in rows), None)


def planned_message(app: App, session: Session, issue: Issue) -> bytes | None:
    """
    Return the whole message of the first person of variant 1, as it was planned; null when nobody is left.

    It is to be looked at, and nothing is sent: a key that is no longer there leaves the signatures out.
    """
    variant = _variants(session, issue)[0]
    statement = select(Delivery).where(Delivery.variant_id == variant.id, Delivery.address != "")
    row = session.scalars(statement.order_by(Delivery.id).limit(1)).first()
    if row is None:
        return None
    key = app.keys.links.get(variant.headers["links_key_id"])
    token = unsubscribe_token(key, row.token_id, row.list_id)
    web_url = app.config.web.url.rstrip("/")
    values = PersonalValues(
        address=row.address,
        first_name=row.slots.get("first_name", ""),
        name=row.slots.get("name", ""),
        unsubscribe_url=unsubscribe_url(web_url, token),
        preferences_url=preferences_url(web_url, token),
        date=row.date,
        message_id=row.message_id,
    )
    try:
        return FrozenVariant.load(variant, app.keys).compose(values)
    except DkimKeyUnusable:
        return compile_message(stored_rendering(variant), stored_headers(variant)).compose(values)


def _variants(session: Session, issue: Issue) -> list[Variant]:
    statement = select(Variant).where(Variant.issue_id == issue.id).order_by(Variant.number)
    return list(session.scalars(statement))
