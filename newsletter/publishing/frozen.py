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
from newsletter.send.claims import Claimed
from newsletter.send.copies import FrozenVariant
from newsletter.send.plan import stored_rendering
from newsletter.tables import Delivery, Issue, IssueTotals, Variant


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
    kept = session.get(IssueTotals, issue.id)
    if kept is not None:
        people = {int(number): count for number, count in kept.report["variants"].items()}
    content = content_of(app, session, issue)
    rows = _variants(session, issue)
    variants = (RenderedVariant(r.number, content, stored_rendering(r), people.get(r.id, 0), r.discreet) for r in rows)
    return Look(tuple(variants), None)


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
    claimed = Claimed(**{name: getattr(row, name) for name in Claimed._fields})
    try:
        return FrozenVariant.load(variant, app.config, app.keys).compose(claimed)
    except DkimKeyUnusable:
        return FrozenVariant.load(variant, app.config, app.keys, signed=False).compose(claimed)


def _variants(session: Session, issue: Issue) -> list[Variant]:
    statement = select(Variant).where(Variant.issue_id == issue.id).order_by(Variant.number)
    return list(session.scalars(statement))
