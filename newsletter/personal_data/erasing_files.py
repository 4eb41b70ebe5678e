"""
A person taken out of the files that commands left in the workspace: rows out of error files, all else is named.

So are older copies of the database that are known of, which hold everybody: to delete one is a person's decision.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

from newsletter.paths import Workspace
from newsletter.personal_data.retention_rows import ERROR_FILES
from subscribers.db import Database

LARGEST_READ_BYTES = 200_000_000


@dataclass(frozen=True, slots=True)
class Files:
    """How many rows went from error files, and which other files still hold the address."""

    rows: int
    left: tuple[Path, ...]


def older_copies(workspace: Workspace, database: Database) -> list[str]:
    """Return, in words, the backups and old databases here that still hold who is erased now."""
    backups = [path for path in workspace.backups.rglob("*") if path.is_file()] if workspace.backups.is_dir() else []
    found = [f"{path}" for path in (*sorted(backups), *sorted(workspace.root.glob("before-restore-*")))]
    if database.is_sqlite:
        return found
    if workspace.database.exists():
        found.append(f"{workspace.database}, the database that was moved to PostgreSQL")
    with database.read() as session:
        names = session.scalars(text("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'before\\_restore\\_%'"))
        found += [f"the schema {name} of the database" for name in sorted(names)]
    return found


def mention_of(address: str) -> re.Pattern[str]:
    """Return what finds an address where it is written out, and not within a longer one of somebody else."""
    return re.compile(rf"(?<![\w.%+-]){re.escape(address)}(?!-?\w|\.\w)", re.IGNORECASE)


def forget_in_files(folder: Path, addresses: Iterable[str]) -> Files:
    """Take every row with one of the addresses out of error files; name other files that hold one."""
    wanted = [mention_of(address) for address in addresses]
    rows, left = 0, []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if not _holds(path, wanted):
            continue
        taken = _take_rows(path, wanted) if path.match(ERROR_FILES) else 0
        rows += taken
        if not taken:
            left.append(path)
    return Files(rows, tuple(left))


def _holds(path: Path, wanted: list[re.Pattern[str]]) -> bool:
    if path.stat().st_size > LARGEST_READ_BYTES:
        return False
    content = path.read_bytes().decode("utf-8", "replace")
    return any(mention.search(content) for mention in wanted)


def _take_rows(path: Path, wanted: list[re.Pattern[str]]) -> int:
    """Rewrite an error file without these rows, or delete it when none is left; 0 when it cannot be read as one."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            heading, *rows = list(csv.reader(file))
    except (csv.Error, UnicodeDecodeError, ValueError):
        return 0
    kept = [row for row in rows if not any(mention.search(cell) for cell in row for mention in wanted)]
    if not kept:
        path.unlink()
        return len(rows)
    draft = path.with_suffix(".new")
    with os.fdopen(
        os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8-sig", newline=""
    ) as out:
        csv.writer(out).writerows([heading, *kept])
    draft.replace(path)
    return len(rows) - len(kept)
