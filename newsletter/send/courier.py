"""
Carries notices: one conversation with the first relay that can be used, one message after the other.

The order is that of deliveries: claim, gate, body without its dot, intent, dot, outcome. Nothing is claimed before a
relay has answered, so one that is away charges nobody.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from newsletter.config.settings import SmtpAccount
from newsletter.errors import NewsletterError
from newsletter.send import notice_rows
from newsletter.send.copies import envelope_commands
from newsletter.send.envelope import fixed_sender
from newsletter.send.gate import check_message, stuffed
from newsletter.send.notice_rows import Job, Outcome, Taken
from newsletter.send.outbox import RULES
from newsletter.send.owner import Owner
from newsletter.send.replies import SmtpReply, Stage, Verdict, classify
from newsletter.send.report import Parts
from newsletter.send.retry import retry_delay
from newsletter.send.runtime import loop_factory, own_name
from newsletter.send.session import ConnectionLost, Conversation, RelayRefused, open_conversation
from newsletter.send.throttle import is_lost
from newsletter.tables import DeliveryState as S
from newsletter.tables import NoticeKind

NO_CLEAR_REPLY = "no clear reply to the dot"
STEP_ASIDE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Carried:
    """What came of one notice in this round."""

    id: int
    kind: NoticeKind
    state: S
    reply: SmtpReply | None
    reason: str | None


@dataclass(slots=True)
class Trip:
    """
    What one round did.

    Attributes:
        away: Why no relay could be used, or the last one no further; None when nothing was left for want of one.
        wait_seconds: How long until the account's rate lets another one leave; 0 when that is not what it waits for.
    """

    carried: list[Carried] = field(default_factory=list)
    away: RelayRefused | None = None
    wait_seconds: float = 0.0


class _Unusable(Exception):
    """This conversation, or the relay behind it, is of no more use now; the row is put back already."""


class Custody(Protocol):
    """Where the notices of a round come from, and where it is kept what came of them. Called in threads."""

    def claim(self, account: SmtpAccount) -> Taken: ...
    def another_slot(self, account: SmtpAccount) -> float: ...
    def intend(self, job: Job) -> bool: ...
    def settle(self, job: Job, outcome: Outcome) -> None: ...


class Stored:
    """The rows of the outbox, each step in a transaction of its own."""

    def __init__(self, app: Parts, owner: Owner, only: Collection[int] | None) -> None:
        self._app, self._owner, self._only = app, owner.id, only
        self._lease = timedelta(seconds=app.config.send.lease_seconds)

    def claim(self, account: SmtpAccount) -> Taken:
        with self._app.database.write() as session:
            now = self._app.now()
            return notice_rows.claim(session, self._owner, account, now=now, lease=self._lease, only=self._only)

    def another_slot(self, account: SmtpAccount) -> float:
        with self._app.database.write() as session:
            return notice_rows.another_slot(session, account, self._app.now())

    def intend(self, job: Job) -> bool:
        with self._app.database.write() as session:
            return notice_rows.intend(session, self._owner, job, self._app.now())

    def settle(self, job: Job, outcome: Outcome) -> None:
        with self._app.database.write() as session:
            notice_rows.settle(session, self._owner, job, outcome, self._app.now())


class Unrecorded:
    """Messages in hand while no database can be used: each is tried once, and what comes of it is nowhere kept."""

    def __init__(self, app: Parts, kind: NoticeKind, messages: Mapping[str, bytes]) -> None:
        now = app.now()
        until = now + RULES[kind].lifetime
        self._jobs = [Job(0, kind, address, message, 1, now, until) for address, message in messages.items()]

    def claim(self, account: SmtpAccount) -> Taken:
        del account  # its rate is in the database
        return Taken(self._jobs.pop(0) if self._jobs else None)

    def another_slot(self, account: SmtpAccount) -> float:
        del account
        return 0.0

    def intend(self, job: Job) -> bool:
        del job
        return True

    def settle(self, job: Job, outcome: Outcome) -> None:
        if outcome.state is S.PENDING:
            self._jobs.append(job)


def carry_due(
    app: Parts, owner: Owner, *, only: Collection[int] | None = None, stop: threading.Event | None = None
) -> Trip:
    """
    Send every notice that is due, or those of *only*, until there is none, no relay can be used, or *stop* is set.

    Raises:
        DatabaseUnavailable: What was in hand is settled by the next owner's recovery.
    """
    return carry(app, Stored(app, owner, only), stop or threading.Event())


def carry(app: Parts, custody: Custody, stop: threading.Event) -> Trip:
    """Send what *custody* gives."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(Courier(app, custody, stop).run())


class Courier:
    """One round."""

    def __init__(self, app: Parts, custody: Custody, stop: threading.Event) -> None:
        self._app, self._custody, self._stop = app, custody, stop
        self._sender = fixed_sender(app.config)
        self._trip = Trip()

    async def run(self) -> Trip:
        """Use one account after the other until one has carried all."""
        for account in self._app.config.smtp.all_accounts:
            self._trip.away, self._trip.wait_seconds = None, 0.0
            try:
                while await self._use(account):
                    pass
            except RelayRefused as error:
                self._trip.away = error
                continue
            if not self._trip.wait_seconds:
                break
        return self._trip

    async def _use(self, account: SmtpAccount) -> bool:
        """
        Carry over one conversation; return whether another one is wanted.

        Raises:
            RelayRefused: When the relay cannot be used now.
        """
        name = account.local_hostname or await asyncio.to_thread(own_name)
        talk = await open_conversation(account, local_hostname=name)
        watch = asyncio.create_task(_watch(talk))
        try:
            while talk.carried < account.messages_per_connection:
                if self._stop.is_set() or not await self._next(talk, account):
                    await talk.quit()
                    return False
        except _Unusable as error:
            if not talk.carried:
                raise RelayRefused(f"The mail server {account.host} takes no notices now: {error}") from error
        else:
            await talk.quit()
        finally:
            watch.cancel()
            talk.abort()
        return True

    async def _next(self, talk: Conversation, account: SmtpAccount) -> bool:
        """Carry one notice; return False when none is left or may leave soon."""
        taken = await asyncio.to_thread(self._custody.claim, account)
        job = taken.job
        if job is None:
            self._trip.wait_seconds = taken.wait_seconds
            return False
        try:
            check_message(job.message, recipient=job.address, newsletter=job.kind is NoticeKind.TEST)
            commands = envelope_commands(self._sender, job.address)
        except NewsletterError as error:
            await self._settle(job, Outcome(S.HELD, job.attempt, SmtpReply(0, error.message), error.code))
            return True
        if await self._offer(talk, account, job, commands):
            await self._finish(talk, account, job)
        return True

    async def _offer(self, talk: Conversation, account: SmtpAccount, job: Job, commands: tuple[bytes, bytes]) -> bool:
        """Write the envelope, one command at a time; return whether the body may follow."""
        seconds, stage = account.command_timeout_seconds, Stage.MAIL
        try:
            for step in ((Stage.MAIL, commands[0], 2), (Stage.RCPT, commands[1], 2), (Stage.DATA, b"DATA\r\n", 3)):
                stage, command, wanted = step
                talk.write(command)
                reply = await talk.reply(seconds)
                if reply.code // 100 != wanted:
                    break
            else:
                return True
        except ConnectionLost as error:
            await self._put_back(job, stage, str(error))
            raise _Unusable(str(error)) from error
        await self._judge(talk, job, stage, reply)
        talk.write(b"RSET\r\n")
        try:
            await talk.reply(seconds)
        except ConnectionLost as error:
            raise _Unusable(str(error)) from error
        return False

    async def _finish(self, talk: Conversation, account: SmtpAccount, job: Job) -> None:
        """Write the body, and the dot once the intent is durable; record what comes of it."""
        talk.write(stuffed(job.message))
        talk.carried += 1
        await self._reach_slot(account, job.not_before)
        if not await asyncio.to_thread(self._custody.intend, job):
            raise _Unusable("the notice was withdrawn at its intent")  # the dropped connection delivers no body
        try:
            early = talk.came_first()
        except ConnectionLost as error:
            await self._defer(job, SmtpReply(0, str(error)))  # perhaps its content is what ends connections
            raise _Unusable(str(error)) from error
        if early is not None:
            await self._judge(talk, job, Stage.BODY, early)
            raise _Unusable(str(early))
        talk.write(b".\r\n")
        try:
            reply = await talk.reply(account.dot_timeout_seconds)
        except ConnectionLost as error:
            await self._doubt(job, SmtpReply(0, str(error)))
            raise _Unusable(str(error)) from error
        await self._judge(talk, job, Stage.DOT, reply)

    async def _reach_slot(self, account: SmtpAccount, slot: float) -> None:
        """Wait for the slot that the account's rate gave, or for another one when that has passed."""
        while slot and ((now := self._app.now().timestamp()) < slot or is_lost(slot, now)):
            if not is_lost(slot, now):
                await asyncio.sleep(slot - now)
            else:
                slot = await asyncio.to_thread(self._custody.another_slot, account)

    async def _judge(self, talk: Conversation, job: Job, stage: Stage, reply: SmtpReply) -> None:
        """Record what a reply means for the notice that it answers; raise when the conversation is of no more use."""
        judged = classify(stage, reply)
        verdict = judged.verdict
        if verdict in (Verdict.CONNECTION, Verdict.CONFIGURATION, Verdict.SENDER):
            await self._put_back(job, stage, str(reply))
            raise _Unusable(str(reply))
        if verdict is Verdict.UNCERTAIN:
            await self._doubt(job, reply)
        elif verdict in (Verdict.DEFERRED, Verdict.POLICY):
            await self._defer(job, reply)
        else:
            state, reason = _ENDS[verdict]
            await self._settle(job, Outcome(state, job.attempt, reply, reason))
        if stage is not Stage.DOT:
            talk.carried += 1  # the relay works, and counts what it refused
        if judged.closes:
            raise _Unusable(str(reply))

    async def _defer(self, job: Job, reply: SmtpReply) -> None:
        retry_at = self._retry_at(job)
        state = S.EXPIRED if retry_at is None else S.DEFERRED
        await self._settle(job, Outcome(state, job.attempt, reply, "try again later", retry_at))

    async def _doubt(self, job: Job, reply: SmtpReply) -> None:
        retry_at = self._retry_at(job) if RULES[job.kind].repeats_doubtful else None
        await self._settle(job, Outcome(S.UNCERTAIN, job.attempt, reply, NO_CLEAR_REPLY, retry_at))

    def _retry_at(self, job: Job) -> datetime | None:
        """Return when to try again; None when it was the last time. A test copy is tried once."""
        if job.kind is NoticeKind.TEST:
            return None
        lifetime, spread = job.expires_at - job.created_at, random.uniform(-1, 1)  # noqa: S311  (spreads load)
        delay = retry_delay(job.attempt, give_up_after=lifetime, spread=spread)
        now = self._app.now()
        return now + delay if delay is not None and now + delay < job.expires_at else None

    async def _put_back(self, job: Job, stage: Stage, why: str) -> None:
        """
        Leave the notice as it was before the claim: nobody is charged for a relay that cannot be used.

        Where the recipient was named already it waits a little, so that one notice never keeps others from leaving.
        """
        state = S.PENDING if job.attempt <= 1 else S.DEFERRED
        retry_at = self._app.now() + (timedelta() if stage is Stage.MAIL else STEP_ASIDE)
        await self._settle(job, Outcome(state, job.attempt - 1, SmtpReply(0, why), "put back", retry_at))

    async def _settle(self, job: Job, outcome: Outcome) -> None:
        await asyncio.to_thread(self._custody.settle, job, outcome)
        self._trip.carried.append(Carried(job.id, job.kind, outcome.state, outcome.reply, outcome.reason))


_ENDS: dict[Verdict, tuple[S, str | None]] = {
    Verdict.SENT: (S.SENT, None),
    Verdict.BOUNCED: (S.BOUNCED, "refused"),
    Verdict.CONTENT: (S.HELD, "content refused"),
}


async def _watch(talk: Conversation) -> None:
    """End the conversation when a reply is overdue."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(1)
        talk.overdue(loop.time())
