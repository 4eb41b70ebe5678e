"""An issue becomes its HTML and its text, with slots for personal values; same content, same characters."""

from __future__ import annotations

from dataclasses import dataclass

from newsletter.compose.content import IssueContent
from newsletter.render.environment import Environment
from newsletter.render.html import render_html
from newsletter.render.text import render_text
from newsletter.render.view import Tokens, view_of, without_unwanted


@dataclass(frozen=True, slots=True)
class RenderedIssue:
    """
    One variant, finished but for the personal values; every field is a plain string that a database can keep.

    `subject`, `preheader`, `html` and `text` hold slots as `render.personal` writes them; CSS is inlined.
    """

    subject: str
    preheader: str
    html: str
    text: str
    language: str


def render_issue(content: IssueContent, environment: Environment) -> RenderedIssue:
    """
    Render one variant.

    Raises:
        TemplateError: With file, line and cause.
    """
    clean = without_unwanted(content)
    tokens = Tokens(clean)
    view = view_of(clean, environment, tokens)
    return RenderedIssue(
        subject=tokens.resolve(view["subject"]),
        preheader=tokens.resolve(view["preheader"]),
        html=tokens.resolve(render_html(view, environment, tokens)),
        text=tokens.resolve(render_text(view, environment, tokens)),
        language=clean.language,
    )
