"""
Changes one value in the text of a configuration, so that comments and all else stay as they are.

What comes out says the same as before save for that value, or nothing is changed at all.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path

from newsletter.errors import InvalidValue

_HEADER = re.compile(r"^\s*\[\s*database\s*\]\s*(#.*)?$")
_ANY_HEADER = re.compile(r"^\s*\[")
_URL = re.compile(r"^\s*(#\s*)?url\s*=")


def set_database_url(text: str, url: str) -> str:
    """
    Return the text with another `database.url`.

    Raises:
        InvalidValue: When it is written in a way that this cannot change.
    """
    line = f"url = {json.dumps(url, ensure_ascii=False)}"
    lines = text.split("\n")
    start = next((n for n, old in enumerate(lines) if _HEADER.match(old)), None)
    if start is None:
        changed = text.rstrip("\n") + f"\n\n[database]\n{line}\n"
    else:
        end = next((n for n in range(start + 1, len(lines)) if _ANY_HEADER.match(lines[n])), len(lines))
        places = [n for n in range(start + 1, end) if _URL.match(lines[n])]
        place = next((n for n in places if not lines[n].lstrip().startswith("#")), None)
        new = [*lines[: start + 1], line, *lines[start + 1 :]] if place is None else lines
        if place is not None:
            new[place] = line
        changed = "\n".join(new)
    _check(text, changed, url)
    return changed


def write_config(path: Path, text: str) -> None:
    """Replace the file at once, mode 0600."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    draft.replace(path)


def _check(before: str, after: str, url: str) -> None:
    expected = tomllib.loads(before.removeprefix("\ufeff"))
    problem = InvalidValue(
        "database.url is written in the configuration in a way that this program does not change.",
        hint="Write it by hand below [database]: url = ...",
    )
    try:
        found = tomllib.loads(after.removeprefix("\ufeff"))
        expected.setdefault("database", {})["url"] = url
    except (tomllib.TOMLDecodeError, TypeError, AttributeError):
        raise problem from None
    if found != expected:
        raise problem
