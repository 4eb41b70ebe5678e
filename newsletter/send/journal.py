"""
The only writer of delivery state while an issue is sent: one thread, one connection, one commit for all that gathered.

The event loop hands over a value and is told when it is durable. What was handed over first is committed no later, so
the outcome of one message is on disk before the dot of the next leaves on the same connection. When a commit fails for
good, nothing is granted any more: rows that were to be sent stay as they were, and the next run sees to them.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeVar

from sqlalchemy.engine import Connection
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session

from newsletter.send.claims import Claim, Claimed, Claims, Wanted
from newsletter.send.replies import LONGEST_TEXT, SmtpReply
from newsletter.send.sent_mark import RAISE, SentMark
from newsletter.send.statements import Prepared, Statements
from newsletter.send.throttles import Refusal, close_breaker, refuse
from newsletter.tables import DeliveryState as S
from subscribers.db import Database, begin_immediate, explain_database_error
from subscribers.errors import DatabaseUnavailable
from subscribers.suppression import HARD_BOUNCE, refusal_evidence
from subscribers.suppression import suppress as suppress_address

__all__ = ["Claim", "Claimed", "Granted", "Journal", "Outcome", "Wanted"]

# Without a pause other processes of a SQLite workspace wait for seconds; with it, for 2 ms (measured).
PAUSE_AFTER_COMMIT_SECONDS = 0.0005
# An outcome alone waits for the next intent, which carries it along: a slow server costs half as many commits. The
# bound of uncertain copies is the same, one a connection, since no dot leaves before what it follows is durable. The
# last outcomes of all in hand wait for nothing: no intent would come.
OUTCOMES_WAIT_SECONDS = 0.02
LOCKED_FOR = timedelta(minutes=2)
# SQLite's lock; PostgreSQL's deadlock, which it ends by failing one of the two.
_PASSING = re.compile(r"database is locked|deadlock detected", re.IGNORECASE)
Result = TypeVar("Result")


class Granted(StrEnum):
    """The answer to an intent. LOST: the row is not ours to send (lease over, cancelled), so no dot may leave."""

    YES = "yes"
    SUPPRESSED = "suppressed"
    LOST = "lost"


class Outcome(NamedTuple):
    """
    What came of one attempt. A tuple, since one is made for every copy and a frozen dataclass takes thrice as long.

    Attributes:
        suppress: The address whose mailbox does not exist.
        remote_id: What a provider calls the copy that it took over.
    """

    delivery_id: int
    state: S
    attempt: int
    reply: SmtpReply | None = None
    reason: str | None = None
    retry_at: datetime | None = None
    remote_host: str = ""
    tls_version: str | None = None
    suppress: str | None = None
    remote_id: str | None = None


class _NotAllGranted(Exception):
    """Some intents were refused; the transaction is done again, one intent at a time."""


@dataclass(slots=True)
class _Work:
    """Everything that one commit carries."""

    outcomes: list[Outcome]
    intents: list[tuple[int, asyncio.Future[Granted]]]
    releases: list[int]
    calls: list[tuple[Callable[[Connection], Any], asyncio.Future[Any]]]
    stop: bool = False

    @property
    def is_urgent(self) -> bool:
        """Whether anybody waits for the commit."""
        return bool(self.intents or self.calls or self.releases or self.stop)

    def ends(self, in_hand: int) -> bool:
        """Whether it holds the end of all copies in hand, so that nothing more comes by itself."""
        return len(self.outcomes) + len(self.releases) >= in_hand


class Journal:
    """
    See the module.

    Args:
        owner: Id of this worker; a row of another is never touched.
        pepper: Key of the address hash, for suppressing a mailbox that does not exist.
        zone: On whose calendar the pause of a person ends.
    """

    def __init__(
        self,
        database: Database,
        *,
        owner: int,
        pepper: bytes,
        lease: timedelta,
        clock: Callable[[], datetime],
        zone: tzinfo = UTC,
    ) -> None:
        self._database, self._owner, self._pepper, self._clock = database, owner, pepper, clock
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[tuple[str, Any, Any]] = SimpleQueue()
        self._sql = Statements(database.engine.dialect, zone)
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._broken: BaseException | None = None
        # What was claimed and has no outcome yet. A worker that was stopped may find its own row free to be claimed
        # again; were it in hand twice, the failure of one would put back what the other has sent.
        self._in_hand: set[int] = set()
        self._claims = Claims(self._sql, owner=owner, lease=lease, clock=clock, in_hand=self._in_hand)
        self._sent_mark = self._next_sent_mark = 0
        self._at_work = _Work([], [], [], [])
        self.commits = 0
        self._thread.start()

    # -- called from the event loop

    def claim(self, wanted: Wanted) -> asyncio.Future[Claim]:
        """Take rows in hand, as far as the limits let them leave soon."""
        return self.call(lambda connection: self._claims.claim(connection, wanted))

    def slot(self, wanted: Wanted, key: str | None) -> asyncio.Future[float]:
        """Take a new slot for a copy that missed its own."""
        return self.call(lambda connection: self._claims.slot(connection, wanted, key))

    def refuse(self, provider: str, delivery_id: int, domain: str, reply: SmtpReply) -> asyncio.Future[Refusal]:
        """Open the breaker of a provider that refused a delivery; its outcome was recorded before."""

        def open_it(connection: Connection) -> Refusal:
            self._claims.forget_breakers()
            at, worker = self._clock(), self._owner
            return refuse(connection, provider, worker=worker, delivery=delivery_id, domain=domain, reply=reply, now=at)

        return self.call(open_it)

    def close_breaker(self, provider: str) -> asyncio.Future[None]:
        """Note that a provider took the copy that was its trial."""

        def close_it(connection: Connection) -> None:
            self._claims.forget_breakers()
            close_breaker(connection, provider, self._clock())

        return self.call(close_it)

    def intend(self, delivery_id: int) -> asyncio.Future[Granted]:
        """Ask for the dot. It may leave only after the answer YES."""
        future: asyncio.Future[Granted] = self._loop.create_future()
        self._queue.put(("intent", delivery_id, future))
        return future

    def record(self, outcome: Outcome) -> None:
        """Hand over an outcome; it is durable when anything that is asked later has been answered."""
        self._queue.put(("outcome", outcome, None))

    def release(self, delivery_id: int) -> None:
        """Put a row back that was not begun; nobody is charged."""
        self._queue.put(("release", delivery_id, None))

    def call(self, function: Callable[[Connection], Result]) -> asyncio.Future[Result]:
        """Run *function* in a transaction of the journal, after all that was handed over before."""
        future: asyncio.Future[Result] = self._loop.create_future()
        self._queue.put(("call", function, future))
        return future

    def in_session(self, function: Callable[[Session], Result]) -> asyncio.Future[Result]:
        """As `call`, with an ORM session."""
        return self.call(lambda connection: _with_session(connection, function))

    async def close(self) -> None:
        """Commit what is left, then end the thread."""
        self._queue.put(("stop", None, None))
        await asyncio.to_thread(self._thread.join)

    # -- in the thread

    def _run(self) -> None:
        try:
            with self._database.engine.connect() as connection, SentMark.beside(self._database) as mark:
                self._write(connection, mark)
        except Exception as error:
            self._broken = error
            self._refuse_all(_in_words(error))

    def _write(self, connection: Connection, mark: SentMark) -> None:
        """Do what is handed over until the end is asked for."""
        while not self._at_work.stop:
            work = self._at_work = self._gather()
            answers = self._do(connection, work)
            mark.raise_to(self._sent_mark)  # before anybody learns that a dot may leave
            if answers:
                self._loop.call_soon_threadsafe(_answer, answers)
            if self._database.is_sqlite and not work.stop:
                time.sleep(PAUSE_AFTER_COMMIT_SECONDS)

    def _refuse_all(self, error: DatabaseUnavailable) -> None:
        """Answer everybody who waits or asks later: nobody else would, and the run would hang for ever."""
        while True:
            work = self._at_work
            futures: list[asyncio.Future[Any]] = [future for _, future in (*work.intents, *work.calls)]
            answers: list[tuple[asyncio.Future[Any], Any, BaseException | None]] = [(f, None, error) for f in futures]
            if answers:
                self._loop.call_soon_threadsafe(_answer, answers)
            if work.stop:
                return
            self._at_work = self._gather()

    def _gather(self) -> _Work:
        work = _Work([], [], [], [])
        entry = self._queue.get()
        wait_until = time.monotonic() + OUTCOMES_WAIT_SECONDS
        while True:
            kind, value, future = entry
            if kind == "outcome":
                work.outcomes.append(value)
            elif kind == "intent":
                work.intents.append((value, future))
            elif kind == "release":
                work.releases.append(value)
            elif kind == "call":
                work.calls.append((value, future))
            else:
                work.stop = True
            try:
                entry = self._queue.get_nowait()
            except Empty:
                left = wait_until - time.monotonic()
                if left <= 0 or work.is_urgent or work.ends(len(self._in_hand)):
                    return work
                try:
                    entry = self._queue.get(timeout=left)
                except Empty:
                    return work

    def _do(self, connection: Connection, work: _Work) -> list[tuple[asyncio.Future[Any], Any, BaseException | None]]:
        """Commit the outcomes and intents together, then each call in a transaction of its own."""
        answers: list[tuple[asyncio.Future[Any], Any, BaseException | None]] = []
        if work.outcomes or work.intents or work.releases:
            begin = Connection.begin if any(o.suppress for o in work.outcomes) else _transaction
            granted, error = self._guarded(connection, lambda c: self._settle(c, work, self._grant_all), begin)
            if isinstance(error, _NotAllGranted):
                granted, error = self._guarded(connection, lambda c: self._settle(c, work, self._grant_each), begin)
            for number, (_, future) in enumerate(work.intents):
                answers.append((future, granted[number] if granted else None, error))
            if error is not None:
                self._broken = error
            else:
                self._sent_mark = self._next_sent_mark
        for function, future in work.calls:
            result, error = self._guarded(connection, function)
            if isinstance(result, Claim):
                self._in_hand.update(row.id for row in result.rows)
            answers.append((future, result, error))
        return answers

    def _guarded(
        self,
        connection: Connection,
        function: Callable[[Connection], Result],
        begin: Callable[[Connection], AbstractContextManager[Any]] = Connection.begin,
    ) -> tuple[Result | None, BaseException | None]:
        """Run and commit; wait out a locked database; after any other failure of the disk grant nothing more."""
        give_up = time.monotonic() + LOCKED_FOR.total_seconds()
        while self._broken is None:
            try:
                with begin(connection):
                    result = function(connection)
            except DatabaseError as error:
                explained = explain_database_error(error)
                if _PASSING.search(str(error.orig)) and time.monotonic() < give_up:
                    continue
                self._broken = explained or error
            except Exception as error:
                return None, error
            else:
                self.commits += 1
                return result, None
        return None, self._broken

    def _settle(
        self, connection: Connection, work: _Work, grant: Callable[[Any, list[int], dict[str, Any]], list[Granted]]
    ) -> list[Granted]:
        cursor, at = _cursor(connection), self._sql.at(self._clock())
        if work.outcomes:
            rows = self._sql.row_list([self._outcome_row(outcome) for outcome in work.outcomes])
            self._execute(cursor, self._sql.outcomes, **at, worker=self._owner, rows=rows)
            self._suppress(connection, work.outcomes)
        if work.releases:
            ids = self._sql.id_list(work.releases)
            self._execute(cursor, self._sql.release, **at, worker=self._owner, ids=ids)
        self._in_hand.difference_update(work.releases, (outcome.delivery_id for outcome in work.outcomes))
        ids = [delivery_id for delivery_id, _ in work.intents]
        if not ids:
            return []
        if self._database.is_sqlite:
            cursor.execute(RAISE)
            self._next_sent_mark = next(iter(cursor.fetchone() or ()), 0)
        return grant(cursor, ids, at)

    def _grant_all(self, cursor: Any, ids: list[int], at: dict[str, Any]) -> list[Granted]:
        values = {**at, "worker": self._owner, "ids": self._sql.id_list(ids)}
        if self._execute(cursor, self._sql.intent, **values) != len(ids):
            # Which ones changed cannot be read from their state: another worker's intent looks the same.
            raise _NotAllGranted
        return [Granted.YES] * len(ids)

    def _grant_each(self, cursor: Any, ids: list[int], at: dict[str, Any]) -> list[Granted]:
        answers = []
        for delivery_id in ids:
            values = {**at, "worker": self._owner, "ids": self._sql.id_list([delivery_id])}
            if self._execute(cursor, self._sql.intent, **values):
                answers.append(Granted.YES)
                continue
            if self._execute(cursor, self._sql.refuse, **values):
                answers.append(Granted.SUPPRESSED)
            else:
                self._execute(cursor, self._sql.release, **values)  # still ours, but its lease is over
                answers.append(Granted.LOST)
            self._in_hand.discard(delivery_id)
        return answers

    def _execute(self, cursor: Any, statement: Prepared, **values: Any) -> int:
        cursor.execute(statement.text, statement.values(**values))
        return int(cursor.rowcount)

    def _outcome_row(self, outcome: Outcome) -> tuple[Any, ...]:
        """Return what is stored of an outcome, in the order of `OUTCOME_FIELDS`."""
        reply = outcome.reply
        return (
            outcome.delivery_id,
            outcome.state.value,
            outcome.attempt,
            self._sql.moment(outcome.retry_at),
            (reply.code or None) if reply else None,
            reply.status if reply else None,
            reply.text[:LONGEST_TEXT] if reply else None,
            outcome.reason,
            outcome.remote_host,
            outcome.tls_version,
            outcome.remote_id,
        )

    def _suppress(self, connection: Connection, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            if outcome.suppress:
                evidence = refusal_evidence(outcome.reply, outcome.delivery_id)
                with Session(connection) as session:
                    suppress_address(
                        session,
                        pepper=self._pepper,
                        address=outcome.suppress,
                        reason=HARD_BOUNCE,
                        evidence=evidence,
                        at=self._clock(),
                    )
                    session.flush()


def _cursor(connection: Connection) -> Any:
    return connection.connection.cursor()


@contextmanager
def _transaction(connection: Connection) -> Iterator[None]:
    """
    Begin and commit by the driver itself: with the toolkit's own events that takes as long as the statements.

    Raises:
        DatabaseError: As the toolkit would, whatever the driver says.
    """
    driver, dialect = connection.connection, connection.dialect
    try:
        if dialect.name == "sqlite":
            begin_immediate(driver.cursor())
        yield
        driver.commit()
    except BaseException as error:
        with suppress(dialect.loaded_dbapi.Error):
            driver.rollback()
        if isinstance(error, dialect.loaded_dbapi.Error):
            raise DatabaseError("journal", None, error) from error
        raise


def _with_session(connection: Connection, function: Callable[[Session], Result]) -> Result:
    with Session(connection, expire_on_commit=False) as session:
        result = function(session)
        session.flush()
        return result


def _answer(answers: list[tuple[asyncio.Future[Any], Any, BaseException | None]]) -> None:
    for future, result, error in answers:
        if future.done():
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(_in_words(error) if isinstance(error, DatabaseError) else error)


def _in_words(error: Exception) -> DatabaseUnavailable:
    """Say why nothing can be recorded any more."""
    if isinstance(error, DatabaseUnavailable):
        return error
    if isinstance(error, DatabaseError):
        explained = explain_database_error(error)
        return explained or DatabaseUnavailable(f"The database refuses to record deliveries: {error.orig}")
    if isinstance(error, OSError):
        where = f"'{error.filename}'" if error.filename else "the file beside the database"
        why = error.strerror or str(error)
        return DatabaseUnavailable(
            f"How far was sent cannot be noted in {where}: {why}.", hint="Check its owner and mode, and the disk."
        )
    return DatabaseUnavailable(f"Deliveries cannot be recorded any more: {error!r}")
