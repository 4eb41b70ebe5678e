"""
Every public address that a message names, made in one place; pure.

A link that identifies somebody carries a token made elsewhere, never an address or a row number.
"""

from __future__ import annotations

import base64

from subscribers.tokens import Key, sign

MARK_CHARACTERS = 16


def unsubscribe_url(web_url: str, token: str) -> str:
    return f"{web_url}/unsubscribe/{token}"


def preferences_url(web_url: str, token: str) -> str:
    return f"{web_url}/preferences/{token}"


def issue_mark(key: Key, slug: str) -> str:
    """Return the mark that keeps an issue's page from being guessed: 96 bits of its keyed hash, URL-safe."""
    return base64.urlsafe_b64encode(sign(key, "view", slug.encode())).decode()[:MARK_CHARACTERS]


def view_url(web_url: str, slug: str, mark: str) -> str:
    return f"{web_url}/view/{slug}-{mark}"


def calendar_url(web_url: str, item_id: int) -> str:
    return f"{web_url}/events/{item_id}.ics"


def media_url(web_url: str, file_name: str) -> str:
    return f"{web_url}/media/{file_name}"
