"""What came of each attempt: replies become outcomes for the journal, counts for people, and reasons to pause."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from newsletter.config import Send
from newsletter.send.breaker import Breakers
from newsletter.send.copies import Copy
from newsletter.send.journal import Claimed, Granted, Journal, Outcome
from newsletter.send.replies import Judgement, SmtpReply, Stage, Verdict, classify
from newsletter.send.retry import retry_delay
from newsletter.send.session import Features
from newsletter.tables import DeliveryState as S
from subscribers.bounces.provider_marks import remote_id

# A row whose connection ends again and again before the dot is no bad luck any more: it is charged and deferred.
UNTRIED_RETURNS = 3


class Results:
    """
    Where every attempt ends.

    Args:
        pause: Called with the reason when the issue must not go on.
    """

    def __init__(
        self,
        journal: Journal,
        settings: Send,
        breakers: Breakers,
        *,
        clock: Callable[[], datetime],
        pause: Callable[[str], None],
    ) -> None:
        self.journal, self.breakers = journal, breakers
        self.counts: Counter[S] = Counter()
        self._settings, self._clock, self._pause = settings, clock, pause
        self._returns: Counter[int] = Counter()

    def judge(self, copy: Copy, stage: Stage, reply: SmtpReply, features: Features) -> Judgement:
        """Record what a reply means for the copy that it answers; return the judgement."""
        row, judged = copy.row, classify(stage, reply)
        made = Outcome(
            row.id,
            S.SENT,
            row.attempt,
            reply=reply,
            remote_host=features.remote_host,
            tls_version=features.tls_version,
            remote_id=remote_id(features.provider, reply.text) if judged.verdict is Verdict.SENT else None,
        )
        verdict = judged.verdict
        if verdict is Verdict.SENT:
            self.breakers.accepted(row.domain)
            self._record(made)
        elif verdict is Verdict.BOUNCED:
            gone = row.address if judged.unknown_mailbox else None
            why = "unknown mailbox" if gone else "refused"
            self._record(replace(made, state=S.BOUNCED, reason=why, suppress=gone))
        elif verdict is Verdict.DEFERRED:
            self._defer(made, "try again later")
        elif verdict is Verdict.POLICY:
            self._defer(made, "refused by policy")
            self._pause_if(self.breakers.refused_by_policy(row.domain, reply, self._clock()))
        elif verdict is Verdict.CONTENT:
            self._record(replace(made, state=S.HELD, reason="content refused"))
            self._pause_if(self.breakers.refused_content(reply))
        elif verdict is Verdict.UNCERTAIN:
            self._record(replace(made, state=S.UNCERTAIN, reason="no clear reply to the dot"))
        else:
            self._not_its_fault(copy, verdict, made)
        return judged

    def uncertain(self, copy: Copy, why: str, features: Features) -> None:
        """Record that the dot left and no reply came."""
        self._record(
            Outcome(
                copy.row.id,
                S.UNCERTAIN,
                copy.row.attempt,
                reply=SmtpReply(0, why),
                reason="no reply to the dot",
                remote_host=features.remote_host,
                tls_version=features.tls_version,
            )
        )

    def now(self) -> datetime:
        return self._clock()

    def refused_at_intent(self, granted: Granted) -> None:
        """Count a copy that the intent stopped; the journal has set its state."""
        if granted is Granted.SUPPRESSED:
            self.counts[S.SUPPRESSED] += 1

    def held(self, row: Claimed, reason: str, why: str) -> None:
        """Record a copy that must not go on the wire; others go on."""
        self._record(Outcome(row.id, S.HELD, row.attempt, reply=SmtpReply(0, why), reason=reason))
        self._pause_if(self.breakers.held(why))

    def parked(self, row: Claimed, until: datetime) -> None:
        """Leave a row of a provider that refuses us for later; nobody is charged."""
        self._record(
            Outcome(row.id, S.DEFERRED, row.attempt - 1, retry_at=until, reason="its provider refuses our mail")
        )

    def not_accepted(self, copy: Copy, why: str) -> None:
        """Put back a copy whose connection ended before the dot; charge it only when that goes on and on."""
        row = copy.row
        self._returns[row.id] += 1
        made = Outcome(row.id, S.PENDING, row.attempt - 1)
        if self._returns[row.id] >= UNTRIED_RETURNS:
            self._defer(replace(made, attempt=row.attempt, reply=SmtpReply(0, why)), "the connection keeps ending")
        elif row.attempt > 1:
            self._record(replace(made, state=S.DEFERRED, retry_at=self._clock(), reason="put back"))
        else:
            self._record(made)

    def _not_its_fault(self, copy: Copy, verdict: Verdict, made: Outcome) -> None:
        self.not_accepted(copy, str(made.reply))
        if verdict is Verdict.CONFIGURATION:
            self._pause(f"The mail server asks for something that the configuration does not give: {made.reply}")
        elif verdict is Verdict.SENDER:
            self._pause(f"The mail server refuses our sender address: {made.reply}")

    def _defer(self, made: Outcome, reason: str) -> None:
        give_up_after = timedelta(hours=self._settings.give_up_after_hours)
        delay = retry_delay(made.attempt, give_up_after=give_up_after, spread=random.uniform(-1, 1))  # noqa: S311  (spreads load)
        if delay is None:
            self._record(replace(made, state=S.EXPIRED, reason=f"gave up after {made.attempt} attempts"))
        else:
            self._record(replace(made, state=S.DEFERRED, retry_at=self._clock() + delay, reason=reason))

    def _record(self, outcome: Outcome) -> None:
        self.counts[outcome.state] += 1
        self.journal.record(outcome)

    def _pause_if(self, reason: str | None) -> None:
        if reason:
            self._pause(reason)
