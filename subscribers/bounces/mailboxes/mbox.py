"""
An mbox file on this machine: read, never written, from where the last look ended.

The lock that mail servers take is held while a stretch is read, not while it is judged, so that no delivery waits. A
file that was cut or rewritten is read from its beginning; what was taken already changes nothing. A mail that could
not be taken is tried again at the next looks, as in other mailboxes.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from subscribers.bounces.mailboxes.account import Account, Memory, Stopped, Tally
from subscribers.bounces.mailboxes.aside import MOST_TRIES
from subscribers.bounces.mailboxes.taking import BEGINNING_BYTES, Taker
from subscribers.errors import MailboxTrouble

STRETCH_BYTES = 2_000_000
LONGEST_LINE_BYTES = 65_536
LOCK_SECONDS, LOCK_RETRY_SECONDS = 30.0, 0.1
WITNESS_BYTES = 512  # before the position: when they are others, the file is another


@dataclass(frozen=True, slots=True)
class _Found:
    """One mail of the file: where it begins, and whether it was cut as too large."""

    place: int
    raw: bytes
    is_large: bool


class Mbox:
    """A file that a mail server appends to."""

    def __init__(self, account: Account, taker: Taker, memory: Memory) -> None:
        self.account = account
        self._taker = taker
        self._memory = memory

    def look(self, tally: Tally, stopped: Stopped) -> None:
        self._try_again(tally, stopped)
        while not stopped.is_set():
            with self._locked() as file:
                start, failed = self._position(file), self._failed(file)
                mails = list(_stretch(file, start, self.account.max_message_bytes))
                end = file.tell() if mails else start
                witness = _witness(file, end)
            if end == start:
                return
            failed |= {mail.place: 1 for mail in mails if not self._takes(mail, tally)}
            self._save(end, witness, failed)

    def _try_again(self, tally: Tally, stopped: Stopped) -> None:
        """Take what could not be taken at the looks before; after the last try it is left to a person."""
        with self._locked() as file:
            position, failed = self._position(file), self._failed(file)
            witness = _witness(file, position)
        for place, tries in list(failed.items()):
            if stopped.is_set():
                break
            with self._locked() as file:
                mail = next(_stretch(file, place, self.account.max_message_bytes), None)
            if mail is None or self._takes(mail, tally) or tries + 1 >= MOST_TRIES:
                del failed[place]
            else:
                failed[place] = tries + 1
            self._save(position, witness, failed)

    def _takes(self, mail: _Found, tally: Tally) -> bool:
        """Return whether that is all that is to be done for a mail."""
        if mail.is_large and not self._taker.takes_beginning(mail.raw, tally):
            return True
        return self._taker.take(mail.raw, tally) is not None

    def _save(self, position: int, witness: str, failed: dict[int, int]) -> None:
        again = {"again": {str(place): tries for place, tries in failed.items()}} if failed else {}
        self._memory.save({"position": position, "witness": witness, **again})

    def _failed(self, file: BinaryIO) -> dict[int, int]:
        """Return where the mails begin that are to be tried again, and how often each was."""
        again = self._memory.load().get("again")
        if not isinstance(again, dict) or not self._position(file):
            return {}
        return {int(place): int(tries) for place, tries in again.items()}

    def wait(self, seconds: float, stopped: Stopped) -> None:
        stopped.wait(seconds)

    def check(self) -> str:
        with self._locked() as file:
            size = os.fstat(file.fileno()).st_size
            return f"holds {size} bytes, {size - self._position(file)} of them not read yet"

    def close(self) -> None:
        """Nothing is kept open."""

    @contextmanager
    def _locked(self) -> Iterator[BinaryIO]:
        try:
            descriptor = os.open(self.account.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(descriptor, "rb") as file:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise OSError(errno.EINVAL, "it is no file")
                _lock(descriptor)
                yield file
        except OSError as error:
            hint = "Check bounces.mailboxes.path, and that this program's user may read it."
            words = f"{self.account.path} cannot be read: {error.strerror}."
            raise MailboxTrouble(words, lasting=True, hint=hint) from error

    def _position(self, file: BinaryIO) -> int:
        """Return where the last look ended; 0 when the file is another than it was then."""
        known = self._memory.load()
        position, witness = known.get("position"), known.get("witness")
        if not isinstance(position, int) or position > os.fstat(file.fileno()).st_size:
            return 0
        return position if _witness(file, position) == witness else 0


def _lock(descriptor: int) -> None:
    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # POSIX allows either
            if time.monotonic() > until:
                raise OSError(errno.EAGAIN, "another program keeps it locked") from None
            time.sleep(LOCK_RETRY_SECONDS)
        else:
            return


def _witness(file: BinaryIO, position: int) -> str:
    at = file.tell()
    file.seek(max(0, position - WITNESS_BYTES))
    digest = hashlib.sha256(file.read(min(position, WITNESS_BYTES))).hexdigest()
    file.seek(at)
    return digest


def _stretch(file: BinaryIO, start: int, most_bytes: int) -> Iterator[_Found]:
    """
    Yield whole mails from *start* on, until enough is in hand.

    A mail begins with a ``From `` line at the beginning of the file or after an empty line. The file's position is
    then where the next mail begins.
    """
    file.seek(start)
    parts: list[bytes] = []
    size, in_hand, fresh, empty_before, here, place = 0, 0, True, True, start, start
    for line in iter(lambda: file.readline(LONGEST_LINE_BYTES), b""):
        if fresh and empty_before and line.startswith(b"From ") and here > start:
            yield _mail(place, parts, size, most_bytes)
            if in_hand > STRETCH_BYTES:
                file.seek(here)
                return
            parts, size, place = [], 0, here
        if size <= most_bytes:
            parts.append(line)
            in_hand += len(line)
        empty_before, fresh = fresh and line in (b"\n", b"\r\n"), line.endswith(b"\n")
        size += len(line)
        here += len(line)
    if parts:
        yield _mail(place, parts, size, most_bytes)


def _mail(place: int, parts: list[bytes], size: int, most_bytes: int) -> _Found:
    raw = b"".join(parts)
    return _Found(place, raw[:BEGINNING_BYTES], True) if size > most_bytes else _Found(place, raw, False)
