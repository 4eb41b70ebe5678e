"""
Which language a page is in: what the address asks for, then the person's own, the browser's, the organisation's.

Only what is offered is ever chosen: English, and the languages whose catalogue a person has reviewed. What the address
asked for is kept in the links of the page that is answered.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date, datetime
from urllib.parse import parse_qsl, urlencode

from babel import Locale
from babel.dates import format_date, format_datetime
from babel.support import NullTranslations
from jinja2.runtime import Context
from jinja2.utils import pass_context
from markupsafe import Markup
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from newsletter.compose.language import direction_of, locale_of
from newsletter.web.catalogues import ENGLISH, Catalogue

PARAMETER = "lang"
MOST_ACCEPTED = 20
MOST_QUERY = 1000
_LINK = re.compile(r'(\s(?:href|action)=")((?![a-z][a-z0-9+.-]*:|//|#)[^"?#]*)(\?[^"#]*)?([^"]*")', re.IGNORECASE)


def marked(text: str) -> str:
    """Return *text*: it marks a text in Python as one that `make translations` hands to translators."""
    return text


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    What a request says about languages.

    Attributes:
        asked: Of the address; empty for none.
        accepted: What the browser names, the best first.
        query: The rest of the address's query, for the links to the same page in another language.
        again: Whether the page may be asked for again: not when it answers a form.
    """

    asked: str = ""
    accepted: tuple[str, ...] = ()
    query: tuple[tuple[str, str], ...] = ()
    again: bool = True


NOTHING_WANTED = Wanted()
WANTED: ContextVar[Wanted] = ContextVar("wanted", default=NOTHING_WANTED)


class Spoken:
    """An ASGI layer that notes what each request says about languages, for `Site.page` to read."""

    def __init__(self, site: ASGIApp) -> None:
        self.site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.site(scope, receive, send)
            return
        token = WANTED.set(wanted_by(scope))
        try:
            await self.site(scope, receive, send)
        finally:
            WANTED.reset(token)


def wanted_by(scope: Scope) -> Wanted:
    """Read the query and the headers of a request."""
    try:
        query = parse_qsl(scope["query_string"].decode("ascii", "replace")[:MOST_QUERY], max_num_fields=20)
    except ValueError:
        query = []
    asked = next((value for name, value in query if name == PARAMETER), "")
    rest = tuple((name, value) for name, value in query if name != PARAMETER)
    accepted = read_accepted(Headers(scope=scope).get("accept-language", ""))
    return Wanted(asked, accepted, rest, again=scope["method"] in ("GET", "HEAD"))


def read_accepted(header: str) -> tuple[str, ...]:
    """
    Return the tags of an Accept-Language header, the best first; what is refused or no tag is left out.

    Source: RFC 9110 12.5.4.
    """
    weighed: list[tuple[float, str]] = []
    for part in header.split(",")[:MOST_ACCEPTED]:
        tag, _, weight = part.partition(";")
        found = re.fullmatch(r"\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*", weight, re.IGNORECASE)
        value = float(found[1]) if found else 1.0 if not weight.strip() else 0.0
        if value > 0 and re.fullmatch(r"[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*", tag.strip()):
            weighed.append((value, tag.strip()))
    return tuple(tag for _, tag in sorted(weighed, key=lambda each: -each[0]))


def choose(wanted: Wanted, person: str, default: str, offered: Sequence[str]) -> tuple[str, str]:
    """
    Return the language of a page, and what its links must ask for so that the next is in it too.

    Args:
        person: What the person of the page has chosen; empty where the page knows nobody.
        default: The organisation's.
        offered: Tags; the first is English, which is there for everybody.
    """
    asked = _match(wanted.asked, offered) if wanted.asked else None
    if asked:
        return asked, asked
    for tag in (person, *wanted.accepted, default):
        found = _match(tag, offered) if tag else None
        if found:
            return found, ""
    return offered[0], ""


def _match(tag: str, offered: Sequence[str]) -> str | None:
    """Match the whole tag, else its language alone: somebody who reads en-US reads en-GB."""
    whole = next((one for one in offered if one.lower() == tag.lower()), None)
    language = tag.partition("-")[0].lower()
    return whole or next((one for one in offered if one.partition("-")[0].lower() == language), None)


@dataclass(frozen=True, slots=True)
class Languages:
    """
    The languages that the site offers, English first.

    Attributes:
        default: The organisation's language.
    """

    catalogues: Mapping[str, NullTranslations]
    default: str

    @property
    def offered(self) -> tuple[str, ...]:
        return tuple(self.catalogues)


def languages_of(catalogues: Mapping[str, Catalogue], default: str) -> Languages:
    """Return English, as the organisation writes it, and every catalogue that was reviewed."""
    english = default if default.lower().partition("-")[0] == "en" else "en-GB"
    reviewed = {tag: one.translations for tag, one in sorted(catalogues.items()) if one.reviewed}
    return Languages({english: ENGLISH, **reviewed}, default)


def name_of(tag: str) -> str:
    """Return what its speakers call a language; its script too, where the tag states one."""
    locale = locale_of(tag)
    if locale.language != tag.partition("-")[0].lower():
        return tag
    return str((locale.get_display_name(locale) if locale.script else locale.get_language_name(locale)) or tag)


def words_in(languages: Languages, tag: str) -> dict[str, object]:
    """Return what a template is handed to speak *tag*: its messages, dates, direction."""
    translations, locale = languages.catalogues[tag], locale_of(tag)
    return {
        "language": tag,
        "dir": direction_of(tag),
        **_messages(translations),
        "long_day": lambda day: format_date(day, "full", locale=locale),
        "day_and_time": lambda at: _day_and_time(at, locale),
    }


def _day_and_time(at: datetime | date, locale: Locale) -> str:
    if not isinstance(at, datetime):
        return format_date(at, "full", locale=locale)
    return format_datetime(at, "EEEE d MMMM y HH:mm", tzinfo=at.tzinfo, locale=locale)


def _messages(translations: NullTranslations) -> dict[str, Callable[..., object]]:
    """Return gettext and its kin as templates call them: values are put in, and escaped, after the translation."""

    @pass_context
    def gettext(_context: Context, text: str, /, **values: object) -> Markup:
        return Markup(translations.gettext(text)) % values  # noqa: S704  # our catalogues, reviewed

    @pass_context
    def ngettext(_context: Context, one: str, several: str, count: int, /, **values: object) -> Markup:
        values.setdefault("num", count)
        return Markup(translations.ngettext(one, several, count)) % values  # noqa: S704  # as above

    def translated(text: str, /, **values: object) -> str:
        found = translations.gettext(text)
        return found % values if values else found

    return {"gettext": gettext, "ngettext": ngettext, "translated": translated}


def switches(languages: Languages, wanted: Wanted, current: str) -> list[dict[str, str]]:
    """Return the links to this page in the other languages; none where it may not be asked for again."""
    if not wanted.again or len(languages.offered) < 2:
        return []
    return [
        {
            "tag": tag,
            "name": name_of(tag),
            "dir": direction_of(tag),
            "url": "?" + urlencode([*wanted.query, (PARAMETER, tag)]),
        }
        for tag in languages.offered
        if tag != current
    ]


def keep(page: str, asked: str) -> str:
    """Return the page with the language in its links and forms to other pages of the site, where it was asked for."""
    if not asked:
        return page

    def with_language(found: re.Match[str]) -> str:
        query = found[3] or ""
        if f"{PARAMETER}=" in query or not (found[2] or query):
            return found[0]
        return f"{found[1]}{found[2]}{query}{'&amp;' if query else '?'}{PARAMETER}={asked}{found[4]}"

    return _LINK.sub(with_language, page)
