"""
The file format of a backup: a compressed tar archive, read by rules that are stricter than tar's.

Written by the standard library, so that `tar` can open it too. Read here: plain files alone, exactly those that the
manifest names, in its order, none larger than it says. There is no way to write a link, a device or a path outside.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NoReturn

from newsletter.backup.manifest import BLOCK_BYTES, LONGEST_NAME, NAME, BackupDamaged, Entry, Manifest

LARGEST_MANIFEST = 64 << 20
# Most of a backup is compressed already, or a database: more effort makes it hardly smaller, and twice as slow.
LEVEL = 1
_BLOCK = 512
_REGULAR, _LONG_NAME = b"0", b"L"
Tell = Callable[[int], None]


def write(target: BinaryIO, manifest: Manifest, paths: Iterable[tuple[Entry, Path]], tell: Tell) -> None:
    """
    Write the archive to a stream; *tell* is given the bytes that were read from each block on.

    Raises:
        BackupDamaged: When a file is not what the manifest says of it: it changed meanwhile.
    """
    with (
        gzip.GzipFile("", "wb", LEVEL, target, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.GNU_FORMAT, encoding="utf-8") as archive,
    ):
        said = manifest.as_json()
        archive.addfile(_info(NAME, len(said)), BytesIO(said))
        for entry, path in paths:
            with path.open("rb") as file:
                watched = _Watched(file, tell)
                try:
                    archive.addfile(_info(entry.name, entry.size), watched)
                except OSError as error:
                    if error.errno is None:  # tarfile's own: the file is shorter than it was
                        _changed(entry)
                    raise
                if watched.sha256.hexdigest() != entry.sha256:
                    _changed(entry)


class Reader:
    """
    Reads an archive from a stream, once, from its beginning.

    Raises:
        BackupDamaged: From every method, when it is not as it was written.
    """

    def __init__(self, source: BinaryIO) -> None:
        self._packed = gzip.GzipFile(fileobj=source, mode="rb")
        self.manifest = self._read_manifest()

    def files(self) -> Iterator[tuple[Entry, Iterator[bytes]]]:
        """Yield each file with its blocks, which are to be taken before the next; its hash is checked with the last."""
        for entry in self.manifest.files:
            name, size = self._header()
            if (name, size) != (entry.name, entry.size):
                raise BackupDamaged(f"The backup holds {name[:80]!r} where {entry.name[:80]!r} should stand.")
            yield entry, self._checked(entry)
            self._skip_padding(size)
        if self._take(_BLOCK) != bytes(_BLOCK):
            raise BackupDamaged("The backup holds more than it says.")
        with _damage():
            while self._packed.read(BLOCK_BYTES):  # to its end, so that its own check sum is compared
                pass

    def _read_manifest(self) -> Manifest:
        name, size = self._header()
        if name != NAME or size > LARGEST_MANIFEST:
            raise BackupDamaged("This is not a backup of this program: it does not begin with a manifest.")
        said = Manifest.from_json(self._take(size))
        self._skip_padding(size)
        return said

    def _checked(self, entry: Entry) -> Iterator[bytes]:
        digest, left = hashlib.sha256(), entry.size
        while left:
            block = self._take(min(left, BLOCK_BYTES))
            digest.update(block)
            left -= len(block)
            yield block
        if digest.hexdigest() != entry.sha256:
            raise BackupDamaged(f"{entry.name} in the backup is not as it was written: its hash differs.")

    def _header(self) -> tuple[str, int]:
        """Return name and size of the next file. Source: POSIX.1-2017 pax, "ustar Interchange Format"."""
        header = self._take(_BLOCK)
        long_name = None
        if header[156:157] == _LONG_NAME:
            size = _number(header[124:136])
            if size > LONGEST_NAME + 1:
                raise BackupDamaged("The backup holds a name that is too long.")
            long_name = self._take(size).rstrip(b"\0")
            self._skip_padding(size)
            header = self._take(_BLOCK)
        stated = _number(header[148:156])
        if stated != sum(header[:148]) + sum(header[156:]) + 8 * ord(" "):
            raise BackupDamaged("This is not a backup of this program, or it is damaged.")
        if header[156:157] != _REGULAR:
            raise BackupDamaged("The backup holds something that is no plain file.")
        try:
            name = (long_name or header[:100].rstrip(b"\0")).decode()
        except UnicodeDecodeError:
            raise BackupDamaged("The backup holds a name that cannot be read.") from None
        return name, _number(header[124:136])

    def _skip_padding(self, size: int) -> None:
        self._take(-size % _BLOCK)

    def _take(self, size: int) -> bytes:
        parts = []
        with _damage():
            while size:
                block = self._packed.read(size)
                if not block:
                    raise EOFError
                parts.append(block)
                size -= len(block)
        return b"".join(parts)


@contextmanager
def _damage() -> Iterator[None]:
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise BackupDamaged("The file is no backup of this program, or is cut off or damaged.") from None


class _Watched:
    """A file that hashes and counts what is read of it."""

    def __init__(self, file: BinaryIO, tell: Tell) -> None:
        self._file, self._tell = file, tell
        self.sha256 = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        block = self._file.read(size)
        self.sha256.update(block)
        self._tell(len(block))
        return block


def _info(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    return info


def _number(field: bytes) -> int:
    """Read a number: octal digits, or where it is large, base 256 with the highest bit set. Source: GNU tar manual."""
    try:
        return int.from_bytes(field[1:], "big") if field[0] == 0x80 else int(field.rstrip(b"\0 ") or b"0", 8)
    except ValueError:
        raise BackupDamaged("This is not a backup of this program, or it is damaged.") from None


def _changed(entry: Entry) -> NoReturn:
    raise BackupDamaged(f"{entry.name} changed while the backup was made.", hint="Make the backup again.")


def write_private(path: Path, blocks: Iterable[bytes], tell: Tell) -> None:
    """Write a file that only its owner can read, never over or through one that is there; durable at the return."""
    _make_folder(path.parent)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for block in blocks:
            file.write(block)
            tell(len(block))
        file.flush()
        os.fsync(descriptor)


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, each for its owner only."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(mode=0o700)
