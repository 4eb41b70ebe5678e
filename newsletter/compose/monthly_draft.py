"""
Make the digest of a month: one issue that holds what the issues of that month held, each part for whom it was.

Every part is as it was approved in its issue, and shown only to people whom the digest owes that issue. What two issues
held is there once; an event that is over or cancelled is not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from newsletter.compose import monthly
from newsletter.compose.assemble import LETTERS
from newsletter.compose.dates import is_over
from newsletter.compose.language import locale_of
from newsletter.compose.sections import sections_of
from newsletter.config.settings import Config
from newsletter.errors import Conflict
from newsletter.tables import Block, BlockKind, DigestEntry, Issue, IssueState, ItemKind, ItemState
from subscribers.naming import is_slug

# With more items than this they are told briefly, or Gmail cuts the mail before its unsubscribe link.
BRIEF_ABOVE = 20
GATHERED = (IssueState.SENDING, IssueState.SENT)
_TAG = re.compile(r"\{\{[^{}|]*(?:\|([^{}]*))?\}\}")


def waiting(session: Session) -> list[Issue]:
    """
    Return the issues that were planned, that somebody is owed, and that no digest has yet; the oldest first.

    One that is paused waits until it has gone on: somebody may have seen a mistake in it.
    """
    owed = exists().where(DigestEntry.issue_id == Issue.id)
    statement = select(Issue).where(
        Issue.gathered_in.is_(None),
        Issue.digest_of.is_(None),
        Issue.planned_at.is_not(None),
        Issue.state.in_(GATHERED),
        owed,
    )
    return list(session.scalars(statement.order_by(Issue.planned_at, Issue.id)))


def months(session: Session, zone: ZoneInfo, *, last: date) -> dict[date, list[Issue]]:
    """Return what waits by the month whose digest it belongs into, up to the month *last*."""
    issues = {issue.id: issue for issue in waiting(session)}
    if not issues:
        return {}
    stored = session.scalars(select(Issue.digest_of).where(Issue.digest_of.is_not(None)))
    taken = {date.fromisoformat(f"{name}-01") for name in stored if name}
    planned = [(issue.id, issue.planned_at) for issue in issues.values() if issue.planned_at is not None]
    found = monthly.assign(planned, taken, last, zone)
    return {month: [issues[issue_id] for issue_id in ids] for month, ids in found.items()}


def make_digest(
    session: Session, month: date, issues: Sequence[Issue], *, config: Config, actor: str, now: datetime
) -> Issue:
    """
    Make the draft of a month's digest and take the issues up in it, in the caller's transaction.

    One in which nothing is left to tell is cancelled at once: it stands for the month, and nobody is mailed.

    Raises:
        Conflict: When that month has a digest.
    """
    if session.scalar(select(exists().where(Issue.digest_of == monthly.named(month)))):
        raise Conflict(f"{monthly.named(month)} has its digest already.", hint="See it: newsletter issue list")
    parts = _Parts(config, now)
    for issue in issues:
        parts.take(issue)
    digest = Issue(
        slug=_free_slug(session, month),
        digest_of=monthly.named(month),
        state=IssueState.DRAFT,
        subject=subject_of(config, month),
        language=_language(issues, config),
        section_order=[LETTERS],
        audience={"segments": [owed_words(issue) for issue in issues]},
        created_at=now,
        edited_at=now,
        edited_by=actor,
        blocks=parts.blocks(),
    )
    if not digest.blocks:
        digest.state, digest.finished_at = IssueState.CANCELLED, now
        digest.reason = "Nothing is left to tell: the events of its issues are over."
    session.add(digest)
    session.flush()
    for issue in issues:
        issue.gathered_in = digest.id
    session.flush()
    return digest


def still_to_come(digest: Issue, moment: datetime, zone: ZoneInfo) -> list[Block]:
    """Return the blocks of a digest without the events that are over at *moment*, or cancelled by then."""
    return [block for block in digest.blocks if not _is_gone(block, moment, zone)]


def owed_words(issue: Issue) -> str:
    """Return the expression of the segment language for people whom the digest owes an issue."""
    return f"issue '{issue.slug}' monthly"


def subject_of(config: Config, month: date) -> str:
    from babel.dates import format_date

    words = format_date(month, "LLLL yyyy", locale=locale_of(config.organisation.language))
    return config.digest.subject.replace("{month}", words)


def approvers(issues: Iterable[Issue]) -> str:
    """Return who approved the issues, as the approval of what only holds their parts."""
    names = dict.fromkeys(issue.approved_by or "" for issue in issues)
    told = ", ".join(name for name in names if name)
    return f"in its issues: {told}"[:200]


@dataclass
class _Part:
    """One block to be, and for whom: `audiences` are expressions any of which shows it."""

    block: Block
    audiences: list[str]
    starts: str = ""


@dataclass
class _Parts:
    """What a digest gathers, by section."""

    config: Config
    now: datetime
    sections: dict[str, dict[Any, _Part]] = field(default_factory=dict)

    def take(self, issue: Issue) -> None:
        if issue.letter.strip():
            self._add(LETTERS, ("letter", issue.id), self._letter(issue), owed_words(issue))
        for section in sections_of(issue, self.config.issue.sections):
            for block in section.blocks:
                self._take_block(issue, block)

    def blocks(self) -> list[Block]:
        """Return the new blocks, those of a section with its events in their order."""
        items = sum(part.block.kind is BlockKind.ITEM for held in self.sections.values() for part in held.values())
        made: list[Block] = []
        for name, held in self.sections.items():
            for position, part in enumerate(sorted(held.values(), key=lambda part: part.starts), start=1):
                part.block.section, part.block.position = name, position
                part.block.audience = " or ".join(dict.fromkeys(part.audiences))
                if items > BRIEF_ABOVE and part.block.kind is BlockKind.ITEM:
                    part.block.payload = {"brief": "yes"}
                made.append(part.block)
        return made

    def _take_block(self, issue: Issue, block: Block) -> None:
        if block.kind is BlockKind.DIVIDER or _is_gone(block, self.now, self.config.organisation.zone):
            return  # a line between two parts of an issue means nothing here
        copy = Block(
            kind=block.kind,
            item=block.item,
            snapshot=block.snapshot,
            headline=block.headline,
            blurb=block.blurb,
            payload=dict(block.payload),
        )
        key = ("item", block.item_id) if block.item_id else (block.kind, json.dumps(block.payload, sort_keys=True))
        taken = block.snapshot or {}
        starts = str(taken.get("starts_at") or taken.get("starts_on") or "") if _is_event(block) else ""
        self._add(block.section, key, copy, _for_whom(issue, block), starts)

    def _add(self, section: str, key: Any, block: Block, audience: str, starts: str = "") -> None:
        earlier = next((held.pop(key) for held in self.sections.values() if key in held), None)
        audiences = [*(earlier.audiences if earlier else ()), audience]
        self.sections.setdefault(section, {})[key] = _Part(block, audiences, starts)

    def _letter(self, issue: Issue) -> Block:
        planned = issue.planned_at or self.now
        by = ", ".join(filter(None, (issue.letter_name, issue.letter_role)))
        day = planned.astimezone(self.config.organisation.zone).date()
        payload = {"title": _without_tags(issue.subject), "text": issue.letter, "by": by, "day": day.isoformat()}
        return Block(kind=BlockKind.LETTER, payload=payload)


def _for_whom(issue: Issue, block: Block) -> str:
    if not block.audience:
        return owed_words(issue)
    own = block.audience.strip()
    if is_slug(own):
        own = f"segment '{own}'"
    return f"({owed_words(issue)} and ({own}))"


def _is_event(block: Block) -> bool:
    return (block.snapshot or {}).get("kind") == ItemKind.EVENT


def _is_gone(block: Block, moment: datetime, zone: ZoneInfo) -> bool:
    taken = block.snapshot or {}
    if not _is_event(block):
        return False
    if taken.get("state") == ItemState.CANCELLED or (block.item and block.item.state is ItemState.CANCELLED):
        return True
    times = {name: taken.get(name) for name in ("starts_at", "ends_at", "starts_on", "ends_on")}
    return is_over(
        moment,
        starts=datetime.fromisoformat(times["starts_at"]) if times["starts_at"] else None,
        ends=datetime.fromisoformat(times["ends_at"]) if times["ends_at"] else None,
        starts_on=date.fromisoformat(times["starts_on"]) if times["starts_on"] else None,
        ends_on=date.fromisoformat(times["ends_on"]) if times["ends_on"] else None,
        zone=_zone_of(taken.get("timezone")) or zone,
    )


def _zone_of(name: str | None) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _free_slug(session: Session, month: date) -> str:
    """Return the digest's name; a chair may have called another issue so."""
    base, number = monthly.slug_of(month), 1
    slug = base
    while session.scalar(select(exists().where(Issue.slug == slug))):
        number += 1
        slug = f"{base}-{number}"
    return slug


def _without_tags(subject: str) -> str:
    """Return a subject as a heading: personal tags are not filled there, so their fallbacks stand in."""
    return " ".join(_TAG.sub(lambda found: found[1] or "", subject).split())


def _language(issues: Sequence[Issue], config: Config) -> str:
    """Return the language that all its issues are in, else the organisation's."""
    found = {issue.language for issue in issues}
    return found.pop() if len(found) == 1 else config.organisation.language
