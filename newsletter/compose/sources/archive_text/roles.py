"""
What one line of a copied page is, judged by itself: a text, a short line, or one of the lines that blogs put around.

Which of the short lines are titles is decided in `posts`, where their neighbours are known.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum

from newsletter.compose.sources.archive_text import furniture
from newsletter.compose.sources.archive_text.dates import StatedDate, find_dates
from newsletter.compose.sources.archive_text.lines import Unit

LONGEST_TITLE = 180  # characters
MOST_TITLE_WORDS = 25
SURE_TITLE_WORDS = 14  # longer lines are titles only when their words are capitalised like one
LONGEST_ODD_TITLE = 120
LONGEST_HEADING = 300
LONGEST_META = 160
LONGEST_NOTICE = 700
MOST_NOTICE_WORDS = 70
NOTICE_SIGNS = 3
MOST_CATEGORY_WORDS = 8
LOGIN = re.compile(r"[a-z][a-z0-9_.-]{1,30}|Admin(?:istrator)?")

_NEW_SENTENCE = re.compile(r"[^\W\d_]{3,}[.] [A-Z]")
_NEW_SENTENCE_OR_CALL = re.compile(r"[^\W\d_]{3,}[.!?] [A-Z]")


class Role(StrEnum):
    """`SHORT` may be a title, a heading inside a post, or a caption; `HEADING` is the page's, or its navigation."""

    TEXT = "text"
    SHORT = "short"
    PROMPT = "prompt"  # "Read it here", "Please contact": belongs to the text before it
    CONTACT = "contact"
    DETAIL = "detail"  # "Venue: ...", a bullet, a bare address: belongs to the post it stands in
    META = "meta"  # date, author, categories
    NOTICE = "notice"
    CLOSING = "closing"  # "Read more", "Share this": the post ends here
    HEADING = "heading"


@dataclass(frozen=True, slots=True)
class Meta:
    """
    What a line beside a post says about it: "Posted on 3 May 2021 by Jo Smith in News".

    Attributes:
        closes: Such a line stands below a post ("Written by", "Filed under"), never above it.
    """

    published: StatedDate | None = None
    authors: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    closes: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One unit and its role."""

    unit: Unit
    role: Role
    meta: Meta = field(default_factory=Meta)

    @property
    def text(self) -> str:
        return self.unit.text


def judge(unit: Unit, following: Unit | None, *, day_first: bool) -> Line:
    """Give one line its role, knowing of its neighbours only the line below it."""
    text = unit.text
    if unit.heading and len(text) <= LONGEST_HEADING and not furniture.PAGE_HEADING.fullmatch(text):
        return Line(unit, Role.SHORT)
    if len(text) <= LONGEST_META and not _begins_details(text, following):
        meta = _read_meta(text, day_first=day_first)
        if meta is not None:
            return Line(unit, Role.META, meta)
        if _is_unfinished_date(text, day_first=day_first):
            return Line(unit, Role.DETAIL)
    return Line(unit, _role(text, following))


def _begins_details(text: str, following: Unit | None) -> bool:
    """ "Date: ..." right above "Time: ..." is the day of an event, not of a post."""
    dated = furniture.LABELLED.match(text[:LONGEST_META]) is not None
    return dated and following is not None and furniture.EVENT_LABEL.match(following.text) is not None


def _role(text: str, following: Unit | None) -> Role:
    if len(text) <= LONGEST_META:
        if furniture.PAGE_HEADING.fullmatch(text) or furniture.NAVIGATION.fullmatch(text):
            return Role.HEADING
        if furniture.CLOSING.fullmatch(text):
            return Role.CLOSING
    if is_notice(text):
        return Role.NOTICE
    if _is_contact(text) or (following is not None and _names_contact(text, following)):
        return Role.CONTACT
    if furniture.LABELLED.match(text[:LONGEST_META]) or furniture.BULLET.match(text):
        return Role.DETAIL
    if not _could_be_title(text):
        return Role.TEXT
    if furniture.ADDRESS_AT_END.search(text):
        return Role.DETAIL
    return Role.PROMPT if furniture.PROMPT.fullmatch(text) else Role.SHORT


def is_notice(text: str) -> bool:
    """
    Say whether a text is a standing notice: whom to ring, at which number, when in danger.

    Three of five signs must be there, a number to ring and an emergency or a helpline among them; news about a
    helpline is not a notice.
    """
    if len(text) > LONGEST_NOTICE or len(text.split()) > MOST_NOTICE_WORDS or furniture.ABOUT_A_HELPLINE.search(text):
        return False
    ringing = furniture.RING.search(text)
    number = has_phone(text) or (ringing is not None and has_short_number(text[ringing.end() :]))
    emergency = furniture.EMERGENCY.search(text) is not None
    helpline = furniture.HELPLINE.search(text) is not None
    if not ((number or emergency) and (emergency or helpline)):
        return False
    asked = ringing is not None, furniture.ADDRESSED.search(text) is not None
    return sum((number, emergency, helpline, *asked)) >= NOTICE_SIGNS


def has_phone(text: str) -> bool:
    """Say whether a text holds a number of as many digits as telephone numbers have."""
    return any(9 <= sum(map(str.isdigit, match[0])) <= 15 for match in furniture.PHONE.finditer(text))


def has_short_number(text: str) -> bool:
    """Say whether a text holds one of the short numbers of public helplines, such as 116 123 or 111."""
    return furniture.SHORT_NUMBER.search(text) is not None


def _is_contact(text: str) -> bool:
    """A telephone number or an address of electronic mail with at most a few words."""
    if len(text) > LONGEST_ODD_TITLE or text.endswith(("!", "?", ".")):
        return False
    if not furniture.EMAIL.search(text) and not has_phone(text):
        return False
    return len(re.findall(r"[^\W\d_]{2,}", furniture.EMAIL.sub("", text))) <= 6


def _names_contact(text: str, following: Unit) -> bool:
    """A name or a role, right above its number; a title may stand above "Call Jo on ..."."""
    number = furniture.BEGINS_CONTACT.match(following.text) is not None and _is_contact(following.text)
    return number and _could_be_title(text) and not text.endswith(("?", "!"))


def _could_be_title(text: str) -> bool:
    """Short, one sentence without a full stop, not going on; a question or a call may be one."""
    if len(text) > LONGEST_TITLE or text[-1] in ".,;:…" or not any(character.isalpha() for character in text):
        return False
    if cut_at_end(text)[1]:
        return False
    words = text.split()
    if len(words) > MOST_TITLE_WORDS or _NEW_SENTENCE.search(text):
        return False
    if len(words) > 12 and _NEW_SENTENCE_OR_CALL.search(text):
        return False
    return len(words) <= SURE_TITLE_WORDS or _capitalised(words) >= 0.5


def could_be_odd_title(text: str) -> bool:
    """Say whether a line may be a title although it ends with a full stop; asked only below a closed text."""
    if len(text) > LONGEST_ODD_TITLE or text[-1] in ",;:":
        return False
    return len(text.split()) <= SURE_TITLE_WORDS and not _NEW_SENTENCE_OR_CALL.search(text)


def _capitalised(words: list[str]) -> float:
    starts = [word.lstrip("'\"‘“([")[:1] for word in words]
    return sum(start.isupper() or start.isdigit() for start in starts) / len(words)


def cut_at_end(text: str) -> tuple[str, bool]:
    """Take the mark off a text that its page cut ("...", "[…]", "… Read more"), and say whether there was one."""
    bare = text[:-150] + furniture.TRAILING_READ_MORE.sub("", text[-150:]).rstrip()
    uncut = bare[:-10] + furniture.ELLIPSIS.sub("", bare[-10:])
    return uncut.rstrip(), uncut != bare


def _read_meta(text: str, *, day_first: bool) -> Meta | None:
    """Read a line that holds nothing but who, when and under what; None when it holds more."""
    if furniture.FOOTER.match(text):
        dates = [stated for stated in find_dates(text, day_first=day_first) if stated.full]
        return Meta(published=dates[0] if dates else None, closes=True)
    filed = furniture.FILED.fullmatch(text)
    if filed and len(filed["names"].split()) <= 12 and not filed["names"].endswith((".", "?", "!")):
        names = (part.strip(" #") for part in re.split(r"[,|·•]", filed["names"]))
        return Meta(categories=tuple(name for name in names if name), closes=True)
    return _dates_and_names(text, day_first=day_first)


def _is_unfinished_date(text: str, *, day_first: bool) -> bool:
    """A line that is a date and no more, although not a full one: "Saturday 12 March", "May 2019"."""
    dates = find_dates(text, day_first=day_first)
    return len(dates) == 1 and not _pieces(f"{text[: dates[0].at]} {text[dates[0].end :]}")


def _dates_and_names(text: str, *, day_first: bool) -> Meta | None:
    dates = find_dates(text, day_first=day_first)
    if len(dates) > 1 or any(stated.full is None and stated.as_written is None for stated in dates):
        return None
    stated = dates[0] if dates else None
    around = [text] if stated is None else [text[: stated.at], text[stated.end :]]
    meta = Meta(published=stated)
    for part in (piece for words in around for piece in _pieces(words)):
        added = _with_piece(meta, part)
        if added is None:
            return None
        meta = added
    people = tuple(name for name in meta.authors if not LOGIN.fullmatch(name))  # "by admin" names nobody
    return replace(meta, authors=people) if stated or people else None


def _with_piece(meta: Meta, part: str) -> Meta | None:
    """Add a byline or a category to what a line says; None when the words are neither."""
    byline = furniture.BYLINE.match(part)
    if byline and not meta.authors:
        words = part[byline.end() :]
        is_login = meta.published is not None and LOGIN.fullmatch(words) is not None
        authors = (words,) if is_login else _names(words)
        return Meta(meta.published, authors, meta.categories, bool(byline["below"])) if authors else None
    if furniture.CLOSING.fullmatch(part):  # "0 comments", beside the date
        return meta
    category = part.removeprefix("in ")
    dated_byline = meta.published is not None and bool(meta.authors)
    if dated_byline and len(part.split()) <= MOST_CATEGORY_WORDS and part[0].isupper() and part[-1] not in ".!?:":
        names = tuple(name.strip() for name in part.split(",") if name.strip())
        return Meta(meta.published, meta.authors, (*meta.categories, *names), meta.closes)
    if meta.published is not None and furniture.PAGE_HEADING.fullmatch(category):
        return Meta(meta.published, meta.authors, (*meta.categories, category), meta.closes)
    return None


def _pieces(text: str) -> list[str]:
    """Split what stands beside a date; "Posted on" and a clock time are dropped."""
    margins = " ,|·•–—-/:()"
    rest = furniture.POSTED.sub("", text.strip(margins), count=1).strip(margins)
    rest = re.sub(r"\s(?:(?:posted|published|updated) )?on$", "", rest, flags=re.IGNORECASE)
    pieces = re.split(r"\s?[|·•]\s?|\s[–—-]\s", rest)
    return [
        piece
        for piece in pieces
        if piece and not furniture.CLOCK_ALONE.fullmatch(piece) and piece.lower() not in {"on", "in"}
    ]


def _names(text: str) -> tuple[str, ...]:
    """Read "Jo Smith and Sam Lee, trustees" as two names; nothing when the words are no names."""
    people = re.split(r",? and | & |, ", text.strip(" .,"))
    names = [person for person in people if furniture.NAME.fullmatch(person) and person[0].isupper()]
    if not names or names[0] != people[0]:
        return ()
    return tuple(name for name in names if len(name.split()) > 1 or len(names) == 1)
