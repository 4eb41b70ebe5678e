"""
Title and text -> what kind of item a post is, from words that any network uses for its newsletters, events and papers.

A call for an event asks people to come, or announces a day to come; a report on an event that was held is a post.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from newsletter.compose.sources.archive_text import vocabulary
from newsletter.compose.sources.archive_text.dates import StatedDate

Kind = Literal["post", "event", "resource", "past-issue"]
LOOKED_AT = 3000  # characters of a text; what a post is stands at its beginning
BEGINNING = 450  # where a text says that it presents a paper; further down it may only mention one
BEFORE_CALL, AFTER_CALL = 250, 300  # how far from the words that call the day may stand


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What a post is.

    Attributes:
        day: The date that is an event's own day; None when none is stated.
        held: When the event was held that a post reports on.
    """

    kind: Kind
    day: StatedDate | None = None
    held: StatedDate | None = None


@dataclass(frozen=True, slots=True)
class _Subject:
    """A post's words with the days that are stated in them, deadlines left out."""

    title: str
    text: str
    in_title: tuple[StatedDate, ...]
    in_text: tuple[StatedDate, ...]

    @property
    def names_event(self) -> bool:
        return vocabulary.EVENT.search(self.title) is not None

    def beside(self, call: re.Match[str]) -> list[StatedDate]:
        """Days in the text near the words that call."""
        return [day for day in self.in_text if call.start() - BEFORE_CALL <= day.at <= call.end() + AFTER_CALL]


def classify(
    title: str,
    text: str,
    *,
    title_dates: Sequence[StatedDate],
    text_dates: Sequence[StatedDate],
    labelled: bool = False,
) -> Verdict:
    """
    Decide what a post is.

    Args:
        title_dates, text_dates: Dates stated in either, in reading order.
        labelled: The text gives a day, a time or a place on lines of their own ("Venue: ...").
    """
    text = text[:LOOKED_AT]
    if _is_past_issue(title, text):
        return Verdict("past-issue")
    subject = _Subject(title, text, _days(title, title_dates), _days(text, text_dates))
    if labelled or _is_call(subject):
        return Verdict("event", day=_day_of(subject))
    kind: Kind = "resource" if _is_resource(title, text) else "post"
    return Verdict(kind, held=_held(subject))


def _days(text: str, dates: Sequence[StatedDate]) -> tuple[StatedDate, ...]:
    days = (stated for stated in dates if stated.day is not None or stated.as_written is not None)
    return tuple(stated for stated in days if not _is_deadline(text, stated))


def _is_deadline(text: str, stated: StatedDate) -> bool:
    return vocabulary.DEADLINE.search(text[max(0, stated.at - 60) : stated.at]) is not None


def _is_past_issue(title: str, text: str) -> bool:
    """A periodical's name that only its date or number follows, or a numbered issue; not a word about one."""
    if vocabulary.ABOUT_A_PERIODICAL.search(title):
        return False
    if vocabulary.PERIODICAL_TITLE.search(title):
        return not (vocabulary.EVENT.search(title) and vocabulary.CALL.search(title))
    if vocabulary.NUMBERED_ISSUE.search(title):
        return True
    beginning = text[:BEGINNING]
    speaks_of_one = vocabulary.READ_OUR_PERIODICAL.search(beginning) is not None
    if vocabulary.EDITION_OF.search(title):
        return speaks_of_one or vocabulary.PERIODICAL.search(beginning) is not None
    return speaks_of_one and vocabulary.WHEN_WORD.search(title) is not None and not vocabulary.EVENT.search(title)


def _is_call(subject: _Subject) -> bool:
    """
    Say whether people are asked to come to something that has a day or a name.

    What was held is no call, unless the text then asks people to come to the next one and says when.
    """
    title, text = subject.title, subject.text
    if vocabulary.HELD.search(title):
        return False
    held, call = vocabulary.HELD.search(text), vocabulary.CALL.search(text)
    if vocabulary.CALL.search(title) and (subject.names_event or subject.in_title or subject.in_text):
        return held is None or call is None or call.start() < held.start() or bool(subject.in_title)
    if held is not None and (call is None or held.start() < call.start()):
        return _calls_to_the_next(subject, held)
    if call is None:
        named_day = subject.names_event and bool(subject.in_title)
        return named_day and not vocabulary.PAPER_TITLE.search(title)
    if subject.names_event and (subject.in_title or subject.in_text):
        return True
    spoken_of = vocabulary.EVENT.search(text[:300]) is not None
    return (spoken_of and bool(subject.beside(call))) or _asks_to_book(subject, call)


def _calls_to_the_next(subject: _Subject, held: re.Match[str]) -> bool:
    """After a look back, a call counts only with a day of its own behind it."""
    call = vocabulary.CALL.search(subject.text, held.end())
    if call is None or not subject.names_event:
        return False
    return any(day.at >= call.start() for day in subject.beside(call))


def _asks_to_book(subject: _Subject, call: re.Match[str]) -> bool:
    """An event whose day is still to be told: its title names it, and the text asks to book."""
    if not subject.names_event or vocabulary.PAPER_TITLE.search(subject.title):
        return False
    return vocabulary.ASKS_TO_BOOK.search(call[0]) is not None


def _day_of(subject: _Subject) -> StatedDate | None:
    """Take the day in the title, else the day nearest to the words that call, rather one behind them."""
    if subject.in_title:
        return subject.in_title[0]
    held = vocabulary.HELD.search(subject.text)
    call = vocabulary.CALL.search(subject.text)
    if call is not None and held is not None and held.start() < call.start():
        call = vocabulary.CALL.search(subject.text, held.end()) or call
    beside = subject.beside(call) if call is not None else []
    if call is None or not beside:
        return next(iter(subject.in_text), None)
    at = call.start()
    return min(beside, key=lambda day: (day.at < at and day.weekday is None, abs(day.at - at)))


def _held(subject: _Subject) -> StatedDate | None:
    """Return the day of a past event, where a text says that it was held and when."""
    found = vocabulary.HELD.search(subject.text)
    if found is None and not vocabulary.HELD.search(subject.title):
        return None
    if subject.names_event and subject.in_title:
        return subject.in_title[0]
    if found is None:
        return None
    near = (day for day in subject.in_text if found.start() - 150 <= day.at <= found.end() + 60)
    return next(near, None)


def _is_resource(title: str, text: str) -> bool:
    """A paper, film or tool that one can have: its title is one, or the text begins by saying that it was made."""
    if vocabulary.NO_PAPER_TITLE.search(title):
        return False
    if vocabulary.PAPER_TITLE.search(title):
        return True
    beginning = text[:BEGINNING]
    if vocabulary.EVENT.search(title) and vocabulary.HELD.search(beginning):
        return False
    return vocabulary.PAPER_MADE.search(beginning) is not None or vocabulary.PAPER_OFFERED.search(beginning) is not None
