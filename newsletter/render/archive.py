"""
The web version of an issue: real landmarks, not indexed; nothing personal: tags show their fallback, no token.
"""

from __future__ import annotations

from newsletter.compose.content import IssueContent
from newsletter.render.environment import Environment
from newsletter.render.inline import inline_css
from newsletter.render.personal import fill_with_fallbacks
from newsletter.render.view import Tokens, view_of, without_unwanted


def render_web_version(content: IssueContent, environment: Environment) -> str:
    """
    Return the page behind "view in browser". It needs no script; its styles stand in attributes and `style` elements.

    Raises:
        TemplateError: With file, line and cause.
    """
    clean = without_unwanted(content)
    tokens = Tokens(clean)
    page = inline_css(environment.render("web/issue.html.j2", **view_of(clean, environment, tokens)))
    return fill_with_fallbacks(tokens.resolve(page), escape_html=True)
