"""
What a backup says of itself: which program made it, of which database, and every file with its size and hash.

It comes first in the file, so that nothing else is read before it is known to be expected, and how large it may be.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from newsletter.errors import NewsletterError

NAME = "manifest.json"
FORMAT = 1
CONFIG, NEVER_MAIL = "config.toml", "never-mail.jsonl"
SQLITE, POSTGRESQL = "newsletter.sqlite3", "database.dump"
FOLDERS = ("secrets", "media", "templates")
LONGEST_NAME = 1024
BLOCK_BYTES = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")


class BackupDamaged(NewsletterError):
    """The file is no backup of ours, or not as it was written; nothing was touched."""

    code = "backup_damaged"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a backup: its path below the workspace, with slashes."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """
    See the module.

    Attributes:
        pepper: Tells the pepper of the hashes from another, and nothing of it.
        keys: Whether `secrets/` is among the files.
        left_out: What is not, and why, in words.
        counts: Rows of each table.
    """

    program: str
    made_at: datetime
    host: str
    database: str
    revision: str
    pepper: str
    keys: bool
    left_out: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    files: tuple[Entry, ...] = ()

    def as_json(self) -> bytes:
        values = {name: getattr(self, name) for name in self.__slots__}
        values |= {
            "format": FORMAT,
            "made_at": self.made_at.isoformat(),
            "files": [{"name": e.name, "size": e.size, "sha256": e.sha256} for e in self.files],
        }
        return json.dumps(values, indent=1, ensure_ascii=True).encode()

    @classmethod
    def from_json(cls, raw: bytes) -> Manifest:
        """
        Read a manifest; every path of it lies within the workspace.

        Raises:
            BackupDamaged: When it is none, of another version, or names a file that no backup holds.
        """
        try:
            values = json.loads(raw)
            version = values["format"]
            if version != FORMAT:
                raise BackupDamaged(
                    f"The backup was made by another version of this program (format {str(version)[:20]}).",
                    hint="Restore it with the version that made it.",
                )
            return cls(
                program=str(values["program"]),
                made_at=datetime.fromisoformat(values["made_at"]),
                host=str(values["host"]),
                database=_one_of(values["database"], ("sqlite", "postgresql")),
                revision=str(values["revision"]),
                pepper=str(values["pepper"]),
                keys=values["keys"] is True,
                left_out=tuple(str(words) for words in values["left_out"]),
                counts={str(table): int(count) for table, count in values["counts"].items()},
                files=_entries(values["files"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise BackupDamaged(f"What the backup says of itself cannot be read ({type(error).__name__}).") from None

    @property
    def database_file(self) -> str:
        return SQLITE if self.database == "sqlite" else POSTGRESQL

    @property
    def size(self) -> int:
        """Return the bytes of all files, unpacked."""
        return sum(entry.size for entry in self.files)

    def holds(self, name: str) -> bool:
        return any(entry.name == name or entry.name.startswith(f"{name}/") for entry in self.files)


def hash_file(file: BinaryIO) -> tuple[int, str]:
    """Return size and SHA-256 of what is left of a file."""
    size, digest = 0, hashlib.sha256()
    while block := file.read(BLOCK_BYTES):
        size += len(block)
        digest.update(block)
    return size, digest.hexdigest()


def entry_of(name: str, path: Path) -> Entry:
    with path.open("rb") as file:
        return Entry(name, *hash_file(file))


def is_expected(name: str) -> bool:
    """Tell whether a backup may hold a file of that name: nothing outside its place, no odd path."""
    if name in (CONFIG, NEVER_MAIL, SQLITE, POSTGRESQL):
        return True
    folder, _, rest = name.partition("/")
    parts = rest.split("/")
    plain = name.isprintable() and "\\" not in name and len(name.encode()) <= LONGEST_NAME
    return folder in FOLDERS and plain and all(part not in ("", ".", "..") for part in parts)


def _entries(values: Any) -> tuple[Entry, ...]:
    found: dict[str, Entry] = {}
    for value in values:
        name, size, digest = value["name"], value["size"], value["sha256"]
        if not isinstance(name, str) or not is_expected(name) or name in found:
            raise BackupDamaged(f"The backup names a file that no backup holds: {str(name)[:80]!r}.")
        if type(size) is not int or size < 0 or not _SHA256.fullmatch(digest):
            raise BackupDamaged(f"The backup says nothing sensible of {name[:80]!r}.")
        found[name] = Entry(name, size, digest)
    return tuple(found.values())


def _one_of(value: Any, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ValueError(value)
    return str(value)
