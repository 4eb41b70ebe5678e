"""
Send one issue: claim, compose, gate, wire, intent, dot, outcome; until nothing is due, or something says stop.

The event loop never waits for the database. A stop at any moment leaves every row where the next run knows what to do
with it: only a row whose intent is durable and whose reply is not becomes uncertain.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter.audit.log import Action
from newsletter.config.settings import Config
from newsletter.dkim_keys import DkimKeyUnusable
from newsletter.errors import Conflict, NotFound
from newsletter.send.ahead import CopiesAhead, threads_for_signing
from newsletter.send.breaker import Tallies
from newsletter.send.claims import Claimed
from newsletter.send.control import PauseKind, cancel_what_waits, finish_if_done, forget_pause, pause
from newsletter.send.copies import CopyMaker
from newsletter.send.feeding import CLAIM_ROWS, Feeding
from newsletter.send.instance import note_place, require_live
from newsletter.send.journal import Journal
from newsletter.send.owner import Owner, crashes_happened
from newsletter.send.plan import name_limits
from newsletter.send.receivers import DomainLimit, DomainLimits
from newsletter.send.relay import Maker, Relay
from newsletter.send.report import Parts, Progress, RecentRate, SendReport
from newsletter.send.results import Results
from newsletter.send.runtime import interpreter_for_sending, loop_factory, own_name, signals_drain
from newsletter.send.states import FINAL
from newsletter.send.status import issue_counts, state_counts
from newsletter.send.uncertain import apply_policy
from newsletter.send.window import Window
from newsletter.tables import DeliveryState, Issue, IssueState

__all__ = ["Parts", "Progress", "SendReport", "Sender", "send_issue"]

TICK_SECONDS = 0.2
LOOK_AT_ISSUE_SECONDS = 0.5
RECOVER_SECONDS = 5.0
ONE_STOP_SECONDS = 1.0  # systemd tells every process of a service, and whoever watches them tells them as well


def send_issue(
    app: Parts,
    issue_id: int,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    on_look: Callable[[], None] | None = None,
    stop: threading.Event | None = None,
    give_way: threading.Event | None = None,
    handle_signals: bool = True,
) -> SendReport:
    """
    Send a frozen issue until nothing of it is due, or the sending window closes; outside it, do nothing.

    In the main thread SIGTERM and SIGINT let what is on the wire finish; another one, a second or more later, drops the
    connections, and copies whose dot has left become uncertain.

    Args:
        on_progress: Called about five times a second, and at the end.
        on_look: Called while the run goes on: its loop turns, and its journal reaches the database.
        stop: Set by the caller to drain, as the first signal does.
        give_way: Set by the caller when other issues have waited long: as `stop`, but nobody asked for an end.

    Raises:
        CopiedDatabase: When this is a copy that nobody has adopted.
        NotFound: When there is no such issue.
        Conflict: When it was not planned, is paused, or was cancelled. Of one that is sent, only what the policy puts
            back goes out.
        DatabaseUnavailable: When outcomes cannot be recorded any more.
    """
    _refuse_unless_sending(app, issue_id)
    window = Window.of(app.config.send.window, app.config.organisation.zone)
    if window is not None and not window.is_open(app.now()):
        with app.database.read() as session:
            counts = issue_counts(session, issue_id)
        state = IssueState(counts["state"])
        return SendReport(state, counts["reason"], counts, 0.0, False, window.opens_at(app.now()))
    with interpreter_for_sending(), asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_run(app, issue_id, on_progress or (lambda _: None), on_look, stop, give_way, handle_signals))


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
        if issue.state is IssueState.CANCELLED:
            raise Conflict(f"Issue {issue.slug} was cancelled: nothing more of it is sent.")


async def _run(
    app: Parts,
    issue_id: int,
    on_progress: Callable[[Progress], None],
    on_look: Callable[[], None] | None,
    stop: threading.Event | None,
    give_way: threading.Event | None,
    signals: bool,
) -> SendReport:
    started = time.monotonic()
    with Owner(app.database, app.workspace.locks, app.now) as owner:
        journal = Journal(
            app.database,
            owner=owner.id,
            pepper=app.keys.pepper,
            lease=timedelta(seconds=app.config.send.lease_seconds),
            clock=app.now,
            zone=app.config.organisation.zone,
        )
        try:
            try:
                sender = await Sender.prepare(app, issue_id, journal, owner, on_progress, stop)
            except DkimKeyUnusable as error:
                pausing = partial(_pause_unsigned, app=app, issue_id=issue_id, owner=owner, error=error)
                counts = await journal.in_session(pausing)
                return _report(counts, started)
            sender.give_way, sender.on_look = give_way, on_look
            with signals_drain(sender.drain) if signals else nullcontext():
                await sender.run()
            counts = await journal.in_session(lambda session: _close(session, app, issue_id, owner))
        finally:
            await journal.close()
    sender.tell()
    return _report(counts, started, stopped=sender.stopped, goes_on_at=sender.goes_on_at)


def _report(
    counts: dict[str, Any], started: float, *, stopped: bool = False, goes_on_at: datetime | None = None
) -> SendReport:
    state = IssueState(counts["state"])
    goes_on_at = goes_on_at if state is IssueState.SENDING else None
    return SendReport(state, counts["reason"], counts, time.monotonic() - started, stopped, goes_on_at)


def _pause_unsigned(
    session: Session, *, app: Parts, issue_id: int, owner: Owner, error: DkimKeyUnusable
) -> dict[str, Any]:
    """Pause an issue whose copies cannot be signed as they were planned: none of them leaves unsigned."""
    issue = session.get_one(Issue, issue_id, with_for_update=True)
    if issue.state is not IssueState.SENDING:
        raise error
    pause(session, issue, f"{error.message} {error.hint}".strip(), now=app.now(), kind=PauseKind.REFUSALS)
    owner.leave(session)
    app.audit.record(session, Action.SEND_PAUSED, f"issue {issue.slug}", kind="unsigned")
    return issue_counts(session, issue_id)


def _close(session: Session, app: Parts, issue_id: int, owner: Owner) -> dict[str, Any]:
    finished = finish_if_done(session, issue_id, app.now())
    cancel_what_waits(session, issue_id, app.now())
    owner.leave(session)
    if finished:
        counts = {state.value: count for state, count in state_counts(session, issue_id).items() if count}
        app.audit.record(
            session, Action.SEND_FINISHED, f"issue {session.get_one(Issue, issue_id).slug}", details=counts
        )
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
        cautious: bool,
        counts: dict[DeliveryState, int],
        domains: tuple[DomainLimit, ...],
        on_progress: Callable[[Progress], None],
        stop: threading.Event | None,
        local_hostname: str,
    ) -> None:
        self._app, self._issue_id, self._journal, self._owner = app, issue_id, journal, owner
        self._stop_asked, self._on_progress = stop, on_progress
        self._counts_before = counts
        self._rate = RecentRate(time.monotonic())
        self._planned = sum(counts.values())
        self._window = Window.of(app.config.send.window, app.config.organisation.zone)
        settings = app.config.send
        tallies = Tallies(self._planned, settings.held_pause_count, settings.held_pause_percent)
        self.local_hostname, self.clock = local_hostname, app.now
        self.maker: Maker = maker
        self._plain_maker, self._cautious = maker, cautious
        self.composing = owner.composing
        sent_before = counts[DeliveryState.SENT]
        self.results = Results(journal, settings, tallies, sent_before=sent_before, clock=app.now, pause=self.pause)
        reserve = CLAIM_ROWS if maker.signs else 0
        self.relays = [Relay(account, self, reserve=reserve) for account in app.config.smtp.all_accounts]
        self._feeding = Feeding(journal, issue_id, self.relays, domains, self)
        self._most_on_a_connection = {limit.name: limit.messages_per_connection for limit in domains}
        self.stopped, self._stopped_at = False, 0.0
        self.give_way: threading.Event | None = None
        self.on_look: Callable[[], None] | None = None
        self.goes_on_at: datetime | None = None
        self._ended = asyncio.Event()
        self._pause_reason: tuple[str, PauseKind] | None = None

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
        limits = DomainLimits(app.config.send.domains)

        def settle(session: Session) -> tuple[dict[DeliveryState, int], tuple[DomainLimit, ...]]:
            note_place(session, app.now())
            owner.recover(session, dot_timeout=dot_timeout(app.config))
            apply_policy(session, app.config, issue_id, app.now())
            return state_counts(session, issue_id), name_limits(session, issue_id, limits)

        def load(session: Session) -> tuple[CopyMaker, bool]:
            maker = CopyMaker.load(session, issue_id, app.config, app.keys)
            return maker, maker.signs and crashes_happened(session, issue_id)

        counts, domains = await journal.in_session(settle)
        maker, cautious = await journal.in_session(load)
        local_hostname = app.config.smtp.local_hostname or await asyncio.to_thread(own_name)
        return cls(
            app,
            issue_id,
            journal,
            owner,
            maker=maker,
            cautious=cautious,
            counts=counts,
            domains=domains,
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

    async def new_slot(self, relay: Relay, row: Claimed) -> float:
        return await self._feeding.new_slot(relay, row)

    def most_on_a_connection(self, key: str) -> int:
        """Return how many copies under a limit one connection carries; 0 is unlimited."""
        return self._most_on_a_connection.get(key, 0)

    # -- what feeding asks

    def end(self) -> None:
        self._ended.set()
        for relay in self.relays:
            relay.arrived.set()
            relay.wanted.set()

    def end_outside_window(self) -> bool:
        """Take nothing new once the sending window has closed; return whether it has."""
        if self._window is None or self._window.is_open(self.clock()):
            return False
        self.goes_on_at = self._window.opens_at(self.clock())
        self.end()
        return True

    def pause(self, reason: str, kind: PauseKind = PauseKind.REFUSALS) -> None:
        """End the run, and leave the issue paused."""
        if self._pause_reason is None:
            self._pause_reason = (reason, kind)
        self.end()

    # -- the run

    async def run(self) -> None:
        watches = [asyncio.create_task(watch) for watch in (self._watch(), self._watch_database())]
        ahead = self._make_ahead()
        try:
            async with asyncio.TaskGroup() as group:
                for relay in self.relays:
                    group.create_task(self._feeding.serve(relay))
        except BaseExceptionGroup as failures:
            raise _first(failures) from None
        finally:
            self.end()
            for watch in watches:
                watch.cancel()
            watched = await asyncio.gather(*watches, return_exceptions=True)
            if ahead is not None:
                await ahead.close()
            for relay in self.relays:
                relay.put_back_all()
        for failure in watched:
            if isinstance(failure, Exception):
                raise failure
        await self.results.providers.settled()
        if self._pause_reason is not None:
            await self._journal.in_session(self._store_pause)
        elif any(self.results.counts[state] for state in FINAL):  # a copy that was only put back proves nothing
            await self._journal.in_session(self._forget_pause)

    def _forget_pause(self, session: Session) -> None:
        """What was the matter before is over; a pause that somebody else has set meanwhile stands."""
        if session.get_one(Issue, self._issue_id).state is not IssueState.PAUSED:
            forget_pause(session, self._issue_id)

    def _make_ahead(self) -> CopiesAhead | None:
        """Start the threads that make copies, where these are signed."""
        maker = self._plain_maker
        if not maker.signs:
            return None
        threads = threads_for_signing(cautious=self._cautious)
        most = sum(relay.account.connections + 3 * CLAIM_ROWS for relay in self.relays)
        ahead = CopiesAhead(maker, self._owner.composing, threads=threads, most=most)
        self.maker = ahead
        return ahead

    def drain(self) -> None:
        """Take nothing new; let what is on the wire finish. A call a second or more later drops the connections."""
        if self.stopped and time.monotonic() >= self._stopped_at + ONE_STOP_SECONDS:
            for relay in self.relays:
                for conversation in list(relay.open):
                    conversation.abort()
        if not self.stopped:
            self._stopped_at = time.monotonic()
        self.stopped = True
        self.end()

    def tell(self) -> None:
        """Hand over how far the run is."""
        done_here = sum(self.results.counts[state] for state in FINAL) + self._feeding.suppressed_at_claim
        done = done_here + sum(self._counts_before[state] for state in FINAL)
        sent = self._counts_before[DeliveryState.SENT] + self.results.counts[DeliveryState.SENT]
        deferred = max(0, self.results.counts[DeliveryState.DEFERRED])
        rate = self._rate.after(done_here, time.monotonic())
        left = max(0, self._planned - done - deferred) / rate if rate else None
        self._on_progress(Progress(self._planned, min(done, self._planned), sent, deferred, rate, left))

    def _store_pause(self, session: Session) -> None:
        assert self._pause_reason is not None
        issue = session.get_one(Issue, self._issue_id, with_for_update=True)
        if issue.state is IssueState.SENDING:
            reason, kind = self._pause_reason
            if self.results.counts[DeliveryState.SENT]:
                forget_pause(session, issue.id)  # what was the matter before is over
            pause(session, issue, reason, now=self._app.now(), kind=kind)
            self._app.audit.record(session, Action.SEND_PAUSED, f"issue {issue.slug}", kind=kind.value)

    async def _watch(self) -> None:
        """Progress, overdue replies and the wish to stop: also while the database is locked by another program."""
        with self.ending_on_failure():
            while True:
                await asyncio.sleep(TICK_SECONDS)
                self._tick(asyncio.get_running_loop().time())

    def _tick(self, now: float) -> None:
        for relay in self.relays:
            for conversation in list(relay.open):
                conversation.overdue(now)
        self.tell()
        self.end_outside_window()
        if self.give_way is not None and self.give_way.is_set():
            self.end()
        if self._stop_asked is not None and self._stop_asked.is_set() and not self.stopped:
            self.drain()

    async def _watch_database(self) -> None:
        """What other processes did to the issue, the leases of this worker, and workers that died meanwhile."""
        loop = asyncio.get_running_loop()
        recover_at = loop.time() + RECOVER_SECONDS
        with self.ending_on_failure():
            while True:
                await asyncio.sleep(LOOK_AT_ISSUE_SECONDS)
                await self._look_at_issue()
                if self.on_look is not None:
                    self.on_look()
                if loop.time() >= recover_at:
                    recover_at = loop.time() + RECOVER_SECONDS
                    await self._journal.in_session(self._see_to_leases)

    @contextmanager
    def ending_on_failure(self) -> Iterator[None]:
        """End the run when what feeds or watches it fails: nobody else would tell the connections that wait."""
        try:
            yield
        except BaseException:
            self.end()
            raise

    def _see_to_leases(self, session: Session) -> None:
        config = self._app.config
        self._owner.renew(session, self._issue_id, lease=timedelta(seconds=config.send.lease_seconds))
        self._owner.recover(session, dot_timeout=dot_timeout(config))

    async def _look_at_issue(self) -> None:
        statement = select(Issue.state).where(Issue.id == self._issue_id)
        if await self._journal.in_session(lambda session: session.scalar(statement)) is not IssueState.SENDING:
            self.end()


def _first(failures: BaseExceptionGroup[Any]) -> BaseException:
    error: BaseException = failures
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def dot_timeout(config: Config) -> timedelta:
    return timedelta(seconds=max(account.dot_timeout_seconds for account in config.smtp.all_accounts))
