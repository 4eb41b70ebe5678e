"""
The archive: which issues everybody may read, and how they are found.

An issue is in it only while somebody has said so. What was for some readers only is in no answer of this module: not in
the words that are searched, not among the events.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, time
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Select, and_, delete, exists, func, or_, select
from sqlalchemy.orm import Session

from newsletter.compose.issue import in_words
from newsletter.errors import Conflict
from newsletter.tables import ArchiveText, Block, Issue, IssueState, Item, ItemKind, ItemState

PAGE_LENGTH = 20
MOST_EVENTS = 200
MOST_WORDS, MOST_QUERY = 8, 200
PUBLISHABLE = frozenset({IssueState.SENDING, IssueState.PAUSED, IssueState.SENT})
_WORD = re.compile(r"[^\W_]+")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\U00020000-\U0003ffff]")


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the list of issues, the newest first; `number` is 1 for the first."""

    issues: tuple[Issue, ...]
    number: int
    total: int

    @property
    def last(self) -> int:
        return max(1, -(-self.total // PAGE_LENGTH))


def publish(
    session: Session, issue: Issue, texts: Iterable[tuple[int | None, str]], *, indexed: bool | None, now: datetime
) -> None:
    """
    Put an issue into the archive, or bring up to date what it is found by.

    Args:
        texts: What everybody reads in it, each with its block, if it has one.
        indexed: Whether search engines may keep it; null leaves that as it is, at first not.

    Raises:
        Conflict: When nobody was sent it, or it is a monthly digest.
    """
    if issue.digest_of:
        raise Conflict(
            f"{issue.slug} is a monthly digest, made of what each of its readers is owed.",
            hint="Publish the issues in it: newsletter issue list",
        )
    if issue.state not in PUBLISHABLE or issue.planned_at is None:
        raise Conflict(
            f"The issue {issue.slug} is {in_words(issue.state)}; the archive shows what members got.",
            hint=f"Send it first: newsletter issue send {issue.slug}",
        )
    issue.published_at = issue.published_at or now
    issue.indexed = issue.indexed if indexed is None else indexed
    session.execute(delete(ArchiveText).where(ArchiveText.issue_id == issue.id))
    for block_id, text in texts:
        session.add(ArchiveText(issue_id=issue.id, block_id=block_id, words=f" {' '.join(words_of(text))} "))


def unpublish(session: Session, issue: Issue) -> None:
    """Take an issue out of the archive."""
    issue.published_at, issue.indexed = None, False
    session.execute(delete(ArchiveText).where(ArchiveText.issue_id == issue.id))


def words_of(text: str) -> list[str]:
    """Return the words of a text as they are compared: no capitals, no accents, letters and digits only."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return _WORD.findall(unicodedata.normalize("NFKC", plain.casefold()))


def find(session: Session, slug: str) -> Issue | None:
    """Return the issue of the archive that *slug* names, whole."""
    return session.scalar(_published().where(Issue.slug == slug))


def listed(session: Session, query: str, number: int) -> Page | None:
    """
    Return a page of the issues that hold every word of *query*, or its beginning; all issues when it holds no word.

    Returns:
        None when there is no such page.
    """
    words = words_of(query[:MOST_QUERY])[:MOST_WORDS]
    chosen = _published().where(*(_holds(word) for word in words))
    total = session.scalar(select(func.count()).select_from(chosen.subquery())) or 0
    if number > 1 and (number - 1) * PAGE_LENGTH >= total:
        return None
    ordered = chosen.order_by(Issue.planned_at.desc(), Issue.id.desc())
    rows = session.scalars(ordered.offset((number - 1) * PAGE_LENGTH).limit(PAGE_LENGTH))
    return Page(tuple(rows), number, total)


def newest(session: Session, count: int) -> list[Issue]:
    """Return the issues that came into the archive last."""
    return list(session.scalars(_published().order_by(Issue.published_at.desc(), Issue.id.desc()).limit(count)))


def has_indexed(session: Session) -> bool:
    return session.scalars(_published().where(Issue.indexed).limit(1)).first() is not None


def coming_events(session: Session, *, now: datetime, zone: ZoneInfo) -> list[Item]:
    """Return the events of issues in the archive that are not over, the next first; cancelled ones say so."""
    today = now.astimezone(zone).date()
    not_over = or_(
        func.coalesce(Item.ends_at, Item.starts_at) >= now, func.coalesce(Item.ends_on, Item.starts_on) >= today
    )
    statement = select(Item).where(Item.kind == ItemKind.EVENT, not_over, _in_archive())

    statement = statement.order_by(Item.id.desc()).limit(MOST_EVENTS)

    def start(item: Item) -> tuple[datetime, int]:
        return item.starts_at or datetime.combine(item.starts_on or today, time(), zone), item.id

    return sorted(session.scalars(statement), key=start)


def is_indexed_event(session: Session, item_id: int) -> bool:
    """Return whether an issue that search engines may keep shows this event to everybody."""
    found = select(Item.id).where(Item.id == item_id, _in_archive(Issue.indexed.is_(True)))
    return session.scalar(found) is not None


def is_shown(block: Block) -> bool:
    """Return whether the archive shows a block: everybody got it, and the chair has not hidden its item since."""
    return not block.audience and not (block.item and block.item.state is ItemState.HIDDEN)


def _published() -> Select[Issue]:
    return select(Issue).where(Issue.published_at.is_not(None), Issue.planned_at.is_not(None))


def _in_archive(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    shown = (
        select(Block.id)
        .join(Issue, Issue.id == Block.issue_id)
        .where(Block.item_id == Item.id, Block.audience.is_(None), Issue.published_at.is_not(None), *conditions)
    )
    return and_(Item.state != ItemState.HIDDEN, exists(shown))


def _holds(word: str) -> ColumnElement[bool]:
    """Find a word by its beginning, anywhere where words are not set apart; it holds letters and digits only."""
    pattern = f"%{word}%" if _UNSPACED.search(word) else f"% {word}%"
    found = (
        select(ArchiveText.id)
        .outerjoin(Block, Block.id == ArchiveText.block_id)
        .outerjoin(Item, Item.id == Block.item_id)
        .where(
            ArchiveText.issue_id == Issue.id,
            ArchiveText.words.like(pattern),
            or_(Item.id.is_(None), Item.state != ItemState.HIDDEN),
        )
    )
    return exists(found)
