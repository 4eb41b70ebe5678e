"""
The web version of an issue: real landmarks, a neutral title; nothing personal: tags show their fallback, no token.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from newsletter.compose.content import IssueContent
from newsletter.render.dates import long_day
from newsletter.render.environment import Environment
from newsletter.render.inline import inline_css
from newsletter.render.personal import fill_with_fallbacks
from newsletter.render.view import Tokens, view_of, without_unwanted


@dataclass(frozen=True, slots=True)
class Surroundings:
    """
    What stands around an issue on its page.

    Attributes:
        exit_url: Where "Leave this site now" leads.
        sent_on: For the title, which names no subject: it stays in the browser's history.
        archive_url: The list of all issues; empty where the page is not of the archive.
        is_indexed: Whether search engines may keep the page.
    """

    exit_url: str
    sent_on: date | None = None
    archive_url: str = ""
    is_indexed: bool = False


def render_web_version(content: IssueContent, environment: Environment, around: Surroundings) -> str:
    """
    Return the page behind "view in browser". It needs no script; its styles stand in attributes and `style` elements.

    Raises:
        TemplateError: With file, line and cause.
    """
    clean = without_unwanted(content)
    tokens = Tokens(clean)
    view = view_of(clean, environment, tokens)
    title = view["words"]["newsletter"]
    if around.sent_on:
        title = f"{title}, {long_day(around.sent_on, clean.language)}"
    page = environment.render(
        "web/issue.html.j2",
        **view,
        title=title,
        exit_url=around.exit_url,
        archive_url=around.archive_url,
        is_indexed=around.is_indexed,
    )
    return fill_with_fallbacks(tokens.resolve(inline_css(page)), escape_html=True)
