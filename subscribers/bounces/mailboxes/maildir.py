"""
A Maildir on this machine: each mail is taken, then moved into the sub-folder of its kind; nothing is deleted.

A sub-folder is ``.Name`` beside ``new`` and ``cur``, as Dovecot and Courier have them. A move is a rename: whenever
this program is stopped, a mail is in one place or the other.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from subscribers.bounces.intake import Disposition
from subscribers.bounces.mailboxes.account import DAMAGED, Account, Memory, Stopped, Tally
from subscribers.bounces.mailboxes.aside import Aside
from subscribers.bounces.mailboxes.taking import BEGINNING_BYTES, Taker
from subscribers.errors import MailboxTrouble

PARTS = ("cur", "new", "tmp")
SEEN = ":2,S"


class Maildir:
    """A folder that a mail server or a mail filter delivers into."""

    def __init__(self, account: Account, taker: Taker, memory: Memory) -> None:
        self.account = account
        self._taker = taker
        self._aside = Aside(memory)
        self._root = Path(account.path)

    def look(self, tally: Tally, stopped: Stopped) -> None:
        found = list(self._mails())
        self._aside.open("maildir", {_name(path) for path in found})
        try:
            for path in found:
                if stopped.is_set():
                    return
                if not self._aside.holds(_name(path)):
                    self._take(path, tally)
        except OSError as error:
            raise self._trouble(error) from error
        finally:
            self._aside.save()

    def wait(self, seconds: float, stopped: Stopped) -> None:
        stopped.wait(seconds)

    def check(self) -> str:
        count = sum(1 for _ in self._mails())
        for folder in (self._root, self._root / "new", self._root / "cur"):
            if not os.access(folder, os.W_OK | os.X_OK):
                raise MailboxTrouble(
                    f"Mail cannot be moved out of {folder}.", lasting=True, hint="Check owner and mode."
                )
        return f"holds {count} mails"

    def close(self) -> None:
        """Nothing is kept open."""

    def _mails(self) -> Iterator[Path]:
        """Yield the mails, oldest first; what is no plain file of its own is none."""
        try:
            entries = [e for part in ("new", "cur") for e in os.scandir(self._root / part) if e.name[0] != "."]
        except OSError as error:
            raise self._trouble(error) from error
        plain = [
            (e.stat(follow_symlinks=False).st_mtime_ns, e.path) for e in entries if e.is_file(follow_symlinks=False)
        ]
        return (Path(path) for _, path in sorted(plain))

    def _take(self, path: Path, tally: Tally) -> None:
        try:
            raw, large = _read(path, self.account.max_message_bytes)
        except FileNotFoundError:
            return  # somebody else has moved it meanwhile
        except OSError:
            self._aside.tried(_name(path))
            tally.left[DAMAGED] += 1
            return
        if large and not self._taker.takes_beginning(raw, tally):
            self._aside.put(_name(path))
            return
        disposition = self._taker.take(raw, tally)
        if disposition is None:
            self._aside.tried(_name(path))
        else:
            self._move(path, self._made(disposition))

    def _move(self, path: Path, folder: Path) -> None:
        target = folder / "cur" / (path.name if ":2," in path.name else path.name + SEEN)
        while target.exists():  # names are made to be unique, so this is a copy that somebody made by hand
            target = target.with_name(f"again.{target.name}")
        path.rename(target)

    def _made(self, disposition: Disposition) -> Path:
        folder = self._root / f".{self.account.targets[disposition].replace('/', '.')}"
        if not (folder / "cur").is_dir():
            mode = self._root.stat()
            for made in (folder, *(folder / part for part in PARTS)):
                made.mkdir(exist_ok=True)
                made.chmod(stat.S_IMODE(mode.st_mode))
                if os.geteuid() == 0:
                    os.chown(made, mode.st_uid, mode.st_gid)
            (folder / "maildirfolder").touch()
        return folder

    def _trouble(self, error: OSError) -> MailboxTrouble:
        absent = isinstance(error, FileNotFoundError | NotADirectoryError)
        words = "is no Maildir: it has no new and cur" if absent else f"cannot be used: {error.strerror}"
        hint = "Check bounces.mailboxes.path, and that this program's user may read and write there."
        return MailboxTrouble(f"{self.account.path} {words}.", lasting=True, hint=hint)


def _read(path: Path, most_bytes: int) -> tuple[bytes, bool]:
    """Return a mail, or the beginning of a large one; a link is not followed."""
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
        large = os.fstat(file.fileno()).st_size > most_bytes
        return file.read(BEGINNING_BYTES if large else most_bytes), large


def _name(path: Path) -> str:
    """Return the part of a mail's name that stays when its flags change."""
    return path.name.partition(":2,")[0]
