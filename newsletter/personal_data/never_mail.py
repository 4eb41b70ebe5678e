"""
Brings the file of who is never mailed up to the database: whoever writes and the worker append what it lacks.

The database writes each change down in the transaction that makes it; this copies what is committed and not yet in the
file. So a crash between the two loses nothing, and no line tells of what was never committed. Every workspace keeps a
whole file of its own, also where several machines share one PostgreSQL database.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice
from pathlib import Path

from sqlalchemy.orm import Session

from newsletter.errors import NewsletterError
from newsletter.paths import Workspace
from newsletter.personal_data.erasing import erase_person
from newsletter.send.ended_records import merge_people, remove_person
from subscribers.db import Database
from subscribers.never_mail import changes as never_mail
from subscribers.never_mail.changes import Change
from subscribers.never_mail.file import FileDamaged, NeverMailFile, Read, Tail, alone, sync_folder
from subscribers.never_mail.replay import ACTOR, EVIDENCE, Replayed, replay
from subscribers.tables import Subscriber


class Endings:
    """Ends records as the commands do."""

    def erase(self, session: Session, person: Subscriber, at: datetime) -> None:
        erase_person(session, person, evidence=EVIDENCE, at=at)

    def remove(self, session: Session, person: Subscriber, at: datetime) -> None:
        remove_person(session, person, evidence=EVIDENCE, at=at)

    def merge(self, session: Session, kept: Subscriber, gone: Subscriber, at: datetime) -> None:
        merge_people(session, kept, gone, actor=ACTOR, at=at)


@dataclass(frozen=True, slots=True)
class Applied:
    """What a file changed in a database, and the numbers of its lines that are damaged."""

    replayed: Replayed
    damaged: tuple[int, ...]


def apply(session: Session, paths: Iterable[Path], pepper: bytes, *, at: datetime) -> Applied:
    """
    Apply to a database what files say and it does not know. One that is absent says nothing.

    Raises:
        FileDamaged: When one does not begin as it should; of a damaged line only its number is told.
        ForeignFile: When one was kept with another pepper.
    """
    damaged: list[int] = []

    def readable() -> Iterator[Change]:
        for path in paths:
            for line in NeverMailFile(path, pepper).read() if path.exists() else ():
                if line.change is None:
                    damaged.append(line.number)
                else:
                    yield line.change

    return Applied(replay(session, chunks(readable()), Endings(), at=at), tuple(damaged))


class FileTrouble(NewsletterError):
    """The file of who is never mailed cannot be written; the database has it all, and it is tried again."""

    code = "never_mail_file"


@dataclass(frozen=True, slots=True)
class Kept:
    """
    What was appended.

    Attributes:
        unknown: The file knows more than the database: an older database was put back beside it.
        set_aside: Where a damaged file went; a new one was written.
    """

    appended: int = 0
    unknown: bool = False
    set_aside: Path | None = None


class Keeper:
    """Keeps the file of one workspace; one for each process that writes."""

    def __init__(self, database: Database, workspace: Workspace, pepper: bytes) -> None:
        self._database, self._path, self._pepper = database, workspace.never_mail, pepper
        self._lock = workspace.locks / "never-mail.lock"
        self._file = NeverMailFile(self._path, pepper)
        self._behind: tuple[Tail | None, int] | None = None  # where the database was found to lack what the file has

    def keep(self, *, now: datetime, compare: bool = False) -> Kept:
        """
        Append what the file lacks, durable when this returns; when another program does so just now, leave it to that.

        Args:
            compare: Look at every line and not at the last alone: after a restore or a move the order may differ.

        Raises:
            FileTrouble: When it cannot be written.
            ForeignFile: When it was kept with another pepper.
        """
        try:
            with alone(self._lock) as ours:
                return self._keep(now, compare=compare) if ours else Kept()
        except OSError as error:
            raise FileTrouble(
                f"{self._path} cannot be written: {error.strerror or error}.",
                hint="The database has it all; the next command tries again, and so does newsletter work.",
            ) from error

    def _keep(self, now: datetime, *, compare: bool) -> Kept:
        self._number()
        try:
            tail = self._file.tail()
            if compare and any(line.change is None for line in self._lines()):
                return self._write_anew(now)
        except FileDamaged:
            return self._write_anew(now)
        with self._database.read() as session:
            place = never_mail.place_of(session, tail.mark) if tail is not None and tail.mark else 0
            if place is not None and not compare:
                return Kept(self._append(never_mail.changes_after(session, place), tail))
            if not compare and self._behind == (tail, never_mail.last_id(session)):
                return Kept(unknown=True)
            return self._compare(session, tail)

    def _compare(self, session: Session, tail: Tail | None) -> Kept:
        """Append what the file lacks wherever it stands in the order, and tell whether the database lacks anything."""
        in_file: set[bytes] = set()
        unknown = False
        for chunk in chunks(self._readable()):
            in_file.update(change.mark for change in chunk)
            unknown = unknown or bool(never_mail.unknown_among(session, chunk))
        lacking = (
            [change for change in chunk if change.mark not in in_file] for chunk in never_mail.changes_after(session, 0)
        )
        kept = Kept(self._append(filter(None, lacking), tail), unknown)
        self._behind = (self._file.tail(), never_mail.last_id(session)) if unknown else None
        return kept

    def _number(self) -> None:
        with self._database.read() as session:
            if not never_mail.are_unnumbered(session):
                return
        with self._database.write() as session:
            never_mail.number_committed(session)

    def _append(self, changes: Iterable[list[Change]], tail: Tail | None) -> int:
        iterator = iter(changes)
        first = next(iterator, None)
        if first is None and tail is not None:
            return 0
        return self._file.append(chain([first] if first else [], iterator), tail)

    def _write_anew(self, now: datetime) -> Kept:
        """Set a damaged file aside, and write one of all that the database and the readable lines say."""
        draft = NeverMailFile(self._path.with_name(f".{self._path.name}.new"), self._pepper)
        draft.path.unlink(missing_ok=True)
        with self._database.read() as session:
            unknown = [
                change for chunk in chunks(self._readable()) for change in never_mail.unknown_among(session, chunk)
            ]
            written = draft.append(chain([unknown], never_mail.changes_after(session, 0)), None)
        aside = self._path.with_name(f"{self._path.stem}-damaged-{now:%Y%m%dT%H%M%S%f}{self._path.suffix}")
        os.link(self._path, aside)
        draft.path.replace(self._path)
        sync_folder(self._path.parent)
        return Kept(written, unknown=bool(unknown), set_aside=aside)

    def _lines(self) -> Iterator[Read]:
        return self._file.read() if self._path.exists() else iter(())

    def _readable(self) -> Iterator[Change]:
        try:
            for line in self._lines():
                if line.change is not None:
                    yield line.change
        except FileDamaged:  # its first line: whose file it is, nobody can say
            return


def chunks(changes: Iterable[Change]) -> Iterator[list[Change]]:
    """Yield changes some thousands at a time."""
    iterator = iter(changes)
    while chunk := list(islice(iterator, never_mail.CHUNK)):
        yield chunk
