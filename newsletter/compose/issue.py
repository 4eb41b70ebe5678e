"""
An issue and its life: how it is named, which state follows which, and whose approval counts.

Approval is of a hash of everything that a member would read and of who would get it: any later edit voids it.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, object_session

from newsletter.config.settings import Config
from newsletter.errors import Conflict, InvalidValue, NotFound
from newsletter.tables import Block, Issue, IssueState
from subscribers import segments

LATEST = "latest"
SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,58}[a-z0-9])?")

# state -> the states that may follow it.
TRANSITIONS: dict[IssueState, frozenset[IssueState]] = {
    IssueState.DRAFT: frozenset(
        {IssueState.IN_REVIEW, IssueState.APPROVED, IssueState.CANCELLED}  # approved at once where one person decides
    ),
    IssueState.IN_REVIEW: frozenset(
        {IssueState.DRAFT, IssueState.APPROVED, IssueState.CANCELLED}  # draft: taken back
    ),
    IssueState.APPROVED: frozenset(
        {
            IssueState.DRAFT,
            IssueState.SCHEDULED,
            IssueState.SENDING,
            IssueState.CANCELLED,
        }  # draft: edited after approval
    ),
    IssueState.SCHEDULED: frozenset(
        {
            IssueState.DRAFT,  # edited after approval
            IssueState.APPROVED,  # taken off the schedule
            IssueState.SENDING,
            IssueState.PAUSED,  # overdue, or refused by preflight when its time came
            IssueState.CANCELLED,
        }
    ),
    IssueState.SENDING: frozenset({IssueState.SENT, IssueState.PAUSED, IssueState.CANCELLED}),
    IssueState.PAUSED: frozenset(
        {
            IssueState.DRAFT,  # edited before anybody was planned
            IssueState.APPROVED,  # resumed before anybody was planned
            IssueState.SENDING,
            IssueState.CANCELLED,
        }
    ),
    IssueState.SENT: frozenset({IssueState.SENDING}),  # retry of what failed
    IssueState.CANCELLED: frozenset(),
}

EDITABLE = frozenset({IssueState.DRAFT, IssueState.IN_REVIEW, IssueState.APPROVED, IssueState.SCHEDULED})


def find(session: Session, name: str) -> Issue:
    """
    Return the issue that *name* means: its slug, `latest`, or an unambiguous beginning of a slug.

    Raises:
        NotFound: With the nearest slug.
        Conflict: When several slugs begin so.
    """
    if name == LATEST:
        return _latest(session)
    exact = session.scalar(select(Issue).where(Issue.slug == name))
    if exact is not None:
        return exact
    slugs = list(session.scalars(select(Issue.slug).order_by(Issue.slug)))
    beginning = [slug for slug in slugs if name and slug.startswith(name)]
    if len(beginning) > 1:
        raise Conflict(f"'{name}' can mean {', '.join(beginning)}.", hint="Write more of the name.")
    if not beginning:
        raise NotFound("issue", name, hint=_nearest(name, slugs))
    return session.scalars(select(Issue).where(Issue.slug == beginning[0])).one()


def new_slug(session: Session, month: datetime, wanted: str | None = None) -> str:
    """
    Return *wanted*, checked, or the first free of `2026-11`, `2026-11-2`, `2026-11-3` ... for *month* (local time).

    Raises:
        InvalidValue, Conflict: When *wanted* cannot be a name, or is one already.
    """
    taken = set(session.scalars(select(Issue.slug)))
    if wanted is not None:
        if not SLUG.fullmatch(wanted) or wanted == LATEST:
            raise InvalidValue(
                f"'{wanted}' cannot name an issue.", hint="Use small letters, digits and hyphens, 60 at most: 2026-11."
            )
        if wanted in taken:
            raise Conflict(f"There is an issue '{wanted}' already.", hint="Give this one another --slug.")
        return wanted
    base, number = f"{month:%Y-%m}", 1
    slug = base
    while slug in taken:
        number += 1
        slug = f"{base}-{number}"
    return slug


def check_editable(issue: Issue) -> None:
    """
    Raise when the content is frozen.

    Raises:
        Conflict: When the issue is being sent, was sent, or is cancelled.
    """
    if issue.state in EDITABLE or (issue.state is IssueState.PAUSED and issue.planned_at is None):
        return
    raise Conflict(
        f"The issue {issue.slug} is {in_words(issue.state)}: its content is frozen.",
        hint="Draft another one: newsletter issue draft",
    )


def mark_edited(issue: Issue, *, actor: str, now: datetime) -> str | None:
    """Record an edit; an approval or a schedule is void by it. Returns the sentence to tell, or null."""
    was = issue.state
    issue.edited_by, issue.edited_at = actor, now
    if was in (IssueState.DRAFT, IssueState.IN_REVIEW):
        return None
    go(issue, IssueState.DRAFT)
    void_approval(issue)
    word = "scheduled" if was is IssueState.SCHEDULED else "approved"
    return f"{issue.slug} was {word}; this edit voids that. It is a draft again: newsletter issue approve {issue.slug}"


def void_approval(issue: Issue) -> None:
    issue.approved_hash = issue.approved_by = issue.approved_at = None
    issue.scheduled_at = issue.reason = None


def go(issue: Issue, state: IssueState) -> None:
    """
    Move to *state*.

    Raises:
        Conflict: When the table of transitions has no such edge.
    """
    if state not in TRANSITIONS[issue.state]:
        raise Conflict(f"The issue {issue.slug} is {in_words(issue.state)}; it cannot become {in_words(state)}.")
    issue.state = state


def submit(issue: Issue) -> None:
    """Hand a draft to whoever approves."""
    if issue.state is IssueState.IN_REVIEW:
        return
    go(issue, IssueState.IN_REVIEW)


def approve(issue: Issue, config: Config, *, actor: str, now: datetime) -> None:
    """
    Approve the content as it stands.

    Raises:
        Conflict: When the state forbids it, or four eyes are asked for and *actor* made the last edit.
    """
    if issue.state in (IssueState.APPROVED, IssueState.SCHEDULED) and is_approved(issue, config):
        return
    if config.issue.approval == "four-eyes" and actor == issue.edited_by:
        raise Conflict(
            f"{actor} made the last edit of {issue.slug}; somebody else must approve it.",
            hint=f"Ask a second person: newsletter --as NAME issue approve {issue.slug}",
        )
    if issue.state not in (IssueState.APPROVED, IssueState.SCHEDULED):
        # Else a segment's meaning or the organisation's own words changed since: the schedule stands.
        go(issue, IssueState.APPROVED)
    issue.approved_hash, issue.approved_by, issue.approved_at = content_hash(issue, config), actor, now


def is_approved(issue: Issue, config: Config) -> bool:
    """Tell whether the content as it stands is what was approved, by somebody who may."""
    if issue.approved_hash is None or issue.approved_hash != content_hash(issue, config):
        return False
    return config.issue.approval == "single" or issue.approved_by != issue.edited_by


def no_longer_approved(session: Session, config: Config) -> list[Issue]:
    """Return the approved and scheduled issues that are not what was approved any more, by what changed around them."""
    states = (IssueState.APPROVED, IssueState.SCHEDULED)
    waiting = session.scalars(select(Issue).where(Issue.state.in_(states)).order_by(Issue.slug))
    return [issue for issue in waiting if not is_approved(issue, config)]


def schedule(issue: Issue, config: Config, *, at: datetime, now: datetime) -> None:
    """
    Set the time at which `newsletter work` starts an approved issue.

    Raises:
        InvalidValue: When *at* is past.
        Conflict: When the issue is not approved.
    """
    if at <= now:
        raise InvalidValue(
            f"{at.astimezone(config.organisation.zone):%Y-%m-%d %H:%M} is past.",
            hint=f"Give a later time, or send it now: newsletter issue send {issue.slug}",
        )
    if not is_approved(issue, config):
        raise Conflict(
            f"The issue {issue.slug} is not approved.", hint=f"Approve it first: newsletter issue approve {issue.slug}"
        )
    if issue.state is not IssueState.SCHEDULED:
        go(issue, IssueState.SCHEDULED)
    issue.scheduled_at, issue.reason = at, None


def unschedule(issue: Issue) -> None:
    """
    Take an issue off the schedule; it stays approved.

    Raises:
        Conflict: When it is not scheduled.
    """
    if issue.state is not IssueState.SCHEDULED:
        raise Conflict(f"The issue {issue.slug} is {in_words(issue.state)}, not scheduled.")
    go(issue, IssueState.APPROVED)
    issue.scheduled_at = None


def content_hash(issue: Issue, config: Config) -> str:
    """
    Return the hash of what members would read, who sends it and who gets it; the same content gives the same.

    Who gets it is the rule, with what its named segments mean: another meaning is another issue. People who join or
    leave meanwhile do not change it.
    """
    content = {
        "issue": {
            name: getattr(issue, name)
            for name in (
                "subject", "preheader", "language", "letter", "letter_name", "letter_role", "letter_picture_id",
                "section_order", "audience",
            )
        },
        "blocks": [_block_content(block) for block in sorted(issue.blocks, key=lambda b: (b.section, b.position))],
        "organisation": config.organisation.model_dump(mode="json"),
        "sections": [[rule.name, rule.title] for rule in config.issue.sections],
        "default_lists": list(config.issue.default_lists),
        "discreet": config.discreet.model_dump(mode="json"),
        "letters_title": config.digest.letters_title if issue.digest_of else "",
        "segments": _segment_meanings(issue),
    }  # fmt: skip
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def in_words(state: IssueState) -> str:
    """Return a state as people read it: `in review`, `being sent`."""
    return {IssueState.IN_REVIEW: "in review", IssueState.SENDING: "being sent", IssueState.DRAFT: "a draft"}.get(
        state, state.value
    )


def _segment_meanings(issue: Issue) -> dict[str, str]:
    session = object_session(issue)
    audience = issue.audience or {}
    texts = [*audience.get("segments", ()), *audience.get("exclude_segments", ())]
    texts += [block.audience for block in issue.blocks if block.audience]
    return segments.meanings(session, texts) if session is not None and texts else {}


def _block_content(block: Block) -> dict[str, Any]:
    names = ("id", "section", "position", "kind", "item_id", "snapshot", "headline", "blurb", "audience", "payload")
    return {name: getattr(block, name) for name in names}


def _latest(session: Session) -> Issue:
    """Return the newest issue that a person drafted, for `latest` must not come to mean a digest overnight."""
    own = select(Issue).where(Issue.digest_of.is_(None))
    newest = own.order_by(Issue.created_at.desc(), Issue.id.desc()).limit(1)
    found = session.scalar(newest.where(Issue.state != IssueState.CANCELLED)) or session.scalar(newest)
    if found is None:
        raise NotFound("issue", LATEST, hint="There are no issues yet: newsletter issue draft")
    return found


def _nearest(name: str, slugs: list[str]) -> str:
    near = difflib.get_close_matches(name, [*slugs, LATEST], n=1, cutoff=0.5)
    if near:
        return f"Did you mean '{near[0]}'?"
    return f"Known: {', '.join(slugs[-6:])}." if slugs else "There are no issues yet: newsletter issue draft"
