"""
Who sends, and whether they still live: a lock held for life, so that a death is a fact and never a guess.

On SQLite it is `flock` on a file of the workspace, on PostgreSQL a session advisory lock. What a dead owner had in
hand is settled here: `claimed` goes back (no dot ever left), `intent` becomes `uncertain`.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import ColumnElement, CursorResult, Delete, Update, and_, case, exists, or_, select, text, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session

from newsletter.send.states import TO_DO
from newsletter.tables import Delivery, Issue, IssueState, Worker
from newsletter.tables import DeliveryState as S
from subscribers.db import Database

ADVISORY_CLASS = 0x4E4C  # first half of the advisory lock's key; the worker's id is the second
STOPPED = "its sender stopped between the dot and the reply"
COPIED = "the database was copied while this was to be sent"
CRASHED = ("its sender crashed on it", "its sender crashed on it twice", "its sender crashed on it three times")
MARK_BYTES, MARKS = 8, 16  # a mark for each thread that makes copies
LIVE_ISSUES = (IssueState.SENDING, IssueState.PAUSED, IssueState.CANCELLED, IssueState.SENT)


@dataclass(frozen=True, slots=True)
class Recovered:
    """How many rows of dead or stopped owners were put back, became uncertain, or were held as fatal to senders."""

    put_back: int
    uncertain: int
    held: int = 0


class Owner:
    """This worker, from its row in `workers` to its end; a context manager that holds the lock."""

    def __init__(self, database: Database, locks: Path, now: Callable[[], datetime]) -> None:
        self._database, self._locks, self._now = database, locks, now
        self._file: int | None = None
        self._mark: mmap.mmap | None = None
        self._connection: Connection | None = None
        with database.write() as session:
            row = Worker(host=socket.gethostname(), pid=os.getpid(), started_at=now())
            session.add(row)
            session.flush()
            self.id = row.id

    def __enter__(self) -> Self:
        self._locks.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self._path(self.id), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(self._file, MARK_BYTES * MARKS)
        self._mark = mmap.mmap(self._file, MARK_BYTES * MARKS)
        if not self._database.is_sqlite:
            with self._database.guarded():
                self._connection = self._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
                self._connection.execute(text("SELECT pg_advisory_lock(:c, :i)"), {"c": ADVISORY_CLASS, "i": self.id})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._mark is not None:
            self._mark.close()
        if self._file is not None:
            self._path(self.id).unlink(missing_ok=True)
            os.close(self._file)
        if self._connection is not None:
            with suppress(DatabaseError), self._connection as connection:  # a connection that ended holds no lock
                connection.execute(text("SELECT pg_advisory_unlock(:c, :i)"), {"c": ADVISORY_CLASS, "i": self.id})

    def composing(self, delivery: int, thread: int = 0) -> None:
        """Note which row a thread is composing, 0 for none: where a crash of this process leaves it to be read."""
        assert self._mark is not None
        self._mark[thread * MARK_BYTES : (thread + 1) * MARK_BYTES] = delivery.to_bytes(MARK_BYTES, "little")

    def _composed_at_death(self, owner: int) -> list[int]:
        """Return the rows that a dead owner was composing; none when it ran on another machine."""
        try:
            marks = self._path(owner).read_bytes()
        except OSError:
            return []
        found = (int.from_bytes(marks[at : at + MARK_BYTES], "little") for at in range(0, len(marks), MARK_BYTES))
        return [delivery for delivery in found if delivery]

    def is_dead(self, owner: int) -> bool:
        """Return whether another owner's lock is free: then it has ended, however it ended."""
        if owner == self.id:
            return False
        if self._database.is_sqlite:
            return _file_is_free(self._path(owner))
        assert self._connection is not None
        return _advisory_is_free(self._connection, owner)

    def _path(self, owner: int) -> Path:
        return _lock_path(self._locks, owner)

    def leave(self, session: Session) -> None:
        """Note for people that this worker is done."""
        session.execute(update(Worker).where(Worker.id == self.id).values(ended_at=self._now()))

    def renew(self, session: Session, issue_id: int, *, lease: timedelta) -> int:
        """Prolong the leases of what this worker has in hand: it is slow, not stopped. Return how many needed it."""
        now = self._now()
        mine = and_(Delivery.issue_id == issue_id, Delivery.state == S.CLAIMED, Delivery.owner == self.id)
        running_out = Delivery.lease_until < now + lease / 2
        return changed(session, update(Delivery).where(mine, running_out).values(lease_until=now + lease))

    def recover(self, session: Session, *, dot_timeout: timedelta) -> Recovered:
        """
        Settle what dead owners had in hand, and what stopped ones held beyond their lease.

        An intent of a stopped owner is left alone until its reply cannot come any more; if it comes all the same,
        the owner itself settles its row.
        """
        now = self._now()
        issues = select(Issue.id).where(Issue.state.in_(LIVE_ISSUES))
        in_hand = and_(
            Delivery.issue_id.in_(issues), Delivery.state.in_((S.CLAIMED, S.INTENT)), Delivery.owner != self.id
        )
        owners = session.scalars(select(Delivery.owner).where(in_hand).distinct()).all()
        dead = [owner for owner in owners if owner is not None and self.is_dead(owner)]
        lost = Delivery.owner.in_(dead)
        held = sum(
            _charge_crash(session, owner, delivery, now)
            for owner in dead
            for delivery in self._composed_at_death(owner)
        )
        put_back = _put_back(session, and_(in_hand, or_(lost, Delivery.lease_until < now)), now)
        late = and_(Delivery.lease_until < now - dot_timeout, Delivery.state_at < now - dot_timeout)
        doubtful = changed(
            session,
            update(Delivery)
            .where(_free(in_hand, Delivery.state == S.INTENT, or_(lost, late)))
            .values(state=S.UNCERTAIN, state_at=now, reason=STOPPED),
        )
        self.bury(session, dead)
        return Recovered(put_back, doubtful, held)

    def bury(self, session: Session, dead: Sequence[int]) -> None:
        """Note for people that owners have ended, and take their locks away: an id is never used again."""
        if dead:
            session.execute(update(Worker).where(Worker.id.in_(dead)).values(ended_at=self._now()))
            for owner in dead:
                self._path(owner).unlink(missing_ok=True)


def living_owner(session: Session, locks: Path) -> int | None:
    """
    Return a worker that holds its lock, so that it may be sending; None when there is none.

    The locks themselves are asked, not the rows of workers: an older copy of the database does not know the latest.
    """
    if session.get_bind().dialect.name == "sqlite":
        return living_here(locks)
    statement = (
        "SELECT objid::bigint FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database "
        "WHERE datname = current_database() AND locktype = 'advisory' AND classid::bigint = :c AND granted LIMIT 1"
    )
    found = session.execute(text(statement), {"c": ADVISORY_CLASS}).scalar()
    return int(found) if found is not None else None


def living_here(locks: Path) -> int | None:
    """Return a worker of this machine's workspace that holds its lock; it asks no database."""
    names = (path.stem.removeprefix("worker-") for path in locks.glob("worker-*.lock"))
    owners = sorted(int(name) for name in names if name.isdecimal())
    return next((owner for owner in owners if not _file_is_free(_lock_path(locks, owner))), None)


def dead_among(database: Database, locks: Path, owners: Sequence[int]) -> list[int]:
    """Return which of *owners* have ended, without being one."""
    if database.is_sqlite:
        return [owner for owner in owners if _file_is_free(_lock_path(locks, owner))]
    with database.guarded(), database.engine.connect() as connection:
        alone = connection.execution_options(isolation_level="AUTOCOMMIT")
        return [owner for owner in owners if _advisory_is_free(alone, owner)]


def _lock_path(locks: Path, owner: int) -> Path:
    return locks / f"worker-{owner}.lock"


def _file_is_free(path: Path) -> bool:
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(file)
    return True


def _advisory_is_free(connection: Connection, owner: int) -> bool:
    key = {"c": ADVISORY_CLASS, "i": owner}
    free = bool(connection.scalar(text("SELECT pg_try_advisory_lock(:c, :i)"), key))
    if free:
        connection.execute(text("SELECT pg_advisory_unlock(:c, :i)"), key)
    return free


def crashes_happened(session: Session, issue_id: int) -> bool:
    """Return whether a sender crashed on a copy that is still to be sent: one of those that it was making just then."""
    charged = (Delivery.issue_id == issue_id, Delivery.state.in_(TO_DO), Delivery.reason.in_(CRASHED[:2]))
    return bool(session.scalar(select(exists().where(*charged))))


def changed(session: Session, statement: Update | Delete) -> int:
    """Run an update or delete and return how many rows it changed."""
    result = session.execute(statement.execution_options(synchronize_session=False))
    assert isinstance(result, CursorResult)
    return result.rowcount


def _free(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """
    Choose rows that nobody has locked: one stopped in the middle of a transaction keeps its locks until it wakes.

    Whoever waited for it would be stopped with it.
    """
    return Delivery.id.in_(select(Delivery.id).where(*conditions).with_for_update(skip_locked=True))


def _charge_crash(session: Session, owner: int, delivery: int, now: datetime) -> int:
    """Count a crash against the row that was being composed; at the third it is held. Return how many were held."""
    row = and_(Delivery.id == delivery, Delivery.owner == owner, Delivery.state == S.CLAIMED)
    last = update(Delivery).where(row, Delivery.reason == CRASHED[1])
    held = changed(session, last.values(state=S.HELD, state_at=now, reason=CRASHED[2]))
    reason = case((Delivery.reason == CRASHED[0], CRASHED[1]), else_=CRASHED[0])
    changed(session, update(Delivery).where(row).values(reason=reason))
    return held


def _put_back(session: Session, condition: ColumnElement[bool], now: datetime) -> int:
    first = Delivery.attempt <= 1
    cancelled = Delivery.issue_id.in_(select(Issue.id).where(Issue.state == IssueState.CANCELLED))
    return changed(
        session,
        update(Delivery)
        .where(_free(condition, Delivery.state == S.CLAIMED))
        .values(
            state=case((cancelled, S.CANCELLED.value), (first, S.PENDING.value), else_=S.DEFERRED.value),
            state_at=now,
            attempt=Delivery.attempt - 1,
            retry_at=case((first, None), else_=now),
        ),
    )
