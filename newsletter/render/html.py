"""The HTML of a mail: templates first, then CSS inlined; tokens stand where slots will be."""

from __future__ import annotations

from typing import Any

from newsletter.render.environment import Environment
from newsletter.render.inline import inline_css
from newsletter.render.personal import Slot
from newsletter.render.view import Tokens


def template_html(view: dict[str, Any], environment: Environment, tokens: Tokens) -> str:
    """Return the mail before its CSS is inlined."""
    links = {
        "unsubscribe": tokens.token(Slot("unsubscribe_url")),
        "preferences": tokens.token(Slot("preferences_url")),
    }
    return environment.render("email/issue.html.j2", **view, **links)


def render_html(view: dict[str, Any], environment: Environment, tokens: Tokens) -> str:
    return inline_css(template_html(view, environment, tokens))
