"""
When one refusal concerns more than one subscriber: a provider refuses us, content is refused, copies are held. Pure.

A breaker keeps a provider's other subscribers from being tried while it refuses us. When its time is over one copy goes
as a trial: taken, the breaker closes; refused, it stays open, longer each time. Past a threshold the issue pauses.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from newsletter.send.replies import LONGEST_TEXT, SmtpReply

OPEN_FOR = tuple(timedelta(minutes=m) for m in (30, 60, 120, 240))
# The copy that was refused waits longer than the others of its provider, so that another one is the trial.
REFUSED_COPY_WAITS = timedelta(minutes=10)
# While a trial is under way the others wait; when it was taken they are soon due.
TRIAL_WAIT = timedelta(minutes=1)
REFUSALS_THAT_PAUSE = 10
FAILED_TRIALS_THAT_PAUSE = 3
PROVIDERS_THAT_PAUSE, PERCENT_REFUSED_THAT_PAUSES = 3, 5
# A copy that a provider refuses so often while it takes others is refused for itself.
STRIKES_THAT_HOLD, MOST_STRIKES_KEPT = 3, 200
SAME_CONTENT_REFUSALS_THAT_PAUSE, PROVIDERS_REFUSING_CONTENT_THAT_PAUSE = 3, 2
FEWEST_HELD_FOR_PERCENT = 3
WHAT_TO_DO = (
    "Nobody was charged for it. Look at SPF, DKIM and blocklists (newsletter doctor), ask them with these words, "
    "then resume the issue."
)


@dataclass(frozen=True, slots=True)
class Breaker:
    """
    What is known of one provider that refused us.

    Attributes:
        until: Left alone until then, then half open; None is closed.
        refusals: Since it last took a copy.
        failed_trials: In a row.
        trial: The delivery that goes while it is half open.
        domains: Those whose mailboxes it holds, as far as refusals have shown.
        strikes: How often it refused a delivery while it took others.
        reply: Its last words.
    """

    provider: str
    until: datetime | None = None
    refusals: int = 0
    failed_trials: int = 0
    trial: int | None = None
    domains: tuple[str, ...] = ()
    strikes: Mapping[int, int] = field(default_factory=dict)
    reply: str = ""

    def is_half_open(self, now: datetime) -> bool:
        return self.until is not None and self.until <= now

    def refused(self, delivery: int, domain: str, reply: SmtpReply, now: datetime) -> Breaker:
        """Return the breaker after one more refusal by policy."""
        strikes = dict(self.strikes)
        if self.until is None:
            strikes[delivery] = strikes.pop(delivery, 0) + 1
            strikes = dict(list(strikes.items())[-MOST_STRIKES_KEPT:])
        failed = self.failed_trials + self.is_half_open(now)
        opened = now + OPEN_FOR[min(failed, len(OPEN_FOR) - 1)]
        return replace(
            self,
            until=opened if self.until is None or self.is_half_open(now) else self.until,
            refusals=self.refusals + 1,
            failed_trials=failed,
            trial=None,
            domains=self.domains if domain in self.domains else (*self.domains, domain),
            strikes=strikes,
            reply=str(reply)[:LONGEST_TEXT],
        )

    def closed(self) -> Breaker:
        """Return the breaker after the provider took a copy; what it refused for itself is remembered."""
        return Breaker(self.provider, domains=self.domains, strikes=self.strikes)

    def on_trial(self, now: datetime) -> Breaker:
        """Return the breaker after a person said that the cause is mended: the next copy is a trial."""
        return replace(self.closed(), until=now, reply=self.reply) if self.until is not None else self

    def refuses_only(self, delivery: int) -> bool:
        """Tell whether it takes other copies but not this one, again and again."""
        return self.strikes.get(delivery, 0) >= STRIKES_THAT_HOLD

    def to_json(self) -> dict[str, Any]:
        return {
            "until": self.until.timestamp() if self.until else None,
            "refusals": self.refusals,
            "failed_trials": self.failed_trials,
            "trial": self.trial,
            "domains": list(self.domains),
            "strikes": {str(delivery): count for delivery, count in self.strikes.items()},
            "reply": self.reply,
        }

    @classmethod
    def from_json(cls, provider: str, stored: Mapping[str, Any] | None) -> Breaker:
        if not stored:
            return cls(provider)
        return cls(
            provider,
            datetime.fromtimestamp(stored["until"], UTC) if stored["until"] is not None else None,
            stored["refusals"],
            stored["failed_trials"],
            stored["trial"],
            tuple(stored["domains"]),
            {int(delivery): count for delivery, count in stored["strikes"].items()},
            stored["reply"],
        )


def reason_to_pause(breaker: Breaker, *, refusing: int, sent: int) -> str | None:
    """
    Return why the issue must pause after a refusal; None when the breaker is enough.

    Args:
        refusing: Providers whose breaker is not closed, this one included.
        sent: Copies of the issue that were taken: the few that refuse us among thousands of others are odd, not we.
    """
    name, reply = breaker.provider, breaker.reply
    if breaker.refusals >= REFUSALS_THAT_PAUSE or breaker.failed_trials >= FAILED_TRIALS_THAT_PAUSE:
        return f"{name} refuses our mail by policy, {breaker.refusals} times so far: {reply}. {WHAT_TO_DO}"
    if refusing >= PROVIDERS_THAT_PAUSE and 100 * refusing >= PERCENT_REFUSED_THAT_PAUSES * (sent + refusing):
        return f"{refusing} providers refuse our mail by policy, the last {name}: {reply}. {WHAT_TO_DO}"
    return None


@dataclass
class Tallies:
    """What was refused for its content or held in this run. Methods that return words mean: pause, for this reason."""

    planned: int
    held_pause_count: int
    held_pause_percent: float
    _contents: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _held: int = 0

    def refused_content(self, provider: str, reply: SmtpReply) -> str | None:
        """Count a copy whose content a provider refused."""
        refused_by = self._contents[f"{reply.code} {reply.status or ''}"]
        refused_by.append(provider)
        providers = len(set(refused_by))
        if len(refused_by) >= SAME_CONTENT_REFUSALS_THAT_PAUSE or providers >= PROVIDERS_REFUSING_CONTENT_THAT_PAUSE:
            return (
                f"{len(refused_by)} copies were refused for their content: {reply}. Look at what the words name, in "
                "the issue and its pictures; cancel it and draft it anew, or resume it if the receivers were wrong."
            )
        return None

    def held(self, why: str) -> str | None:
        """Count a copy that was held before the wire."""
        self._held += 1
        share = 100 * self._held / max(1, self.planned)
        too_many = self._held >= FEWEST_HELD_FOR_PERCENT and share >= self.held_pause_percent
        if self._held >= self.held_pause_count or too_many:
            return f"{self._held} copies are held, the last because: {why}"
        return None
