"""
The words by which newsletters, events and papers are told apart; general English, of no single organisation.

A word is listed because listings of many networks use it in that sense. `kinds` decides; nothing is decided here.
"""

from __future__ import annotations

import re

from newsletter.compose.sources.archive_text.phrases import one_of, words

WHEN = one_of(
    r"""
    (?:january|february|march|april|may|june|july|august|september|october|november|december)
    (?:jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)
    (?:spring|summer|autumn|winter|christmas|easter)
    (?:week|month|quarter|q[1-4])
    \d{1,4}(?:st|nd|rd|th)?
    """
)
WHEN_WORD = re.compile(rf"\b{WHEN}\b", re.IGNORECASE)

# Newsletters --------------------------------------------------------------------------------------------------------

_PERIODICAL = one_of(
    r"""
    e-?newsletters?
    news-?letters?
    news ?sheets?
    e-?bulletins?
    bulletins?
    e-?news
    digests?
    gazettes?
    e-?zines?
    circulars?
    (?:news|monthly|weekly|quarterly|members['’]?) (?:round-?ups?|updates?|mailings?|news)
    """
)
PERIODICAL = re.compile(rf"\b{_PERIODICAL}\b", re.IGNORECASE)
_AFTER_PERIODICAL = one_of(
    rf"""
    [\s,:(–—|).!/&'’-]
    {WHEN}\b
    (?:issue|edition|no\.?|number|vol(?:ume|\.)?|nr\.?|\#) ?\#?\d{{1,4}}
    (?:of|to|and|for|the|is|are|out|now|here|available|online|edition|issue|pdf)\b
    """
)
# The name of a periodical with nothing after it but its date and number, or with a subtitle set off from it.
PERIODICAL_TITLE = re.compile(rf"\b{_PERIODICAL}\b{_AFTER_PERIODICAL}{{0,60}}(?:$|[:–—(-]\s?\S)", re.IGNORECASE)
NUMBERED_ISSUE = words(r"(?:issue|edition|vol(?:ume|\.)?)(?: no\.?)? ?#?\d{1,4}")
EDITION_OF = re.compile(rf"\b{WHEN} (?:edition|issue)\b", re.IGNORECASE)
_READ = r"(?:read|see|here is|download|check out|enjoy|catch up with|open)"
READ_OUR_PERIODICAL = re.compile(
    one_of(
        rf"""
        \b{_READ}\b[^.!?]{{0,30}}\b(?:our|the|this)\b[^.!?]{{0,40}}\b{_PERIODICAL}\b
        \b(?:in|welcome to) (?:this|our|the) (?:\w{{3,12}} )?(?:issue|edition|{_PERIODICAL})\b
        \bthis (?:issue|edition) (?:has|includes|features|looks|covers|contains|brings)\b
        """
    ),
    re.IGNORECASE,
)
ABOUT_A_PERIODICAL = words(
    r"""
    sign(?:ing)? up
    (?:un)?subscribe
    subscriptions?
    write for
    contribute
    editors?
    survey
    launch(?:ing)?
    join
    mailing list
    statistical
    statistics
    feedback
    """
)

# Events -------------------------------------------------------------------------------------------------------------

EVENT = words(
    one_of(
        r"""
        conference
        seminar
        webinar
        workshop
        training
        course
        masterclass
        meeting
        agm
        open (?:day|morning|afternoon|evening|house)
        \w+ (?:morning|afternoon|evening|night|day|session)
        away ?day
        celebration
        anniversary
        launch
        vigil
        walk
        march
        run
        festival
        fair
        fayre
        fun ?day
        fundrais\w{2,4}
        breakfast
        lunch
        supper
        dinner
        tea
        drop-?in
        summit
        forum
        round ?table
        symposium
        taster
        get-?together
        gathering
        concert
        picnic
        quiz
        gala
        exhibition
        service
        screening
        talk
        lecture
        discussion
        hustings
        market
        sale
        social
        party
        event
        ceremony
        induction
        session
        class
        tour
        visit
        show
        auction
        ball
        cook-?along
        """
    )
    + "(?:e?s)?"
)
CALL = re.compile(
    one_of(
        r"""
        (?:^|[.!?:;–—-]\s)\W{0,3}join (?:us|in)\b
        \b(?:please|and|not|to|you can|you['’]ll) join us (?:on|for|at|in|and)\b
        \bsave the dates?\b
        \bcome (?:along|and|to|join)\b
        \bbook (?:your|a|early|now|here|online|tickets|via|at|by)\b
        \bto book\b
        \bbooking (?:is )?(?:essential|required|via|at)\b
        \bregister (?:now|here|today|online|for|at|via|by|to attend|your)\b
        \bto register\b
        \brsvp\b
        \breserve (?:your|a)\b
        \btickets (?:are|cost|from|available|on sale)\b
        \bdoors open\b
        \b(?:you|all|everyone|everybody) (?:are|is) (?:(?:very|most|warmly|cordially) )?(?:invited|welcome)\b
        \ball welcome\b
        \binvit(?:e|es|ing) (?:you|our|all|any\w{3,4}|every\w{3,4}|people|partners|members|colleagues|professionals)\b
        \binvitation\b
        \bplaces are (?:limited|available|free|still)\b
        \bdrop in\b
        \bwill be (?:held|hosting|holding|running|taking place|at)\b
        \bwill (?:also )?(?:take place|host|hold|gather|meet|run from|open)\b
        \b(?:takes|is taking|are taking) place\b
        \b(?:is|are|we['’]re) (?:holding|hosting|running|organi[sz]ing|putting on)\b
        \b(?:is|are) (?:being )?held (?:on|at)\b
        \bbring (?:your|a|some|along|the)\b
        \bsee you (?:there|on|at)\b
        """
    ),
    re.IGNORECASE,
)
ASKS_TO_BOOK = words(
    r"""
    book
    to book
    register
    to register
    save the dates?
    rsvp
    join us
    """
)
_WHO = r"(?:we|they|who|people|members|families|volunteers|guests|delegates|partners|network|centre|team)"
HELD = words(
    rf"""
    (?:was|were|been) (?:\w{{3,12}}ly )?(?:held|hosted|attended|delivered|organi[sz]ed|packed|sold out)
    (?:was|were|been) (?:joined|opened) by
    (?:was|were) (?:a|an|the) (?:\w{{2,14}} )?(?:success|event|day|night|evening|afternoon|morning|occasion|turnout)
    took place
    joined forces
    came (?:together|along|to)
    turned (?:out|up)
    {_WHO} (?:held|hosted|attended|gathered|met|raised|welcomed|enjoyed|celebrated|heard|ran|marked|joined us)
    (?:held|hosted) (?:its|our|their|a|an|the) (?:\w{{2,20}} ){{0,4}}(?:last|on|in|at)
    thank(?:s| you) to (?:all|everyone|everybody|those)
    look(?:ing)? back
    highlights (?:from|of)
    photo(?:s|graphs)? (?:from|of)
    (?:reports?|notes|minutes|slides|presentations|recordings?|feedback) (?:back )?(?:from|of|on) (?:the|our|last|this)
    last (?:week|month|night|weekend|\w{{3,6}}day)
    what an? (?:\w{{2,14}} )?(?:day|night|event|evening|afternoon|morning)
    """
)
# Words before a date that make it a limit, not the day of an event.
DEADLINE = re.compile(
    one_of(
        r"""
        \b(?:by|before|until|till|since|ends?|apply|due|expires|no later than|from now to)
        \bdeadlines?(?: for \w{2,20})?(?: is)?
        \bclosing date(?: is)?
        \bclose[sd]?(?: on)?
        """
    )
    + r"\s?:?\s?(?:(?:noon|midnight|\d{1,2}(?:[.:]\d{2})?\s?[ap]m) (?:on )?)?(?:the |on )?(?:\w{3,6}day,? (?:the )?)?$",
    re.IGNORECASE,
)

# Papers, films and tools --------------------------------------------------------------------------------------------

_PAPER = one_of(
    r"""
    reports?
    briefings?
    guides?
    guidance
    tool ?kits?
    leaflets?
    booklets?
    brochures?
    posters?
    fact ?sheets?
    fact ?files?
    statistics
    handbooks?
    manuals?
    resources?
    materials
    papers?
    check ?lists?
    templates?
    director(?:y|ies)
    infographics?
    flyers?
    (?:prompt|recipe|contact|information) cards?
    strateg(?:y|ies)
    (?:resource|information|training|welcome) packs?
    e-learning
    (?:cook|work)books?
    data ?sets?
    research
    podcasts?
    films?
    animations?
    videos?
    easy[- ]read
    code of practice
    action plan
    worksheets?
    publications?
    """
)
PAPER_TITLE = words(
    r"""
    reports?(?! (?:back|a|an|your|any|hate|it|crime|concerns|from (?:the|our))\b)
    briefings?(?! session)
    guides?(?! dogs?\b)
    guidance
    tool ?kits?
    leaflets?
    booklets?
    brochures?
    posters?
    fact ?sheets?
    fact ?files?
    statistics
    handbooks?
    manuals?
    resources(?! (?:officer|manager))
    resource packs?
    information packs?
    materials
    check ?lists?
    templates?
    director(?:y|ies)
    infographics?
    flyers?
    recipe (?:books?|cards?)
    (?:cook|work)books?
    (?:position|policy|discussion|research|white|green|briefing) papers?
    easy[- ]read
    code of practice
    worksheets?
    publications?
    """
)
NO_PAPER_TITLE = words(
    r"""
    report(?:s|ed|ing)? (?:from|of|on|back) (?:the|our|last)
    human resources
    appeals?
    wanted
    needed
    recruit\w{0,4}
    vacanc(?:y|ies)
    """
)
_MADE = one_of(
    r"""
    produc(?:ed|es|e)
    publish(?:ed|es)?
    releas(?:ed|es|e)
    launch(?:ed|es)
    creat(?:ed|es|e)
    issu(?:ed|es)
    written
    develop(?:ed|s)?
    put together
    compil(?:ed|es)
    updat(?:ed|es)
    designed
    printed
    commissioned
    """
)
_WHOSE = r"(?:an?|its|their|our|the|this|new|some|free|updated|two|three|four|five)"
_FEW_WORDS = r"(?:[\w’'-]{1,20} ){0,5}"
PAPER_MADE = words(
    rf"""
    {_MADE} {_WHOSE} {_FEW_WORDS}(?:{_PAPER}|tools?|documents?|maps?)
    {_WHOSE} (?:new|newly[- ]released|latest|updated|free|short|handy) {_FEW_WORDS}(?:{_PAPER}|tools?)
    newly[- ](?:released|published) {_FEW_WORDS}{_PAPER}
    """
)
PAPER_OFFERED = words(
    rf"""
    (?:download|get|order|pick up|print|read) (?:an?|your|our|the|this) {_FEW_WORDS}{_PAPER}
    (?:available|free|ready) (?:to|for) (?:download|order|print)
    read the (?:full )?(?:pdf|guide|report|briefing|document)
    pdf (?:document|download|version)
    download the pdf
    """
)
