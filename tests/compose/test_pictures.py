"""Pictures: made upright, small and ours; bombs and fakes cost little and stop nothing."""

from __future__ import annotations

import os
import struct
import time
import zlib
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from newsletter.app import App
from newsletter.compose.pictures import (
    MAX_FILE_BYTES,
    add_picture_file,
    fetch_pictures,
    gather_pictures,
    picture_for,
    process_picture,
)
from newsletter.errors import SourceError
from newsletter.tables import Item, ItemKind, Picture

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)


def picture(width: int = 400, height: int = 300, form: str = "JPEG", mode: str = "RGB", **options: Any) -> bytes:
    buffer = BytesIO()
    Image.new(mode, (width, height), (200, 30, 30, 128)[: len(mode)] if mode != "P" else 3).save(
        buffer, form, **options
    )
    return buffer.getvalue()


def noise(width: int, height: int, form: str, mode: str = "RGB") -> bytes:
    buffer = BytesIO()
    Image.frombytes(mode, (width, height), os.urandom(width * height * len(mode))).save(buffer, form)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


def opened(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP"])
def test_every_accepted_type_becomes_jpeg_or_png(form: str) -> None:
    made = process_picture(picture(form=form))
    assert opened(made.data).format in ("JPEG", "PNG")
    assert (made.width, made.height) == (200, 150)


def test_a_large_picture_is_twice_the_shown_width_and_its_shown_size_is_whole() -> None:
    made = process_picture(picture(4000, 2251))
    assert opened(made.data).size == (made.width * 2, made.height * 2)
    assert (made.width, made.height) == (536, 302)


@pytest.mark.parametrize(("form", "mode"), [("PNG", "RGB"), ("PNG", "RGBA"), ("JPEG", "RGB")])
def test_even_noise_is_kept_below_200_kb(form: str, mode: str) -> None:
    made = process_picture(noise(1400, 1200, form, mode))
    assert len(made.data) < MAX_FILE_BYTES
    assert opened(made.data).size == (made.width * 2, made.height * 2)


def test_metadata_is_gone_and_the_camera_was_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    exif[0x010F] = "Camera of Jo Bloggs"
    made = process_picture(picture(400, 300, exif=exif))
    assert (made.width, made.height) == (150, 200)
    assert b"Bloggs" not in made.data
    assert not opened(made.data).getexif()


@pytest.mark.parametrize(
    ("mode", "form"), [("CMYK", "JPEG"), ("L", "PNG"), ("LA", "PNG"), ("P", "GIF"), ("1", "PNG"), ("I;16", "PNG")]
)
def test_every_colour_mode_is_converted(mode: str, form: str) -> None:
    buffer = BytesIO()
    Image.new(mode, (100, 100)).save(buffer, form)
    assert opened(process_picture(buffer.getvalue()).data).mode in ("RGB", "RGBA", "P", "L")


def test_the_same_picture_gives_the_same_name() -> None:
    data = noise(600, 400, "JPEG")
    assert process_picture(data).file_name == process_picture(data).file_name


@pytest.mark.parametrize("size", [(60_000, 60_000), (9_000, 9_000), (2_000_000_000, 2)])
def test_a_bomb_is_refused_by_its_header_at_once(size: tuple[int, int]) -> None:
    started = time.monotonic()
    with pytest.raises(SourceError):
        process_picture(png_header(*size))
    assert time.monotonic() - started < 0.5


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.4", b"BM" + b"\0" * 100, picture()[:300],
     picture(form="PNG")[:60], picture(1, 1, "GIF"), picture(form="BMP"), picture(form="TIFF")],
)  # fmt: skip
def test_what_is_no_picture_of_ours_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(SourceError):
        process_picture(data)


def an_item(url: str) -> Item:
    return Item(
        kind=ItemKind.POST, title="T", norm_title="t", image_url=url, fingerprint="x", first_seen_at=NOW, updated_at=NOW
    )


async def test_a_picture_that_fails_stops_no_other_and_says_why(site: Any, fetcher: Any) -> None:
    site.say("/good.jpg", picture())
    site.say("/fake.jpg", b"<html>")
    urls = [site.url(path) for path in ("/fake.jpg", "/good.jpg", "/none.jpg")]
    outcomes = await gather_pictures(urls, fetcher=fetcher)
    assert [outcome.picture is not None for outcome in outcomes] == [False, True, False]
    assert outcomes[0].error == "It is no JPEG, PNG, GIF or WebP picture."
    assert "404" in (outcomes[2].error or "")


async def test_a_file_is_only_read_from_the_folders_of_sources(tmp_path: Path, fetcher: Any) -> None:
    inside, outside = tmp_path / "posts" / "a.jpg", tmp_path / "b.jpg"
    inside.parent.mkdir()
    for path in (inside, outside):
        path.write_bytes(picture())
    outcomes = await gather_pictures([str(inside), str(outside)], fetcher=fetcher, folders=[tmp_path / "posts"])
    assert outcomes[0].picture is not None
    assert "outside the folders" in (outcomes[1].error or "")


def test_a_failed_picture_is_a_row_with_the_reason_and_is_tried_again(app: App) -> None:
    with app.database.write() as session:
        session.add(an_item("http://127.0.0.1/a.jpg"))
    for _time in range(2):
        outcomes = fetch_pictures(app.database, media=app.workspace.media, now=NOW)
        assert "not a public address" in (outcomes[0].error or "")
    with app.database.read() as session:
        row = session.query(Picture).one()
        assert row.file_name is None
        assert "not a public address" in (row.error or "")


def test_a_file_of_the_operator_is_kept_under_its_hash(app: App, tmp_path: Path) -> None:
    path = tmp_path / "chair.png"
    path.write_bytes(picture(800, 800, "PNG"))
    with app.database.write() as session:
        row = add_picture_file(session, path, media=app.workspace.media, now=NOW)
        assert picture_for(session, row.source_url) is row
    assert (row.width, row.height) == (400, 400)
    assert (app.workspace.media / str(row.file_name)).stat().st_size == row.bytes
    path.write_bytes(b"no picture")
    with pytest.raises(SourceError, match="chair"), app.database.write() as session:
        add_picture_file(session, path, media=app.workspace.media, now=NOW)
