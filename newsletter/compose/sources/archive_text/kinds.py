"""
Title and text -> what kind of item a post is, from words that any network uses for its newsletters, events and papers.

A call for an event asks people to come, or announces a day to come; a report on an event that was held is a post.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from newsletter.compose.sources.archive_text.dates import StatedDate

Kind = Literal["post", "event", "resource", "past-issue"]
LOOKED_AT = 3000  # characters of a text; what a post is stands at its beginning

_WHEN = (
    r"(?:january|february|march|april|may|june|july|august|september|october|november|december|jan|feb|mar|apr|jun|jul|aug"
    r"|sept?|oct|nov|dec|spring|summer|autumn|winter|christmas|easter|week|month|quarter|\d{1,4}(?:st|nd|rd|th)?|q[1-4])"
)
_PERIODICAL = (
    r"(?:e-?newsletter|news-?letter|news ?sheet|e-?bulletin|bulletin|e-?news|digest|gazette|e-?zine|circular"
    r"|(?:news|monthly|weekly|quarterly|members['’]?) (?:round-?up|update|mailing|news))s?"
)
_NUMBERED = r"(?:(?:issue|edition|no\.?|number|vol(?:ume|\.)?|nr\.?|#) ?#?\d{1,4})"
_TITLE_ENDS = (
    rf"(?:[\s,:(–—|-]|{_WHEN}\b|{_NUMBERED}|of\b|to\b|and\b|for\b|the\b|is\b|are\b|out\b|now\b|here\b|available\b|online\b"
    r"|edition\b|issue\b|pdf\b|[).!/&'’])*"
)
_PAST_ISSUE = re.compile(rf"\b{_PERIODICAL}\b{_TITLE_ENDS}(?:$|[:–—|(-]\s?\S)", re.IGNORECASE)
_PAST_ISSUE_NUMBER = re.compile(
    rf"(?:^|[\s(,–—:-])(?:issue|edition|vol(?:ume|\.)?) ?(?:no\.? ?)?#?\d{{1,4}}\b|\b(?:{_WHEN}) (?:edition|issue)\b",
    re.IGNORECASE,
)
_PERIODICAL_WORD = re.compile(rf"\b{_PERIODICAL}\b", re.IGNORECASE)
_READ_OUR_PERIODICAL = re.compile(
    rf"\b(?:read|see|here is|download|check out|enjoy|catch up with|open)\b[^.!?]{{0,30}}\b(?:our|the|this)\b[^.!?]{{0,40}}\b{_PERIODICAL}\b"
    rf"|\bin (?:this|our latest) (?:issue|edition|{_PERIODICAL})\b",
    re.IGNORECASE,
)
_NO_PAST_ISSUE = re.compile(
    r"\b(?:sign(?:ing)? up|subscribe|subscription|write for|contribute|editors?|survey|launch(?:ing)?|join|mailing list"
    r"|statistical|statistics|delivery|unsubscribe|feedback)\b",
    re.IGNORECASE,
)
_WHEN_WORD = re.compile(rf"\b{_WHEN}\b", re.IGNORECASE)

_EVENT_WORD = re.compile(
    r"\b(?:conference|seminar|webinar|workshop|training|course|masterclass|meeting|agm|annual general meeting|open (?:day|morning"
    r"|evening|house|afternoon)|coffee (?:morning|afternoon)|(?:\w+ )(?:morning|afternoon|evening|night)|away ?day|celebration"
    r"|anniversary|launch|vigil|walk|march|run|festival|fair|fayre|fun ?day|fundrais\w+|lunch|breakfast|supper|dinner|tea"
    r"|drop-?in|summit|forum|round ?table|symposium|briefing session|taster|get-?together|gathering|concert|picnic"
    r"|quiz|gala|exhibition|service|screening|talk|lecture|discussion|hustings|market|sale|social|party|event|ceremony"
    r"|induction|info(?:rmation)? session|session|day|class|tour|visit|show|auction|ball|cook-?along|hackathon)(?:s|es)?\b",
    re.IGNORECASE,
)
_CALL = re.compile(
    r"(?:^|[.!?:;–—-]\s+|\b(?:please|and|not|you to|you can|everyone to|all to|partners to|members to|you'll)\s+)join (?:us|in)\b"
    r"|\bsave the date\b|\bcome (?:along|and|to|join|together (?:for|with us))\b|\bbook (?:your|a|early|now|here|online|tickets|via|at|by)\b"
    r"|\bto book\b|\bbooking (?:is )?(?:essential|required|via|at)\b|\bregister (?:now|here|today|online|for|at|via|by|to attend|your)\b"
    r"|\bto register\b|\brsvp\b|\breserve (?:your|a)\b|\btickets (?:are|cost|from|available|on sale)\b|\bdoors (?:open|at)\b"
    r"|\b(?:you|all|everyone) (?:are|is) (?:warmly |cordially |very )?(?:invited|welcome)\b|\ball welcome\b"
    r"|\binvit(?:e|es|ing|ation)\b(?! (?:was|were))|\bplaces are (?:limited|available|free|still)\b|\bdrop in\b"
    r"|\bwill (?:be (?:held|hosting|holding|running|taking place|at)|take place|host|hold|gather|meet|run from|open)\b"
    r"|\b(?:takes|is taking|are taking) place\b|\b(?:is|are|we're|we’re) (?:holding|hosting|running|organi[sz]ing|putting on)\b"
    r"|\b(?:is|are) (?:being )?held on\b|\bbring (?:your|a|some|along|the)\b|\bsee you (?:there|on|at)\b|\bcoming (?:soon|up)\b",
    re.IGNORECASE,
)
_PAST = re.compile(
    r"\b(?:was|were|been) (?:\w+ly )?(?:held|hosted|attended|joined by|delivered|organi[sz]ed|opened by|welcomed|packed|sold out"
    r"|a (?:\w+ )?success)|\btook place\b|\bjoined forces\b|\bcame (?:together|along|to)\b|\bturned (?:out|up)\b"
    r"|\b(?:we|they|who|people|members|families|volunteers|guests|delegates|partners|network|centre|team) "
    r"(?:all )?(?:held|hosted|attended|gathered|met|raised|welcomed|enjoyed|celebrated|heard|ran|marked|joined us)\b"
    r"|\b(?:held|hosted) (?:its|our|their|a|an|the) (?:\w+ ){0,4}(?:last|on|in|at)\b"
    r"|\bthank(?:s| you) to (?:all|everyone|everybody|those)\b|\blook(?:ing)? back\b|\bhighlights (?:from|of)\b|\bphoto(?:s|graphs)? (?:from|of)\b"
    r"|\b(?:reports?|notes|minutes|slides|presentations|recordings?|feedback|write-?up) (?:back )?(?:from|of|on) (?:the|our|last|this)\b"
    r"|\blast (?:week|month|night|year['’]s|weekend|(?:mon|tues|wednes|thurs|fri|satur|sun)day)\b|\bhas now (?:passed|been)\b"
    r"|\bwas a\b|\bwhat a (?:\w+ )?(?:day|night|event|evening|afternoon|morning)\b",
    re.IGNORECASE,
)
_DEADLINE_BEFORE = re.compile(
    r"\b(?:by|before|until|till|deadline|closing date|close[sd]?(?: on)?|ends?|no later than|since|apply|due|from now to|expires)"
    r"(?: is| for \w+(?: \w+)?)?\s?:?\s?(?:(?:noon|midnight|\d{1,2}(?:[.:]\d{2})?\s?[ap]m) (?:on )?)?(?:the |on |\w+day,? (?:the )?)?$",
    re.IGNORECASE,
)

_PAPER = (
    r"(?:reports?|briefings?|guides?|guidance|tool ?kits?|leaflets?|booklets?|brochures?|posters?|fact ?sheets?|statistics|handbooks?"
    r"|manuals?|resources?|materials|papers?|check ?lists?|templates?|director(?:y|ies)|infographics?|flyers?|cards?|factfiles?"
    r"|strateg(?:y|ies)|framework|resource packs?|packs?|e-learning|recipe (?:book|cards?)|cookbook|workbook|dataset|data"
    r"|research|study|survey results|podcasts?|films?|animation|videos?|easy read|code of practice|action plan|worksheets?|publications?)"
)
_PAPER_TITLE = re.compile(
    r"\b(?:(?:annual |impact |research |evaluation |inspection |[A-Z][\w’']* )?[Rr]eports?(?! (?:back|a |an |your |any |hate |it\b|crime|concerns|from (?:the|our)))"
    r"|(?i:briefings?(?! session)|(?<!tour )guides?(?! dogs?)|guidance|tool ?kits?|leaflets?|booklets?|brochures?|posters?|fact ?sheets?"
    r"|statistics|handbooks?|manuals?|resources|resource packs?|materials|check ?lists?|templates?|director(?:y|ies)|infographics?"
    r"|flyers?|recipe (?:book|cards?)|cookbook|workbook|information packs?|(?:position|policy|discussion|white|green) papers?"
    r"|easy[- ]read|code of practice|worksheets?|publications?|data release))\b",
)
_NOT_PAPER_TITLE = re.compile(
    r"\b(?:report(?:s|ed|ing)? (?:from|of|on|back) (?:the|our|last)|materials? (?:wanted|needed|appeal)|resources? (?:officer|manager|wanted)"
    r"|human resources|appeal|wanted|needed|recruit\w*|vacanc\w+)\b",
    re.IGNORECASE,
)
_MADE = (
    r"(?:produc(?:ed?|es)|publish(?:ed|es)?|releas(?:ed?|es)|launch(?:ed|es)?|creat(?:ed?|es)|issu(?:ed?|es)|written|develop(?:ed|s)?"
    r"|put together|compil(?:ed?|es)|updat(?:ed?|es)|designed|printed|made|commissioned)"
)
_PAPER_MADE = re.compile(
    rf"\b{_MADE}\b (?:and \w+ )?(?:a|an|its|their|our|the|this|new|some|free|together an?|two|three|four|five|updated)\b"
    rf"(?: [\w’'-]+){{0,6}}? (?:{_PAPER}|tools?|documents?|maps?)\b"
    rf"|\b(?:a|the|our|their|this) (?:new|newly[- ]released|latest|updated|free|short|handy) (?:[\w’'-]+ ){{0,3}}?(?:{_PAPER}|tools?)\b"
    rf"|\bnewly[- ](?:released|published) (?:[\w’'-]+ ){{0,2}}?{_PAPER}\b",
    re.IGNORECASE,
)
_PAPER_OFFERED = re.compile(
    rf"\b(?:download|get|order|pick up|print|read) (?:a (?:free )?copy of |your |our |the |this )+(?:new |free |full |latest )?(?:[\w’'-]+ ){{0,3}}?{_PAPER}\b"
    r"|\b(?:available|free|ready) (?:to|for) (?:download|order|print)\b|\bread the (?:full )?(?:pdf|guide|report|briefing|document)\b"
    r"|\bpdf (?:document|download|version)\b|\((?:pdf|docx?)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The kind, and for an event the date that is its day (None when none is stated)."""

    kind: Kind
    day: StatedDate | None = None
    held: StatedDate | None = None  # when a past event that a post reports on was held


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
        labelled: The text gives a day, a time and a place on lines of their own ("Venue: ...").
    """
    text = text[:LOOKED_AT]
    if _is_past_issue(title, text):
        return Verdict("past-issue")
    in_title = [stated for stated in title_dates if stated.day is not None and not _is_deadline(title, stated)]
    in_text = [stated for stated in text_dates if stated.day is not None and not _is_deadline(text, stated)]
    if labelled or _is_call(title, text, in_title, in_text):
        return Verdict("event", day=_day_of(text, in_title, in_text))
    held = _held(title, text, in_title, in_text)
    if _is_resource(title, text):
        return Verdict("resource", held=held)
    return Verdict("post", held=held)


def _is_past_issue(title: str, text: str) -> bool:
    """A periodical's name that only its date or number follows, or a numbered issue; not a word about one."""
    if _NO_PAST_ISSUE.search(title):
        return False
    if _PAST_ISSUE.search(title):
        return not (_EVENT_WORD.search(title) and _CALL.search(title))
    if _PAST_ISSUE_NUMBER.search(title) and (
        _PERIODICAL_WORD.search(title + " " + text[:400]) or _READ_OUR_PERIODICAL.search(text[:400])
    ):
        return True
    return bool(_WHEN_WORD.search(title) and _READ_OUR_PERIODICAL.match(text[:400]))


def _is_call(title: str, text: str, in_title: Sequence[StatedDate], in_text: Sequence[StatedDate]) -> bool:
    """
    Say whether people are asked to come to something that has a day or a name.

    What was held is no call, unless the text then asks people to come to the next one and says when.
    """
    if _PAST.search(title):
        return False
    past, call = _PAST.search(text), _CALL.search(text)
    named = _EVENT_WORD.search(title) is not None
    if _CALL.search(title) and (named or in_title or in_text):
        return past is None or call is None or call.start() < past.start() or bool(in_title)
    if past is not None and (call is None or past.start() < call.start()):
        return call is not None and named and any(stated.at > past.end() for stated in _beside(call, in_text))
    if call is None:
        return named and bool(in_title) and past is None and not _PAPER_TITLE.search(title)
    spoken_of = named or _EVENT_WORD.search(text[:300]) is not None
    return (spoken_of and bool(_beside(call, in_text) or (named and (in_title or in_text)))) or (
        named and _names_only(title, call)
    )


def _names_only(title: str, call: re.Match[str]) -> bool:
    """An event whose day is still to be told: its title names it, and the text asks to book."""
    return (
        not _PAPER_TITLE.search(title)
        and re.match(r"\W*(?:book|to book|register|to register|save|rsvp|join)", call[0], re.IGNORECASE) is not None
    )


def _beside(call: re.Match[str], dates: Sequence[StatedDate]) -> list[StatedDate]:
    return [stated for stated in dates if call.start() - 250 <= stated.at <= call.end() + 300]


def _day_of(text: str, in_title: Sequence[StatedDate], in_text: Sequence[StatedDate]) -> StatedDate | None:
    """Take the day in the title, else the day nearest to the words that call; one that names its weekday first."""
    if in_title:
        return in_title[0]
    call = _CALL.search(text)
    beside = _beside(call, in_text) if call is not None else []
    if call is not None and beside:
        return min(
            beside,
            key=lambda stated: (stated.at < call.start() and stated.weekday is None, abs(stated.at - call.start())),
        )
    return next(iter(in_text), None)


def _held(title: str, text: str, in_title: Sequence[StatedDate], in_text: Sequence[StatedDate]) -> StatedDate | None:
    """Return the day of a past event, where a text says that it was held and when."""
    past = _PAST.search(text) or _PAST.search(title)
    if past is None:
        return None
    if _EVENT_WORD.search(title) and in_title:
        return in_title[0]
    found = _PAST.search(text)
    if found is None:
        return None
    near = [stated for stated in in_text if found.start() - 150 <= stated.at <= found.end() + 60]
    return near[0] if near else None


def _is_deadline(text: str, stated: StatedDate) -> bool:
    return _DEADLINE_BEFORE.search(text[max(0, stated.at - 60) : stated.at]) is not None


def _is_resource(title: str, text: str) -> bool:
    """A paper, film or tool that one can have: its title is one, or the text begins by saying that it was made."""
    if _NOT_PAPER_TITLE.search(title):
        return False
    if _PAPER_TITLE.search(title):
        return True
    if _EVENT_WORD.search(title) and _PAST.search(text[:400]):
        return False
    beginning = text[:450]
    return _PAPER_MADE.search(beginning) is not None or _PAPER_OFFERED.search(beginning) is not None
