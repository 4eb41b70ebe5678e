"""
What came of an issue, as values: by receiving domain, by reply, over time, and the people who need somebody.

All sums are made by the database, from one snapshot, so they add up to what was planned at any moment and a report of
half a million copies takes seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Integer, cast, extract, func, select
from sqlalchemy.orm import Session

from newsletter.send.leavers import Leavers, leavers_of
from newsletter.send.masking import without_people
from newsletter.send.states import FINAL, TO_DO
from newsletter.send.status import issue_counts
from newsletter.tables import Delivery, Issue
from newsletter.tables import DeliveryState as S

MOST_BUCKETS = 24
BUCKETS = tuple(
    timedelta(**{unit: count})
    for unit, counts in (
        ("seconds", (1, 2, 5, 10, 20)),
        ("minutes", (1, 2, 5, 10, 15, 30)),
        ("hours", (1, 2, 3, 6, 12)),
    )
    for count in counts
)
NEED_A_PERSON = (S.HELD, S.UNCERTAIN)
CHUNK_ROWS = 500


@dataclass(frozen=True, slots=True)
class DomainCounts:
    """The copies to one receiving domain by state; or to `merged` of them, where they are summed."""

    domain: str
    states: Mapping[S, int]
    merged: int = 1

    @property
    def planned(self) -> int:
        return sum(self.states.values())

    def count(self, *states: S) -> int:
        return sum(self.states.get(state, 0) for state in states)


@dataclass(frozen=True, slots=True)
class ReplyGroup:
    """Copies with the same state, reply and reason of ours. `example` is what one server said, without any address."""

    state: S
    code: int | None
    status: str | None
    reason: str | None
    count: int
    example: str


@dataclass(frozen=True, slots=True)
class Bucket:
    start: datetime
    sent: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """How many copies were taken over, in steps of `step`; empty when none was."""

    step: timedelta
    buckets: tuple[Bucket, ...]

    @property
    def most(self) -> int:
        return max((bucket.sent for bucket in self.buckets), default=0)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody whose copy is held, uncertain or deferred. `retry_at` is when a deferred one is tried again."""

    delivery: int
    state: S
    address: str
    name: str
    reason: str
    reply: str
    since: datetime
    retry_at: datetime | None


@dataclass(frozen=True, slots=True)
class IssueReport:
    """
    The whole report.

    Attributes:
        counts: The document of `issue status`.
        domains: Every receiving domain, the largest first.
        people: Held and uncertain ones, then deferred ones in the order in which they are tried again.
        left_out: Whom the audience reached and the plan left out, by reason; empty where that was not kept.
    """

    subject: str
    counts: Mapping[str, Any]
    domains: tuple[DomainCounts, ...]
    replies: tuple[ReplyGroup, ...]
    timeline: Timeline
    people: tuple[Person, ...]
    zone: tzinfo = field(default=UTC)
    leavers: Leavers = field(default_factory=Leavers)
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def slug(self) -> str:
        return str(self.counts["issue"])

    def largest_domains(self, most: int) -> tuple[DomainCounts, ...]:
        """Return the largest domains; what is left is summed into one more line."""
        if len(self.domains) <= most:
            return self.domains
        rest = self.domains[most:]
        summed = {state: sum(d.states.get(state, 0) for d in rest) for state in (*FINAL, *TO_DO)}
        return (*self.domains[:most], DomainCounts("", summed, sum(d.merged for d in rest)))

    def bucket_labels(self) -> list[str]:
        """Return when each step begins, as a clock here shows it, with the day where there are several."""
        step, starts = self.timeline.step, [b.start.astimezone(self.zone) for b in self.timeline.buckets]
        clock = "%H:%M:%S" if step < timedelta(minutes=1) else "%H:%M"
        if step >= timedelta(days=1):
            return [short_day(start) for start in starts]
        several = len({start.date() for start in starts}) > 1
        return [(f"{short_day(start)} " if several else "") + start.strftime(clock) for start in starts]

    def in_state(self, *states: S) -> tuple[Person, ...]:
        return tuple(person for person in self.people if person.state in states)


def report_issue(session: Session, issue: Issue, *, zone: tzinfo, most_people: int | None = None) -> IssueReport:
    """
    Return the report of an issue.

    Args:
        zone: Of the hours and days that the timeline is cut at.
        most_people: So many of each state are named at the most; null names all.
    """
    return IssueReport(
        subject=issue.subject,
        counts=issue_counts(session, issue.id),
        domains=_domains(session, issue.id),
        replies=_replies(session, issue.id),
        timeline=_timeline(session, issue.id, zone),
        people=tuple(
            person
            for state in (*NEED_A_PERSON, S.DEFERRED)
            for person in _people(session, issue.id, state, most_people)
        ),
        zone=zone,
        leavers=leavers_of(session, issue.id),
        left_out=issue.left_out or {},
    )


def _domains(session: Session, issue_id: int) -> tuple[DomainCounts, ...]:
    statement = (
        select(Delivery.domain, Delivery.state, func.count())
        .where(Delivery.issue_id == issue_id)
        .group_by(Delivery.domain, Delivery.state)
    )
    found: dict[str, dict[S, int]] = {}
    for domain, state, count in session.execute(statement):
        found.setdefault(domain, {})[state] = count
    domains = [DomainCounts(domain, states) for domain, states in found.items()]
    return tuple(sorted(domains, key=lambda d: (-d.planned, d.domain)))


def _replies(session: Session, issue_id: int) -> tuple[ReplyGroup, ...]:
    key = (Delivery.state, Delivery.reply_code, Delivery.reply_status, Delivery.reason)
    statement = select(*key, func.count(), func.min(Delivery.id)).where(Delivery.issue_id == issue_id).group_by(*key)
    rows = session.execute(statement).all()
    examples = _examples(session, [row[5] for row in rows])
    groups = [ReplyGroup(row[0], row[1], row[2], row[3], row[4], examples[row[5]]) for row in rows]
    return tuple(sorted(groups, key=lambda g: (-g.count, g.state, g.code or 0, g.status or "", g.reason or "")))


def _examples(session: Session, deliveries: Sequence[int]) -> dict[int, str]:
    """Return what was said of each delivery, without the people in it."""
    found: dict[int, str] = {}
    for at in range(0, len(deliveries), CHUNK_ROWS):
        chunk = deliveries[at : at + CHUNK_ROWS]
        wanted = select(Delivery.id, Delivery.reply_text, Delivery.address, Delivery.slots).where(
            Delivery.id.in_(chunk)
        )
        for delivery, text, address, slots in session.execute(wanted):
            found[delivery] = without_people(text or "", address, slots.values())
    return found


def _timeline(session: Session, issue_id: int, zone: tzinfo) -> Timeline:
    sent = (Delivery.issue_id == issue_id, Delivery.state == S.SENT)
    first, last = session.execute(select(func.min(Delivery.state_at), func.max(Delivery.state_at)).where(*sent)).one()
    if first is None:
        return Timeline(BUCKETS[0], ())
    offset = int((first.astimezone(zone).utcoffset() or timedelta()).total_seconds())
    step = bucket_for(last - first)
    seconds = int(step.total_seconds())
    number = (_epoch(session) + offset) // seconds
    statement = select(number.label("number"), func.count()).where(*sent).group_by("number")
    counts: dict[int, int] = {int(row[0]): row[1] for row in session.execute(statement)}
    numbers = range(min(counts), max(counts) + 1)
    starts = (datetime.fromtimestamp(n * seconds - offset, UTC) for n in numbers)
    return Timeline(step, tuple(Bucket(at, counts.get(n, 0)) for n, at in zip(numbers, starts, strict=True)))


def bucket_for(span: timedelta) -> timedelta:
    """Return the smallest step that cuts *span* into few enough; whole days for a very long one."""
    most = MOST_BUCKETS - 1  # a span rarely begins at a full step
    for step in BUCKETS:
        if span <= step * most:
            return step
    return timedelta(days=max(1, -(-span // timedelta(days=most))))


def step_words(step: timedelta) -> str:
    """Return the length of a step in words: `15 minutes`, `hour`."""
    seconds = int(step.total_seconds())
    size, word = next((s, w) for s, w in _UNITS if seconds % s == 0)
    return word if seconds == size else f"{seconds // size} {word}s"


_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def short_day(moment: datetime) -> str:
    return f"{moment.day:>2} {moment:%b}"


def _epoch(session: Session) -> ColumnElement[int]:
    """Return the seconds since 1970 of `state_at`; each database has words of its own for it."""
    if session.get_bind().dialect.name == "sqlite":
        return cast(func.strftime("%s", Delivery.state_at), Integer)
    return cast(func.floor(extract("epoch", Delivery.state_at)), BigInteger)


def _people(session: Session, issue_id: int, state: S, most: int | None) -> list[Person]:
    statement = (
        select(
            Delivery.id,
            Delivery.state,
            Delivery.address,
            Delivery.slots,
            Delivery.reason,
            Delivery.reply_code,
            Delivery.reply_text,
            Delivery.state_at,
            Delivery.retry_at,
        )
        .where(Delivery.issue_id == issue_id, Delivery.state == state)
        .order_by(*((Delivery.retry_at,) if state is S.DEFERRED else ()), Delivery.id)
        .limit(most)
    )
    people = []
    for row in session.execute(statement):
        said = f"{row.reply_code or ''} {row.reply_text or ''}".strip()
        people.append(
            Person(
                delivery=row.id,
                state=row.state,
                address=row.address,
                name=row.slots.get("name") or row.slots.get("first_name") or "",
                reason=row.reason or "",
                reply=without_people(said),
                since=row.state_at,
                retry_at=row.retry_at,
            )
        )
    return people


def report_document(report: IssueReport) -> dict[str, Any]:
    """Return the report as `issue report --json` gives it: the counts of `issue status`, and what they are made of."""
    replies = [_reply_document(group) for group in report.replies]
    return {
        **report.counts,
        "subject": report.subject,
        "left_out": dict(report.left_out),
        "domains": [
            {"domain": d.domain, "planned": d.planned, **{s.value: d.states.get(s, 0) for s in (*FINAL, *TO_DO)}}
            for d in report.domains
        ],
        "replies": replies,
        "reasons": [reply for reply in replies if reply["state"] not in (S.SENT.value, S.PENDING.value)],
        "timeline": {
            "bucket_seconds": int(report.timeline.step.total_seconds()),
            "buckets": [{"start": bucket.start, "sent": bucket.sent} for bucket in report.timeline.buckets],
        },
        "people": [_person_document(person, report.slug) for person in report.people],
        "left_after": report.leavers.document(),
    }


def left_out_words(report: IssueReport) -> str:
    """Return whom the plan left out, and why: `2 suppressed, 3 paused`; empty when nobody was."""
    return ", ".join(f"{report.left_out[n]:,} {words}" for n, words in _LEFT_OUT.items() if report.left_out.get(n))


_LEFT_OUT = {
    "excluded": "excluded by its audience",
    "without_subscription": "without a subscription",
    "suppressed": "suppressed",
    "paused": "paused by themselves",
    "monthly": "with the monthly digest instead",
}


def what_to_do(person: Person, slug: str) -> str:
    """Return the command that ends a person's state; empty where time does."""
    if person.state is S.UNCERTAIN:
        return f"newsletter uncertain resolve {person.delivery} --sent (or --resend)"
    return f"newsletter issue retry {slug} --failed" if person.state is S.HELD else ""


def _reply_document(group: ReplyGroup) -> dict[str, Any]:
    return {
        "state": group.state.value,
        "code": group.code,
        "status": group.status,
        "reason": group.reason,
        "count": group.count,
        "example": group.example or None,
    }


def _person_document(person: Person, slug: str) -> dict[str, Any]:
    return {
        "delivery": person.delivery,
        "state": person.state.value,
        "address": person.address,
        "name": person.name or None,
        "reason": person.reason or None,
        "reply": person.reply or None,
        "since": person.since,
        "retry_at": person.retry_at,
        "command": what_to_do(person, slug) or None,
    }
