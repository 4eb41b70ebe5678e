"""
Lines with roles -> posts: which short line is a title, and which texts are its own; every line ends in one place.

A title is a short line with a text below it. Where several short lines meet, four things decide, in this order: a
line that the text above announces ("the link below") or that stands closer to that text is its caption; a line that
repeats most of the title above it is a heading of the same post; in a page of whole posts a second short line is a
heading; in a listing of summaries it is a post of its own without a summary. Blank lines are only ever compared with
each other, so that doubling them changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from newsletter.compose.sources.archive_text import furniture
from newsletter.compose.sources.archive_text.dates import StatedDate
from newsletter.compose.sources.archive_text.lines import Unit
from newsletter.compose.sources.archive_text.roles import (
    Line,
    Meta,
    Role,
    could_be_odd_title,
    cut_at_end,
    judge,
)

SIMILAR = 0.6  # share of the shorter line's words that the other repeats
WHOLE_POSTS = 0.3  # share of posts with several paragraphs from which a page counts as one of whole posts
FEWEST_FOR_GAPS = 4  # posts that must keep the same distance before distance alone makes a heading

_BODY = frozenset({Role.TEXT, Role.PROMPT, Role.DETAIL, Role.CONTACT})
_SMALL_WORDS = frozenset(
    {"a", "an", "and", "at", "by", "for", "from", "in", "into", "is", "of", "on", "or", "the", "to", "with"}
)


@dataclass(slots=True)
class RawPost:
    """A post as it stands on the page: nothing is classified yet."""

    title: str
    paragraphs: list[str] = field(default_factory=list)
    headings: set[int] = field(default_factory=set)  # which of the paragraphs are headings
    truncated: bool = False
    published: StatedDate | None = None
    authors: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """What a page holds: its posts in order, its standing notices, and the texts that belong to neither."""

    posts: tuple[RawPost, ...]
    notices: tuple[str, ...]
    strays: tuple[str, ...]


def segment(units: Sequence[Unit], *, day_first: bool = False) -> Page:
    """Divide a page into posts and notices."""
    followers: list[Unit | None] = [*units, None][1:]
    lines = [judge(unit, below, day_first=day_first) for unit, below in zip(units, followers, strict=True)]
    lines = _texts_below_dates(_page_heads(_chain_contacts(_odd_titles(lines))))
    page = _Divider(lines).divide()
    return replace(page, posts=_without_repeats(page.posts))


def similar(first: str, second: str) -> bool:
    """Say whether one line repeats most words of the other."""
    one, other = _words(first), _words(second)
    fewest = min(len(one), len(other))
    return fewest > 0 and len(one & other) / fewest >= SIMILAR


def _words(text: str) -> set[str]:
    return {word for word in re.findall(r"[^\W_]+", text.casefold()) if word not in _SMALL_WORDS}


def _odd_titles(lines: list[Line]) -> list[Line]:
    """After a text that its page cut, the next line opens a post: let it be a title even with a full stop."""
    changed = list(lines)
    for at in range(1, len(lines) - 1):
        line, below = lines[at], lines[at + 1]
        closed = changed[at - 1].role is Role.CLOSING or _is_cut(changed[at - 1])
        odd = line.role in {Role.TEXT, Role.PROMPT} and could_be_odd_title(line.text)
        if closed and odd and below.role in {Role.TEXT, Role.META} and len(below.text) > len(line.text):
            changed[at] = replace(line, role=Role.SHORT)
    return changed


def _page_heads(lines: list[Line]) -> list[Line]:
    """The name of the site stands above its menu, or again beside the copyright; it is no title."""
    changed = list(lines)
    owners = [line.text.casefold() for line in lines if furniture.COPYRIGHT.match(line.text)]
    for at, line in enumerate(lines):
        if line.role is not Role.SHORT:
            continue
        below = lines[at + 1].role if at + 1 < len(lines) else Role.HEADING
        if below not in {*_BODY, Role.META} and any(line.text.casefold() in owner for owner in owners):
            changed[at] = replace(line, role=Role.HEADING)
    first = next((at for at, line in enumerate(lines) if line.role is not Role.HEADING), 0)
    last = next((at for at in range(first, len(lines)) if lines[at].role is not Role.SHORT), first)
    if last - first <= 3 and [line.role for line in lines[last : last + 2]] == [Role.HEADING] * 2:
        changed[first:last] = [replace(line, role=Role.HEADING) for line in lines[first:last]]
    return changed


def _texts_below_dates(lines: list[Line]) -> list[Line]:
    """Where dates stand below their titles, a lone short line below a date is the post's text."""
    if _dates_stand_above(lines):
        return lines
    changed = list(lines)
    for at in range(2, len(lines)):
        title, date_line, line = lines[at - 2 : at + 1]
        below = lines[at + 1].role if at + 1 < len(lines) else Role.CLOSING
        dated = title.role is Role.SHORT and date_line.role is Role.META and not date_line.meta.closes
        if dated and line.role is Role.SHORT and not line.unit.heading and below not in {*_BODY, Role.META}:
            changed[at] = replace(line, role=Role.TEXT)
    return changed


def _without_repeats(posts: tuple[RawPost, ...]) -> tuple[RawPost, ...]:
    """A title that stands alone and is that of another post belongs to a list of recent posts."""
    told = {post.title.casefold() for post in posts if post.paragraphs}
    return tuple(post for post in posts if post.paragraphs or post.title.casefold() not in told)


def _is_cut(line: Line) -> bool:
    return line.role is Role.TEXT and cut_at_end(line.text)[1]


def _chain_contacts(lines: list[Line]) -> list[Line]:
    """A name right above its number is no title, except where the text above was cut: there it opens a post."""
    changed = list(lines)
    for at in range(1, len(lines)):
        opens = changed[at - 1].role is Role.CLOSING or _is_cut(changed[at - 1])
        if opens and lines[at].role is Role.CONTACT and at + 1 < len(lines) and lines[at + 1].role is Role.CONTACT:
            changed[at] = replace(lines[at], role=Role.SHORT)
    return changed


@dataclass(frozen=True, slots=True)
class _Run:
    """Short lines that follow each other, `first` to `last` (exclusive)."""

    first: int
    last: int


class _Divider:
    """Walks once over the lines; `current` is the post that the next text belongs to."""

    def __init__(self, lines: list[Line]) -> None:
        self.lines = lines
        self.posts: list[RawPost] = []
        self.notices: list[str] = []
        self.strays: list[str] = []
        self.current: RawPost | None = None
        self.closed = False
        self.waiting = Meta()  # of a date line that stands above its title
        self.whole_posts = _holds_whole_posts(lines)
        self.title_gap = _title_gap(lines)
        self.dates_above = _dates_stand_above(lines)

    def divide(self) -> Page:
        at = 0
        while at < len(self.lines):
            if self.lines[at].role is Role.SHORT:
                run = _Run(at, self._end_of_run(at))
                self._take_run(run)
                at = run.last
            else:
                self._take(self.lines[at])
                at += 1
        return Page(tuple(self.posts), tuple(self.notices), tuple(self.strays))

    def _end_of_run(self, at: int) -> int:
        while at < len(self.lines) and self.lines[at].role is Role.SHORT:
            at += 1
        return at

    def _take(self, line: Line) -> None:
        if line.role is Role.NOTICE:
            self._take_notice(line.text)
        elif line.role is Role.META:
            self._take_meta(line)
        elif line.role is Role.CLOSING:
            self.closed = self.current is not None and bool(self.current.paragraphs)
        elif line.role is Role.HEADING and furniture.WIDGET.fullmatch(line.text) and self.posts:
            self.current = None  # what stands in a list of months or categories belongs to no post
        elif line.role in _BODY:
            self._take_text(line)

    def _take_text(self, line: Line) -> None:
        if self.current is None or (self.closed and line.role is Role.TEXT):
            self.strays.append(line.text)
            return
        text, cut = cut_at_end(line.text)
        if text:
            self.current.paragraphs.append(text)
        if cut:
            self.current.truncated = self.closed = True

    def _take_notice(self, text: str) -> None:
        """A notice below a question of its own ("Need help?") takes it along; a post that it stands in goes on."""
        last = self.current
        if last is not None and not last.paragraphs and last.title.endswith(("?", "!")):
            self.posts.pop()
            self.current = None
            text = f"{last.title} {text}"
        self.notices.append(text)

    def _take_meta(self, line: Line) -> None:
        meta = line.meta
        if self.dates_above and not meta.closes:
            self.waiting = _merged(self.waiting, meta)
            self.closed = self.current is not None
        elif self.current is not None:
            _describe(self.current, meta)
            self.closed = self.closed or (meta.closes and bool(self.current.paragraphs))

    def _take_run(self, run: _Run) -> None:
        """Divide short lines that meet: captions of the post above, then titles, then a heading below the last."""
        first = run.first + self._captions(run)
        if self.current is None:
            first = self._skip_page_heading(_Run(first, run.last))
        at = first
        while at < run.last:
            if (at > first and self._is_heading_below(at)) or (
                at == run.last - 1 and at == first and self._is_heading_inside(at)
            ):
                self._add_heading(self.lines[at].text)
            else:
                self._open(self.lines[at].text)
            at += 1

    def _open(self, title: str) -> None:
        self.current = RawPost(title)
        _describe(self.current, self.waiting)
        self.waiting = Meta()
        self.posts.append(self.current)
        self.closed = False

    def _add_heading(self, text: str) -> None:
        if self.current is not None:
            self.current.headings.add(len(self.current.paragraphs))
            self.current.paragraphs.append(text)

    def _captions(self, run: _Run) -> int:
        """Count the lines at the beginning of a run that are captions of the text above, and add them to it."""
        count = 0
        while run.first + count < run.last and self._is_caption(run.first + count, run):
            self._add_heading(self.lines[run.first + count].text)
            count += 1
        return count

    def _is_caption(self, at: int, run: _Run) -> bool:
        """A line without a text of its own, which the text above announces or stands closer to than to any title."""
        current, line = self.current, self.lines[at]
        if current is None or self.closed or line.unit.after_rule or line.unit.heading or not current.paragraphs:
            return False
        below = self.lines[at + 1] if at + 1 < len(self.lines) else None
        if at + 1 == run.last and below is not None and (below.role in _BODY or below.role is Role.META):
            return False
        if furniture.POINTS_BELOW.search(current.paragraphs[-1][-90:]) and similar(line.text, current.title):
            return True
        directly_under = line.unit.gap == 0 and below is not None and below.unit.gap > 0
        return directly_under or (self.whole_posts and line.unit.gap < (self.title_gap or 0))

    def _skip_page_heading(self, run: _Run) -> int:
        """Before the first post only the last short line above a text is a title; the others head the page."""
        if self.posts or self.strays or run.last >= len(self.lines) or run.last - run.first < 2:
            return run.first
        if self.lines[run.last].role not in _BODY or self._sticks_to_above(run.last - 1):
            return run.first
        return run.last - 1

    def _sticks_to_above(self, at: int) -> bool:
        above, line = self.lines[at - 1], self.lines[at]
        return line.unit.gap < above.unit.gap or similar(above.text, line.text)

    def _is_heading_below(self, at: int) -> bool:
        """Say whether the short line at *at* is a heading below the title just opened."""
        if at + 1 >= len(self.lines) or self.lines[at + 1].role not in _BODY or self.lines[at].unit.after_rule:
            return False
        if self._sticks_to_above(at):
            return True
        return self.whole_posts and self.lines[at].unit.gap <= self.lines[at - 1].unit.gap

    def _is_heading_inside(self, at: int) -> bool:
        """In a page whose titles all keep their distance, a lone short line nearer to the text is a heading in it."""
        line = self.lines[at]
        if self.current is None or self.closed or self.title_gap is None or line.unit.heading or line.unit.after_rule:
            return False
        return self.whole_posts and line.unit.gap < self.title_gap and bool(self.current.paragraphs)


def _describe(post: RawPost, meta: Meta) -> None:
    post.published = post.published or meta.published
    post.authors = post.authors or meta.authors
    post.categories = post.categories or meta.categories


def _merged(first: Meta, second: Meta) -> Meta:
    return Meta(
        published=first.published or second.published,
        authors=first.authors or second.authors,
        categories=first.categories or second.categories,
    )


def _holds_whole_posts(lines: list[Line]) -> bool:
    """Say whether the page shows whole posts (several paragraphs each) rather than a listing of one summary each."""
    counts: list[int] = []
    counting = False
    for above, line in zip([None, *lines], lines, strict=False):
        if line.role is Role.SHORT:
            counting = True
        elif line.role is Role.TEXT and counting:
            if above is not None and above.role is Role.SHORT:
                counts.append(0)
            if counts:
                counts[-1] += 1
        elif line.role in {Role.CLOSING, Role.NOTICE, Role.HEADING}:
            counting = False
    return bool(counts) and sum(count > 1 for count in counts) / len(counts) >= WHOLE_POSTS


def _title_gap(lines: list[Line]) -> int | None:
    """
    Return the blank lines that part the posts of a regular page; None when the page is not that regular.

    They are the most of the page, at least twice as many as any others, and no text ever follows them. A page whose
    blank lines were meddled with fails this, because losing a title costs more than mistaking a heading for one.
    """
    gaps = [line.unit.gap for line in lines[1:]]
    widest = max(gaps, default=0)
    parted = [line.role for line in lines[1:] if line.unit.gap == widest]
    if len(parted) < FEWEST_FOR_GAPS or any(role in _BODY for role in parted):
        return None
    return widest if all(2 * gap <= widest for gap in gaps if gap != widest) else None


def _dates_stand_above(lines: list[Line]) -> bool:
    """Say whether date lines stand above their titles: the first one comes before any text or short line."""
    roles = [line.role for line in lines if line.role is not Role.HEADING]
    if Role.META not in roles:
        return False
    first = roles.index(Role.META)
    before = [role for role in roles[:first] if role not in {Role.NOTICE, Role.CLOSING}]
    return not before and first + 1 < len(roles) and roles[first + 1] is Role.SHORT
