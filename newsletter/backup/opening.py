"""
Opens a backup into a folder of its own and checks all of it; nothing that stands is touched here.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from newsletter.backup import container
from newsletter.backup.database_copy import check_dump, check_sqlite
from newsletter.backup.encryption import decrypting
from newsletter.backup.making import Watcher
from newsletter.backup.manifest import BackupDamaged, Manifest
from newsletter.errors import WorkspaceError
from newsletter.migrations import refuse_newer

ROOM_LEFT_BYTES = 100 << 20  # what a restore leaves free on the disk


def read_through(path: Path, identity: Path | None, watcher: Watcher) -> Manifest:
    """
    Read a backup to its end, every hash checked, and write nothing of it anywhere; return what it says of itself.

    Raises:
        BackupDamaged: When anything in it is not as it was written.
        EncryptionTrouble: When it cannot be decrypted.
    """
    watcher.step("Reading and checking")
    done = 0
    with decrypting(path, identity) as source:
        reader = container.Reader(source)
        for _, blocks in reader.files():
            for block in blocks:
                done += len(block)
                watcher.tell(done, reader.manifest.size)
    if not reader.manifest.holds(reader.manifest.database_file):
        raise BackupDamaged("The backup holds no database.")
    return reader.manifest


def unpack(path: Path, folder: Path, identity: Path | None, watcher: Watcher) -> Manifest:
    """
    Unpack a backup into an empty folder, every hash checked, and return what it says of itself.

    Raises:
        BackupDamaged: When anything in it is not as it was written.
        EncryptionTrouble: When it cannot be decrypted.
        WorkspaceError: When the disk has no room for it.
        DatabaseUnavailable: When a newer program made it.
    """
    watcher.step("Unpacking and checking")
    done = 0
    with decrypting(path, identity) as source:
        reader = container.Reader(source)
        manifest = reader.manifest
        _require_room(folder, manifest.size)
        refuse_newer(manifest.revision)

        def tell(size: int) -> None:
            nonlocal done
            done += size
            watcher.tell(done, manifest.size)

        for entry, blocks in reader.files():
            try:
                container.write_private(folder / entry.name, blocks, tell)
            except (FileExistsError, NotADirectoryError, IsADirectoryError):
                raise BackupDamaged(f"The backup holds {entry.name[:80]!r} twice, or as a folder too.") from None
    return manifest


def check_contents(folder: Path, manifest: Manifest) -> None:
    """
    Check that what is needed is there, and that the copy of the database is sound and holds what was counted.

    Raises:
        BackupDamaged: When it is not.
    """
    if not manifest.holds(manifest.database_file):
        raise BackupDamaged("The backup holds no database.")
    if manifest.keys and not manifest.holds("secrets/pepper.key"):
        raise BackupDamaged("The backup says that it holds the keys, and does not.")
    if manifest.database == "postgresql":
        check_dump(folder / manifest.database_file)
        return
    counts = check_sqlite(folder / manifest.database_file)
    if counts != dict(manifest.counts):
        other = sorted({name for name, _ in counts.items() ^ manifest.counts.items()})
        raise BackupDamaged(f"The copy of the database does not hold what was counted: {', '.join(other)}.")


def _require_room(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size + ROOM_LEFT_BYTES > free:
        raise WorkspaceError(
            f"The backup holds {size / 2**20:,.0f} MB, and only {free / 2**20:,.0f} MB are free in {folder}.",
            hint="Free some space, or restore into a folder on another disk: --into DIR",
        )
