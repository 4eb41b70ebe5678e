"""
Send one issue: claim, compose, gate, wire, intent, dot, outcome; until nothing is due, or something says stop.

The event loop never waits for the database. A stop at any moment leaves every row where the next run knows what to do
with it: only a row whose intent is durable and whose reply is not becomes uncertain.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter.config import Config
from newsletter.errors import Conflict, NotFound
from newsletter.send.breaker import Breakers
from newsletter.send.control import PauseKind, finish_if_done, forget_pause, pause
from newsletter.send.copies import CopyMaker
from newsletter.send.instance import note_place, require_live
from newsletter.send.journal import Claim, Journal
from newsletter.send.owner import Owner
from newsletter.send.relay import Relay
from newsletter.send.report import Parts, Progress, SendReport
from newsletter.send.results import Results
from newsletter.send.states import FINAL
from newsletter.send.status import issue_counts, state_counts
from newsletter.send.uncertain import apply_policy
from newsletter.tables import DeliveryState, Issue, IssueState

__all__ = ["Parts", "Progress", "SendReport", "Sender", "send_issue"]

CLAIM_ROWS = 50
TICK_SECONDS = 0.2
LOOK_AT_ISSUE_SECONDS = 0.5
RECOVER_SECONDS = 5.0
DOWN_RELAY_RETRY_SECONDS = 30.0
# The journal's thread must get the interpreter soon after its commit; the default of 5 ms is 50 messages.
SWITCH_INTERVAL_SECONDS = 0.0005
# Copies are freed by their reference counts; looking for cycles after every 700 objects takes 5 % of the time.
GARBAGE_THRESHOLDS = (20_000, 20, 20)


def send_issue(
    app: Parts,
    issue_id: int,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
    handle_signals: bool = True,
) -> SendReport:
    """
    Send a frozen issue until nothing of it is due.

    In the main thread SIGTERM and SIGINT let what is on the wire finish; a second one drops the connections, and
    copies whose dot has left become uncertain.

    Args:
        on_progress: Called about five times a second, and at the end.
        stop: Set by the caller to drain, as the first signal does.

    Raises:
        CopiedDatabase: When this is a copy that nobody has adopted.
        NotFound: When there is no such issue.
        Conflict: When it was not planned, or is paused or finished.
        DatabaseUnavailable: When outcomes cannot be recorded any more.
    """
    _refuse_unless_sending(app, issue_id)
    with _interpreter_for_sending(), asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_run(app, issue_id, on_progress or (lambda _: None), stop, handle_signals))


def _refuse_unless_sending(app: Parts, issue_id: int) -> None:
    with app.database.read() as session:
        require_live(session)
        issue = session.get(Issue, issue_id)
        if issue is None:
            raise NotFound("issue", str(issue_id))
        if issue.planned_at is None:
            raise Conflict(f"Issue {issue.slug} is {issue.state.value}: nobody is chosen yet.")
        if issue.state is IssueState.PAUSED:
            raise Conflict(
                f"Issue {issue.slug} is paused: {issue.reason}",
                hint=f"Go on with: newsletter issue resume {issue.slug}",
            )


async def _run(
    app: Parts, issue_id: int, on_progress: Callable[[Progress], None], stop: threading.Event | None, signals: bool
) -> SendReport:
    started = time.monotonic()
    with Owner(app.database, app.workspace.locks, app.now) as owner:
        journal = Journal(
            app.database,
            owner=owner.id,
            pepper=app.keys.pepper,
            lease=timedelta(seconds=app.config.send.lease_seconds),
            clock=app.now,
        )
        try:
            sender = await Sender.prepare(app, issue_id, journal, owner, on_progress, stop)
            with _signals(sender) if signals else _nothing():
                await sender.run()
            counts = await journal.in_session(lambda session: _close(session, issue_id, owner, app.now()))
        finally:
            await journal.close()
    sender.tell()
    state = IssueState(counts["state"])
    return SendReport(state, counts["reason"], counts, time.monotonic() - started, sender.stopped)


def _close(session: Session, issue_id: int, owner: Owner, now: datetime) -> dict[str, Any]:
    finish_if_done(session, issue_id, now)
    owner.leave(session)
    return issue_counts(session, issue_id)


class Sender:
    """One run for one issue: its relays, what feeds them, and what watches over both."""

    def __init__(
        self,
        app: Parts,
        issue_id: int,
        journal: Journal,
        owner: Owner,
        *,
        maker: CopyMaker,
        counts: dict[DeliveryState, int],
        on_progress: Callable[[Progress], None],
        stop: threading.Event | None,
        local_hostname: str,
    ) -> None:
        self._app, self._issue_id, self._journal, self._owner = app, issue_id, journal, owner
        self._stop_asked, self._on_progress = stop, on_progress
        self._started, self._counts_before = time.monotonic(), counts
        self._planned = sum(counts.values())
        settings = app.config.send
        breakers = Breakers(self._planned, settings.held_pause_count, settings.held_pause_percent)
        self.maker, self.local_hostname, self.clock = maker, local_hostname, app.now
        self.composing = owner.composing
        self.results = Results(journal, settings, breakers, clock=app.now, pause=self._pause)
        self.relays = [Relay(account, self) for account in app.config.smtp.all_accounts]
        self.stopped = False
        self._ended = asyncio.Event()
        self._pause_reason: tuple[str, PauseKind] | None = None
        self._suppressed_at_claim = 0

    @classmethod
    async def prepare(
        cls,
        app: Parts,
        issue_id: int,
        journal: Journal,
        owner: Owner,
        on_progress: Callable[[Progress], None],
        stop: threading.Event | None,
    ) -> Sender:
        """Settle what dead workers left, apply the policy for uncertain copies, compile the variants."""

        def read(session: Session) -> tuple[CopyMaker, dict[DeliveryState, int]]:
            note_place(session, app.now())
            owner.recover(session, dot_timeout=_dot_timeout(app.config))
            apply_policy(session, app.config, issue_id, app.now())
            maker = CopyMaker.load(session, issue_id, app.config, app.keys)
            return maker, state_counts(session, issue_id)

        maker, counts = await journal.in_session(read)
        local_hostname = app.config.smtp.local_hostname or await asyncio.to_thread(own_name)
        return cls(
            app,
            issue_id,
            journal,
            owner,
            maker=maker,
            counts=counts,
            on_progress=on_progress,
            stop=stop,
            local_hostname=local_hostname,
        )

    # -- what relays ask

    @property
    def ending(self) -> bool:
        return self._ended.is_set()

    async def sleep(self, seconds: float) -> None:
        """Wait, but not beyond the end of the run."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ended.wait()

    # -- the run

    async def run(self) -> None:
        watches = [asyncio.create_task(watch) for watch in (self._watch(), self._watch_database())]
        try:
            async with asyncio.TaskGroup() as group:
                for relay in self.relays:
                    group.create_task(self._serve(relay))
        except BaseExceptionGroup as failures:
            raise _first(failures) from None
        finally:
            self._end()
            for watch in watches:
                watch.cancel()
                with suppress(asyncio.CancelledError):
                    await watch
            for relay in self.relays:
                relay.put_back_all()
        if self._pause_reason is not None:
            await self._journal.in_session(self._store_pause)
        elif any(self.results.counts.values()):
            await self._journal.in_session(lambda session: forget_pause(session, self._issue_id))

    def drain(self) -> None:
        """Take nothing new; let what is on the wire finish. A second call drops the connections."""
        if self.stopped:
            for relay in self.relays:
                for conversation in list(relay.open):
                    conversation.abort()
        self.stopped = True
        self._end()

    def tell(self) -> None:
        """Hand over how far the run is."""
        done_here = sum(self.results.counts[state] for state in FINAL) + self._suppressed_at_claim
        done = done_here + sum(self._counts_before[state] for state in FINAL)
        sent = self._counts_before[DeliveryState.SENT] + self.results.counts[DeliveryState.SENT]
        rate = done_here / max(0.001, time.monotonic() - self._started)
        left = (self._planned - done) / rate if rate else None
        deferred = self.results.counts[DeliveryState.DEFERRED]
        self._on_progress(Progress(self._planned, min(done, self._planned), sent, deferred, rate, left))

    def _end(self) -> None:
        self._ended.set()
        for relay in self.relays:
            relay.arrived.set()
            relay.wanted.set()

    def _pause(self, reason: str, kind: PauseKind = PauseKind.REFUSALS) -> None:
        if self._pause_reason is None:
            self._pause_reason = (reason, kind)
        self._end()

    def _store_pause(self, session: Session) -> None:
        assert self._pause_reason is not None
        issue = session.get_one(Issue, self._issue_id)
        if issue.state is IssueState.SENDING:
            reason, kind = self._pause_reason
            pause(session, issue, reason, now=self._app.now(), kind=kind)

    async def _serve(self, relay: Relay) -> None:
        """Feed one relay and run its lanes; when it is down, try it again while others go on, else pause."""
        while not self.ending:
            # The feeder ends by itself, never cancelled in a claim: rows that arrive late are put back like others.
            feeder = asyncio.create_task(self._feed(relay))
            try:
                await relay.carry()
            except BaseException:
                self._end()
                raise
            finally:
                relay.wanted.set()
                await feeder
            if relay.down is None or self.ending:
                return
            relay.put_back_all()
            if all(other.down for other in self.relays):
                self._pause(relay.down.message, PauseKind.REFUSALS if relay.down.lasting else PauseKind.RELAY)
                return
            await self.sleep(DOWN_RELAY_RETRY_SECONDS)
            relay.down = None

    async def _feed(self, relay: Relay) -> None:
        """Keep rows in hand, a few more than there are connections; end the run when there is nothing left."""
        with self._ending_on_failure():
            while not self.ending and relay.down is None:
                await self._feed_once(relay)

    async def _feed_once(self, relay: Relay) -> None:
        if len(relay.pool) > relay.account.connections:
            relay.wanted.clear()
            await relay.wanted.wait()
        elif any(o.share + CLAIM_ROWS < relay.share for o in self.relays if o.down is None and o is not relay):
            await self.sleep(0.02)
        else:
            claim = await self._journal.claim(self._issue_id, CLAIM_ROWS, relay.account.name, relay.limits)
            await self._take(relay, claim)

    async def _take(self, relay: Relay, claim: Claim) -> None:
        self._suppressed_at_claim += claim.suppressed
        if claim.state is not IssueState.SENDING:
            self._end()
        elif claim.rows:
            times = claim.not_before or [0.0] * len(claim.rows)
            relay.give(list(zip(claim.rows, times, strict=True)))
        elif claim.wait_seconds:
            await self.sleep(min(claim.wait_seconds, LOOK_AT_ISSUE_SECONDS))
        elif not claim.suppressed:
            if not any(r.in_hand for r in self.relays):
                self._end()
            else:
                relay.wanted.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_AT_ISSUE_SECONDS):
                        await relay.wanted.wait()

    async def _watch(self) -> None:
        """Progress, overdue replies and the wish to stop: also while the database is locked by another program."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = asyncio.get_running_loop().time()
            for relay in self.relays:
                for conversation in list(relay.open):
                    conversation.overdue(now)
            self.tell()
            if self._stop_asked is not None and self._stop_asked.is_set() and not self.stopped:
                self.drain()

    async def _watch_database(self) -> None:
        """What other processes did to the issue, the leases of this worker, and workers that died meanwhile."""
        loop = asyncio.get_running_loop()
        recover_at = loop.time() + RECOVER_SECONDS
        with self._ending_on_failure():
            while True:
                await asyncio.sleep(LOOK_AT_ISSUE_SECONDS)
                await self._look_at_issue()
                if loop.time() >= recover_at:
                    recover_at = loop.time() + RECOVER_SECONDS
                    await self._journal.in_session(self._see_to_leases)

    @contextmanager
    def _ending_on_failure(self) -> Iterator[None]:
        """End the run when what feeds or watches it fails: nobody else would tell the connections that wait."""
        try:
            yield
        except BaseException:
            self._end()
            raise

    def _see_to_leases(self, session: Session) -> None:
        config = self._app.config
        self._owner.renew(session, self._issue_id, lease=timedelta(seconds=config.send.lease_seconds))
        self._owner.recover(session, dot_timeout=_dot_timeout(config))

    async def _look_at_issue(self) -> None:
        statement = select(Issue.state).where(Issue.id == self._issue_id)
        if await self._journal.in_session(lambda session: session.scalar(statement)) is not IssueState.SENDING:
            self._end()


def _first(failures: BaseExceptionGroup[Any]) -> BaseException:
    error: BaseException = failures
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _dot_timeout(config: Config) -> timedelta:
    return timedelta(seconds=max(account.dot_timeout_seconds for account in config.smtp.all_accounts))


def own_name() -> str:
    name = socket.getfqdn()
    return name if "." in name and name.isascii() else "localhost.localdomain"


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


@contextmanager
def _interpreter_for_sending() -> Iterator[None]:
    """Let threads change places quickly and look for garbage rarely, among new objects only."""
    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
        sys.setswitchinterval(interval)


@contextmanager
def _signals(sender: Sender) -> Iterator[None]:
    """Let SIGTERM and SIGINT drain the run, where signals can be handled: in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        loop.add_signal_handler(number, sender.drain)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


@contextmanager
def _nothing() -> Iterator[None]:
    yield
