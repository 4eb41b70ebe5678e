"""The pictures of the sample network, drawn when the demonstration runs, so that none has to be shipped."""

from __future__ import annotations

import math
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[int, int, int]
LANDSCAPE = (1200, 640)
PORTRAIT = (480, 480)
SMOOTH = 2  # drawn twice as large, then reduced: soft edges

MORNING: tuple[Colour, Colour] = ((250, 214, 165), (253, 243, 224))
HILLS: tuple[Colour, ...] = ((147, 178, 158), (103, 148, 124), (62, 112, 92), (32, 78, 66))
SUN: Colour = (255, 250, 235)
CALM: tuple[Colour, Colour] = ((12, 92, 75), (88, 154, 134))
SKIN: Colour = (226, 182, 150)
HAIR: Colour = (72, 52, 46)
COAT: Colour = (243, 236, 220)


def draw_allotment(path: Path) -> None:
    """Draw rows of plants below hills in the morning."""
    width, height = LANDSCAPE[0] * SMOOTH, LANDSCAPE[1] * SMOOTH
    picture = _gradient((width, height), MORNING)
    pen = ImageDraw.Draw(picture)
    pen.ellipse(_circle(width * 0.72, height * 0.30, height * 0.11), fill=SUN)
    for number, colour in enumerate(HILLS):
        pen.polygon(_hill(width, height, number), fill=colour)
    for row in range(5):
        y = height * (0.80 + row * 0.045)
        for step in range(26):
            x = width * (step / 25) + row * 31
            size = height * (0.008 + row * 0.003)
            pen.ellipse(_circle(x, y, size), fill=(120 + row * 12, 170 + row * 8, 96))
    picture.resize(LANDSCAPE, Image.Resampling.LANCZOS).save(path)


def draw_portrait(path: Path) -> None:
    """Draw somebody who is nobody: the chair."""
    width, height = PORTRAIT[0] * SMOOTH, PORTRAIT[1] * SMOOTH
    picture = _gradient((width, height), CALM)
    pen = ImageDraw.Draw(picture)
    middle = width / 2
    pen.ellipse((width * 0.12, height * 0.68, width * 0.88, height * 1.4), fill=COAT)
    pen.rectangle((middle - width * 0.08, height * 0.5, middle + width * 0.08, height * 0.74), fill=SKIN)
    pen.ellipse(_circle(middle, height * 0.36, width * 0.245), fill=HAIR)
    pen.ellipse((middle - width * 0.19, height * 0.20, middle + width * 0.19, height * 0.62), fill=SKIN)
    pen.chord((middle - width * 0.22, height * 0.13, middle + width * 0.22, height * 0.44), 180, 360, fill=HAIR)
    picture = picture.filter(ImageFilter.GaussianBlur(SMOOTH))
    picture.resize(PORTRAIT, Image.Resampling.LANCZOS).save(path)


def _gradient(size: tuple[int, int], colours: tuple[Colour, Colour]) -> Image.Image:
    column = Image.new("RGB", (1, size[1]))
    top, bottom = colours
    for y in range(size[1]):
        part = y / size[1]
        column.putpixel((0, y), tuple(round(a + (b - a) * part) for a, b in zip(top, bottom, strict=True)))
    return column.resize(size)


def _hill(width: int, height: int, number: int) -> list[tuple[float, float]]:
    base, swing = height * (0.46 + number * 0.105), height * (0.085 - number * 0.014)
    edge = [
        (float(x), base + swing * math.sin(x / width * (4.1 + number * 1.3) + number * 2.2))
        for x in range(0, width + 8, 8)
    ]
    return [(0.0, float(height)), *edge, (float(width), float(height))]


def _circle(x: float, y: float, radius: float) -> tuple[float, float, float, float]:
    return (x - radius, y - radius, x + radius, y + radius)
