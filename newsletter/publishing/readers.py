"""
Whom an issue is for: an audience of lists and segments; of a monthly digest those whom its issues are owed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Select, or_, select, true
from sqlalchemy.orm import Session

from newsletter.compose.monthly_draft import still_to_come
from newsletter.compose.monthly_people import count_people, select_people
from newsletter.config.settings import Config
from newsletter.predicates import PREDICATES
from newsletter.tables import Block, Issue, IssueState
from subscribers import segments
from subscribers.audience import Audience, audience_counts, select_audience

People = tuple[Select[int, int], Select[int, int] | None, dict[str, int]]


def issue_audience(issue: Issue, config: Config) -> Audience:
    """Return the audience that was set, else the default lists; it may be empty, and then nobody is mailed."""
    stored = Audience.from_json(issue.audience)
    return Audience(lists=config.issue.default_lists) if stored.is_empty else stored


def waiting_for_list(session: Session, name: str, config: Config) -> list[str]:
    """Return the issues that are still to go to a list, or to leave it out, by slug."""
    waiting = [(issue.slug, issue_audience(issue, config)) for issue in _unplanned(session)]
    return [slug for slug, audience in waiting if name in (*audience.lists, *audience.exclude_lists)]


def waiting_for_segment(session: Session, name: str, config: Config) -> list[str]:
    """Return the issues that are still to go to a segment, or to leave it out, also through others, by slug."""
    waiting = [(issue.slug, issue_audience(issue, config)) for issue in _unplanned(session)]
    return [
        slug
        for slug, audience in waiting
        if name in segments.meanings(session, (*audience.segments, *audience.exclude_segments))
    ]


def _unplanned(session: Session) -> Sequence[Issue]:
    """Return the issues whose audience is still a question; a digest has none of its own."""
    states = (IssueState.DRAFT, IssueState.IN_REVIEW, IssueState.APPROVED, IssueState.SCHEDULED)
    found = session.scalars(select(Issue).where(Issue.state.in_(states)).order_by(Issue.slug)).all()
    return [issue for issue in found if not issue.digest_of]


def find_people(session: Session, issue: Issue, config: Config, now: datetime) -> People | None:
    """
    Return who is mailed, who is reached with those of the monthly digest (null for a digest), and the counts.

    Null when no audience is set: nobody is mailed by default.

    Raises:
        SubscribersError: When the audience cannot be read.
    """
    timezone = config.organisation.timezone
    if issue.digest_of:
        shows = _shows_something(session, shown_blocks(issue, config, now), now=now, timezone=timezone)
        chosen = select_people(issue, shows, now=now, timezone=timezone)
        return chosen, None, count_people(session, issue, shows, now=now, timezone=timezone)
    audience = issue_audience(issue, config)
    if audience.is_empty:
        return None
    both = [
        select_audience(session, audience, now=now, timezone=timezone, predicates=PREDICATES, with_monthly=monthly)
        for monthly in (False, True)
    ]
    return both[0], both[1], audience_counts(session, audience, now=now, timezone=timezone, predicates=PREDICATES)


def shown_blocks(issue: Issue, config: Config, now: datetime) -> list[Block]:
    """Return the blocks that somebody may see; a digest drops by itself what is over when it goes."""
    if not issue.digest_of:
        return list(issue.blocks)
    moment = max(now, issue.scheduled_at) if issue.scheduled_at else now
    return still_to_come(issue, moment, config.organisation.zone)


def _shows_something(session: Session, blocks: Iterable[Block], *, now: datetime, timezone: str) -> ColumnElement[bool]:
    """Return the condition that one of the blocks is for somebody."""
    texts = {block.audience for block in blocks}
    if None in texts:
        return true()
    return or_(
        *(
            segments.condition(
                session, segments.resolve(session, text), now=now, timezone=timezone, predicates=PREDICATES
            )
            for text in sorted(text for text in texts if text)
        )
    )
