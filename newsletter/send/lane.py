"""
One connection of a relay after the other, and the copies that it carries.

Where the server pipelines, the next envelope travels with the previous dot, one round trip a message. A dot leaves only
when its intent is durable, and not before the slot that the limits gave its copy.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from newsletter.send.copies import Copy
from newsletter.send.journal import Granted
from newsletter.send.replies import SmtpReply, Stage, Verdict
from newsletter.send.session import ConnectionLost, Conversation, RelayRefused, open_conversation
from newsletter.send.throttle import is_lost

if TYPE_CHECKING:
    from newsletter.send.relay import Relay, Run

FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS = 0.25, 5.0
DOT, RESET = b".\r\n", b"RSET\r\n"
NOT_ASKED = SmtpReply(503, "not asked")
RUN_ENDED = "the run ended before the copy's slot"


class Lane:
    """One connection at a time, and the copies that it carries."""

    def __init__(self, relay: Relay, run: Run) -> None:
        self._relay, self._run, self._results = relay, run, run.results
        account = relay.account
        self._command_seconds, self._dot_seconds = account.command_timeout_seconds, account.dot_timeout_seconds
        self._talk: Conversation
        self._prefix = b""
        self._dotted: Copy | None = None
        self._carried_under: Counter[str] = Counter()
        self._is_full = False
        self._ended_by: str | None = None
        self._begun_at = 0.0

    async def work(self) -> None:
        """Open a connection when there is something to carry; another one when that is used up or lost."""
        backoff = FIRST_BACKOFF_SECONDS
        while (copy := await self._relay.next_copy()) is not None:
            try:
                account = self._relay.account
                name = account.local_hostname or self._run.local_hostname
                self._talk = await open_conversation(account, local_hostname=name)
            except RelayRefused as error:
                self._relay.return_copy(copy)
                await self._relay.failed(error, backoff)
                backoff = min(backoff * 2, LONGEST_BACKOFF_SECONDS)
                continue
            self._relay.open.add(self._talk)
            self._prefix, self._dotted = b"", None
            self._carried_under, self._is_full, self._ended_by = Counter(), False, None
            try:
                trouble = await self._carry(copy)
            finally:
                self._relay.open.discard(self._talk)
                self._talk.abort()
            if trouble is None or self._talk.carried:
                backoff = FIRST_BACKOFF_SECONDS
            else:
                words = f"The mail server {self._relay.account.host} takes no mail: {trouble}"
                await self._relay.failed(RelayRefused(words), backoff)
                backoff = min(backoff * 2, LONGEST_BACKOFF_SECONDS)

    async def _carry(self, first: Copy) -> str | None:
        """Carry copies until the connection is used up; return what went wrong, None if nothing did."""
        copy, following = first, None
        while True:
            if copy.not_before:
                self._begun_at = asyncio.get_running_loop().time()
            if copy.row.rate_key is not None:
                self._carried_under[copy.row.rate_key] += 1
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
            elif self._ended_by is not None:
                return self._ended_by
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
            mail, rcpt, data = await self._three_replies()
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
        if judged.verdict is Verdict.CONNECTION:
            self._ended_by = str(reply)
        else:
            self._relay.works()
            talk.carried += 1
        # After 354 only a dot ends DATA, and a dot could deliver what was refused: the connection is dropped instead.
        self._prefix = b"" if data.code == 354 or judged.closes else RESET
        return False

    async def _three_replies(self) -> tuple[SmtpReply, SmtpReply, SmtpReply]:
        """Return the replies to a whole envelope; one who refuses and ends the connection has still refused."""
        talk, rcpt, data = self._talk, NOT_ASKED, NOT_ASKED
        mail = await talk.reply(self._command_seconds)
        try:
            rcpt = await talk.reply(self._command_seconds)
            data = await talk.reply(self._command_seconds)
        except ConnectionLost:
            if 200 <= mail.code < 300 and (rcpt is NOT_ASKED or 200 <= rcpt.code < 300):
                raise
        return mail, rcpt, data

    async def _one_by_one(self, copy: Copy) -> tuple[SmtpReply, SmtpReply, SmtpReply]:
        talk = self._talk
        talk.write(copy.mail)
        mail = await talk.reply(self._command_seconds)
        if not 200 <= mail.code < 300:
            return mail, NOT_ASKED, NOT_ASKED
        talk.write(copy.rcpt)
        rcpt = await talk.reply(self._command_seconds)
        if not 200 <= rcpt.code < 300:
            return mail, rcpt, NOT_ASKED
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
        if copy.not_before and not await self._reach_slot(copy):
            # The body is on the wire, so only dropping the connection keeps it from being delivered.
            self._talk.abort()
            self._relay.release(copy)
            return None, RUN_ENDED
        answer = self._results.journal.intend(copy.row.id)
        following = self._fitting(self._relay.ready_copy()) if self._may_carry_more() else None
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
        return (self._fitting(await self._relay.next_copy()) if self._may_carry_more() else None), None

    async def _reach_slot(self, copy: Copy) -> bool:
        """Wait for a copy's slot, or for another one when that has passed; False when the run ends first."""
        while (now := self._results.now().timestamp()) < copy.not_before or is_lost(copy.not_before, now):
            if self._run.ending:
                return False
            if not is_lost(copy.not_before, now):
                await self._run.sleep(copy.not_before - now)
            else:
                self._relay.needs_lead(asyncio.get_running_loop().time() - self._begun_at)
                copy.not_before = await self._run.new_slot(self._relay, copy.row)
            self._begun_at = asyncio.get_running_loop().time()
        return True

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
        if copy.not_before and not await self._reach_slot(copy):
            self._talk.abort()
            self._give_back(copy, RUN_ENDED)
            return RUN_ENDED
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
        return self._fitting(await self._relay.next_copy()) if self._may_carry_more() else None

    def _fitting(self, copy: Copy | None) -> Copy | None:
        """Return a copy unless this connection has carried as many as the limit of its receiving domain allows."""
        if copy is None or (key := copy.row.rate_key) is None:
            return copy
        most = self._run.most_on_a_connection(key)
        if not most or self._carried_under[key] < most:
            return copy
        self._is_full = True
        self._relay.return_copy(copy)
        return None

    def _may_carry_more(self) -> bool:
        account, talk = self._relay.account, self._talk
        if self._is_full:
            return False
        old = asyncio.get_running_loop().time() - talk.opened_at > account.seconds_per_connection
        return talk.carried + 1 < account.messages_per_connection and not old and not self._run.ending
