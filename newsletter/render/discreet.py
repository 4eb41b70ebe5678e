"""
An issue for people who chose discreet mail: text alone, nothing remote, and nothing that tells in an inbox who writes.

Subject and first lines are the same in every issue, and dull: a hint that something is kept from somebody would be the
first thing to be noticed. There is no link to read it in a browser: that page shows at a
glance whose it is.
"""

from __future__ import annotations

from dataclasses import replace

from newsletter.compose.content import IssueContent
from newsletter.render.environment import Environment
from newsletter.render.issue import RenderedIssue
from newsletter.render.notice import NoticeText
from newsletter.render.text import render_text
from newsletter.render.view import Tokens, view_of, without_unwanted
from newsletter.render.wrapping import wrapped

TEMPLATE = "email/discreet.txt.j2"
PREVIEW_CHARACTERS = 300  # more than any inbox or locked telephone shows
RULE_CHARACTERS = 72


def render_discreet(content: IssueContent, environment: Environment, subject: str) -> RenderedIssue:
    """
    Render one variant in its discreet form.

    Args:
        subject: The neutral one of the configuration, in the place of the issue's own.

    Raises:
        TemplateError: With file, line and cause.
    """
    clean = without_unwanted(replace(content, view_url=""))
    tokens = Tokens(clean)
    view = view_of(clean, environment, tokens)
    text = tokens.resolve(render_text(view, environment, tokens, template=TEMPLATE))
    return RenderedIssue(subject=subject, preheader="", html="", text=text, language=clean.language)


def discreet_notice(text: NoticeText, environment: Environment, language: str, subject: str) -> NoticeText:
    """Return a notice in its discreet form: the neutral subject, and first lines that are the same in each."""
    lines = wrapped(environment.words(language)["discreet_notice"])
    return replace(text, subject=subject, body=f"{lines}\n\n{'_' * RULE_CHARACTERS}\n\n\n{text.body}")


def opening(environment: Environment, language: str) -> str:
    """Return the lines that every discreet mail begins with."""
    return environment.words(language)["discreet_opening"]
