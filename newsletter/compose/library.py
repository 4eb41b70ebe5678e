"""
The library: every post, event and resource once, however many sources offer it.

What the chair set by hand is never overwritten by a source, an older SEQUENCE never overwrites a newer one, and what
an issue holds is its own snapshot: a change here is told by `changes_since`, never silently passed on.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter.compose.cleaning import normal_title, plain_text
from newsletter.compose.matching import Matcher
from newsletter.compose.sources.item import Reading, SourceItem
from newsletter.tables import Item, ItemKind, ItemState, Picture, Sighting, Source, SourceKind

# What an issue shows of an item, and so what a snapshot keeps.
SNAPSHOT_FIELDS = (
    "kind", "state", "title", "summary", "body_html", "truncated", "url", "published_at", "published_on", "authors",
    "categories", "image_url", "image_alt", "image_credit", "starts_at", "ends_at", "starts_on", "ends_on", "timezone",
    "place", "booking_url", "stated",
)  # fmt: skip
_DERIVED_GAPS = ("published", "url", "image_alt", "place", "starts")
_MOMENT_GROUPS = (
    ("published_at", "published_on"),
    ("starts_at", "ends_at", "starts_on", "ends_on", "timezone", "stated"),
)
_MOMENTS = frozenset(name for group in _MOMENT_GROUPS for name in group)
_BLANK: tuple[object, ...] = (None, "", [], {}, False)


@dataclass(frozen=True, slots=True)
class StoreResult:
    """What one reading changed: `merged` were known from another source, `withdrawn` vanished from their calendar."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    merged: int = 0
    withdrawn: int = 0


def store_reading(
    session: Session, source: Source, reading: Reading, now: datetime, *, timezone: str = "UTC"
) -> StoreResult:
    """
    Bring the library up to date with one look at a source.

    Args:
        timezone: The organisation's; dates of different sources are compared in it.

    Returns:
        The counts. A reading that was not modified changes nothing.
    """
    source.fetched_at = now
    if reading.not_modified:
        return StoreResult()
    source.etag, source.last_modified = reading.etag, reading.last_modified
    matcher = Matcher.for_reading(session, source, reading.items, ZoneInfo(timezone))
    names = {offered.guid for offered in reading.items}
    counts = dict.fromkeys(("new", "changed", "unchanged", "merged"), 0)
    for offered in reading.items:
        counts[_store(session, matcher, offered, names, now)] += 1
    session.flush()
    withdrawn = _withdraw_vanished(session, source, names, now) if _is_complete(source, reading) else 0
    return StoreResult(**counts, withdrawn=withdrawn)


def snapshot(item: Item) -> dict[str, Any]:
    """Return the item as it is now, in values that JSON holds; keys are the columns' names."""
    return {name: _plain(getattr(item, name)) for name in SNAPSHOT_FIELDS}


def changes_since(item: Item, taken: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """
    Return what changed since a snapshot: field -> ``{"was": ..., "now": ...}``; empty when nothing did.

    Markup is compared by its words, so that a site that re-renders its pages raises no alarm.
    """
    current = snapshot(item)
    return {
        name: {"was": taken[name], "now": current[name]}
        for name in SNAPSHOT_FIELDS
        if name in taken and _comparable(name, taken[name]) != _comparable(name, current[name])
    }


def gaps(item: Item) -> list[str]:
    """Return what the chair may want to fill in: what the reader could not know, and what a card would miss."""
    stated = [gap for gap in item.missing if gap not in _DERIVED_GAPS and not _is_filled(item, gap)]
    if item.kind is ItemKind.NOTICE:
        return stated
    is_event = item.kind is ItemKind.EVENT
    derived = {
        "published": not is_event and item.published_at is None and item.published_on is None,
        "url": item.url is None and not (is_event and item.booking_url),
        "image_alt": item.image_url is not None and not item.image_alt,
        "place": is_event and not item.place,
        "starts": is_event and item.starts_at is None and item.starts_on is None and not {"year", "date"} & set(stated),
    }
    return stated + [name for name in _DERIVED_GAPS if derived[name]]


def fingerprint(offered: SourceItem) -> str:
    """Return a hash of all that a source says of an item."""
    values = {name: _plain(value) for name, value in asdict(offered).items() if name != "guid"}
    return hashlib.sha256(json.dumps(values, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _store(session: Session, matcher: Matcher, offered: SourceItem, names: set[str], now: datetime) -> str:
    seen = matcher.sighting(offered)
    if seen is not None:
        seen.seen_at = now
        return "changed" if _update(session, seen.item, seen, offered, names, now) else "unchanged"
    known = matcher.same_item(offered)
    item = known or _new_item(session, offered, now)
    sighting = Sighting(source_id=matcher.source.id, guid=offered.guid, seen_at=now)
    item.sightings.append(sighting)
    session.flush()
    if known is None:
        return "new"
    _update(session, item, sighting, offered, names, now)
    return "merged"


def _new_item(session: Session, offered: SourceItem, now: datetime) -> Item:
    item = Item(
        **_values(offered), kind=ItemKind(offered.kind), fingerprint=fingerprint(offered), first_seen_at=now,
        updated_at=now, missing=list(offered.missing), set_by_hand=[],
        state=ItemState.CANCELLED if offered.cancelled else ItemState.ACTIVE,
    )  # fmt: skip
    item.picture_id = _known_picture(session, item.image_url)
    item.missing = gaps(item)
    session.add(item)
    return item


def _update(
    session: Session, item: Item, sighting: Sighting, offered: SourceItem, names: set[str], now: datetime
) -> bool:
    """Bring *item* to what *offered* says, as far as that source has a say in it; return whether it changed."""
    same_series = offered.uid is not None and offered.uid == item.uid
    if same_series and offered.sequence < item.sequence:
        return False
    leads = _is_leading(item, sighting, names) or (same_series and offered.sequence > item.sequence)
    told = fingerprint(offered)
    if leads and told == item.fingerprint:
        return False
    before = {**snapshot(item), "missing": list(item.missing), "sequence": item.sequence}
    alone = len({s.source_id for s in item.sightings}) == 1
    _overwrite(item, offered, blank_too=leads and alone, fill_only=not leads)
    if leads:
        item.fingerprint = told
        _follow_state(item, offered)
    if item.image_url != before["image_url"]:
        item.picture_id = _known_picture(session, item.image_url)
    item.missing = gaps(item)
    changed = {**snapshot(item), "missing": list(item.missing), "sequence": item.sequence} != before
    if changed:
        item.updated_at = now
    return changed


def _is_leading(item: Item, sighting: Sighting, names: set[str]) -> bool:
    """
    Say whether this sighting is the one whose words the item carries: the first, while it is still offered.

    Without a leader two sources with different excerpts would overwrite each other at every fetch.
    """
    offered_still = [s for s in item.sightings if s.source_id != sighting.source_id or s.guid in names]
    return min(offered_still, key=lambda s: s.id) is sighting


def _overwrite(item: Item, offered: SourceItem, *, blank_too: bool, fill_only: bool) -> None:
    values = _values(offered)
    whole = _moments_to_take(item, values, fill_only=fill_only)
    for name, value in values.items():
        if name in item.set_by_hand or (name == "norm_title" and "title" in item.set_by_hand):
            continue
        if name in _MOMENTS:
            if name in whole:
                setattr(item, name, value)
            continue
        blank = value in _BLANK
        if fill_only and (blank or getattr(item, name) not in _BLANK or name in ("truncated", "sequence")):
            continue
        if blank and not blank_too and name not in ("truncated", "sequence"):
            continue
        setattr(item, name, value)
    if not fill_only:
        item.missing = list(offered.missing)
        if "kind" not in item.set_by_hand:
            item.kind = ItemKind(offered.kind)


def _moments_to_take(item: Item, values: dict[str, Any], *, fill_only: bool) -> set[str]:
    """
    Return the time columns to take over, each group whole or not at all.

    One source's day with another's hour would be a third date that nobody announced.
    """
    taken: set[str] = set()
    for group in _MOMENT_GROUPS:
        offers = any(values[name] not in _BLANK for name in group)
        holds = any(getattr(item, name) not in _BLANK for name in group if name != "stated")
        by_hand = any(name in item.set_by_hand for name in group)
        if offers and not by_hand and not (fill_only and holds):
            taken.update(group)
    return taken


def _follow_state(item: Item, offered: SourceItem) -> None:
    if "state" in item.set_by_hand or item.state is ItemState.HIDDEN:
        return
    item.state = ItemState.CANCELLED if offered.cancelled else ItemState.ACTIVE


def _is_complete(source: Source, reading: Reading) -> bool:
    """Only a calendar that was read whole says by silence that an event is off; a feed merely drops its oldest."""
    return source.kind is SourceKind.CALENDAR and bool(reading.items) and reading.complete


def _withdraw_vanished(session: Session, source: Source, names: set[str], now: datetime) -> int:
    statement = (
        select(Item)
        .join(Item.sightings)
        .where(Sighting.source_id == source.id, Item.kind == ItemKind.EVENT, Item.state == ItemState.ACTIVE)
    )
    withdrawn = 0
    for item in session.scalars(statement).unique().all():
        offered = any(s.source_id != source.id or s.guid in names for s in item.sightings)
        if not offered and _is_ahead(item, now) and "state" not in item.set_by_hand:
            item.state, item.updated_at, item.fingerprint = ItemState.CANCELLED, now, ""
            withdrawn += 1
    return withdrawn


def _is_ahead(item: Item, now: datetime) -> bool:
    if item.starts_at is not None:
        return item.starts_at > now
    return item.starts_on is not None and item.starts_on > now.date()


def _known_picture(session: Session, image_url: str | None) -> int | None:
    if image_url is None:
        return None
    return session.scalar(
        select(Picture.id).where(Picture.source_url == image_url, Picture.file_name.is_not(None)).limit(1)
    )


def _values(offered: SourceItem) -> dict[str, Any]:
    published = offered.published
    is_time = isinstance(published, datetime)
    return {
        "title": offered.title,
        "norm_title": normal_title(offered.title),
        "summary": offered.summary,
        "body_html": offered.body_html,
        "truncated": offered.truncated,
        "url": offered.url,
        "published_at": published if is_time else None,
        "published_on": None if is_time else published,
        "authors": list(offered.authors),
        "categories": list(offered.categories),
        "image_url": offered.image_url,
        "image_alt": offered.image_alt,
        "image_credit": offered.image_credit,
        "starts_at": offered.starts,
        "ends_at": offered.ends,
        "starts_on": offered.starts_on,
        "ends_on": offered.ends_on,
        "timezone": offered.timezone,
        "place": offered.place,
        "booking_url": offered.booking_url,
        "uid": offered.uid,
        "recurrence_id": offered.recurrence_id,
        "sequence": offered.sequence,
        "stated": dict(offered.stated),
    }


def _is_filled(item: Item, gap: str) -> bool:
    if gap in ("year", "time", "date", "day"):
        return item.starts_at is not None or (gap != "time" and item.starts_on is not None)
    held = {"title": item.title, "summary": item.summary, "ends": item.ends_at or item.ends_on, "zone": item.timezone}
    return held.get(gap, getattr(item, gap, None)) not in _BLANK


def _comparable(name: str, value: Any) -> Any:
    return plain_text(value) if name == "body_html" and isinstance(value, str) else value


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    return value.value if isinstance(value, ItemKind | ItemState) else value
