"""
What happens to the rows of the outbox: claimed, intended, settled, recovered, in transactions of the caller's.

The guarantee is that of deliveries: a row is in one hand at a time, its intent is durable before the dot leaves, and
after a death it is either safe to send or doubtful. A notice that has its end holds no address and no message.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, case, exists, false, func, not_, or_, select, true, update
from sqlalchemy.orm import Session

from newsletter.config.settings import SmtpAccount
from newsletter.send.outbox import HEEDING, REPEATED, stopped
from newsletter.send.owner import Owner, changed
from newsletter.send.replies import LONGEST_TEXT, SmtpReply
from newsletter.send.states import NOTICE_EDGES
from newsletter.send.throttle import Limits, permits, take_slot, use, wait_seconds
from newsletter.send.throttles import locked_use, store_use
from newsletter.tables import DeliveryState as S
from newsletter.tables import Notice, NoticeKind

WAITING = (S.PENDING, S.DEFERRED)
IN_HAND = (S.CLAIMED, S.INTENT)
ENDS = (S.SENT, S.BOUNCED, S.EXPIRED, S.SUPPRESSED, S.HELD, S.CANCELLED, S.UNCERTAIN)
PERMIT_HORIZON_SECONDS = 2.0
STOPPED = "its sender stopped between the dot and the reply"
_ADDRESS = re.compile(r"[^\s<>]*@[^\s<>]*")


@dataclass(frozen=True, slots=True)
class Job:
    """A notice in hand. `not_before` is in seconds since the epoch, from the account's rate; 0 for at once."""

    id: int
    kind: NoticeKind
    address: str
    message: bytes
    attempt: int
    created_at: datetime
    expires_at: datetime
    not_before: float = 0.0


@dataclass(frozen=True, slots=True)
class Taken:
    """What a claim gave: a job, or how long until the account may send again; neither when nothing is due."""

    job: Job | None = None
    wait_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attempt."""

    state: S
    attempt: int
    reply: SmtpReply | None = None
    reason: str | None = None
    retry_at: datetime | None = None


def is_due(now: datetime, only: Collection[int] | None = None) -> ColumnElement[bool]:
    """Return the condition of what may be sent now. Test copies are sent by the command that made them, and named."""
    mine = Notice.kind != NoticeKind.TEST if only is None else Notice.id.in_(only)
    return and_(Notice.state.in_(WAITING), or_(Notice.retry_at.is_(None), Notice.retry_at <= now), mine)


def work_waits(session: Session, now: datetime) -> bool:
    """Return whether a worker has anything to do here: to send, to end, or to settle after a death."""
    overdue = and_(Notice.state.in_(WAITING), Notice.expires_at <= now)
    return bool(session.scalar(select(exists().where(or_(is_due(now), overdue, Notice.state.in_(IN_HAND))))))


def anything_due(session: Session, now: datetime) -> bool:
    """Return whether a notice may be sent now."""
    return bool(session.scalar(select(exists().where(is_due(now)))))


def claim(
    session: Session,
    owner: int,
    account: SmtpAccount,
    *,
    now: datetime,
    lease: timedelta,
    only: Collection[int] | None = None,
) -> Taken:
    """
    Take the next due notice in hand, new ones first, as far as the account's rate lets it leave soon.

    One whose time is over, or whose address is suppressed by now, has its end here.
    """
    while (number := _next(session, now, only)) is not None:
        this = Notice.id == number
        if _expire(session, this, now) or _suppress(session, this, WAITING, now):
            continue
        not_before, wait = _permit(session, account, now)
        if wait:
            return Taken(wait_seconds=wait)
        values: dict[str, Any] = {"owner": owner, "lease_until": now + lease, "attempt": Notice.attempt + 1}
        _move(session, this, WAITING, S.CLAIMED, now, **values)
        row = session.get_one(Notice, number, populate_existing=True)
        assert row.address is not None
        assert row.message is not None
        return Taken(
            Job(row.id, row.kind, row.address, row.message, row.attempt, row.created_at, row.expires_at, not_before)
        )
    return Taken()


def intend(session: Session, owner: int, job: Job, now: datetime) -> bool:
    """Return whether the dot may leave: the row is still ours, and nobody has suppressed its address meanwhile."""
    mine = and_(Notice.id == job.id, Notice.owner == owner, Notice.lease_until > now)
    _suppress(session, mine, (S.CLAIMED,), now)
    return bool(_move(session, mine, (S.CLAIMED,), S.INTENT, now))


def settle(session: Session, owner: int, job: Job, outcome: Outcome, now: datetime) -> None:
    """Record what came of an attempt. A doubtful one goes back when its kind is repeated."""
    mine = and_(Notice.id == job.id, Notice.owner == owner)
    reply = outcome.reply
    values: dict[str, Any] = {
        "attempt": outcome.attempt,
        "reply_code": (reply.code or None) if reply else None,
        "reply_status": reply.status if reply else None,
        "reply_text": without_addresses(reply.text)[:LONGEST_TEXT] if reply else None,
        "reason": outcome.reason,
    }
    # A late reply of our own is evidence, but what was blanked meanwhile cannot be sent any more.
    known = (*IN_HAND, S.UNCERTAIN) if outcome.state in ENDS else IN_HAND
    sources = tuple(s for s in known if (s, outcome.state) in NOTICE_EDGES)
    if outcome.state is S.UNCERTAIN and outcome.retry_at is not None:
        _move(session, mine, sources, S.UNCERTAIN, now, goes_back=True, **values)
        _move(session, mine, (S.UNCERTAIN,), S.PENDING, now, owner=None, retry_at=outcome.retry_at)
    else:
        _move(session, mine, sources, outcome.state, now, retry_at=outcome.retry_at, **values)


def cancel(session: Session, condition: ColumnElement[bool], *, reason: str, now: datetime) -> int:
    """End notices that are not on their way; return how many."""
    return _move(session, condition, (*WAITING, S.CLAIMED), S.CANCELLED, now, reason=reason)


def recover(session: Session, owner: Owner, *, now: datetime, dot_timeout: timedelta) -> None:
    """
    Settle what dead owners had in hand, and what stopped ones held beyond their lease; end what waited too long.

    A claimed notice goes back. An intended one is doubtful: sent again where its kind says so, else at its end.
    """
    in_hand = Notice.state.in_(IN_HAND)
    owners = session.scalars(select(Notice.owner).where(in_hand, Notice.owner != owner.id).distinct()).all()
    dead = [each for each in owners if each is not None and owner.is_dead(each)]
    lost = Notice.owner.in_(dead) if dead else false()
    late = Notice.lease_until < now
    _put_back(session, or_(lost, late), now)
    silent = and_(late, Notice.lease_until < now - dot_timeout, Notice.state_at < now - dot_timeout)
    doubt(session, (S.INTENT,), reason=STOPPED, now=now, condition=and_(or_(lost, silent), Notice.owner != owner.id))
    _expire(session, true(), now)
    owner.bury(session, dead)


def doubt(
    session: Session, sources: Sequence[S], *, reason: str, now: datetime, condition: ColumnElement[bool] | None = None
) -> None:
    """Treat notices as perhaps sent: those of kinds that are repeated go back, for the others it is the end."""
    all_of_them = true() if condition is None else condition
    repeated = and_(all_of_them, Notice.kind.in_(REPEATED), Notice.expires_at > now, Notice.state.in_(sources))
    numbers = session.scalars(select(Notice.id).where(repeated)).all()
    _move(session, Notice.id.in_(numbers), sources, S.UNCERTAIN, now, goes_back=True, reason=reason)
    _move(session, Notice.id.in_(numbers), (S.UNCERTAIN,), S.PENDING, now, owner=None, retry_at=now)
    _move(session, and_(all_of_them, Notice.id.not_in(numbers)), sources, S.UNCERTAIN, now, reason=reason)


def without_addresses(words: str) -> str:
    """Return a server's words as they may stay in the database: without the address that they repeat."""
    return _ADDRESS.sub("(address)", words)


def _next(session: Session, now: datetime, only: Collection[int] | None) -> int | None:
    found = select(Notice.id).where(is_due(now, only)).order_by(Notice.attempt, Notice.id).limit(1)
    return session.scalar(found.with_for_update(skip_locked=True))


def _expire(session: Session, condition: ColumnElement[bool], now: datetime) -> int:
    return _move(
        session, and_(condition, Notice.expires_at <= now), WAITING, S.EXPIRED, now, reason="its time was over"
    )


def _suppress(session: Session, condition: ColumnElement[bool], sources: Sequence[S], now: datetime) -> int:
    by_rule = and_(Notice.kind.in_(HEEDING), stopped(now, Notice.address_hash, Notice.domain))
    return _move(session, and_(condition, by_rule), sources, S.SUPPRESSED, now, reason="suppressed")


def _put_back(session: Session, condition: ColumnElement[bool], now: datetime) -> None:
    """As if they had never been claimed: nobody is charged for an attempt that was not made."""
    values: dict[str, Any] = {"owner": None, "lease_until": None, "attempt": Notice.attempt - 1}
    first = Notice.attempt <= 1
    _move(session, and_(condition, first), (S.CLAIMED,), S.PENDING, now, retry_at=None, **values)
    _move(session, and_(condition, not_(first)), (S.CLAIMED,), S.DEFERRED, now, retry_at=now, **values)


def _move(
    session: Session,
    condition: ColumnElement[bool],
    sources: Sequence[S],
    target: S,
    now: datetime,
    *,
    goes_back: bool = False,
    **values: Any,
) -> int:
    """Move rows along edges that exist, blanking those that stay at an end; return how many."""
    assert all((source, target) in NOTICE_EDGES for source in sources), (sources, target)
    if target in ENDS and not goes_back:
        values |= {"address": None, "message": None, "subject": _kept_subject(), "retry_at": None}
    statement = update(Notice).where(condition, Notice.state.in_(sources))
    return changed(session, statement.values(state=target, state_at=now, **values))


def _kept_subject() -> Any:
    """A person's own subject goes with the person's words; ours may stay."""
    return case((Notice.kind == NoticeKind.REPLY, ""), else_=Notice.subject)


def _permit(session: Session, account: SmtpAccount, now: datetime) -> tuple[float, float]:
    """Return when one more message of the account may leave, and, when none may soon, how long to wait."""
    limits = _limits(account)
    if not limits:
        return 0.0, 0.0
    name, moment = _rate_name(account), now.timestamp()
    used = locked_use(session.connection(), name)
    times = permits(limits, used, moment, most=1, horizon_seconds=PERMIT_HORIZON_SECONDS)
    if not times:
        return 0.0, max(0.05, wait_seconds(limits, used, moment))
    store_use(session.connection(), name, use(limits, used, moment, times))
    return times[0] if limits.per_minute else 0.0, 0.0


def another_slot(session: Session, account: SmtpAccount, now: datetime) -> float:
    """Return a new slot for a notice that missed the one it had."""
    name, moment = _rate_name(account), now.timestamp()
    used = locked_use(session.connection(), name)
    slot, used = take_slot(_limits(account), used, moment, not_before=moment)
    store_use(session.connection(), name, used)
    return slot


def _rate_name(account: SmtpAccount) -> str:
    return f"account:{account.name}"  # as claims of deliveries name it: both share the limit


def _limits(account: SmtpAccount) -> Limits:
    return Limits(account.per_minute, account.per_hour, account.per_day)


def waiting_long(session: Session, before: datetime) -> list[tuple[NoticeKind, int, datetime]]:
    """Return, by kind, how many notices made before *before* still wait, and since when."""
    statement = (
        select(Notice.kind, func.count(), func.min(Notice.created_at))
        .where(Notice.state.in_((*WAITING, *IN_HAND)), Notice.created_at < before, Notice.kind != NoticeKind.TEST)
        .group_by(Notice.kind)
        .order_by(Notice.kind)
    )
    return [(kind, count, since) for kind, count, since in session.execute(statement)]
