"""
The file outside the database that says who is never mailed: one JSON line for each change, only ever appended to.

Each line carries a keyed sum of itself and of the sum before, so that a line that was changed, taken out or put in is
found. What stands after the last line's end was torn by a crash: it was never promised to anybody, and goes with the
next append. Nothing here knows the database.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from subscribers.errors import Conflict, InvalidValue
from subscribers.never_mail.changes import Change

KIND, VERSION = "who is never mailed", 1
LONGEST_LINE = 4096
SUM_BYTES = 16
_NO_SUM = bytes(SUM_BYTES)
_ENDING = len(b',"sum":"') + 2 * SUM_BYTES + len(b'"}')
LOCK_SECONDS = 5.0


class FileDamaged(InvalidValue):
    """A line of the file is not as it was written."""

    code = "damaged"


class ForeignFile(Conflict):
    """The file was kept under another pepper: its hashes say nothing here."""

    code = "foreign"


@dataclass(frozen=True, slots=True)
class Tail:
    """How a file ends: the mark of its last change (None when it holds none), the sum to go on from, and where."""

    mark: bytes | None
    sum: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Read:
    """One line read back: its number in the file, and the change, or None where it is damaged."""

    number: int
    change: Change | None


class NeverMailFile:
    """
    The file at *path*; the pepper keys its sums.

    Raises:
        ForeignFile: From all that reads it, when another pepper made it.
    """

    def __init__(self, path: Path, pepper: bytes) -> None:
        self.path = path
        self._key = hmac.digest(pepper, b"newsletter:never-mail sums", hashlib.sha256)
        self._pepper = pepper_print(pepper)

    def tail(self) -> Tail | None:
        """
        Return how the file ends; None when there is none yet, or nothing whole in it.

        Raises:
            FileDamaged: When its last line is not as it was written.
        """
        try:
            with self.path.open("rb") as file:
                header = self._header(file.readline(LONGEST_LINE))
                if header is None:
                    return None
                start = max(0, os.fstat(file.fileno()).st_size - 2 * LONGEST_LINE - 1)
                while True:
                    file.seek(start)
                    lines = file.read().split(b"\n")
                    whole = lines[1 if start else 0 : -1]
                    if len(whole) >= 2 or start == 0:
                        break
                    start = max(0, start - 2 * LONGEST_LINE)  # what was torn is long
        except FileNotFoundError:
            return None
        size = start + len(b"\n".join(lines[:-1])) + 1
        if start == 0 and len(whole) == 1:
            return Tail(None, header, size)
        before = header if len(whole) == 2 and start == 0 else _stated_sum(whole[-2])
        change = self._change(whole[-1], before)
        if change is None:
            raise FileDamaged(f"The last line of {self.path} is not as it was written.")
        return Tail(change.mark, _stated_sum(whole[-1]), size)

    def append(self, changes: Iterable[list[Change]], tail: Tail | None) -> int:
        """Write changes after the tail, durable when this returns; return how many. A new file has mode 0600."""
        written = 0
        with self._open(tail) as (file, running):
            for chunk in changes:
                lines = []
                for change in chunk:
                    line, running = self._line(_body(change.as_json()), running)
                    lines.append(line)
                file.write(b"".join(lines))
                written += len(lines)
            file.flush()
            os.fsync(file.fileno())
        return written

    def read(self) -> Iterator[Read]:
        """Yield every whole line; one that is damaged without its change. What was torn off at the end is left out."""
        with self.path.open("rb") as file:
            running = self._header(file.readline(LONGEST_LINE))
            if running is None:
                return
            for number, line in enumerate(_whole_lines(file), start=2):
                yield Read(number, self._change(line, running))
                running = _stated_sum(line)

    @contextmanager
    def _open(self, tail: Tail | None) -> Iterator[tuple[BinaryIO, bytes]]:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            os.fchmod(descriptor, 0o600)
            if tail is None:
                os.ftruncate(descriptor, 0)
                header = {"file": KIND, "version": VERSION, "pepper": self._pepper}
                line, running = self._line(_body(header), _NO_SUM)
                file.write(line)
                file.flush()
                os.fsync(descriptor)
                sync_folder(self.path.parent)
            else:
                os.ftruncate(descriptor, tail.size)
                running = tail.sum
                file.seek(tail.size)
            yield file, running

    def _line(self, body: bytes, before: bytes) -> tuple[bytes, bytes]:
        made = hmac.digest(self._key, before + body, hashlib.sha256)[:SUM_BYTES]
        return body[:-1] + b',"sum":"' + made.hex().encode() + b'"}\n', made

    def _header(self, line: bytes) -> bytes | None:
        """Return the sum of the first line; None when it was torn."""
        if not line.endswith(b"\n"):
            return None
        try:
            values = json.loads(line)
            pepper, version, kind = values["pepper"], values["version"], values["file"]
        except (ValueError, KeyError, TypeError):
            raise FileDamaged(f"{self.path} does not begin as a file of this program.") from None
        if kind != KIND or version != VERSION:
            raise FileDamaged(f"{self.path} is of another kind or version ({str(kind)[:40]}, {str(version)[:10]}).")
        if pepper != self._pepper:
            raise ForeignFile(
                f"{self.path} was kept with another pepper: who stands in it is not known here.",
                hint="Use it with the keys of the workspace that it comes from.",
            )
        if not self._holds(line[:-1], _NO_SUM):
            raise FileDamaged(f"The first line of {self.path} is not as it was written.")
        return _stated_sum(line[:-1])

    def _change(self, line: bytes, before: bytes) -> Change | None:
        if not self._holds(line, before):
            return None
        try:
            return Change.from_json(json.loads(line))
        except (ValueError, KeyError, TypeError):
            return None

    def _holds(self, line: bytes, before: bytes) -> bool:
        expected, _ = self._line(line[:-_ENDING] + b"}", before)
        return hmac.compare_digest(expected, line + b"\n")


def pepper_print(pepper: bytes) -> str:
    """Return what tells a pepper from another, and nothing of it."""
    return hmac.digest(pepper, b"newsletter:print of the pepper", hashlib.sha256)[:8].hex()


@contextmanager
def alone(lock: Path, *, seconds: float = LOCK_SECONDS) -> Iterator[bool]:
    """Yield whether nobody else appends; wait a little for whoever does."""
    lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield _locked(descriptor, time.monotonic() + seconds)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make a name durable that was made, or changed, in a folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _locked(descriptor: int, until: float) -> bool:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(0.02)
        else:
            return True


def _whole_lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield lines without their ends; one that is too long to be ours as its beginning, one without an end not."""
    while line := file.readline(LONGEST_LINE):
        if line.endswith(b"\n"):
            yield line[:-1]
            continue
        rest = line
        while rest and not rest.endswith(b"\n"):
            rest = file.readline(LONGEST_LINE)
        if rest:
            yield line


def _body(values: dict[str, object]) -> bytes:
    return json.dumps(values, ensure_ascii=True, separators=(",", ":")).encode()


def _stated_sum(line: bytes) -> bytes:
    """Return the sum that a line says it has; of a line that says none, nothing that another could go on from."""
    try:
        return bytes.fromhex(line[-2 - 2 * SUM_BYTES : -2].decode("ascii"))
    except ValueError:
        return b"damaged"
