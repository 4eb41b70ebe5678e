"""
Look at many sources at once and bring the library up to date; one that is broken never stops the others.

The network comes first, all sources together; then each reading is stored in a transaction of its own.
"""

from __future__ import annotations

import asyncio
import difflib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter.compose.fetching import Fetcher
from newsletter.compose.library import StoreResult, store_reading
from newsletter.compose.sources.item import Reading
from newsletter.compose.sources.reading import SourceSpec, is_web, read_source, stored_path
from newsletter.errors import NotFound, SourceError
from newsletter.tables import Source
from subscribers.db import Database

SOURCES_AT_ONCE = 8
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SourceOutcome:
    """What one source gave: counts, or the error; `items` is how many it offers now."""

    source: str
    items: int = 0
    counts: StoreResult = field(default_factory=StoreResult)
    not_modified: bool = False
    problems: tuple[str, ...] = ()
    error: str | None = None


def named_sources(session: Session, names: Sequence[str] = ()) -> list[Source]:
    """
    Return the sources of these names, or all.

    Raises:
        NotFound: When a name is unknown; the hint holds the nearest.
    """
    known = {source.name: source for source in session.scalars(select(Source).order_by(Source.id))}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            hint = f"Did you mean '{near[0]}'?" if near else "See: newsletter source list"
            raise NotFound("source", name, hint=hint)
    return [known[name] for name in dict.fromkeys(names)] if names else list(known.values())


def gather_sources(
    database: Database,
    names: Sequence[str] = (),
    *,
    timezone: str,
    now: datetime,
    workspace: Path | None = None,
    fetcher: Fetcher | None = None,
    on_read: Callable[[str], None] | None = None,
) -> list[SourceOutcome]:
    """
    Fetch sources and store what they hold; for entry points that run no event loop.

    Args:
        names: Only these; all when empty.
        workspace: The folder from which relative locations start; needed when there are any.
        on_read: Told the name of each source as its look ends.

    Returns:
        An outcome for each, in the order in which they were added.
    """
    with database.read() as session:
        specs = {
            source.name: SourceSpec(source.kind, _place(source.location, workspace), source.etag, source.last_modified)
            for source in named_sources(session, names)
        }
    readings = asyncio.run(_read_all(specs, fetcher or Fetcher(), timezone, now, on_read))
    return [_store(database, name, _portable(readings[name], workspace), timezone, now) for name in specs]


def _place(location: str, workspace: Path | None) -> str:
    return location if workspace is None or is_web(location) else str(workspace / location)


def _portable(reading: Reading | str, workspace: Path | None) -> Reading | str:
    """Name pictures that lie in the workspace as their source is named, so that moving it changes no item."""
    if isinstance(reading, str) or workspace is None:
        return reading
    return replace(
        reading,
        items=tuple(
            replace(item, image_url=stored_path(Path(item.image_url), workspace))
            if item.image_url and not is_web(item.image_url)
            else item
            for item in reading.items
        ),
    )


async def _read_all(
    specs: dict[str, SourceSpec],
    fetcher: Fetcher,
    timezone: str,
    now: datetime,
    on_read: Callable[[str], None] | None,
) -> dict[str, Reading | str]:
    gate = asyncio.Semaphore(SOURCES_AT_ONCE)

    async def one(name: str, spec: SourceSpec) -> tuple[str, Reading | str]:
        async with gate:
            found = await _read_one(name, spec, fetcher, timezone, now)
        if on_read is not None:
            on_read(name)
        return name, found

    return dict(await asyncio.gather(*(one(name, spec) for name, spec in specs.items())))


async def _read_one(name: str, spec: SourceSpec, fetcher: Fetcher, timezone: str, now: datetime) -> Reading | str:
    """Return the reading, or in words why there is none."""
    try:
        return await read_source(spec, fetcher=fetcher, timezone=timezone, now=now)
    except SourceError as error:
        return f"{error.message} {error.hint}".strip()
    except Exception as error:
        # What the web holds outruns every list of errors; a parser that fails on one source must not cost the others.
        _log.warning("source %s cannot be read", name, exc_info=error)
        return f"It cannot be read: {type(error).__name__}: {error}"[:500]


def _store(database: Database, name: str, reading: Reading | str, timezone: str, now: datetime) -> SourceOutcome:
    with database.write() as session:
        source = session.scalars(select(Source).where(Source.name == name)).one_or_none()
        if source is None:
            return SourceOutcome(name, error="It was removed while it was being fetched.")
        if isinstance(reading, str):
            source.error = reading
            return SourceOutcome(name, error=reading)
        counts = store_reading(session, source, reading, now, timezone=timezone)
        source.error = None
    return SourceOutcome(name, len(reading.items), counts, reading.not_modified, reading.problems)
