"""What came of each attempt: replies become outcomes for the journal, counts for people, and reasons to pause."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

from newsletter.config.settings import Send
from newsletter.send.breaker import REFUSED_COPY_WAITS, Tallies, reason_to_pause
from newsletter.send.claims import Claimed
from newsletter.send.copies import Copy
from newsletter.send.journal import Granted, Journal, Outcome
from newsletter.send.providers import Providers
from newsletter.send.receivers import provider_of
from newsletter.send.replies import Judgement, SmtpReply, Stage, Verdict, classify
from newsletter.send.retry import retry_delay
from newsletter.send.session import Features
from newsletter.send.statements import PARKED, REFUSED_BY_POLICY
from newsletter.send.throttles import Refusal
from newsletter.tables import DeliveryState as S
from subscribers.bounces.provider_marks import remote_id

# A row whose connection ends again and again before the dot is no bad luck any more: it is charged and deferred.
UNTRIED_RETURNS = 3


class Results:
    """
    Where every attempt ends.

    Args:
        sent_before: Copies of the issue that were sent before this run.
        pause: Called with the reason when the issue must not go on.
    """

    def __init__(
        self,
        journal: Journal,
        settings: Send,
        tallies: Tallies,
        *,
        sent_before: int,
        clock: Callable[[], datetime],
        pause: Callable[[str], None],
    ) -> None:
        self.journal, self._tallies, self._sent_before = journal, tallies, sent_before
        self.providers = Providers(journal, clock, self._refused)
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
            self._record(made)
            if self.providers.refusing:
                self.providers.accepted(row.domain)
        elif verdict is Verdict.BOUNCED:
            gone = row.address if judged.unknown_mailbox else None
            why = "unknown mailbox" if gone else "refused"
            self._record(made._replace(state=S.BOUNCED, reason=why, suppress=gone))
        elif verdict is Verdict.DEFERRED:
            self._defer(made, "try again later")
        elif verdict is Verdict.POLICY:
            again = self._clock() + REFUSED_COPY_WAITS
            uncharged = made._replace(state=S.DEFERRED, attempt=row.attempt - 1, retry_at=again)
            self._record(uncharged._replace(reason=REFUSED_BY_POLICY))
            self.providers.refused(row, reply)
        elif verdict is Verdict.CONTENT:
            self._record(made._replace(state=S.HELD, reason="content refused"))
            self._pause_if(self._tallies.refused_content(provider_of(row.domain, reply), reply))
        elif verdict is Verdict.UNCERTAIN:
            self._record(made._replace(state=S.UNCERTAIN, reason="no clear reply to the dot"))
        else:
            self._not_its_fault(copy, stage, verdict, made)
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
        self._pause_if(self._tallies.held(why))

    def parked(self, row: Claimed, until: datetime) -> None:
        """Leave a row of a provider that refuses us for later; nobody is charged."""
        self._record(Outcome(row.id, S.DEFERRED, row.attempt - 1, retry_at=until, reason=PARKED))

    def not_accepted(self, copy: Copy, why: str) -> None:
        """Put back a copy whose connection ended before the dot; charge it only when that goes on and on."""
        row = copy.row
        self._returns[row.id] += 1
        if self._returns[row.id] >= UNTRIED_RETURNS:
            made = Outcome(row.id, S.PENDING, row.attempt, reply=SmtpReply(0, why))
            self._defer(made, "the connection keeps ending")
        else:
            self._put_back(row)

    def _put_back(self, row: Claimed) -> None:
        made = Outcome(row.id, S.PENDING, row.attempt - 1)
        if row.attempt > 1:
            made = made._replace(state=S.DEFERRED, retry_at=self._clock(), reason="put back")
        self._record(made)

    def _not_its_fault(self, copy: Copy, stage: Stage, verdict: Verdict, made: Outcome) -> None:
        if stage is Stage.MAIL:
            self._put_back(copy.row)  # nothing of the recipient was known to the server yet
        else:
            self.not_accepted(copy, str(made.reply))
        if verdict is Verdict.CONFIGURATION:
            self._pause(
                f"The mail server asks for something that the configuration does not give: {made.reply}. "
                "Set user name, password and TLS in the table [smtp], then resume the issue."
            )
        elif verdict is Verdict.SENDER:
            self._pause(
                f"The mail server refuses our sender address: {made.reply}. "
                "Check organisation.from_address and bounces.domain (newsletter doctor), then resume the issue."
            )

    def _refused(self, refusal: Refusal) -> None:
        """Pause when a provider's refusal, now stored, concerns more than its breaker can settle."""
        if refusal.held:
            self.counts[S.DEFERRED] -= 1
            self.counts[S.HELD] += 1
            self._pause_if(self._tallies.held(f"{refusal.breaker.provider} refused: {refusal.breaker.reply}"))
        sent = self._sent_before + self.counts[S.SENT]
        self._pause_if(reason_to_pause(refusal.breaker, refusing=refusal.refusing, sent=sent))

    def _defer(self, made: Outcome, reason: str) -> None:
        give_up_after = timedelta(hours=self._settings.give_up_after_hours)
        delay = retry_delay(made.attempt, give_up_after=give_up_after, spread=random.uniform(-1, 1))  # noqa: S311  (spreads load)
        if delay is None:
            self._record(made._replace(state=S.EXPIRED, reason=f"gave up after {made.attempt} attempts"))
        else:
            self._record(made._replace(state=S.DEFERRED, retry_at=self._clock() + delay, reason=reason))

    def _record(self, outcome: Outcome) -> None:
        self.counts[outcome.state] += 1
        self.journal.record(outcome)

    def _pause_if(self, reason: str | None) -> None:
        if reason:
            self._pause(reason)
