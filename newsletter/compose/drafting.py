"""Make a proposal an issue: its row, its blocks with snapshots, and a first subject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter.compose.digest import Proposal, Window, gather, horizon, last_drafted, propose
from newsletter.compose.issue import new_slug
from newsletter.compose.library import snapshot
from newsletter.compose.sections import add_item
from newsletter.config.settings import Config
from newsletter.tables import Issue, IssueState, Item, Setting

_WAITING = "turned away by full sections"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the chair asked of a draft; everything may be left out."""

    since: datetime | None = None
    until: datetime | None = None
    include: Sequence[int] = ()
    exclude: Sequence[int] = ()
    events_within_days: int | None = None
    slug: str | None = None
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class Drafted:
    """The draft, or null when there is nothing new; and what was proposed or left out."""

    issue: Issue | None
    proposal: Proposal
    since: datetime | None


def draft_issue(session: Session, wishes: Wishes, *, config: Config, actor: str, now: datetime) -> Drafted:
    """
    Draft an issue from what is new; when nothing is, write nothing.

    Raises:
        InvalidValue, NotFound, Conflict: When a wish cannot be met.
    """
    zone = config.organisation.zone
    since = wishes.since or last_drafted(session)
    days = wishes.events_within_days or config.issue.events_within_days
    chosen_by_chair, waiting = wishes.since is not None, _waiting(session)
    window = Window(
        now, horizon(now, days, zone), since, wishes.until,
        tell_late=not chosen_by_chair, waiting=frozenset() if chosen_by_chair else waiting,
    )  # fmt: skip
    proposal = propose(
        gather(session, zone), window, config.issue.sections, include=wishes.include, exclude=wishes.exclude
    )
    slug = new_slug(session, now.astimezone(zone), wishes.slug)
    if not proposal.item_ids:
        return Drafted(None, proposal, since)
    issue = Issue(
        slug=slug, state=IssueState.DRAFT, language=config.organisation.language, section_order=[],
        created_at=now, edited_at=now, edited_by=actor, letter="", letter_name="", letter_role="", planned=0,
    )  # fmt: skip
    session.add(issue)
    _fill(session, issue, proposal)
    turned_away = {each.item_id for each in proposal.left_out if each.waits}
    session.merge(Setting(name=_WAITING, value=sorted(turned_away | waiting if chosen_by_chair else turned_away)))
    issue.subject = wishes.subject or default_subject(config, now)
    session.flush()
    return Drafted(issue, proposal, since)


def _waiting(session: Session) -> frozenset[int]:
    stored = session.get(Setting, _WAITING)
    return frozenset(stored.value if stored is not None else ())


def default_subject(config: Config, now: datetime) -> str:
    """Return the organisation's name and the month, for the chair to better."""
    from babel.dates import format_date

    from newsletter.compose.language import locale_of

    month = format_date(
        now.astimezone(config.organisation.zone), "LLLL yyyy", locale=locale_of(config.organisation.language)
    )
    return f"{config.organisation.name}: {month}"


def _fill(session: Session, issue: Issue, proposal: Proposal) -> None:
    items = {item.id: item for item in session.scalars(select(Item).where(Item.id.in_(proposal.item_ids)))}
    for section, item_ids in proposal.sections.items():
        for item_id in item_ids:
            add_item(issue, items[item_id], snapshot(items[item_id]), section)
