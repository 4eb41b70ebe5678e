"""
Read a folder of Markdown files: the operator's own posts, events and resources.

A file is one item, named by its path in the folder. Nothing outside the folder is ever read: a link or a picture that
leads out of it is a problem of its file.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from newsletter.compose.cleaning import canonical_url, clean_html, clean_line, markdown_to_html, summary_of
from newsletter.compose.sources.calendar_zones import iana_zone
from newsletter.compose.sources.front_matter import MarkdownFile, Value, split_front_matter
from newsletter.compose.sources.item import Reading, SourceItem
from newsletter.compose.sources.xml_guard import MAX_ITEMS
from newsletter.errors import SourceError

MAX_FILE_BYTES = 2_000_000
_KINDS = ("post", "event", "resource", "past-issue", "notice")
_KEYS = frozenset({
    "kind", "type", "title", "summary", "description", "url", "link", "date", "published", "author", "authors",
    "category", "categories", "tags", "image", "image_alt", "image_credit", "starts", "start", "ends", "end",
    "timezone", "place", "location", "venue", "booking_url", "booking", "tickets", "cancelled", "status", "draft",
    "guid", "id", "uid", "layout", "slug",
})  # fmt: skip
_TRUE = ("true", "yes", "1")
_PICTURE = re.compile(r"""(?i)<img\b[^>]*?\bsrc="([^"]*)"[^>]*>""")
_ALT = re.compile(r'(?i)\balt="([^"]*)"')


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a file lies, and the zone in which its times are meant."""

    folder: Path
    file: Path
    zone: ZoneInfo


def read_markdown(location: Path, *, timezone: str) -> Reading:
    """
    Return an item for each ``.md`` file of a folder and the folders in it, or of one file.

    Args:
        timezone: The organisation's zone; times that state none are meant in it.

    Raises:
        SourceError: When the folder cannot be read.
    """
    if not location.exists():
        raise SourceError(f"There is no folder {location}.")
    folder = location if location.is_dir() else location.parent
    files = sorted(location.rglob("*.md")) if location.is_dir() else [location]
    visible = [f for f in files if not any(part.startswith(".") for part in f.relative_to(folder).parts)]
    items: list[SourceItem] = []
    problems: list[str] = []
    for file in visible[:MAX_ITEMS]:
        try:
            item, notes = read_markdown_text(_text(folder, file), folder=folder, file=file, timezone=timezone)
        except SourceError as error:
            problems.append(f"{file.relative_to(folder)}: {error.message}")
            continue
        problems += [f"{file.relative_to(folder)}: {note}" for note in notes]
        items += [item] if item else []
    if len(visible) > MAX_ITEMS:
        problems.append(f"Only the first {MAX_ITEMS} files were read; the folder holds {len(visible)}.")
    return Reading(tuple(items), tuple(problems))


def read_markdown_text(text: str, *, folder: Path, file: Path, timezone: str) -> tuple[SourceItem | None, list[str]]:
    """
    Return the item of one file, and what is odd about it; null for a draft.

    Raises:
        SourceError: When its head cannot be understood, or it has no title.
    """
    parsed = split_front_matter(text)
    head = parsed.head
    notes = [f"'{key}' is no key that is read." for key in head if key not in _KEYS]
    if _line(head, "draft").lower() in _TRUE:
        return None, notes
    place = _Place(folder, file, _zone(head, timezone))
    markup = markdown_to_html(parsed.text)
    title, markup = _title(parsed, markup)
    kind = _kind(head)
    image_url, image_alt = _image(head, markup, place, notes)
    summary, truncated = summary_of(html.escape(_line(head, "summary", "description"), quote=False), markup)
    url = canonical_url(_line(head, "url", "link")) if _line(head, "url", "link") else None
    if _line(head, "url", "link") and url is None:
        notes.append("its url is no web address; it was left out.")
    guid = _line(head, "guid", "id", "uid") or file.relative_to(folder).as_posix()
    item = SourceItem(
        guid=guid,
        kind=kind,  # type: ignore[arg-type]  # checked against the same words
        title=title,
        summary=summary,
        body_html=clean_html(markup),
        truncated=truncated,
        url=url,
        published=_moment(head, ("date", "published"), place.zone),
        authors=_several(head, "authors", "author"),
        categories=_several(head, "categories", "category", "tags"),
        image_url=image_url,
        image_alt=image_alt,
        image_credit=_line(head, "image_credit") or None,
        **(_event(head, place, guid) if kind == "event" else {}),
    )
    return item, notes


def _text(folder: Path, file: Path) -> str:
    if not file.resolve().is_relative_to(folder.resolve()):
        raise SourceError("it leads out of the folder; it was not read.")
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise SourceError(f"it cannot be read: {error.strerror}.") from error
    if len(data) > MAX_FILE_BYTES:
        raise SourceError(f"it is larger than {MAX_FILE_BYTES // 1_000_000} MB.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SourceError("it is not UTF-8.", hint="Save it again as UTF-8.") from None


def _title(parsed: MarkdownFile, markup: str) -> tuple[str, str]:
    """Return the title, from the head or from the first heading, which then is no part of the text."""
    title = _line(parsed.head, "title")
    found = re.match(r"\s*<h1>(.*?)</h1>", markup, re.DOTALL)
    if found is not None and (not title or clean_line(html.unescape(found[1])) == title):
        return title or clean_line(re.sub(r"<[^>]*>", "", html.unescape(found[1]))), markup[found.end() :]
    if not title:
        raise SourceError("it has no title: write 'title: ...' in its head or begin it with '# ...'.")
    return title, markup


def _kind(head: dict[str, Value]) -> str:
    kind = _line(head, "kind", "type").lower().replace("_", "-")
    if not kind:
        return "event" if "starts" in head or "start" in head else "post"
    if kind not in _KINDS:
        raise SourceError(f"its kind '{kind}' is none of: {', '.join(_KINDS)}.")
    return kind


def _zone(head: dict[str, Value], default: str) -> ZoneInfo:
    name = _line(head, "timezone") or default
    zone = iana_zone(name)
    if zone is None:
        raise SourceError(f"its timezone '{name}' is none; write one such as Europe/London.")
    return zone


def _event(head: dict[str, Value], place: _Place, guid: str) -> dict[str, Any]:
    starts, ends = _moment(head, ("starts", "start"), place.zone), _moment(head, ("ends", "end"), place.zone)
    if isinstance(starts, datetime) and ends is not None and not isinstance(ends, datetime):
        raise SourceError("it starts at a time but ends on a day; give a time for both.")
    if starts is not None and not isinstance(starts, datetime) and isinstance(ends, datetime):
        raise SourceError("it starts on a day but ends at a time; give a time for both.")
    timed = isinstance(starts, datetime)
    booking = _line(head, "booking_url", "booking", "tickets")
    return {
        "starts": starts if timed else None,
        "ends": ends if timed else None,
        "starts_on": None if timed else starts,
        "ends_on": None if timed else (ends or starts),
        "timezone": place.zone.key,
        "place": _line(head, "place", "location", "venue") or None,
        "booking_url": canonical_url(booking) if booking else None,
        "cancelled": _line(head, "cancelled").lower() in _TRUE or _line(head, "status").lower() == "cancelled",
        "uid": guid if "@" in guid else None,
        "missing": () if starts else ("starts",),
    }


def _moment(head: dict[str, Value], keys: tuple[str, ...], zone: ZoneInfo) -> datetime | date | None:
    key = next((key for key in keys if head.get(key)), None)
    if key is None:
        return None
    value = head[key]
    if isinstance(value, list):
        raise SourceError(f"its {key} is a list.")
    try:
        if isinstance(value, str):
            value = date.fromisoformat(value) if len(value) == 10 else datetime.fromisoformat(value)
    except ValueError:
        raise SourceError(
            f"its {key} '{value}' is no ISO date or time; write 2026-12-03 or 2026-12-03 14:00."
        ) from None
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=zone)
    return value


def _image(head: dict[str, Value], markup: str, place: _Place, notes: list[str]) -> tuple[str | None, str | None]:
    """Return the picture named by the head, else the first of the text; a file's picture is told by its full path."""
    named, alt = _line(head, "image"), _line(head, "image_alt")
    found = _PICTURE.search(markup)
    if found is not None and (not named or html.unescape(found[1]) == named):
        named = named or html.unescape(found[1])
        words = _ALT.search(found.group())
        alt = alt or clean_line(html.unescape(words[1]) if words else "")
    if not named:
        return None, None
    if re.match(r"(?i)[a-z][a-z0-9+.-]*:", named):
        url = canonical_url(named)
        if url is None:
            notes.append("its picture is no web address; it was left out.")
        return url, alt or None
    path = (place.folder / named.lstrip("/") if named.startswith("/") else place.file.parent / named).resolve()
    if not path.is_relative_to(place.folder.resolve()):
        notes.append(f"its picture '{named}' lies outside the folder; it was left out.")
        return None, None
    if not path.is_file():
        notes.append(f"its picture '{named}' is not there.")
        return None, None
    return str(path), alt or None


def _line(head: dict[str, Value], *keys: str) -> str:
    value = next((head[key] for key in keys if head.get(key)), "")
    return clean_line(", ".join(value) if isinstance(value, list) else value, limit=1000)


def _several(head: dict[str, Value], *keys: str) -> tuple[str, ...]:
    values: list[str] = []
    for key in keys:
        value = head.get(key) or []
        values += value if isinstance(value, list) else str(value).split(",")
    return tuple(dict.fromkeys(name for name in (clean_line(v) for v in values) if name))
