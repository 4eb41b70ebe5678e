"""The plain text of a mail, from its own template: the links of the HTML in the same order, lines of at most 78."""

from __future__ import annotations

import re
from typing import Any

from newsletter.render.environment import Environment
from newsletter.render.personal import Slot
from newsletter.render.view import Tokens


def render_text(
    view: dict[str, Any], environment: Environment, tokens: Tokens, *, template: str = "email/issue.txt.j2"
) -> str:
    links = {
        "unsubscribe": tokens.token(Slot("unsubscribe_url")),
        "preferences": tokens.token(Slot("preferences_url")),
    }
    text = environment.render(template, **view, **links)
    # "-- " before the footer is the one line that ends in a space
    lines = [line if line == "-- " else line.rstrip() for line in text.strip("\n").split("\n")]
    return re.sub(r"\n{4,}", "\n\n\n", "\n".join(lines)) + "\n"
