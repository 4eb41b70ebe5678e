"""
Propose an issue from what the library gained since the last one; nothing is ever proposed twice.

`propose` decides over plain values; `gather` and `draft` are its two ends at the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from newsletter.compose.dates import first_moment
from newsletter.compose.sections import rule_for
from newsletter.config.settings import SectionRule
from newsletter.errors import InvalidValue, NotFound
from newsletter.tables import Block, Issue, IssueState, Item, ItemKind, ItemState

# Longer than any evening; an all-day event has 23 hours when the clock goes forward.
LONG_EVENT = timedelta(hours=20)
# For how long an item that a full section turned away waits for the next issue.
WAITS_FOR = timedelta(days=60)


@dataclass(frozen=True, slots=True)
class Candidate:
    """
    What the proposal must know of one item.

    Attributes:
        published: When its source says it appeared; null when it does not say.
        by_day: That the source states a day only; then `published` is the first moment of it.
        starts, ends: First and last moment of an event (an all-day event ends with its last day); null when unknown.
        sources: Ids of the sources that offer it.
        used_in: Slug of an issue, not cancelled, that holds it.
    """

    item_id: int
    kind: str
    title: str
    norm_title: str
    first_seen: datetime
    state: str = "active"
    url: str | None = None
    published: datetime | None = None
    starts: datetime | None = None
    ends: datetime | None = None
    categories: tuple[str, ...] = ()
    sources: frozenset[int] = frozenset()
    used_in: str | None = None
    by_day: bool = False

    @property
    def appeared(self) -> datetime:
        """An undated item counts from when it was first seen."""
        return self.published or self.first_seen


@dataclass(frozen=True, slots=True)
class Window:
    """
    What counts as new, and as coming.

    Attributes:
        since: Posts, resources and past issues from here on; null takes all.
        until: Up to here, exclusive; null takes all up to now.
        horizon: Events that begin before this moment.
        tell_late: Name what was published before `since` but first seen after it; wanted where nobody chose `since`.
        waiting: Ids that full sections of the last issue turned away. They fill what the new ones leave free.
    """

    now: datetime
    horizon: datetime
    since: datetime | None = None
    until: datetime | None = None
    tell_late: bool = True
    waiting: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An item that the chair may have expected, and why it is not proposed; `waits` for the next issue or is over."""

    item_id: int
    title: str
    reason: str
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Proposal:
    """Item ids by section, in order, sections in the order of the rules; empty sections are absent."""

    sections: Mapping[str, tuple[int, ...]]
    left_out: tuple[LeftOut, ...] = ()

    @property
    def item_ids(self) -> tuple[int, ...]:
        return tuple(item_id for held in self.sections.values() for item_id in held)


@dataclass
class _Choice:
    rules: Sequence[SectionRule]
    chosen: dict[str, list[Candidate]] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)

    def leave(self, candidate: Candidate, reason: str, *, waits: bool = False) -> None:
        self.left_out.append(LeftOut(candidate.item_id, candidate.title, reason, waits))


def propose(
    candidates: Iterable[Candidate],
    window: Window,
    rules: Sequence[SectionRule],
    *,
    include: Sequence[int] = (),
    exclude: Sequence[int] = (),
) -> Proposal:
    """
    Choose what goes into an issue, and where.

    New items come first; those that full sections turned away last time take the room that is left, and make no
    issue by themselves.

    Never chosen: what an issue used already, what is hidden or cancelled, a past event, an event whose day is not
    known, a notice, a duplicate of what is chosen or used. *include* overrides use, window and caps, nothing else.

    Raises:
        NotFound: When *include* or *exclude* names an item that does not exist.
        InvalidValue: When *include* names an event that is past, cancelled or without a day.
    """
    known = {candidate.item_id: candidate for candidate in candidates}
    for item_id in (*include, *exclude):
        if item_id not in known:
            raise NotFound("item", str(item_id), hint="See what there is: newsletter library list")
    forced = [known[item_id] for item_id in dict.fromkeys(include) if item_id not in exclude]
    for candidate in forced:
        _check_usable(candidate, window.now)
    banned = set(exclude) | {candidate.item_id for candidate in forced}
    choice = _Choice(rules)
    for candidate in forced:
        _place(choice, candidate, forced=True)
    seen = [*forced, *(c for c in known.values() if c.used_in)]
    free = [candidate for candidate in sorted(known.values(), key=_order) if candidate.item_id not in banned]
    new = {candidate.item_id: candidate for candidate in free if _is_new(candidate, window, choice)}
    waiting = {c.item_id: c for c in free if c.item_id not in new and _still_waits(c, window)}
    for candidate in (*new.values(), *waiting.values()):
        if any(_same_thing(candidate, other) for other in seen):
            continue
        seen.append(candidate)
        if candidate.item_id in waiting and not choice.chosen:
            choice.leave(
                candidate,
                "full sections turned it away last time and nothing newer came; take it all the same with --include ID",
                waits=True,
            )
        else:
            _place(choice, candidate, forced=False)
    return _finished(choice)


def gather(session: Session, zone: ZoneInfo) -> list[Candidate]:
    """Return every item of the library as a candidate."""
    in_issues = (
        select(Block.item_id, Issue.slug)
        .join(Issue)
        .where(Block.item_id.is_not(None), Issue.state != IssueState.CANCELLED, Issue.digest_of.is_(None))
        .order_by(Issue.created_at.desc())
    )
    used_in = {item_id: slug for item_id, slug in session.execute(in_issues)}  # noqa: C416  (rows are no pairs to mypy)
    items = session.scalars(select(Item).options(selectinload(Item.sightings)).order_by(Item.id))
    return [_candidate(item, used_in.get(item.id), zone) for item in items]


def last_drafted(session: Session) -> datetime | None:
    """Return when the newest issue, not cancelled and no monthly digest, was drafted: what came after it is new."""
    newest = select(Issue.created_at).where(Issue.state != IssueState.CANCELLED, Issue.digest_of.is_(None))
    return session.scalar(newest.order_by(Issue.created_at.desc()).limit(1))


def horizon(now: datetime, days: int, zone: ZoneInfo) -> datetime:
    """Return the moment before which an event must begin: the end of the day that is *days* ahead."""
    return first_moment(now.astimezone(zone).date() + timedelta(days=days + 1), zone)


def check_usable(item: Item, now: datetime, zone: ZoneInfo) -> None:
    """
    Raise when an issue cannot show *item*.

    Raises:
        InvalidValue: When it is an event that is past, cancelled or without a day, or a notice.
    """
    _check_usable(_candidate(item, None, zone), now)


def _check_usable(candidate: Candidate, now: datetime) -> None:
    what, number = f"'{candidate.title}'", candidate.item_id
    if candidate.kind == ItemKind.NOTICE:
        raise InvalidValue(
            f"{what} is a standing notice, not an item.", hint="Set it as organisation.helpline in config.toml."
        )
    if candidate.state == ItemState.CANCELLED:
        raise InvalidValue(f"The event {what} is cancelled; an issue cannot announce it.")
    if candidate.kind != ItemKind.EVENT:
        return
    if candidate.starts is None:
        raise InvalidValue(
            f"The day of the event {what} is not known.",
            hint=f"See it: newsletter library show {number}. Fill it in: newsletter library set {number} year=2026",
        )
    if _is_past(candidate, now):
        raise InvalidValue(f"The event {what} is past; an issue cannot announce it.")


def _is_new(candidate: Candidate, window: Window, choice: _Choice) -> bool:
    if candidate.used_in or candidate.state != ItemState.ACTIVE or candidate.kind == ItemKind.NOTICE:
        return False
    if candidate.kind == ItemKind.EVENT:
        if candidate.starts is None:
            choice.leave(candidate, "its day is not known; fill it in: newsletter library missing")
            return False
        return not _is_past(candidate, window.now) and candidate.starts < window.horizon
    if candidate.appeared >= (window.until or window.now + timedelta(days=1)):
        return False
    latest = candidate.appeared + timedelta(days=1) if candidate.by_day else candidate.appeared
    if window.since is None or latest >= window.since:
        return True
    if window.tell_late and candidate.first_seen >= window.since:
        choice.leave(candidate, "published before the last issue, but first seen after it")
    return False


def _still_waits(candidate: Candidate, window: Window) -> bool:
    """Say whether an item that was turned away is still unused and recent; an event is asked by its day alone."""
    usable = not candidate.used_in and candidate.state == ItemState.ACTIVE and candidate.kind != ItemKind.EVENT
    recent = window.now - WAITS_FOR <= candidate.appeared < (window.until or window.now + timedelta(days=1))
    return candidate.item_id in window.waiting and usable and recent


def _is_past(candidate: Candidate, now: datetime) -> bool:
    """An event that has begun is past for somebody who reads of it now, unless it runs over several days."""
    if candidate.starts is None:
        return False
    runs_on = candidate.ends is not None and candidate.ends - candidate.starts >= LONG_EVENT
    return (candidate.ends if runs_on and candidate.ends else candidate.starts) <= now


def _order(candidate: Candidate) -> tuple[float, int]:
    """Events soonest first, all else newest first."""
    if candidate.kind == ItemKind.EVENT:
        return (candidate.starts.timestamp() if candidate.starts else 0.0, candidate.item_id)
    return (-candidate.appeared.timestamp(), candidate.item_id)


def _same_thing(one: Candidate, other: Candidate) -> bool:
    """Say whether two items are one: the same address, or the same title from different sources."""
    if (one.kind == ItemKind.EVENT) != (other.kind == ItemKind.EVENT) or one.starts != other.starts:
        return False
    if one.url is not None and one.url == other.url and one.norm_title == other.norm_title:
        return True
    apart = one.sources and other.sources and not one.sources & other.sources
    same_day = one.published is None or other.published is None or one.published.date() == other.published.date()
    return bool(apart and same_day and one.kind == other.kind and one.norm_title == other.norm_title)


def _place(choice: _Choice, candidate: Candidate, *, forced: bool) -> None:
    rule = rule_for(candidate.kind, candidate.categories, choice.rules)
    if rule is None:
        if not forced:
            choice.leave(candidate, f"no section takes a {candidate.kind} like this")
            return
        rule = choice.rules[0]
    held = choice.chosen.setdefault(rule.name, [])
    if len(held) >= rule.most and not forced:
        choice.leave(candidate, f"'{rule.title}' holds {rule.most} at most", waits=True)
        return
    held.append(candidate)


def _finished(choice: _Choice) -> Proposal:
    sections = {
        rule.name: tuple(c.item_id for c in sorted(choice.chosen[rule.name], key=_order))
        for rule in choice.rules
        if choice.chosen.get(rule.name)
    }
    return Proposal(sections, tuple(choice.left_out))


def _candidate(item: Item, used_in: str | None, zone: ZoneInfo) -> Candidate:
    starts, ends = item.starts_at, item.ends_at
    if starts is None and item.starts_on is not None:
        own = ZoneInfo(item.timezone) if item.timezone else zone
        starts = first_moment(item.starts_on, own)
        ends = first_moment((item.ends_on or item.starts_on) + timedelta(days=1), own)
    return Candidate(
        item_id=item.id,
        kind=item.kind.value,
        title=item.title,
        norm_title=item.norm_title,
        first_seen=item.first_seen_at,
        state=item.state.value,
        url=item.url,
        published=item.published_at or _midnight(item.published_on, zone),
        starts=starts,
        ends=ends,
        categories=tuple(item.categories),
        sources=frozenset(sighting.source_id for sighting in item.sightings),
        used_in=used_in,
        by_day=item.published_at is None and item.published_on is not None,
    )


def _midnight(day: date | None, zone: ZoneInfo) -> datetime | None:
    return first_moment(day, zone) if day else None
