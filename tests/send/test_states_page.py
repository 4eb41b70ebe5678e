"""The page of a delivery's states says what the table says."""

from __future__ import annotations

import re
from pathlib import Path

from newsletter.send.states import NOTICE_EDGES, TRANSITIONS

PAGE = Path(__file__).parents[2] / "docs" / "states.md"
ROW = re.compile(r"^\| `(\w+)` \| `(\w+)` \| (.+) \| (yes|no) \|$", re.MULTILINE)


def test_the_page_and_the_table_are_equal() -> None:
    wanted = [
        (before.value, after.value, words, "yes" if (before, after) in NOTICE_EDGES else "no")
        for (before, after), words in TRANSITIONS.items()
    ]
    assert ROW.findall(PAGE.read_text()) == wanted
