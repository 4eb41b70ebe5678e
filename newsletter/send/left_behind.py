"""What dead senders had in hand, settled also where nobody sends: of an issue that was paused, cancelled or is sent."""

from __future__ import annotations

from sqlalchemy import select

from newsletter.send.dispatch import dot_timeout
from newsletter.send.instance import CopiedDatabase, require_live
from newsletter.send.owner import LIVE_ISSUES, Owner, Recovered, dead_among
from newsletter.send.report import Parts
from newsletter.tables import Delivery, Issue
from newsletter.tables import DeliveryState as S


def settle_left_behind(app: Parts) -> Recovered:
    """
    Recover when a sender has died with copies in hand; else only look. In a copied database nothing is settled.

    An intent is uncertain from the moment on that its sender is dead: whoever asks for uncertain copies must see it.
    """
    with app.database.read() as session:
        issues = select(Issue.id).where(Issue.state.in_(LIVE_ISSUES))
        in_hand = Delivery.issue_id.in_(issues) & Delivery.state.in_((S.CLAIMED, S.INTENT))
        owners = [o for o in session.scalars(select(Delivery.owner).where(in_hand).distinct()) if o is not None]
        try:
            require_live(session)
        except CopiedDatabase:
            return Recovered(0, 0)
    if owners and dead_among(app.database, app.workspace.locks, owners):
        return _settle(app)
    return Recovered(0, 0)


def _settle(app: Parts) -> Recovered:
    with Owner(app.database, app.workspace.locks, app.now) as owner, app.database.write() as session:
        recovered = owner.recover(session, dot_timeout=dot_timeout(app.config))
        owner.leave(session)
    return recovered
