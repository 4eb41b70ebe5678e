"""The library as people and scripts see it: chosen items, each as the values that `library list --json` promises."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import or_, select
from sqlalchemy.orm import Session, selectinload

from newsletter.errors import NotFound
from newsletter.tables import Block, Issue, Item, ItemKind, ItemState, Picture, Sighting


def find_items(
    session: Session,
    *,
    kind: ItemKind | None = None,
    state: ItemState | None = None,
    search: str = "",
    gaps_at: datetime | None = None,
) -> list[Item]:
    """
    Return items, events in the order of their start, then the others, the newest first and undated ones last.

    Args:
        gaps_at: Only items of which something is missing that matters at this time: not of an event that is over.
    """
    statement = select(Item).options(selectinload(Item.sightings).selectinload(Sighting.source))
    if kind is not None:
        statement = statement.where(Item.kind == kind)
    if state is not None:
        statement = statement.where(Item.state == state)
    for word in search.split():
        statement = statement.where(or_(*(c.icontains(word, autoescape=True) for c in (Item.title, Item.summary))))
    items = list(session.scalars(statement.order_by(Item.id)).all())
    return sorted((item for item in items if gaps_at is None or _has_gaps(item, gaps_at)), key=_order)


def get_item(session: Session, item_id: int) -> Item:
    """
    Return one item.

    Raises:
        NotFound: When there is none.
    """
    item = session.get(Item, item_id)
    if item is None:
        raise NotFound("item", str(item_id), hint="See the ids: newsletter library list")
    return item


def issues_using(session: Session, item_ids: Iterable[int]) -> dict[int, list[str]]:
    """Return for each item the slugs of the issues that hold it, the oldest first."""
    statement = (
        select(Block.item_id, Issue.slug)
        .join(Block.issue)
        .where(Block.item_id.in_(list(item_ids)))
        .order_by(Issue.created_at, Issue.id)
    )
    found: dict[int, list[str]] = {}
    for item_id, slug in session.execute(statement):
        assert item_id is not None
        slugs = found.setdefault(item_id, [])
        if slug not in slugs:
            slugs.append(slug)
    return found


def describe_items(session: Session, items: Sequence[Item], zone: ZoneInfo) -> list[dict[str, Any]]:
    """Return the documented values of each item; times of posts in *zone*, of events in their own."""
    used = issues_using(session, [item.id for item in items])
    wanted = {item.picture_id for item in items if item.picture_id is not None}
    pictures = {p.id: p for p in session.scalars(select(Picture).where(Picture.id.in_(wanted)))} if wanted else {}
    return [_describe(item, used.get(item.id, []), pictures, zone) for item in items]


def _describe(item: Item, used_in: list[str], pictures: Mapping[int, Picture], zone: ZoneInfo) -> dict[str, Any]:
    own_zone = ZoneInfo(item.timezone) if item.timezone else zone
    return {
        "id": item.id,
        "kind": item.kind.value,
        "title": item.title,
        "summary": item.summary,
        "url": item.url,
        "source": ", ".join(dict.fromkeys(sighting.source.name for sighting in item.sightings)) or None,
        "published": _iso(item.published_at or item.published_on, zone),
        "authors": list(item.authors),
        "categories": list(item.categories),
        "image": _describe_image(item, pictures),
        "starts": _iso(item.starts_at or item.starts_on, own_zone),
        "ends": _iso(item.ends_at or item.ends_on, own_zone),
        "timezone": item.timezone,
        "place": item.place,
        "booking_url": item.booking_url,
        "state": item.state.value,
        "truncated": item.truncated,
        "missing": list(item.missing),
        "used_in": used_in,
        "stated": dict(item.stated) or None,
    }


def _describe_image(item: Item, pictures: Mapping[int, Picture]) -> dict[str, Any] | None:
    if item.image_url is None:
        return None
    picture = pictures.get(item.picture_id) if item.picture_id is not None else None
    return {
        "url": item.image_url,
        "alt": item.image_alt,
        "credit": item.image_credit,
        "file": picture.file_name if picture else None,
        "width": picture.width if picture else None,
        "height": picture.height if picture else None,
    }


def _iso(moment: date | None, zone: ZoneInfo) -> str | None:
    if isinstance(moment, datetime):
        return moment.astimezone(zone).isoformat()
    return moment.isoformat() if moment else None


def _order(item: Item) -> tuple[int, float, int]:
    if item.kind is ItemKind.EVENT:
        day = item.starts_at or item.starts_on
        return (0, _ordinal(day) if day else float("inf"), item.id)
    published = item.published_at or item.published_on
    return (1, -_ordinal(published) if published else float("inf"), item.id)


def _has_gaps(item: Item, now: datetime) -> bool:
    last = item.ends_at or item.starts_at
    last_day = item.ends_on or item.starts_on
    is_over = (last is not None and last < now) or (last_day is not None and last_day < now.date())
    # Most meetings have no page of their own; the calendar's word is enough for their card.
    wanted = set(item.missing) - ({"url"} if item.kind is ItemKind.EVENT else set())
    return bool(wanted) and not is_over and item.state is ItemState.ACTIVE


def _ordinal(moment: date) -> float:
    if isinstance(moment, datetime):
        return moment.date().toordinal() + (moment.hour * 3600 + moment.minute * 60 + moment.second) / 86400
    return float(moment.toordinal())
