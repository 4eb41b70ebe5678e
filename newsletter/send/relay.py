"""
One relay while an issue goes out: the rows in hand for it, its connections, and whether it is there at all.

A relay that is away charges nobody: what was in hand goes back. Each connection is a lane that carries one copy after
the other; where the server pipelines, the next envelope travels with the previous dot, one round trip a message.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from newsletter.config import SmtpAccount
from newsletter.errors import NewsletterError
from newsletter.send.copies import Copy
from newsletter.send.journal import Claimed, Granted
from newsletter.send.replies import SmtpReply, Stage, Verdict
from newsletter.send.results import Results
from newsletter.send.session import ConnectionLost, Conversation, RelayRefused, open_conversation
from newsletter.send.throttle import Limits

DOWN_AFTER_SECONDS = 3.0
FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS = 0.25, 5.0
DOT, RESET = b".\r\n", b"RSET\r\n"


class Maker(Protocol):
    """Who makes copies: as they are asked for, or ahead."""

    def make(self, row: Claimed, not_before: float = 0.0) -> Copy: ...

    def keep(self, copy: Copy) -> None: ...


class Run(Protocol):
    """What a relay needs of the run that it is part of."""

    maker: Maker
    results: Results
    local_hostname: str

    @property
    def ending(self) -> bool: ...

    def composing(self, delivery: int) -> None: ...

    async def sleep(self, seconds: float) -> None: ...


class Relay:
    """
    One account: rows in hand, open conversations, and its health.

    Args:
        reserve: Rows to have in hand beside one for each connection, while copies are made ahead.
    """

    def __init__(
        self, account: SmtpAccount, run: Run, *, reserve: int = 0, down_after_seconds: float = DOWN_AFTER_SECONDS
    ) -> None:
        self.account = account
        self.limits = Limits(account.per_minute, account.per_hour, account.per_day)
        self.pool: deque[tuple[Claimed, float]] = deque()
        self.arrived = asyncio.Event()
        self.wanted = asyncio.Event()
        self.open: set[Conversation] = set()
        self.in_hand = self.expected = 0
        self.claimed = 0
        self.down: RelayRefused | None = None
        self._run, self._down_after = run, down_after_seconds
        self._enough = account.connections + reserve
        self._failing_since: float | None = None

    @property
    def share(self) -> float:
        """Return how much it was given in relation to its weight."""
        return self.claimed / self.account.weight

    @property
    def has_enough(self) -> bool:
        return len(self.pool) + self.expected > self._enough

    def expect(self, count: int) -> None:
        """Count rows as in hand that were claimed for it; `give` follows for each."""
        self.in_hand += count
        self.claimed += count
        self.expected += count

    def give(self, rows: Sequence[tuple[Claimed, float]]) -> None:
        self.pool.extend(rows)
        self.expected -= len(rows)
        self.arrived.set()

    def settle(self) -> None:
        """Count a row as no longer in hand; the journal has been told what came of it."""
        self.in_hand -= 1
        if not self.in_hand:
            self.wanted.set()

    def put_back_all(self) -> None:
        """Hand everything not begun back to the database."""
        while self.pool:
            row, _ = self.pool.popleft()
            self._run.results.journal.release(row.id)
            self.settle()

    async def all_given(self) -> None:
        """Wait until everything that was claimed for it has been given."""
        while self.expected:
            self.arrived.clear()
            await self.arrived.wait()

    async def next_copy(self) -> Copy | None:
        """Return the next copy when its time has come; None when this relay has no more to do."""
        while not self._run.ending and self.down is None:
            copy = self.ready_copy()
            if copy is not None:
                return copy
            if self.pool:
                await self._run.sleep(min(1.0, max(0.001, self.pool[0][1] - time.time())))
                continue
            self.arrived.clear()
            self.wanted.set()
            await self.arrived.wait()
        return None

    def ready_copy(self) -> Copy | None:
        """Return a composed copy that may leave now, without waiting."""
        results, maker = self._run.results, self._run.maker
        while self.pool and not self._run.ending and self.down is None:
            row, not_before = self.pool[0]
            if not_before and not_before > time.time():
                return None
            self.pool.popleft()
            if not self.has_enough:
                self.wanted.set()
            until = results.breakers.open_until(row.domain, results.now())
            if until is not None:
                results.parked(row, until)
                self.settle()
                continue
            self._run.composing(row.id)
            try:
                return maker.make(row, not_before)
            except NewsletterError as error:
                results.held(row, error.code, error.message)
            except Exception as error:
                results.held(row, "error", f"{type(error).__name__}: {error}")
            finally:
                self._run.composing(0)
            self.settle()
        return None

    def return_copy(self, copy: Copy) -> None:
        """Put a copy that was composed but not begun back to the front."""
        self._run.maker.keep(copy)
        self.pool.appendleft((copy.row, copy.not_before))
        self.arrived.set()

    def works(self) -> None:
        self._failing_since = None

    async def failed(self, error: RelayRefused, backoff_seconds: float) -> None:
        """Note that a connection could not be had or used; declare the relay down when none has worked for a while."""
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        if error.lasting or (not self.open and now - self._failing_since >= self._down_after):
            self.down = error
            self.arrived.set()
            self.wanted.set()
            return
        await self._run.sleep(backoff_seconds)

    async def carry(self) -> None:
        """Run all lanes of this relay until it has no more to do or is down."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self.account.connections):
                group.create_task(Lane(self, self._run).work())


class Lane:
    """One connection at a time, and the copies that it carries."""

    def __init__(self, relay: Relay, run: Run) -> None:
        self._relay, self._run, self._results = relay, run, run.results
        account = relay.account
        self._command_seconds, self._dot_seconds = account.command_timeout_seconds, account.dot_timeout_seconds
        self._talk: Conversation
        self._prefix = b""
        self._dotted: Copy | None = None

    async def work(self) -> None:
        """Open a connection when there is something to carry; another one when that is used up or lost."""
        backoff = FIRST_BACKOFF_SECONDS
        while (copy := await self._relay.next_copy()) is not None:
            try:
                self._talk = await open_conversation(self._relay.account, local_hostname=self._run.local_hostname)
            except RelayRefused as error:
                self._relay.return_copy(copy)
                await self._relay.failed(error, backoff)
                backoff = min(backoff * 2, LONGEST_BACKOFF_SECONDS)
                continue
            self._relay.open.add(self._talk)
            self._prefix, self._dotted = b"", None
            try:
                trouble = await self._carry(copy)
            finally:
                self._relay.open.discard(self._talk)
                self._talk.abort()
            if trouble is None or self._talk.carried:
                backoff = FIRST_BACKOFF_SECONDS
            else:
                await self._relay.failed(RelayRefused(trouble), backoff)
                backoff = min(backoff * 2, LONGEST_BACKOFF_SECONDS)

    async def _carry(self, first: Copy) -> str | None:
        """Carry copies until the connection is used up; return what went wrong, None if nothing did."""
        copy, following = first, None
        while True:
            if self._dotted is None and (gone := self._gone_while_idle()):
                self._relay.return_copy(copy)
                return gone
            try:
                accepted = await self._offer(copy)
            except ConnectionLost as error:
                self._give_back(copy, str(error))
                return str(error)
            if accepted:
                self._talk.write(copy.body)
                following, trouble = await self._finish(copy)
                if trouble is not None:
                    return trouble
            else:
                following = await self._next_after_refusal()
            if following is None:
                await self._talk.quit()
                return None
            copy = following

    def _gone_while_idle(self) -> str | None:
        """Return why the connection cannot be used any more, before anything of the next copy is written."""
        try:
            reply = self._talk.came_first()
        except ConnectionLost as error:
            return str(error)
        return str(reply) if reply is not None else None

    async def _offer(self, copy: Copy) -> bool:
        """Write the envelope and read its replies; True when the body may follow."""
        talk = self._talk
        if talk.features.pipelining:
            talk.write(b"".join((self._prefix, copy.mail, copy.rcpt, b"DATA\r\n")))
            await self._settle_prefix()
            mail = await talk.reply(self._command_seconds)
            rcpt = await talk.reply(self._command_seconds)
            data = await talk.reply(self._command_seconds)
        else:
            talk.write(self._prefix)
            await self._settle_prefix()
            mail, rcpt, data = await self._one_by_one(copy)
        if data.code == 354 and 200 <= mail.code < 300 and 200 <= rcpt.code < 300:
            return True
        stage, reply = Stage.DATA, data
        if not 200 <= mail.code < 300:
            stage, reply = Stage.MAIL, mail
        elif not 200 <= rcpt.code < 300:
            stage, reply = Stage.RCPT, rcpt
        judged = self._results.judge(copy, stage, reply, talk.features)
        self._relay.settle()
        if judged.verdict is not Verdict.CONNECTION:
            self._relay.works()
            talk.carried += 1
        # After 354 only a dot ends DATA, and a dot could deliver what was refused: the connection is dropped instead.
        self._prefix = b"" if data.code == 354 or judged.closes else RESET
        return False

    async def _one_by_one(self, copy: Copy) -> tuple[SmtpReply, SmtpReply, SmtpReply]:
        talk, refused = self._talk, SmtpReply(503, "not asked")
        talk.write(copy.mail)
        mail = await talk.reply(self._command_seconds)
        if not 200 <= mail.code < 300:
            return mail, refused, refused
        talk.write(copy.rcpt)
        rcpt = await talk.reply(self._command_seconds)
        if not 200 <= rcpt.code < 300:
            return mail, rcpt, refused
        talk.write(b"DATA\r\n")
        return mail, rcpt, await talk.reply(self._command_seconds)

    async def _settle_prefix(self) -> None:
        """Read the reply to what travelled before the envelope: the previous dot, or RSET."""
        if self._prefix == RESET:
            await self._talk.reply(self._command_seconds)
        elif self._dotted is not None:
            await self._read_dot()
        self._prefix = b""

    async def _read_dot(self) -> None:
        copy, self._dotted = self._dotted, None
        assert copy is not None
        try:
            reply = await self._talk.reply(self._dot_seconds)
        except ConnectionLost as error:
            self._results.uncertain(copy, str(error), self._talk.features)
            self._relay.settle()
            raise
        judged = self._results.judge(copy, Stage.DOT, reply, self._talk.features)
        self._relay.settle()
        self._relay.works()
        self._talk.carried += 1
        if judged.closes:
            raise ConnectionLost(str(reply))

    async def _finish(self, copy: Copy) -> tuple[Copy | None, str | None]:
        """
        Let the dot leave once the intent is durable; return the next copy, or what went wrong.

        The dot waits for the next envelope only if that is ready; else it leaves at once.
        """
        answer = self._results.journal.intend(copy.row.id)
        following = self._relay.ready_copy() if self._may_carry_more() else None
        trouble = await self._grant(copy, answer)
        if trouble is not None:
            if following is not None:
                self._relay.return_copy(following)
            return None, trouble
        self._dotted, self._prefix = copy, DOT
        if following is not None:
            return following, None
        try:
            self._talk.write(DOT)
            await self._settle_prefix()
        except ConnectionLost as error:
            return None, str(error)
        return (await self._relay.next_copy() if self._may_carry_more() else None), None

    async def _grant(self, copy: Copy, answer: asyncio.Future[Granted]) -> str | None:
        """Return None when the dot may leave, else why not; the connection is then of no more use."""
        try:
            granted = await answer
        except BaseException:
            self._talk.abort()
            raise
        if granted is not Granted.YES:
            # The body is on the wire, so only dropping the connection keeps it from being delivered.
            self._talk.abort()
            self._talk.carried += 1
            self._results.refused_at_intent(granted)
            self._relay.settle()
            return f"the row was {granted.value} at its intent"
        try:
            reply = self._talk.came_first()
        except ConnectionLost as error:
            self._give_back(copy, str(error))
            return str(error)
        if reply is not None:
            self._results.judge(copy, Stage.BODY, reply, self._talk.features)
            self._relay.settle()
            return str(reply)
        return None

    def _give_back(self, copy: Copy, why: str) -> None:
        self._results.not_accepted(copy, why)
        self._relay.settle()

    async def _next_after_refusal(self) -> Copy | None:
        """Return the next copy for this connection if it can be used on."""
        if not self._prefix:
            self._talk.abort()
            return None
        return await self._relay.next_copy() if self._may_carry_more() else None

    def _may_carry_more(self) -> bool:
        account, talk = self._relay.account, self._talk
        old = asyncio.get_running_loop().time() - talk.opened_at > account.seconds_per_connection
        return talk.carried + 1 < account.messages_per_connection and not old and not self._run.ending
