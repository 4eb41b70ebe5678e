"""
An issue as a value: everything that rendering needs, already decided, with no database behind it.

Personal values are not here: subject, preheader, letter and blurbs that the chair typed may hold
``{{first_name|friend}}`` tags, which rendering turns into slots. In everything else braces are ordinary characters.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal


@dataclass(frozen=True, slots=True)
class Image:
    """A picture of ours, at its shown size in CSS pixels (the file has twice that)."""

    url: str
    width: int
    height: int
    alt: str
    credit: str = ""


@dataclass(frozen=True, slots=True)
class Post:
    """
    A post or resource as a card; without `url` the card has no button.

    `blurb_is_typed`: the chair wrote the blurb, so personal tags in it count; in a source's own words they do not.
    `title_is_typed`: the chair wrote the headline; no tag is filled there, but one left in it is a mistake.
    """

    title: str
    blurb_html: str
    url: str | None = None
    image: Image | None = None
    authors: tuple[str, ...] = ()
    published: date | None = None
    truncated: bool = False
    label: str = "Read more"
    item_id: int | None = None
    blurb_is_typed: bool = False
    title_is_typed: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """An event: timed (`starts` aware) or all-day (`starts_on`); `ends_on` is inclusive. The rest as in Post."""

    title: str
    blurb_html: str
    starts: datetime | None = None
    ends: datetime | None = None
    starts_on: date | None = None
    ends_on: date | None = None
    timezone: str | None = None
    place: str = ""
    url: str | None = None
    booking_url: str | None = None
    calendar_url: str | None = None
    image: Image | None = None
    item_id: int | None = None
    cancelled: bool = False
    blurb_is_typed: bool = False
    title_is_typed: bool = False


@dataclass(frozen=True, slots=True)
class Quote:
    text: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class Divider:
    """A thin line."""


@dataclass(frozen=True, slots=True)
class Button:
    label: str
    url: str


Block = Post | Event | Quote | Divider | Button


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and its blocks; a section without blocks is not rendered."""

    name: str
    title: str
    layout: Literal["cards", "events", "resources"]
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Letter:
    """The chair's letter; `body_html` comes from Markdown, cleaned."""

    body_html: str
    name: str = ""
    role: str = ""
    photograph: Image | None = None


@dataclass(frozen=True, slots=True)
class Sender:
    """The organisation as the mail shows it."""

    name: str
    postal_address: str
    from_address: str
    from_name: str = ""
    reply_to: str = ""
    website: str = ""
    charity_number: str = ""
    privacy_url: str = ""
    helpline: str = ""
    helpline_phone: str = ""
    helpline_url: str = ""
    logo: Image | None = None


@dataclass(frozen=True, slots=True)
class IssueContent:
    """
    One variant of one issue.

    `web_url` is the public address of the site (no slash at its end). `view_url` is this issue's page there ("view in
    browser"); `reason` says in a sentence why the member receives it (empty: the standard sentence).
    """

    slug: str
    subject: str
    preheader: str
    language: str
    direction: Literal["ltr", "rtl"]
    sender: Sender
    web_url: str
    sections: tuple[Section, ...]
    letter: Letter | None = None
    reason: str = ""
    view_url: str = ""
