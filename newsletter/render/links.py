"""
Every public address that a message names, made in one place; pure.

A link that identifies somebody carries a token made elsewhere, never an address or a row number.
"""

from __future__ import annotations

import base64
from urllib.parse import quote, urlsplit, urlunsplit

from subscribers.tokens import Key, sign

MARK_CHARACTERS = 16
_ASCII_MARKS = "%!\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"


def unsubscribe_url(web_url: str, token: str) -> str:
    return f"{web_url}/unsubscribe/{token}"


def preferences_url(web_url: str, token: str) -> str:
    return f"{web_url}/preferences/{token}"


def requests_url(web_url: str) -> str:
    """Return the page for complaints and for requests about one's own data."""
    return f"{web_url.rstrip('/')}/requests"


def sign_up_url(web_url: str) -> str:
    return f"{web_url}/sign-up"


def confirmation_url(web_url: str, token: str) -> str:
    """Return the link that puts somebody on a list, by the button of its page; it works once."""
    return f"{web_url}/sign-up/{token}"


def settings_url(web_url: str, token: str) -> str:
    """Return the link that is mailed to its owner, and works once."""
    return f"{web_url}/settings/{token}"


def issue_mark(key: Key, slug: str) -> str:
    """Return the mark that keeps an issue's page from being guessed: 96 bits of its keyed hash, URL-safe."""
    return _mark(key, "view", slug)


def event_mark(key: Key, item_id: int) -> str:
    """Return the mark of an event's calendar file: an event for a few must not be found by counting."""
    return _mark(key, "event", str(item_id))


def _mark(key: Key, purpose: str, name: str) -> str:
    return base64.urlsafe_b64encode(sign(key, purpose, name.encode())).decode()[:MARK_CHARACTERS]


def view_url(web_url: str, slug: str, mark: str) -> str:
    return f"{web_url}/view/{slug}-{mark}"


def calendar_url(web_url: str, item_id: int, mark: str) -> str:
    return f"{web_url}/events/{item_id}-{mark}.ics"


def media_url(web_url: str, file_name: str) -> str:
    return f"{web_url}/media/{file_name}"


def ascii_link(address: str) -> str:
    """
    Return the same address in ASCII: the host as A-labels, the rest percent-encoded.

    HTML writers encode other letters by themselves, each in its way; so HTML and text would name different addresses.
    """
    if address.isascii():
        return address
    try:
        parts = urlsplit(address)
        host = parts.netloc.encode("idna").decode("ascii") if not parts.netloc.isascii() else parts.netloc
        return quote(urlunsplit(parts._replace(netloc=host)), safe=_ASCII_MARKS)
    except (ValueError, UnicodeError):
        return quote(address, safe=_ASCII_MARKS)
