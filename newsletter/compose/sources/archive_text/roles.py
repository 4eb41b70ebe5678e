"""
What one line of a copied page is, judged by itself: a text, a short line, or one of the lines that blogs put around.

The words here are those of blog software and of letters (Posted on, Read more, Share this, Tel:), never those of one
organisation. Which short lines are titles is decided in `posts`, where their neighbours are known.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

from newsletter.compose.sources.archive_text.dates import StatedDate, find_dates
from newsletter.compose.sources.archive_text.lines import Unit

LONGEST_TITLE = 180  # characters
MOST_TITLE_WORDS = 25
SURE_TITLE_WORDS = 14  # longer lines are titles only when their words are capitalised like one


class Role(StrEnum):
    TEXT = "text"
    SHORT = "short"  # may be a title, a heading inside a post, or a caption
    PROMPT = "prompt"  # "Read it here", "Please contact": belongs to the text before it
    CONTACT = "contact"
    DETAIL = "detail"  # "Venue: ...", a bullet, a bare address: belongs to the post it stands in
    META = "meta"  # date, author, categories
    NOTICE = "notice"
    CLOSING = "closing"  # "Read more", "Share this": the post ends here
    HEADING = "heading"  # of the page, or its navigation


@dataclass(frozen=True, slots=True)
class Meta:
    """What a line beside a post says about it: "Posted on 3 May 2021 by Jo Smith in News"."""

    published: StatedDate | None = None
    authors: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    closes: bool = False  # such a line stands below a post ("Written by", "Filed under"), not above


@dataclass(frozen=True, slots=True)
class Line:
    """One unit and its role."""

    unit: Unit
    role: Role
    meta: Meta = field(default_factory=Meta)

    @property
    def text(self) -> str:
        return self.unit.text


_PAGE_WORD = (
    r"home(?: ?page)?|about(?: us)?|news|blogs?|latest|archives?|posts?|articles?|stories|updates?|events?|resources?"
    r"|publications?|contact(?: us)?|menu|search|donate|media|press|get involved|what we do|who we are|our work|shop"
    r"|get help|members?|login|log in|sign in|faqs?|gallery|vacancies|jobs|training|categories|tags|all"
)
_PAGE_HEADING = re.compile(
    rf"(?:the |our |all |recent |latest |more |older |newer )?(?:{_PAGE_WORD})"
    rf"(?:(?: ?(?:&|and|/|>|»|›|\||·|•|,) ?| )(?:the |our |all |recent |latest )?(?:{_PAGE_WORD})){{0,12}}[:!]?",
    re.IGNORECASE,
)
_NAVIGATION = re.compile(
    r"(?:skip to (?:main )?content|back to (?:top|blog|news|all \w+)|(?:«|‹|←|<+|»)? ?(?:previous|next|older|newer|prev)"
    r"(?: (?:page|posts?|entries|articles?|stories|news))?(?: ?(?:»|›|→|>+|«))?|load more|show more|view all|see all"
    r"|page \d+(?: of \d+)?|(?:(?:« ?|‹ ?|← ?)?(?:previous|prev) )?(?:\d{1,4}|…|\.{3})(?: (?:\d{1,4}|…|\.{3}))*"
    r"(?: (?:next|last|older posts|older)(?: ?(?:»|›|→|>+))?)?|(?:©|\(c\)|copyright\b).*|.*\ball rights reserved\.?"
    r"|powered by .*|(?:privacy|cookies?)(?: policy| notice)?(?: ?[|·&].*)?|terms(?: (?:and|&) conditions| of use)?"
    r"|registered charity.*|charity (?:no|number|registration)\b.*|follow us\b.{0,40}|subscribe(?: to .{0,60})?"
    r"|sign up (?:to|for) (?:our|the) (?:e-?)?(?:newsletter|mailing list|bulletin|updates)\W*|enter your email.*"
    r"|(?:recent|related|popular|latest|featured|more|other) (?:posts?|articles?|stories|comments|news|entries)"
    r"|search(?: for)?:?.{0,12}|select (?:month|category)|you are here:?.*|(?:showing|displaying) \d.*"
    r"|\d+ (?:posts?|articles?|results?|entries|items)(?: found)?)",
    re.IGNORECASE,
)
_READ_MORE = (
    r"(?:\(?(?:read|see|view|find out|learn|show|discover) (?:more|on|the (?:rest|full (?:story|post|article)))\)?"
    r"|\(?more\)?|continue(?: reading)?|keep reading|full story)"
)
_CLOSING = re.compile(
    rf"(?:{_READ_MORE}(?: about .{{1,80}})?[\s.:…→»>]*|continue reading .{{0,120}}"
    r"|(?:share|tweet|print|pin|like|e?-?mail)(?: (?:this|on|via|it|with)\b.{0,40})?:?|share\W+tweet.*"
    r"|(?:facebook|twitter|linkedin|whatsapp|x)(?:[ ,|·]+(?:facebook|twitter|linkedin|whatsapp|email|x))*"
    r"|(?:no|\d+) (?:comments?|likes?|shares?|views?|repl(?:y|ies))|leave a (?:comment|reply)|comments? (?:are )?(?:off|closed)"
    r"|\d+ min(?:ute)?s? read|reading time:?.{0,20})",
    re.IGNORECASE,
)
_TRAILING_READ_MORE = re.compile(rf"(?<=[.…\]?!])\s*{_READ_MORE}[\s.…→»>]*$", re.IGNORECASE)
_ELLIPSIS = re.compile(r"\s?(?:\[\s?(?:…|\.{3})\s?\]|\(\s?(?:…|\.{3})\s?\)|…|\.{3})$")

_POINTS_TO = r"(?:here|below|now|online|link|website|today|attached|above|page)"
_PROMPT = re.compile(
    r"(?:please\b|for (?:more|further|full|any) (?:information|info|details|enquiries)|to (?:book|register|apply|download"
    r"|find out|read|see|view|reserve|donate|sign up|get in touch)\b|you can (?:read|find|download|see|view|get|book)\b).*"
    r"|(?:click|read|download|view|see|visit|check|have a look|take a look|find|book|register|sign up|apply|watch|listen"
    rf"|follow|donate|get)\b.{{0,90}}\b{_POINTS_TO}\W*|click here.*|contact(?: us| details)?|get in touch",
    re.IGNORECASE,
)
POINTS_BELOW = re.compile(
    r"(?:\b(?:link|links|document|file|attachment)s? below\b|\bbelow\b|:)[^.!?]{0,60}[.!?]?$", re.IGNORECASE
)

_PHONE = re.compile(r"(?<![\w/])(?:\+\d{1,3}[\s.-]?)?(?:\(0?\d{1,5}\)[\s.-]?)?\d{2,5}(?:[\s.-]?\d{2,4}){1,4}(?![\w/])")
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}")
_BARE_URL = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
_LABELLED = re.compile(
    r"(?:date|dates|time|times|when|where|venue|location|place|cost|price|tickets?|fee|booking|book|rsvp|speakers?|host"
    r"|organis(?:er|ed by)|audience|who|what|how|contact|tel|telephone|phone|mobile|e-?mail|web|website|address|deadline"
    r"|closing date|salary|hours|photo|image|picture|source|credit|photo credit)\s?:\s?\S.*",
    re.IGNORECASE,
)
_BULLET = re.compile(r"(?:[•·▪‣◦*+–—-]|\(?(?:\d{1,2}|[a-z])[.)])\s+\S")

_NAME = r"[^\W\d_][\w.'’-]*(?: (?:de|van|von|der|al|bin|of|the|and|&|[A-Z][\w.'’-]*)){0,5}"
_FOOTER = re.compile(
    r"th(?:is|e) (?:\w+ ){0,2}(?:was |were )?(?:first|originally) (?:published|posted|appeared|written|printed)\b",
    re.IGNORECASE,
)
_BYLINE = re.compile(
    r"(?P<below>written by|words by|authors?:|story by|text by)\s?|(?:guest post )?by\s", re.IGNORECASE
)
_POSTED = re.compile(
    r"(?:first |last |originally )?(?:posted|published|uploaded|added|updated|submitted|created|written|dated?|on)\b[ :]*(?:on\b )?",
    re.IGNORECASE,
)
_FILED = re.compile(
    r"(?:filed under|posted in|categor(?:y|ies)|tags?|tagged(?: (?:as|with))?|topics?)\s?:?\s(?P<names>.+)",
    re.IGNORECASE,
)
_META_SEPARATORS = re.compile(r"\s?(?:\||·|•|/|–|—| - |,)\s?")

_EMERGENCY = re.compile(r"\b(?:999|112|911|emergency|immediate danger|in danger|at immediate risk)\b", re.IGNORECASE)
_HELPLINE = re.compile(
    r"(?i:\b(?:help|hot|crisis|support|advice|listening|information) ?line|\b24[- ]hours?\b|\b24/7\b|\bfree ?phone\b)"
    r"|\b[A-Z]\w+ Line\b|\b(?!On|Dead|Head|Out|Guide|Pipe|Time|Air|Base)[A-Z]\w+[lL]ine\b"
)
_RING = re.compile(r"\b(?:call|ring|phone|dial|text|telephone|contact)\b", re.IGNORECASE)
_ADDRESSED = re.compile(
    r"(?:if (?:you|someone|anyone|anybody|a child|they)\b|(?:worried|concerned|suspect|need|are you|do you|in (?:an )?(?:crisis|emergency|danger))\b)",
    re.IGNORECASE,
)
_NEWS = re.compile(
    r"\b(?:launch(?:ed|es)|new (?:help|hot|support)|opened|introduc\w+|recruit\w*|volunteers?)\b", re.IGNORECASE
)
MOST_NOTICE_WORDS = 70


def judge(unit: Unit, following: Unit | None, *, day_first: bool) -> Line:
    """Give one line its role, knowing of its neighbours only the line below it."""
    text = unit.text
    if unit.heading and not _PAGE_HEADING.fullmatch(text):
        return Line(unit, Role.SHORT)
    meta = _read_meta(text, day_first=day_first)
    if meta is not None:
        return Line(unit, Role.META, meta)
    if _is_date(text, day_first=day_first):
        return Line(unit, Role.DETAIL)
    return Line(unit, _role(text, following))


def _role(text: str, following: Unit | None) -> Role:
    if len(text) <= 200:
        for role, pattern in ((Role.HEADING, _PAGE_HEADING), (Role.HEADING, _NAVIGATION), (Role.CLOSING, _CLOSING)):
            if pattern.fullmatch(text):
                return role
    if is_notice(text):
        return Role.NOTICE
    if _is_contact(text) or (following is not None and _names_contact(text, following)):
        return Role.CONTACT
    if _LABELLED.fullmatch(text[:300]) or _BULLET.match(text) or _BARE_URL.fullmatch(text):
        return Role.DETAIL
    if not _could_be_title(text):
        return Role.TEXT
    return Role.PROMPT if _PROMPT.fullmatch(text) else Role.SHORT


def is_notice(text: str) -> bool:
    """
    Say whether a text is a standing notice: whom to ring, at which number, when in danger.

    Three of five signs must be there, a number to ring and an emergency or a helpline among them; news about a
    helpline is not a notice.
    """
    if len(text) > 700 or len(text.split()) > MOST_NOTICE_WORDS or _NEWS.search(text):
        return False
    number = has_phone(text)
    emergency = _EMERGENCY.search(text) is not None
    helpline = _HELPLINE.search(text) is not None
    if not ((number or emergency) and (emergency or helpline)):
        return False
    return sum((number, emergency, helpline, _RING.search(text) is not None, _ADDRESSED.search(text) is not None)) >= 3


def has_phone(text: str) -> bool:
    return any(9 <= sum(map(str.isdigit, match[0])) <= 15 for match in _PHONE.finditer(text[:2000]))


def _is_contact(text: str) -> bool:
    """A telephone number or an address of electronic mail with at most a few words."""
    if len(text) > 120:
        return False
    rest = text
    if _EMAIL.search(text):
        rest = _EMAIL.sub("", rest)
    elif not has_phone(text):
        return False
    return len(re.findall(r"[^\W\d_]{2,}", rest)) <= 6 and not text.endswith(("!", "?"))


def _names_contact(text: str, following: Unit) -> bool:
    """A name or a role, right above its number."""
    return (
        following.gap <= 2 and _is_contact(following.text) and _could_be_title(text) and not text.endswith(("?", "!"))
    )


def _could_be_title(text: str) -> bool:
    """Short, one sentence without a full stop, not going on; a question or a call may be one."""
    words = text.split()
    if len(text) > LONGEST_TITLE or len(words) > MOST_TITLE_WORDS or text[-1] in ".,;:…":
        return False
    if not any(character.isalpha() for character in text) or re.search(r"[^\W\d_]{3,}\. [A-Z]", text):
        return False
    if len(words) > 12 and re.search(r"[!?] [A-Z]", text):
        return False
    return len(words) <= SURE_TITLE_WORDS or _capitalised(words) >= 0.5


def could_be_odd_title(text: str) -> bool:
    """Say whether a line may be a title although it ends with a full stop or dots: asked only where a text is closed."""
    return (
        len(text) <= 120
        and len(text.split()) <= 15
        and not re.search(r"[^\W\d_]{3,}[.!?] [A-Z]", text)
        and text[-1] not in ",;:"
    )


def _capitalised(words: list[str]) -> float:
    starts = [word.lstrip("'\"‘“([")[:1] for word in words]
    return sum(start.isupper() or start.isdigit() for start in starts) / len(words)


def cut_at_end(text: str) -> tuple[str, bool]:
    """Take the mark off the end of a text that its page cut ("...", "[…]", "… Read more"); say whether there was one."""
    bare = _TRAILING_READ_MORE.sub("", text).rstrip()
    uncut = _ELLIPSIS.sub("", bare)
    if uncut == bare:
        return text, False
    return uncut.rstrip(), True


def _read_meta(text: str, *, day_first: bool) -> Meta | None:
    """Read a line that holds nothing but who, when and under what; None when it holds more."""
    if len(text) > 160:
        return None
    if _FOOTER.match(text):
        dates = [stated for stated in find_dates(text, day_first=day_first) if stated.full]
        return Meta(published=dates[0] if dates else None, closes=True)
    filed = _FILED.fullmatch(text)
    if filed and len(filed["names"].split()) <= 12 and not filed["names"].endswith("."):
        names = tuple(name for name in (part.strip(" #") for part in re.split(r"[,|·•]", filed["names"])) if name)
        return Meta(categories=names, closes=True)
    return _dates_and_names(text, day_first=day_first)


def _is_date(text: str, *, day_first: bool) -> bool:
    """A line that is a date and no more, although not a full one: "Saturday 12 March", "May 2019"."""
    if len(text) > 60:
        return False
    dates = find_dates(text, day_first=day_first)
    return len(dates) == 1 and not _pieces(text[: dates[0].at] + " " + text[dates[0].end :])


def _dates_and_names(text: str, *, day_first: bool) -> Meta | None:
    dates = find_dates(text, day_first=day_first)
    if len(dates) > 1:
        return None
    stated = dates[0] if dates else None
    if stated is not None and (stated.full is None and stated.as_written is None):
        return None
    parts = [text] if stated is None else [text[: stated.at], text[stated.end :]]
    authors: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    closes = False
    for part in (piece for half in parts for piece in _pieces(half)):
        byline = _BYLINE.match(part)
        if byline and not authors:
            authors = _names(part[byline.end() :])
            closes = bool(byline["below"])
            if not authors:
                return None
        elif stated is not None and _PAGE_HEADING.fullmatch(part.removeprefix("in ")):
            categories = (*categories, part.removeprefix("in "))
        else:
            return None
    return Meta(stated, authors, categories, closes) if stated or authors else None


_CLOCK_TAIL = re.compile(r"(?:at |@ )?\d{1,2}[:.]\d{2}\s?(?:am|pm)?", re.IGNORECASE)


def _pieces(text: str) -> list[str]:
    """Split what stands beside the date; a comma in a byline keeps a role with its name."""
    rest = _POSTED.sub("", text.strip(" ,|·•–—-/:"), count=1).strip(" ,|·•–—-/:")
    rest = re.sub(r"\s(?:posted|published|updated)?\s?on$", "", rest, flags=re.IGNORECASE)
    pieces = re.split(r"\s?[|·•]\s?|\s[–—-]\s", rest)
    return [
        piece for piece in pieces if piece and not _CLOCK_TAIL.fullmatch(piece) and piece.lower() not in {"on", "in"}
    ]


def _names(text: str) -> tuple[str, ...]:
    """Read "Jo Smith and Sam Lee, trustees" as two names; nothing when the words are no names."""
    people = re.split(r",? and | & |, ", text.strip(" .,"))
    names = [
        person for person in people if re.fullmatch(_NAME, person) and person[0].isupper() and len(person.split()) <= 5
    ]
    if not names or names[0] != people[0]:
        return ()
    return tuple(name for name in names if len(name.split()) > 1 or len(names) == 1)
