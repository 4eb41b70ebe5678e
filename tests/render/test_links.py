"""Public addresses: their shapes are kept for years, because they stand in mail already sent."""

from __future__ import annotations

import re

from newsletter.render.links import (
    calendar_url,
    event_mark,
    issue_mark,
    media_url,
    preferences_url,
    unsubscribe_url,
    view_url,
)
from subscribers.tokens import Key

WEB = "https://news.example.org"


def test_shapes() -> None:
    assert unsubscribe_url(WEB, "v1.x") == "https://news.example.org/unsubscribe/v1.x"
    assert preferences_url(WEB, "v1.x") == "https://news.example.org/preferences/v1.x"
    assert view_url(WEB, "2026-11", "abc") == "https://news.example.org/view/2026-11-abc"
    assert calendar_url(WEB, 7, "abc") == "https://news.example.org/events/7-abc.ics"
    assert media_url(WEB, "a.jpg") == "https://news.example.org/media/a.jpg"


def test_mark_is_of_16_safe_characters_and_another_for_each_issue_and_key() -> None:
    one, other = Key(1, b"a" * 32), Key(1, b"b" * 32)
    marks = {issue_mark(key, slug) for key in (one, other) for slug in ("2026-11", "2026-12")}
    assert len(marks) == 4
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{16}", mark) for mark in marks)
    assert issue_mark(one, "2026-11") == issue_mark(one, "2026-11")
    assert len({event_mark(one, 1), event_mark(one, 2), event_mark(other, 1), issue_mark(one, "1")}) == 4
