"""
Makes a database that was put back fit to stand: upgraded, told of who left meanwhile, and sending nothing by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from newsletter.migrations import HEAD, upgrade_in
from newsletter.personal_data.never_mail import apply
from newsletter.send.instance import set_aside
from subscribers.db import Database


@dataclass(frozen=True, slots=True)
class Settled:
    """What was changed in it, for people to read. Its fields are JSON values."""

    upgraded_from: str | None
    never_mail: dict[str, Any]
    damaged_lines: int
    uncertain: int
    paused: list[str]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def settle(url: str, files: Iterable[Path], pepper: bytes, *, now: datetime) -> Settled:
    """Do all of it in one transaction; done again it changes nothing more."""
    with closing(Database(url)) as database, database.write() as session:
        before = upgrade_in(session.connection())
        applied = apply(session, files, pepper, at=now)
        held = set_aside(session, now=now, why=f"restored {now.isoformat()}")
    return Settled(
        before if before != HEAD else None,
        asdict(applied.replayed),
        len(applied.damaged),
        held.uncertain,
        list(held.paused),
    )
