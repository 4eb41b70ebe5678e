"""
Two test languages made from the texts of the site as they are now, so that each page is tried as translators make it.

The long one is half as long again as the English and has no English word of its own left in it; the Arabic one is
read from right to left.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.frontend import CommandLineInterface
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parent.parent.parent
REVIEWED = "# Reviewed-by: the tests, today"
LONG, ARABIC = "eo", "ar"
_KEPT = re.compile(r"(%\([a-z_]+\)[sd]|%%|<[^>]*>|&[a-z]+;)")
_LETTERS = str.maketrans("abcdefghijklmnopqrstuvwxyz", "ابجدهوزحطيكلمنسعفصقرشتثخذض")
_ACCENTED = str.maketrans("abcdefghijklmnopqrstuvwxyzACEINOSUYZ", "áƀçđéƒĝĥíĵķļɱñóþʠŕšţúṽŵẋýžÁÇÉÍÑÓŠÚÝŽ")


@cache
def texts() -> Catalog:
    """Return what `make translations` finds."""
    target = ROOT / "build" / "site-of-the-tests.pot"
    target.parent.mkdir(exist_ok=True)
    arguments = ["-F", str(ROOT / "pyproject.toml"), "-k", "marked", "-o", str(target), str(ROOT)]
    CommandLineInterface().run(["pybabel", "-q", "extract", *arguments])  # type: ignore[no-untyped-call]
    with target.open("rb") as file:
        found = read_po(file)
    target.unlink()
    return found


def long(text: str) -> str:
    """Return the text with every letter accented and half as much again behind it."""
    words = _outside(text, lambda part: part.translate(_ACCENTED))
    return f"⟦{words} {'ẋ' * 7} {'ý' * max(1, len(text) // 2 - 8)}⟧" if len(text) < 40 else f"⟦{words} {words}⟧"


def arabic(text: str) -> str:
    return _outside(text, lambda part: part.lower().translate(_LETTERS))


def _outside(text: str, change: object) -> str:
    assert callable(change)
    return "".join(part if _KEPT.fullmatch(part) else change(part) for part in _KEPT.split(text))


def write_catalogues(templates: Path, *, head: str = REVIEWED) -> None:
    """Put both languages into the workspace's folder of templates."""
    folder = templates / "web" / "translations"
    folder.mkdir(parents=True, exist_ok=True)
    for tag, change in ((LONG, long), (ARABIC, arabic)):
        made = Catalog(locale=tag, header_comment=head, fuzzy=False)
        for message in texts():
            if isinstance(message.id, tuple):
                made.add(message.id, tuple(change(message.id[-1]) for _ in range(made.num_plurals)))
            elif message.id:
                made.add(message.id, change(message.id))
        with (folder / f"{tag}.po").open("wb") as file:
            write_po(file, made)
