"""
What is kept outside the database of the audit log: number and code of an entry that was last seen at its end.

A chain whose last entries were cut off looks whole by itself; beside the anchor it does not. The anchor moves on only
over a chain that holds what it says, so that new entries never cover up that older ones are gone.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter.tables import AuditEntry

CODE_BYTES = 32


class Held(NamedTuple):
    """What the anchor says: the chain reached `number`, and the entry there has this code."""

    number: int
    code: bytes


class Anchor:
    """
    The file of one workspace, readable by its owner only.

    Where several machines share a database each has its own, of what it has seen.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Held | None:
        """Return what it says; None when there is none yet, or when it cannot be read as one."""
        try:
            return _parsed(self.path.read_text())
        except (OSError, UnicodeDecodeError):
            return None

    def follows(self, session: Session, head: tuple[int, bytes]) -> bool:
        """Tell whether the chain that ends at *head* holds what the anchor says; without an anchor any does."""
        held = self.read()
        if held is None:
            return True
        if held.number > head[0]:
            return False
        stored = session.scalar(select(AuditEntry.code).where(AuditEntry.number == held.number))
        return stored is not None and bytes(stored) == held.code

    def move_to(self, held: Held, *, back_too: bool = False) -> None:
        """Say that the chain reached so far; a process that came later may have said more already."""
        with suppress(OSError):  # it then lags, which the next entry mends
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                before = _parsed(os.pread(file, 200, 0).decode("ascii", "replace"))
                if back_too or before is None or before.number < held.number:
                    line = f"{held.number} {held.code.hex()}\n".encode()
                    os.pwrite(file, line, 0)
                    os.ftruncate(file, len(line))
            finally:
                os.close(file)


def _parsed(text: str) -> Held | None:
    number, _, code = text.strip().partition(" ")
    try:
        held = Held(int(number), bytes.fromhex(code))
    except ValueError:
        return None
    return held if len(held.code) == CODE_BYTES else None
