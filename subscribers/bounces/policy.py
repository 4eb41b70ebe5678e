"""
What counted reports add up to: pure. One report alone suppresses nobody, unless it is a complaint or an answer to us.

A copy counts once however often and whichever way it is reported, a day counts once however many copies came back on
it, old reports fade, and proof of delivery forgets what was before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from subscribers.bounces.event import Reason


class Sign(StrEnum):
    """What one report says of an address, as far as the score is concerned."""

    HARD = "hard"
    SOFT = "soft"
    PROOF = "proof"
    NONE = "none"


class Rule(StrEnum):
    """Which rule decided; `RULES` says each in words."""

    NO_MARK = "no mark"
    OLD_MARK = "old mark"
    MARKS_DISAGREE = "marks disagree"
    OTHER_ADDRESS = "other address"
    NOBODY = "nobody"
    NOT_A_BOUNCE = "not a bounce"
    NEVER_COUNTS = "never counts"
    COUNTED = "counted"
    FORWARDED = "forwarded"
    AT_ONCE = "at once"
    TWO_HARD = "hard again"
    SCORE = "score"
    COMPLAINT = "complaint"
    UNSUBSCRIBED = "unsubscribed"
    PROOF = "proof of delivery"
    REPEATED = "counted already"
    PASSED_ON = "passed on"
    WAITING = "waits"
    MACHINE = "machine"
    UNREAD = "not understood"


# The published table: what each rule means for the person.
RULES: dict[Rule, str] = {
    Rule.NO_MARK: "It carries no valid mark of ours: filed, and nobody is touched.",
    Rule.OLD_MARK: "Its mark is older than 30 days: filed, and nobody is touched.",
    Rule.MARKS_DISAGREE: "Its marks name different copies: filed, and nobody is touched.",
    Rule.OTHER_ADDRESS: "It names another address than its mark (a forwarding, or a forgery): nobody is touched.",
    Rule.NOBODY: "The person was erased, or is not known: nothing is kept of the mail.",
    Rule.NOT_A_BOUNCE: "A delay, receipt or automatic answer is no bounce.",
    Rule.NEVER_COUNTS: "The refusal is about us, the content or the receiving system, not about the person.",
    Rule.COUNTED: "It counts; nobody is suppressed for one report.",
    Rule.FORWARDED: "The address that it was forwarded to failed: it counts as soft.",
    Rule.AT_ONCE: "The receiving system told us while sending that there is no such mailbox: suppressed.",
    Rule.TWO_HARD: "Dead in several copies, days apart, with no proof of delivery between: suppressed.",
    Rule.SCORE: "Reports that count have added up: suppressed for this list, for a time.",
    Rule.COMPLAINT: "The person reported the mail as unwanted: unsubscribed and suppressed.",
    Rule.UNSUBSCRIBED: "The person asked to leave, or somebody at the provider's wrote that down: unsubscribed.",
    Rule.PROOF: "It shows that mail arrives: what was counted before is forgotten.",
    Rule.REPEATED: "Another report counted this copy already, and a copy counts once.",
    Rule.PASSED_ON: "A person wrote: passed on.",
    Rule.WAITING: "A person wrote; more than a day's share came, so it is passed on later.",
    Rule.MACHINE: "A machine wrote, and it reports nothing: filed.",
    Rule.UNREAD: "What the provider says is not known here, or could not be kept: filed, and nobody is touched.",
}


# What nothing was made of: a mail with no more than these goes to Unknown, and `bounces list --unmatched` shows it.
UNMATCHED = (Rule.NO_MARK, Rule.OLD_MARK, Rule.MARKS_DISAGREE, Rule.OTHER_ADDRESS, Rule.MACHINE, Rule.UNREAD)


@dataclass(frozen=True, slots=True)
class Patience:
    """
    How much is borne before an address is suppressed.

    Attributes:
        hard_times: Hard reports of different copies that suppress, the first and last at least `hard_span` apart.
        hard_window: Only hard reports that are at most so far apart count together: years lie between two errors of a
            provider, weeks between two copies to a dead mailbox.
        score: What the faded sum of reports (hard 1, soft 0.5) must reach, over at least `score_span`.
        half_life: After this time a report counts half.
    """

    hard_times: int = 2
    hard_span: timedelta = timedelta(days=3)
    hard_window: timedelta = timedelta(days=90)
    score: float = 2.5
    score_span: timedelta = timedelta(days=14)
    half_life: timedelta = timedelta(days=180)


@dataclass(frozen=True, slots=True)
class Fact:
    """
    One valid report about an address.

    Attributes:
        copy: The delivery it is about; None where it is about none (a person's own act).
        at_once: An answer to our own session that there is no such mailbox.
    """

    copy: int | None
    sign: Sign
    at: datetime
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether an address is to be suppressed, by which rule, and how its score stands."""

    rule: Rule | None
    score: float


_WEIGHTS = {Sign.HARD: 1.0, Sign.SOFT: 0.5}


def suppresses_at_once(reason: Reason, status: str) -> bool:
    """
    Whether a refusal by the receiving system, met in our own session, needs no second one.

    Only where nothing is said but that the mailbox does not exist: 5.1.1, or words without a code.
    """
    return reason is Reason.USER_UNKNOWN and status in ("", "5.1.1")


def decide(facts: Iterable[Fact], patience: Patience, *, now: datetime) -> Decision:
    """
    Decide what is known of one address, in any order and with any repetition.

    Raises:
        ValueError: If *now* is naive.
    """
    if now.tzinfo is None:
        raise ValueError(f"naive time: {now!r}")
    standing = _standing(list(facts))
    days = _heaviest_a_day(standing)
    score = sum(_weight(fact, patience, now) for fact in days)
    if any(fact.at_once for fact in standing):
        return Decision(Rule.AT_ONCE, score)
    if _is_hard_again([fact.at for fact in days if fact.sign is Sign.HARD], patience):
        return Decision(Rule.TWO_HARD, score)
    if days and score >= patience.score and _span(days) >= patience.score_span:
        return Decision(Rule.SCORE, score)
    return Decision(None, score)


def _is_hard_again(moments: Sequence[datetime], patience: Patience) -> bool:
    """Whether any stretch of time, no longer than the window, holds enough of them, far enough apart."""
    for first in moments:
        together = [at for at in moments if first <= at <= first + patience.hard_window]
        if len(together) >= patience.hard_times and max(together) - first >= patience.hard_span:
            return True
    return False


def _standing(facts: Sequence[Fact]) -> list[Fact]:
    """Return one bounce a copy, the worst, of those that no proof of delivery came after."""
    bounces = _worst_a_copy([fact for fact in facts if fact.sign in _WEIGHTS])
    returned = {fact.copy: fact.at for fact in bounces if fact.copy is not None}
    # A server that accepts first and returns later has proven nothing by accepting.
    proofs = [
        fact.at
        for fact in facts
        if fact.sign is Sign.PROOF and not (fact.copy in returned and returned[fact.copy] >= fact.at)
    ]
    last = max(proofs, default=None)
    return [fact for fact in bounces if last is None or fact.at > last]


def _worst_a_copy(bounces: Iterable[Fact]) -> list[Fact]:
    worst: dict[object, Fact] = {}
    for number, fact in enumerate(bounces):
        key = ("none", number) if fact.copy is None else fact.copy
        if key not in worst or _badness(fact) > _badness(worst[key]):
            worst[key] = fact
    return list(worst.values())


def _badness(fact: Fact) -> tuple[bool, float, float]:
    return fact.at_once, _WEIGHTS[fact.sign], -fact.at.timestamp()


def _heaviest_a_day(bounces: Iterable[Fact]) -> list[Fact]:
    days: dict[object, Fact] = {}
    for fact in bounces:
        day = fact.at.date()
        if day not in days or _badness(fact) > _badness(days[day]):
            days[day] = fact
    return list(days.values())


def _weight(fact: Fact, patience: Patience, now: datetime) -> float:
    age = max(timedelta(), now - fact.at)
    return _WEIGHTS[fact.sign] * float(0.5 ** (age / patience.half_life))


def _span(bounces: Sequence[Fact]) -> timedelta:
    return max(fact.at for fact in bounces) - min(fact.at for fact in bounces)
