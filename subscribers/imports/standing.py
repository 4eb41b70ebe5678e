"""
What a cell of somebody else's file says of how a person stands: on the list, off it, or nothing that counts as a yes.

Whoever is not plainly on the list is never put on it by a guess: the row is refused, with what it says.
"""

from __future__ import annotations

import re

from subscribers import suppression
from subscribers.attributes import FALSE_WORDS, TRUE_WORDS, read_date
from subscribers.csv_cells import plain_cell
from subscribers.errors import InvalidValue

_UNSUBSCRIBED = frozenset(
    [
        *("unsubscribed", "unsubscribe", "opted out", "opt out", "blocklisted", "blacklisted", "disabled"),
        *("suppressed", "do not email", "do not contact"),
    ]
)
_BOUNCED = frozenset(("bounced", "cleaned", "hard bounce", "hard bounced", "undeliverable", "invalid"))
_COMPLAINED = frozenset(("complained", "complaint", "spam", "abuse"))
_UNCONFIRMED = frozenset(
    [
        *("pending", "unconfirmed", "not confirmed", "awaiting confirmation", "confirmation pending", "invited"),
        *("nonsubscribed", "non subscribed", "not subscribed", "never subscribed", "transactional"),
    ]
)
_ON_LIST = frozenset(
    [
        *("subscribed", "subscriber", "active", "enabled", "confirmed", "member", "current", "valid", "ok"),
        *("opted in", "opt in", "yes", "true"),
    ]
)
_LEFT = TRUE_WORDS | {"1", "x", "✓", "t", "do not allow", "opted out", "unsubscribed"}
_STAYS = FALSE_WORDS | {"0", "f", "none", "null", "n/a", "na", "-", "allow", "allowed", "opted in", "subscribed"}
_NO_CONSENT = FALSE_WORDS | {"0", "f", "none", "opted out", "opt out", "refused", "withdrawn", "declined", "not given"}


def status_word(text: str) -> str:
    return re.sub(r"[\s_-]+", " ", text.strip().casefold())


def is_out(word: str) -> bool:
    """Tell whether a state, as `status_word` makes it, is one of people who left, or whose mail came back."""
    return word in _UNSUBSCRIBED or word in _BOUNCED or word in _COMPLAINED


def is_not_on_list(word: str) -> bool:
    """Tell whether a state is plainly another than being on the list."""
    return is_out(word) or word in _UNCONFIRMED


def read_status(cell: str) -> str | None:
    """
    Return the reason why nobody may be mailed who is in this state; None for people on the list.

    Raises:
        InvalidValue: When it says neither: mailing them would be a guess.
    """
    text = plain_cell(cell.strip())
    word = status_word(text)
    if word in _UNSUBSCRIBED:
        return suppression.UNSUBSCRIBED
    if word in _BOUNCED:
        return suppression.HARD_BOUNCE
    if word in _COMPLAINED:
        return suppression.COMPLAINT
    if not word or word in _ON_LIST:
        return None
    raise InvalidValue(f"its state '{text[:40]}' does not say that they are on the list: subscribed or unsubscribed?")


def read_opt_out(cell: str) -> bool:
    """
    Tell whether a cell under a heading such as "Email opt out" says that somebody left; a date is when they did.

    Raises:
        InvalidValue: When it says neither yes nor no.
    """
    text = plain_cell(cell.strip())
    word = " ".join(text.casefold().split())
    if not word or word in _STAYS:
        return False
    if word in _LEFT or read_date(text) or read_date(text[:10]):
        return True
    raise InvalidValue(f"'{text[:40]}' does not say whether they opted out: yes or no?")


def check_consent(column: str, cell: str) -> None:
    """
    Refuse a row whose own column of consent says no; a yes there proves nothing, and is only kept.

    Raises:
        InvalidValue: When it says no.
    """
    if status_word(plain_cell(cell.strip())) in _NO_CONSENT:
        raise InvalidValue(f"its column '{column}' says {cell.strip()[:40]}")
