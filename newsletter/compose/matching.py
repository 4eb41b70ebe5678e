"""
Decide whether an item that a source offers is in the library already.

Three rules, in this order: the source's own name for it (GUID, calendar UID with RECURRENCE-ID); its canonical
address; its normalised title, and that only across different sources, of the same kind, with equal or unknown date.
Two occurrences of a repeating event are never one item, whatever address or title they share.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter.compose.cleaning import normal_title
from newsletter.compose.sources.item import SourceItem
from newsletter.tables import Item, ItemKind, Sighting, Source

_GLOBAL_NAME = re.compile(r"(?i)^(?:https?://|tag:|urn:)|[0-9a-f]{8}-[0-9a-f]{4}-|@")


@dataclass(frozen=True, slots=True)
class Matcher:
    """
    Finds the stored item for each item of one reading.

    Attributes:
        shared_urls: Addresses that several items of this reading give; they name a page, not an item.
    """

    session: Session
    source: Source
    shared_urls: frozenset[str]
    zone: ZoneInfo

    @classmethod
    def for_reading(cls, session: Session, source: Source, items: Sequence[SourceItem], zone: ZoneInfo) -> Matcher:
        counts = Counter(item.url for item in items if item.url)
        return cls(session, source, frozenset(url for url, count in counts.items() if count > 1), zone)

    def sighting(self, offered: SourceItem) -> Sighting | None:
        """Return what this source called by the same name before."""
        return self.session.scalars(
            select(Sighting).where(Sighting.source_id == self.source.id, Sighting.guid == offered.guid)
        ).first()

    def same_item(self, offered: SourceItem) -> Item | None:
        """Return the stored item that *offered* is another sight of, when this source did not name it before."""
        return self._by_uid(offered) or self._by_guid(offered) or self._by_url(offered) or self._by_title(offered)

    def _by_uid(self, offered: SourceItem) -> Item | None:
        if not offered.uid:
            return None
        for item in self.session.scalars(select(Item).where(Item.uid == offered.uid).order_by(Item.id)):
            same_start = _start(item) is not None and _start(item) == _start(offered)
            same_title = item.norm_title == normal_title(offered.title)
            if item.recurrence_id == offered.recurrence_id:
                # A UID is unique in the world by its standard; some programs write "1".
                if same_start or same_title or self._is_ours(item):
                    return item
            elif same_start and None in (item.recurrence_id, offered.recurrence_id):
                return item  # a single event that became the first of a series, or the other way round
        return None

    def _by_guid(self, offered: SourceItem) -> Item | None:
        if offered.uid or not _GLOBAL_NAME.search(offered.guid):
            return None
        statement = select(Item).join(Item.sightings).where(Sighting.guid == offered.guid).order_by(Item.id)
        return next((i for i in self.session.scalars(statement) if _alike(i.kind, offered.kind)), None)

    def _by_url(self, offered: SourceItem) -> Item | None:
        if not offered.url or _is_front_page(offered.url):
            return None
        title = normal_title(offered.title)
        for item in self.session.scalars(select(Item).where(Item.url == offered.url).order_by(Item.id)):
            if not _alike(item.kind, offered.kind):
                continue
            if offered.url in self.shared_urls and item.norm_title != title:
                continue
            if offered.kind == "event" and _start(item) != _start(offered):
                continue
            return item
        return None

    def _by_title(self, offered: SourceItem) -> Item | None:
        title = normal_title(offered.title)
        if not title:
            return None
        named_here = select(Sighting.item_id).where(Sighting.source_id == self.source.id)
        statement = select(Item).where(
            Item.norm_title == title, Item.kind == ItemKind(offered.kind), Item.id.not_in(named_here)
        )
        verdicts = [(self._same_day(item, offered), item) for item in self.session.scalars(statement.order_by(Item.id))]
        equal = [item for verdict, item in verdicts if verdict is True]
        unknown = [item for verdict, item in verdicts if verdict is None]
        if equal:
            return equal[0]
        return unknown[0] if len(unknown) == 1 else None

    def _same_day(self, item: Item, offered: SourceItem) -> bool | None:
        """Return whether both fall on one day; None when either day is unknown."""
        if offered.kind == "event":
            return self._same_event_day(item, offered)
        ours = _days(item.published_at or item.published_on, self.zone)
        theirs = _days(offered.published, self.zone)
        return bool(ours & theirs) if ours and theirs else None

    def _same_event_day(self, item: Item, offered: SourceItem) -> bool | None:
        ours = _days(item.starts_at or item.starts_on, self.zone)
        theirs = _days(offered.starts or offered.starts_on, self.zone)
        if ours and theirs:
            if item.starts_at and offered.starts:
                return item.starts_at == offered.starts
            return bool(ours & theirs)
        stated_ours = {item.stated["day"]} if item.stated.get("day") else {f"{d:%m-%d}" for d in ours}
        stated_theirs = {offered.stated["day"]} if offered.stated.get("day") else {f"{d:%m-%d}" for d in theirs}
        if stated_ours and stated_theirs and not stated_ours & stated_theirs:
            return False
        return None

    def _is_ours(self, item: Item) -> bool:
        return any(sighting.source_id == self.source.id for sighting in item.sightings)


def _alike(kind: ItemKind, offered: str) -> bool:
    """An event and the post that announces it stay two, even at one address."""
    return (kind is ItemKind.EVENT) == (offered == "event")


def _start(item: Item | SourceItem) -> object:
    starts = item.starts_at if isinstance(item, Item) else item.starts
    return starts.astimezone(UTC) if starts else item.starts_on


def _days(moment: date | None, zone: ZoneInfo) -> set[date]:
    """Return the day of a date or time; for a time also the day in UTC, as sources date in either."""
    if isinstance(moment, datetime):
        return {moment.astimezone(zone).date(), moment.astimezone(UTC).date()}
    return {moment} if moment else set()


def _is_front_page(url: str) -> bool:
    parts = urlsplit(url)
    return parts.path in ("", "/") and not parts.query
