"""
The lines that blog software and letter writers put around posts: navigation, bylines, "Read more", telephone numbers.

Every pattern is one of a kind of line, never of one site; which role a line has is decided in `roles`.
"""

from __future__ import annotations

import re

from newsletter.compose.sources.archive_text.phrases import one_of, whole_line, words

_PAGE_WORD = one_of(
    r"""
    home(?: ?page)?
    about(?: us)?
    news
    blogs?
    latest
    archives?
    posts?
    articles?
    stories
    updates?
    events?
    resources?
    publications?
    contact(?: us)?
    menu
    search
    donate
    media
    press
    get involved
    get help
    what we do
    who we are
    our work
    shop
    members?
    log ?in
    sign in
    faqs?
    gallery
    vacancies
    jobs
    training
    categories
    tags
    """
)
_WHICH = r"(?:(?:the|our|all|recent|latest|more|older|newer) )?"
PAGE_HEADING = re.compile(
    rf"{_WHICH}{_PAGE_WORD}(?:(?: ?[&/>»›|·•,] ?| and | ){_WHICH}{_PAGE_WORD}){{0,12}}[:!]?", re.IGNORECASE
)
_PAGE_NUMBERS = r"(?:[1-9]\d{0,2}|…|\.{3})(?: (?:[1-9]\d{0,2}|…|\.{3})){0,40}"
NAVIGATION = whole_line(
    rf"""
    skip to (?:main )?content
    back to (?:top|blog|news|all \w+)
    [«‹←<]{{0,2}} ?(?:previous|next|older|newer|prev)(?: (?:page|posts?|entries|articles?|stories|news))? ?[»›→>]{{0,2}}
    (?:load|show) more
    (?:view|see) all
    page \d+(?: of \d+)?
    (?:[«‹←] ?)?(?:prev(?:ious)? )?{_PAGE_NUMBERS}(?: (?:next|last|older(?: posts)?) ?[»›→>]{{0,2}})?
    (?:©|\(c\)|copyright\b).*
    .*\ball rights reserved\.?
    (?:proudly )?powered by .*
    (?:web)?site (?:design )?by .*
    theme: .*
    (?:privacy|cookies?)(?: policy| notice)?(?: ?[|·&].*)?
    terms(?: (?:and|&) conditions| of use)?
    registered charity.*
    charity (?:no|number|registration)\b.*
    follow us\b.{{0,40}}
    subscribe(?: to .{{0,60}})?
    sign up (?:to|for) (?:our|the) (?:e-?)?(?:newsletter|mailing list|bulletin|updates)\W{{0,3}}
    enter your email.*
    (?:recent|related|popular|latest|featured|more|other) (?:posts?|articles?|stories|comments|news|entries)
    search(?: for)?:?.{{0,12}}
    select (?:month|category)
    you are here:?.*
    (?:showing|displaying) \d.*
    \d+ (?:posts?|articles?|results?|entries|items)(?: found)?
    """
)
_READ_MORE = one_of(
    r"""
    \(?(?:read|see|view|find out|learn|show|discover) (?:more|on|the (?:rest|full (?:story|post|article)))\)?
    \(?more\)?
    (?:read|see|view) the (?:rest|remainder) of (?:this|the) (?:entry|post|article|story)
    continue(?: reading)?
    keep reading
    full story
    """
)
COPYRIGHT = re.compile(r"(?:©|\(c\)|copyright\b)", re.IGNORECASE)
WIDGET = whole_line(
    r"""
    (?:recent|popular|latest|related) (?:posts?|comments|articles?|entries)
    (?:categories|archives|tags|tag cloud|meta|blogroll)
    select (?:month|category)
    """
)
CLOSING = whole_line(
    rf"""
    {_READ_MORE}(?: about .{{1,80}})?[\s.:…→»>]{{0,6}}
    continue reading .{{0,120}}
    (?:share|tweet|print|pin|like|e?-?mail)(?: (?:this|on|via|it|with)\b.{{0,40}})?:?
    share\W{{1,3}}tweet.*
    (?:facebook|twitter|linkedin|whatsapp|x)(?:[ ,|·]{{1,3}}(?:facebook|twitter|linkedin|whatsapp|email|x)){{0,6}}
    (?:no|\d+) (?:comments?|likes?|shares?|views?|repl(?:y|ies))
    leave a (?:comment|reply)
    comments? (?:are )?(?:off|closed)
    \d+ min(?:ute)?s? read
    reading time:?.{{0,20}}
    """
)
TRAILING_READ_MORE = re.compile(
    rf"(?<=[.…\]?!])\s?(?:{_READ_MORE}|continue reading [“\"‘'].{{0,120}})[\s.…→»>]{{0,6}}$", re.IGNORECASE
)
EVENT_LABEL = re.compile(r"(?:times?|venue|where|place|location)\s?:", re.IGNORECASE)
ELLIPSIS = re.compile(r"\s?(?:\[\s?(?:…|\.{3})\s?\]|\(\s?(?:…|\.{3})\s?\)|…|\.{3})$")

_ASK = one_of(
    r"""
    click
    read
    download
    view
    see
    visit
    check
    (?:have|take) a look
    find
    book
    register
    sign up
    apply
    watch
    listen
    follow
    donate
    get
    """
)
PROMPT = whole_line(
    rf"""
    please\b.*
    for (?:more|further|full|any) (?:information|info|details|enquiries).*
    to (?:book|register|apply|download|find out|read|see|view|reserve|donate|sign up|get in touch)\b.*
    you can (?:read|find|download|see|view|get|book)\b.*
    {_ASK}\b.{{0,90}}\b(?:here|below|now|online|link|website|today|attached|above|page)\W{{0,3}}
    click here.*
    contact(?: us| details)?
    get in touch
    """
)
POINTS_BELOW = re.compile(r"(?:\bbelow\b|:)[^.!?]{0,60}[.!?]?$", re.IGNORECASE)

PHONE = re.compile(r"(?<![\w/])(?:\+\d{1,3}[\s.-]?)?(?:\(0?\d{1,5}\)[\s.-]?)?\d{2,5}(?:[\s.-]?\d{2,4}){1,4}(?![\w/])")
SHORT_NUMBER = re.compile(r"(?<![\w/.,-])(?:116[ -]?\d{3}|1[01]\d|988)(?![\w/:%-])(?!,\d)")  # helplines of a country
EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}")
BEGINS_CONTACT = re.compile(
    rf"(?:(?:t|e|m|tel(?:ephone)?|phone|mobile|e-?mail|office)\.?:?\s)?(?:{PHONE.pattern}|{EMAIL.pattern})",
    re.IGNORECASE,
)
ADDRESS_AT_END = re.compile(
    r"(?:https?://|www\.)\S+[.)]?$|(?:[:>→]|\b(?:here|at|visit)) [\w-]+(?:\.[\w-]+){1,4}/?\S{0,80}$"
)
LABELLED = re.compile(
    one_of(
        r"""
        dates?
        times?
        when
        where
        venue
        location
        place
        cost
        price
        tickets?
        fee
        booking
        book
        rsvp
        speakers?
        host
        organis(?:er|ed by)
        audience
        who
        what
        how
        contact
        tel(?:ephone)?
        phone
        mobile
        e-?mail
        web(?:site)?
        address
        deadline
        closing date
        salary
        hours
        (?:photo |image |picture )?credit
        (?:photo|image|picture|source)
        """
    )
    + r"\s?:\s?\S.*",
    re.IGNORECASE,
)
BULLET = re.compile(r"(?:[•·▪‣◦*+–—-]|\(?(?:\d{1,2}|[a-z])[.)])\s\S")

FOOTER = re.compile(
    r"th(?:is|e) (?:\w{1,20} ){0,2}(?:was |were )?(?:first|originally) (?:published|posted|appeared|written|printed)\b",
    re.IGNORECASE,
)
BYLINE = re.compile(r"(?P<below>written by|words by|authors?:|story by|text by)\s?|(?:guest post )?by\s", re.IGNORECASE)
POSTED = re.compile(
    r"(?:(?:first|last|originally) )?"
    r"(?:posted|published|uploaded|added|updated|submitted|created|written|dated?|on)\b[ :]{0,3}(?:on\b )?",
    re.IGNORECASE,
)
FILED = re.compile(
    r"(?:filed under|posted in|categor(?:y|ies)|tags?|tagged(?: (?:as|with))?|topics?)\s?:?\s(?P<names>.+)",
    re.IGNORECASE,
)
CLOCK_ALONE = re.compile(r"(?:at |@ )?\d{1,2}[:.]\d{2}\s?(?:am|pm)?", re.IGNORECASE)
NAME = re.compile(r"[^\W\d_][\w.'’-]{0,30}(?: (?:de|van|von|der|al|bin|of|the|[^\W\d_a-z][\w.'’-]{0,30})){0,5}")

EMERGENCY = words(
    r"""
    999
    112
    911
    emergency
    immediate danger
    in danger
    at immediate risk
    """
)
# A line with a name of its own ("the Refuge Line", "Childline") is known by its capital letter.
HELPLINE = re.compile(
    r"(?i:\b(?:help|hot|crisis|support|advice|listening|information) ?line|\b24[- ]hours?\b|\b24/7\b|\bfree ?phone\b)"
    r"|(?i:\bin (?:a )?crisis\b|\bday (?:or|and) night\b)"
    r"|\b[A-Z]\w{1,30} Line\b|\b(?!On|Dead|Head|Out|Guide|Pipe|Time|Air|Base)[A-Z]\w{1,30}[lL]ine\b"
)
RING = words(
    r"""
    call
    ring
    phone
    dial
    text
    telephone
    contact
    """
)
ADDRESSED = words(
    r"""
    if (?:you|someone|anyone|anybody|a child|they)
    (?:worried|concerned|suspect|need|hungry)
    are you
    do you
    in (?:an )?(?:crisis|emergency|danger)
    """
)
ABOUT_A_HELPLINE = words(
    r"""
    launch(?:ed|es)
    new (?:help|hot|support) ?line
    annual
    opened
    introduc\w{2,4}
    recruit\w{0,4}
    volunteers?
    """
)
