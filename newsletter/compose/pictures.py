"""
Pictures of posts and letters: fetched, checked, resized to twice the shown width and kept in `media/` by their hash.

A picture from outside is never linked and never trusted: its real type and size are read from its header before a
pixel is decoded, and what we keep was encoded here, without the camera's metadata. One that fails is a row with the
reason; it is never fatal.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter.compose.fetching import Fetcher, Limits
from newsletter.errors import NewsletterError, SourceError
from newsletter.tables import Item, Picture, Source, SourceKind
from subscribers.db import Database

if TYPE_CHECKING:
    from PIL.Image import Image

SHOWN_WIDTH = 536
SHOWN_HEIGHT = 720
MAX_FILE_BYTES = 200_000
MAX_FETCHED_BYTES = 10_000_000
MAX_PIXELS = 40_000_000
LEAST_SIDE = 32
FETCHES_AT_ONCE = 6
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP")
_QUALITIES = (86, 80, 72, 64, 55, 46)
_SHRINK = 0.85


@dataclass(frozen=True, slots=True)
class ProcessedPicture:
    """A picture as it will be mailed: `width` and `height` are the shown size, half of the file's."""

    file_name: str
    data: bytes
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class PictureOutcome:
    """What became of one wanted picture: kept, or left out with the reason."""

    source_url: str
    picture: ProcessedPicture | None = None
    error: str | None = None


def process_picture(data: bytes) -> ProcessedPicture:
    """
    Return the picture that mail carries: upright, at most 1072 pixels wide, JPEG or PNG, below 200 kB.

    The same bytes give the same picture, so its name is its hash.

    Raises:
        SourceError: When it is no JPEG, PNG, GIF or WebP, is too large or too small, or is damaged.
    """
    from PIL import Image, UnidentifiedImageError

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            with Image.open(BytesIO(data), formats=_FORMATS) as opened:
                _check_size(opened)
                prepared = _prepare(opened)
        except UnidentifiedImageError:
            raise SourceError("It is no JPEG, PNG, GIF or WebP picture.") from None
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise SourceError(f"It has more than {MAX_PIXELS:,} pixels.") from None
        except (OSError, ValueError, SyntaxError, EOFError, Warning, MemoryError, ArithmeticError) as error:
            raise SourceError(f"The picture is damaged: {error}.") from error
    return _encode(prepared)


def store_picture(session: Session, outcome: PictureOutcome, *, media: Path, now: datetime) -> Picture:
    """Write the file, and the row that says where it came from; the items that show it are pointed to it."""
    row = session.scalars(select(Picture).where(Picture.source_url == outcome.source_url)).first()
    if row is None:
        row = Picture(source_url=outcome.source_url, fetched_at=now)
        session.add(row)
    row.fetched_at, row.error = now, outcome.error
    made = outcome.picture
    if made is not None:
        _write_once(media / made.file_name, made.data)
        row.file_name, row.width, row.height, row.bytes = made.file_name, made.width, made.height, len(made.data)
        session.flush()
        for item in session.scalars(select(Item).where(Item.image_url == outcome.source_url)):
            item.picture_id = row.id
    session.flush()
    return row


def picture_for(session: Session, source_url: str | None) -> Picture | None:
    """Return the kept picture of an address; null when there is none or it failed."""
    if source_url is None:
        return None
    return session.scalars(
        select(Picture).where(Picture.source_url == source_url, Picture.file_name.is_not(None))
    ).first()


def add_picture_file(session: Session, path: Path, *, media: Path, now: datetime) -> Picture:
    """
    Keep a picture file that the operator names, for example the chair's photograph.

    Raises:
        SourceError: When it cannot be read or is no picture.
    """
    name = str(path.resolve())
    try:
        made = process_picture(_read_file(path))
    except SourceError as error:
        raise SourceError(f"{path}: {error.message}", hint="Give a JPEG or PNG file of at most 10 MB.") from None
    return store_picture(session, PictureOutcome(name, made), media=media, now=now)


def wanted_pictures(session: Session, item_ids: Iterable[int] | None = None) -> list[str]:
    """Return the addresses of pictures that items (all, or these) name and that are not kept yet."""
    statement = select(Item.image_url).where(Item.image_url.is_not(None), Item.picture_id.is_(None)).order_by(Item.id)
    if item_ids is not None:
        statement = statement.where(Item.id.in_(list(item_ids)))
    return list(dict.fromkeys(url for url in session.scalars(statement) if url))


def fetch_pictures(
    database: Database,
    item_ids: Sequence[int] | None = None,
    *,
    media: Path,
    now: datetime,
    fetcher: Fetcher | None = None,
    on_done: Callable[[PictureOutcome], None] | None = None,
) -> list[PictureOutcome]:
    """
    Fetch, check and keep the pictures that items name; for entry points that run no event loop.

    Args:
        item_ids: Only for these items; null for all.
        media: The folder `media` of the workspace; files that are named relatively are looked for beside it.

    Returns:
        An outcome for each picture that was wanted; those that failed say why, and are tried again next time.
    """
    with database.read() as session:
        urls = wanted_pictures(session, item_ids)
        folders = picture_folders(session, media.parent)
    if not urls:
        return []
    outcomes = asyncio.run(
        gather_pictures(urls, fetcher=fetcher or Fetcher(), folders=folders, base=media.parent, on_done=on_done)
    )
    with database.write() as session:
        for outcome in outcomes:
            store_picture(session, outcome, media=media, now=now)
    return outcomes


def picture_folders(session: Session, base: Path) -> tuple[Path, ...]:
    """Return the Markdown folders of the operator: the only places from which a picture may be read as a file."""
    rows = session.scalars(select(Source.location).where(Source.kind == SourceKind.MARKDOWN))
    return tuple((base / location).resolve() for location in rows)


async def gather_pictures(
    urls: Sequence[str],
    *,
    fetcher: Fetcher,
    folders: Sequence[Path] = (),
    base: Path | None = None,
    on_done: Callable[[PictureOutcome], None] | None = None,
) -> list[PictureOutcome]:
    """Return an outcome for each address, in their order; a few are fetched at a time, one is decoded at a time."""
    fetching, decoding = asyncio.Semaphore(FETCHES_AT_ONCE), asyncio.Lock()

    async def one(url: str) -> PictureOutcome:
        try:
            async with fetching:
                data = await _load(url, fetcher, folders, base)
                async with decoding:
                    outcome = PictureOutcome(url, await asyncio.to_thread(process_picture, data))
        except NewsletterError as error:
            outcome = PictureOutcome(url, error=error.message)
        if on_done is not None:
            on_done(outcome)
        return outcome

    return list(await asyncio.gather(*(one(url) for url in urls)))


async def _load(url: str, fetcher: Fetcher, folders: Sequence[Path], base: Path | None) -> bytes:
    if not url.startswith(("http://", "https://")):
        return _load_local((base or Path()) / url, folders)
    caps = fetcher.limits
    limits = Limits(caps.seconds, MAX_FETCHED_BYTES, caps.redirects, caps.ports)
    fetched = await fetcher.fetch(url, accept="image/jpeg, image/png, image/webp, image/gif", limits=limits)
    if fetched.cut:
        raise SourceError(f"{url} is larger than {MAX_FETCHED_BYTES // 1_000_000} MB, or ended early.")
    return fetched.body


def _load_local(name: Path, folders: Sequence[Path]) -> bytes:
    path = name.resolve()
    if not any(path.is_relative_to(folder) for folder in folders):
        raise SourceError(f"{name} lies outside the folders that were added as sources.")
    return _read_file(path)


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FETCHED_BYTES + 1)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}.") from error
    if len(data) > MAX_FETCHED_BYTES:
        raise SourceError(f"{path} is larger than {MAX_FETCHED_BYTES // 1_000_000} MB.")
    return data


def _check_size(opened: Image) -> None:
    width, height = opened.size
    if width * height > MAX_PIXELS:
        raise SourceError(f"It has {width} x {height} pixels; more than {MAX_PIXELS:,} are not decoded.")
    if min(width, height) < LEAST_SIDE:
        raise SourceError(f"It is only {width} x {height} pixels, an icon or a counter rather than a picture.")


def _prepare(opened: Image) -> Image:
    """Decode, turn upright, convert to sRGB, scale down; the result carries no metadata."""
    from PIL import Image, ImageOps

    box = (SHOWN_WIDTH * 2, SHOWN_HEIGHT * 2)
    opened.draft("RGB", (box[0] * 2, box[1] * 2))  # JPEG: decode no more than is needed
    profile = opened.info.get("icc_profile")
    upright = ImageOps.exif_transpose(opened)
    has_alpha = upright.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in upright.info
    picture = _to_srgb(upright, profile, "RGBA" if has_alpha else "RGB")
    if has_alpha and picture.getchannel("A").getextrema() == (255, 255):
        picture = picture.convert("RGB")
    scale = min(1.0, box[0] / picture.width, box[1] / picture.height)
    size = _even(picture.width * scale), _even(picture.height * scale)
    scaled = picture if size == picture.size else picture.resize(size, Image.Resampling.LANCZOS)
    bare = Image.new(scaled.mode, scaled.size)
    bare.paste(scaled)
    return bare


def _to_srgb(picture: Image, profile: bytes | None, mode: str) -> Image:
    if profile and picture.mode in ("RGB", "CMYK"):
        from PIL import ImageCms

        try:
            converted = ImageCms.profileToProfile(
                picture,
                ImageCms.ImageCmsProfile(BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                outputMode="RGB",
            )
        except (ImageCms.PyCMSError, OSError, ValueError):
            converted = None  # a broken profile is no reason to lose the picture
        if converted is not None:
            return converted.convert(mode)
    return picture.convert(mode)


def _even(length: float) -> int:
    """Round to an even length, so that the shown size is a whole number of pixels."""
    return max(2, 2 * round(length / 2))


def _encode(picture: Image) -> ProcessedPicture:
    data, suffix = _smallest(picture)
    while len(data) >= MAX_FILE_BYTES:
        picture = picture.resize((_even(picture.width * _SHRINK), _even(picture.height * _SHRINK)))
        data, suffix = _smallest(picture)
    name = f"{hashlib.sha256(data).hexdigest()}.{suffix}"
    return ProcessedPicture(name, data, picture.width // 2, picture.height // 2)


def _smallest(picture: Image) -> tuple[bytes, str]:
    """Return PNG for drawings and what is transparent, JPEG for photographs; the first that fits, else the last."""
    if picture.mode == "RGBA":
        data = _save(picture, "PNG", optimize=True)
        return (data if len(data) < MAX_FILE_BYTES else _save(picture.quantize(256, method=2), "PNG")), "png"
    if picture.getcolors(256) is not None:
        data = _save(picture, "PNG", optimize=True)
        if len(data) < MAX_FILE_BYTES:
            return data, "png"
    for quality in _QUALITIES:
        data = _save(picture, "JPEG", quality=quality, optimize=True, progressive=True)
        if len(data) < MAX_FILE_BYTES:
            break
    return data, "jpg"


def _save(picture: Image, form: str, **options: object) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def _write_once(path: Path, data: bytes) -> None:
    """Write so that a reader sees the whole file or none; the name is the content's, so one that is there is right."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_bytes(data)
    partial.replace(path)
