"""Posts of a page -> items: dates, authors, an address, and a guid that does not change when the page does."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from html import escape

from newsletter.compose.sources.archive_text.addresses import own_url
from newsletter.compose.sources.archive_text.dates import StatedDate, find_dates, proves_day_first
from newsletter.compose.sources.archive_text.events import EventFacts, event_facts, labelled_facts
from newsletter.compose.sources.archive_text.furniture import LABELLED
from newsletter.compose.sources.archive_text.kinds import LOOKED_AT, Verdict, classify
from newsletter.compose.sources.archive_text.lines import read_units
from newsletter.compose.sources.archive_text.posts import RawPost, segment
from newsletter.compose.sources.item import Reading, SourceItem

GUID_CHARACTERS = 80  # of a post's text: enough to tell two posts of one title apart, and few enough to survive an edit
SHOWN_OF_STRAY = 80
LONGEST_SUMMARY = 2000
MOST_LINES = 20_000  # a listing of thousands of posts; more is no listing, and would keep other sources waiting

_LABELLED_DATE = re.compile(
    r"\b(?:date(?: of [a-z]+)?|submitted|published|posted|issued|dated)(?: \([^)]{0,60}\))?\s?:\s?$", re.IGNORECASE
)
_DATELINE_VERB = re.compile(
    r"^[^.!?]{0,120}?\b(?:has|have|had)?\s?(?:published|released|issued|launched|announced)\b", re.IGNORECASE
)
_CREDIT = re.compile(
    r"(?:^|\s)(?:photo(?:graph)?|picture|image)s? (?:by|credit:?|courtesy of) (?P<who>[^.!?\n]{2,80})$", re.IGNORECASE
)


def read_archive_text(text: str, *, timezone: str) -> Reading:
    """
    Read the plain text of a blog's listing page.

    Args:
        text: The page as copied, with any line ends.
        timezone: The organisation's zone, in which the times of its events are meant.

    Returns:
        Posts in the order of the page, then notices. Texts that belong to no post are named in `problems`.
    """
    day_first = proves_day_first(text)
    units = read_units(text)
    page = segment(units[:MOST_LINES], day_first=day_first)
    problems = [f"Left out, because no title stands above it: {_shown(stray)!r}" for stray in page.strays]
    if len(units) > MOST_LINES:
        problems.append(f"Only the first {MOST_LINES:,} lines were read, of {len(units):,}: split the file in parts.")
    items: dict[str, SourceItem] = {}
    for post in page.posts:
        item, problem = _item(post, timezone=timezone, day_first=day_first)
        _keep_longer(items, item)
        if problem:
            problems.append(problem)
    for notice in page.notices:
        _keep_longer(items, _notice(notice))
    return Reading(items=tuple(items.values()), problems=tuple(problems))


def _keep_longer(items: dict[str, SourceItem], item: SourceItem) -> None:
    """A page may show a post twice (pinned, and in its place): keep the one with more text."""
    known = items.get(item.guid)
    if known is None or len(item.body_html) > len(known.body_html):
        items[item.guid] = item


def _shown(text: str) -> str:
    return text if len(text) <= SHOWN_OF_STRAY else text[:SHOWN_OF_STRAY].rsplit(" ", 1)[0] + " …"


def _notice(text: str) -> SourceItem:
    first_sentence = re.split(r"(?<=[.!?])\s", text, maxsplit=1)[0]
    return SourceItem(
        guid=_guid("notice", text), kind="notice", title=first_sentence, summary=text, body_html=_as_html([text], set())
    )


def _item(post: RawPost, *, timezone: str, day_first: bool) -> tuple[SourceItem, str | None]:
    text = " ".join(post.paragraphs)
    title_dates = find_dates(post.title, day_first=day_first)
    text_dates = find_dates(text[:LOOKED_AT], day_first=day_first)
    labels = labelled_facts(post.paragraphs)
    labelled = "venue" in labels or {"date", "time"} <= set(labels) or {"when", "where"} <= set(labels)
    verdict = classify(post.title, text, title_dates=title_dates, text_dates=text_dates, labelled=labelled)
    facts = EventFacts()
    stated: dict[str, str] = {}
    own_date = post.published
    if verdict.kind == "event":
        facts = event_facts(
            post.title,
            post.paragraphs,
            day=verdict.day,
            text_dates=text_dates,
            timezone=timezone,
            truncated=post.truncated,
        )
        stated = dict(facts.stated)
    else:
        own_date = own_date or _own_date(post.title, text, title_dates, text_dates, verdict)
        stated = _stated(title_dates, own_date, verdict) or _year(post, verdict)
    return _assembled(post, text, verdict, facts, own_date, stated, timezone), facts.problem


def _assembled(
    post: RawPost,
    text: str,
    verdict: Verdict,
    facts: EventFacts,
    own_date: StatedDate | None,
    stated: dict[str, str],
    timezone: str,
) -> SourceItem:
    url = own_url(post.paragraphs, truncated=post.truncated)
    books = verdict.kind == "event" and url is not None and url.books
    credit = _CREDIT.search(text[-200:])
    summary, cut = _within(_summary(post))
    return SourceItem(
        guid=_guid(post.title, text),
        kind=verdict.kind,
        title=post.title,
        summary=summary,
        body_html=_as_html(post.paragraphs, post.headings),
        truncated=post.truncated or cut,
        url=url.url if url is not None and not books else None,
        booking_url=url.url if url is not None and books else None,
        published=own_date.full if own_date else None,
        authors=post.authors,
        categories=post.categories,
        image_credit=credit["who"].strip() if credit else None,
        starts=facts.starts,
        ends=facts.ends,
        starts_on=facts.starts_on,
        ends_on=facts.ends_on,
        timezone=timezone if facts.starts or facts.starts_on else None,
        place=facts.place,
        stated=stated,
        missing=facts.missing,
    )


def _own_date(
    title: str, text: str, title_dates: list[StatedDate], text_dates: list[StatedDate], verdict: Verdict
) -> StatedDate | None:
    """
    Return the date that a post states as its own.

    That is a date set off in its title ("- 16 June 2014", "(2 Nov 18)"), a labelled one ("Date of submission: ...") or
    a dateline before a verb of publishing ("On 3 May 2021 the council published ..."); never the day of an event.
    """
    for stated in title_dates:
        if stated.full and stated != verdict.held and _set_off(title, stated):
            return stated
    for stated in text_dates:
        if stated.full is None or stated == verdict.held:
            continue
        before = text[max(0, stated.at - 90) : stated.at]
        if stated.at < 400 and _LABELLED_DATE.search(before):
            return stated
        opening = before.strip().lower() in {"on", "on the", "dated", ""} and stated.at <= 10
        if opening and _DATELINE_VERB.match(text[stated.end : stated.end + 160]):
            return stated
    return None


def _set_off(title: str, stated: StatedDate) -> bool:
    """A date in brackets, after a dash, colon or comma at the end, or before a dash or colon at the beginning."""
    before, after = title[: stated.at].rstrip(), title[stated.end :].strip()
    if before.endswith("(") or re.search(
        r"\((?:published|posted|released|issued|dated|updated)(?: on)?$", before, re.IGNORECASE
    ):
        return after.startswith(")")
    if not after.strip(").!"):
        return before == "" or before[-1] in "-–—:,|•·"
    return before == "" and after[0] in "-–—:|•·"


def _stated(title_dates: list[StatedDate], own_date: StatedDate | None, verdict: Verdict) -> dict[str, str]:
    """Record what the words say where they do not make a whole date of publication."""
    stated: dict[str, str] = {}
    if own_date is not None and own_date.full is not None:
        stated["date"] = own_date.full.isoformat()
    elif own_date is not None and own_date.as_written:
        stated["as_written"] = own_date.as_written
    if verdict.held is not None:
        stated.update(_held(verdict.held))
    for found in title_dates:
        if found.months is not None:
            first, last = found.months
            stated.setdefault(*(("month", first) if first == last else ("period", f"{first}/{last}")))
        if found.season:
            stated.setdefault("season", found.season)
        if found.as_written:
            stated.setdefault("as_written", found.as_written)
    return stated


def _year(post: RawPost, verdict: Verdict) -> dict[str, str]:
    """A past issue may state no more than its year, in its title or in the caption of its link ("Newsletter 2016")."""
    captions = (post.paragraphs[at] for at in sorted(post.headings))
    years = (re.search(r"\b(?:19|20)\d{2}\b", words) for words in (post.title, *captions))
    year = next((found[0] for found in years if found), None)
    return {"year": year} if year and verdict.kind == "past-issue" else {}


def _held(held: StatedDate) -> dict[str, str]:
    if held.full is None:
        return {"held": held.month_and_day or held.as_written or ""}
    last = held.last
    return {"held": held.full.isoformat() if last is None else f"{held.full.isoformat()}/{last.isoformat()}"}


def _within(summary: str) -> tuple[str, bool]:
    """Keep a summary to what a card can hold; say whether it was cut."""
    if len(summary) <= LONGEST_SUMMARY:
        return summary, False
    return summary[:LONGEST_SUMMARY].rsplit(" ", 1)[0], True


def _summary(post: RawPost) -> str:
    """Return the first paragraph; all of them when the page cut the text, or when there are details only."""
    texts = [text for at, text in enumerate(post.paragraphs) if at not in post.headings]
    prose = [text for text in texts if not LABELLED.fullmatch(text)]
    return " ".join(texts) if post.truncated or not prose else prose[0]


def _as_html(paragraphs: list[str], headings: set[int]) -> str:
    tags = ("h3" if at in headings else "p" for at in range(len(paragraphs)))
    return "".join(f"<{tag}>{escape(text, quote=False)}</{tag}>" for tag, text in zip(tags, paragraphs, strict=True))


def _guid(title: str, text: str) -> str:
    words = f"{_normal(title)}\n{_normal(text)[:GUID_CHARACTERS]}"
    return "text:" + hashlib.sha256(words.encode()).hexdigest()[:32]


def _normal(text: str) -> str:
    """Letters and digits in one case, so that spacing, quotes and dashes do not matter."""
    folded = unicodedata.normalize("NFKC", text[: 20 * GUID_CHARACTERS]).casefold()
    return " ".join(re.findall(r"[^\W_]+", folded))
