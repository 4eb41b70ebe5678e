"""What people may choose of how they are mailed: the monthly digest, and mail that shows nobody what it is about."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from newsletter.config.group import Group
from newsletter.config.values import OneLine, OptionalMailAddress, Slug, TimeOfDay


def _before_midnight(text: str) -> str:
    if text == "24:00":
        raise ValueError("24:00 is the next day; write 00:00, or 23:59 at the latest")
    return text


class Digest(Group):
    """
    The monthly digest of people who chose it: a month's issues in one mail, sent in the month after it.

    `day` and `time` are of the organisation's zone; the day is one that every month has. `subject` may hold
    ``{month}``.
    """

    day: int = Field(1, ge=1, le=28)
    time: Annotated[TimeOfDay, AfterValidator(_before_midnight)] = "09:00"
    subject: OneLine = Field("{month} in one email", min_length=1)
    letters_title: OneLine = Field("Letters", min_length=1)


class Discreet(Group):
    """
    What the mail of people who chose discreet delivery shows in an inbox.

    Each must be free of anything that tells who writes, or about what. `from_address` empty means that of issues; its
    domain is always that, so that SPF, DKIM and DMARC hold. `reply_to` empty sends answers to the From address.
    """

    from_name: OneLine = Field("Updates", min_length=1)
    from_address: OptionalMailAddress = ""
    reply_to: OptionalMailAddress = ""
    subject: OneLine = Field("Your update", min_length=1)
    list_name: Slug = "updates"
