"""
Look at one source of any kind, over the web or in a file, and return what it holds.

A location is an https address or a path of the operator's. A path is only ever opened as a file, an address only ever
fetched; neither can be made to pass for the other.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from newsletter.compose.cleaning import canonical_url, clean_line
from newsletter.compose.fetching import FEED_BYTES, Fetcher
from newsletter.compose.sources.item import Reading
from newsletter.errors import InvalidValue, SourceError
from newsletter.tables import SourceKind

_SCHEME = re.compile(r"(?i)^[a-z][a-z0-9+.-]*:")
_MARKS = {SourceKind.WORDPRESS: "*.json", SourceKind.ARCHIVE_TEXT: "*.txt"}


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """What is known of a source before it is looked at, `etag` and `last_modified` from the last look."""

    kind: SourceKind
    location: str
    etag: str | None = None
    last_modified: str | None = None


def check_location(kind: SourceKind, location: str, *, here: Path, workspace: Path | None = None) -> str:
    """
    Return the location as it is stored: an address as given, a path made absolute.

    A path in the workspace is stored relative to it, so that a workspace that was moved or copied still finds it.

    Raises:
        InvalidValue: When it is neither, or not one that this kind can have.
    """
    text = clean_line(location, limit=2000)
    if is_web(text):
        if kind in (SourceKind.MARKDOWN, SourceKind.ARCHIVE_TEXT):
            raise InvalidValue(f"A source of kind '{kind.value}' is a path, not an address.")
        if canonical_url(text) is None:
            raise InvalidValue(f"'{text}' is no web address.", hint="Write one such as https://example.org/feed/.")
        return text
    if _SCHEME.match(text):
        scheme = text.partition(":")[0].lower()
        raise InvalidValue(
            f"'{text}' is neither an https address nor a path.",
            hint="webcal: addresses work with https: instead." if scheme.startswith("webcal") else "Give a plain path.",
        )
    path = (here / text).resolve() if text else here
    if not text or not path.exists():
        raise InvalidValue(f"There is no file or folder '{text}'.", hint="Give an existing path, or an https address.")
    return stored_path(path, workspace)


def stored_path(path: Path, workspace: Path | None) -> str:
    """Return how a path is written down: relative to the workspace when it lies there, else absolute."""
    folder = workspace.resolve() if workspace is not None else None
    return path.relative_to(folder).as_posix() if folder is not None and path.is_relative_to(folder) else str(path)


def is_web(location: str) -> bool:
    return location.lower().startswith(("https://", "http://"))


async def read_source(spec: SourceSpec, *, fetcher: Fetcher, timezone: str, now: datetime) -> Reading:
    """
    Return what a source holds now.

    Raises:
        SourceError: When it cannot be had, or nothing of it can be read.
    """
    if not is_web(spec.location):
        return await asyncio.to_thread(_read_path, spec.kind, Path(spec.location), timezone, now)
    if spec.kind is SourceKind.WORDPRESS:
        from newsletter.compose.sources.wordpress import fetch_wordpress

        return await fetch_wordpress(spec.location, fetcher, etag=spec.etag, last_modified=spec.last_modified)
    return await _fetch(spec, fetcher, timezone, now)


async def _fetch(spec: SourceSpec, fetcher: Fetcher, timezone: str, now: datetime) -> Reading:
    from newsletter.compose.sources import calendar, feed

    accept = feed.ACCEPT if spec.kind is SourceKind.FEED else calendar.ACCEPT
    fetched = await fetcher.fetch(spec.location, accept=accept, etag=spec.etag, last_modified=spec.last_modified)
    if fetched.not_modified:
        return Reading((), not_modified=True, etag=spec.etag, last_modified=spec.last_modified)
    reading = await asyncio.to_thread(
        _parse, spec.kind, fetched.body, fetched.url, fetched.content_type, fetched.cut, timezone, now
    )
    # Of a source that was not read whole the next look must not answer "not modified".
    if fetched.cut:
        return reading
    return replace(reading, etag=fetched.etag, last_modified=fetched.last_modified)


def _parse(
    kind: SourceKind, body: bytes, url: str | None, content_type: str, cut: bool, timezone: str, now: datetime
) -> Reading:
    if kind is SourceKind.CALENDAR:
        from newsletter.compose.sources.calendar import read_calendar

        return read_calendar(body, timezone=timezone, now=now, content_type=content_type, cut=cut)
    from newsletter.compose.sources.feed import read_feed

    return read_feed(body, url=url, content_type=content_type, cut=cut)


def _read_path(kind: SourceKind, path: Path, timezone: str, now: datetime) -> Reading:
    if kind is SourceKind.MARKDOWN:
        from newsletter.compose.sources.markdown import read_markdown

        return read_markdown(path, timezone=timezone)
    bodies = [_read_file(file) for file in _files(kind, path)]
    if kind is SourceKind.WORDPRESS:
        from newsletter.compose.sources.wordpress import read_wordpress

        if any(cut for _body, cut in bodies):
            raise SourceError(f"{path} is larger than {FEED_BYTES // 1_000_000} MB.", hint="Save fewer posts a file.")
        return read_wordpress([body for body, _cut in bodies], url=None)
    body, cut = bodies[0]
    if kind is SourceKind.ARCHIVE_TEXT:
        return _read_archive(bodies, path, timezone)
    return _parse(kind, body, None, "", cut, timezone, now)


def _read_archive(bodies: list[tuple[bytes, bool]], path: Path, timezone: str) -> Reading:
    from newsletter.compose.sources.archive_text import read_archive_text
    from newsletter.compose.sources.xml_guard import decode

    if any(cut for _body, cut in bodies):
        raise SourceError(f"{path} is larger than {FEED_BYTES // 1_000_000} MB.", hint="Split the text into files.")
    readings = [read_archive_text(decode(body), timezone=timezone) for body, _cut in bodies]
    items = {item.guid: item for reading in readings for item in reading.items}
    return Reading(tuple(items.values()), tuple(problem for reading in readings for problem in reading.problems))


def _files(kind: SourceKind, path: Path) -> list[Path]:
    """Return the file, or of a folder the files that this kind reads, in the order of their names."""
    if not path.is_dir():
        return [path]
    mark = _MARKS.get(kind)
    if mark is None:
        raise SourceError(f"{path} is a folder; a source of kind '{kind.value}' is a file.")
    files = sorted(path.glob(mark))
    if not files:
        raise SourceError(f"The folder {path} holds no {mark} file.")
    return files


def _read_file(path: Path) -> tuple[bytes, bool]:
    """Return what the cap allows of a file, and whether there was more."""
    try:
        if not path.is_file():
            raise SourceError(f"There is no file {path}.", hint="Was it moved? Remove the source and add it again.")
        with path.open("rb") as file:
            body = file.read(FEED_BYTES + 1)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}.") from error
    return body[:FEED_BYTES], len(body) > FEED_BYTES
