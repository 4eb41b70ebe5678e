"""
Copies that failed, and whom a retry would mail: asked before it is done, of the same tables that a claim asks.

Whoever is suppressed, paused or no longer subscribed is not mailed, whatever a retry says.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from newsletter.errors import Conflict
from newsletter.send.control import FAILED
from newsletter.send.permission import may_leave
from newsletter.tables import Delivery, IssueTotals
from subscribers.choices import local_day


@dataclass(frozen=True, slots=True)
class Failed:
    """How many failed copies may be tried again, by state, and how many people may not be mailed any more."""

    again: dict[str, int]
    not_mailed: int

    @property
    def people(self) -> int:
        return sum(self.again.values())


def count_failed(session: Session, issue_id: int, now: datetime, timezone: str) -> Failed:
    """
    Count what bounced, was held, or expired of an issue; *timezone* is the organisation's.

    Raises:
        Conflict: When its copies are forgotten: nobody knows any more whose they were.
    """
    kept = session.get(IssueTotals, issue_id)
    if kept is not None:
        raise Conflict(f"Who was sent this issue was forgotten on {kept.kept_at:%Y-%m-%d}; only its counts are kept.")
    failed = and_(Delivery.issue_id == issue_id, Delivery.state.in_(FAILED))
    statement = select(Delivery.state, func.count()).where(failed).group_by(Delivery.state)
    every = {row[0]: row[1] for row in session.execute(statement)}
    may = {row[0]: row[1] for row in session.execute(statement.where(may_leave(now, local_day(now, timezone))))}
    return Failed({state.value: may.get(state, 0) for state in FAILED}, sum(every.values()) - sum(may.values()))
