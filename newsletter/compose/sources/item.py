"""What every kind of source yields: one item, cleaned and translated into our words, before the library has seen it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal


@dataclass(frozen=True, slots=True)
class SourceItem:
    """
    One item as its source offers it now.

    Attributes:
        guid: The source's own stable name for it (feed GUID, calendar UID with RECURRENCE-ID, file name, or a hash
            of title and text where there is none).
        published: An aware time, or a date where the source states no more; null when unknown. Never invented.
        starts: Aware start of an event; null when the year or the time is unknown, then `stated` holds what is known
            (keys ``day`` as MM-DD, ``weekday``, ``from``, ``to`` as HH:MM) and `missing` the gaps (``year`` ...).
        starts_on, ends_on: First and last day of an all-day event, inclusive.
        url: Canonical, without tracking parameters; null when the source gives none.
        body_html: Cleaned by nh3.
        truncated: The summary ends where the source cut it ("...").
    """

    guid: str
    kind: Literal["post", "event", "resource", "past-issue", "notice"]
    title: str
    summary: str = ""
    body_html: str = ""
    truncated: bool = False
    url: str | None = None
    published: datetime | date | None = None
    authors: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    image_url: str | None = None
    image_alt: str | None = None
    image_credit: str | None = None
    starts: datetime | None = None
    ends: datetime | None = None
    starts_on: date | None = None
    ends_on: date | None = None
    timezone: str | None = None
    place: str | None = None
    booking_url: str | None = None
    uid: str | None = None
    recurrence_id: str | None = None
    sequence: int = 0
    cancelled: bool = False
    stated: dict[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """
    What one look at a source gave.

    Attributes:
        problems: What could not be read, in words, an entry each; the items that could be read are here all the same.
        complete: Everything that the source holds now is here, so what it held before and is not here is gone.
        not_modified: The source answered 304; there are no items, and nothing is withdrawn.
    """

    items: tuple[SourceItem, ...]
    problems: tuple[str, ...] = ()
    not_modified: bool = False
    complete: bool = False
    etag: str | None = None
    last_modified: str | None = None
