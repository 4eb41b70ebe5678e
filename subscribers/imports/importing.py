"""
Import a file: every row becomes a person on a list, or a line of the error file with the reason; nothing is lost.

Rows are committed in chunks together with how far the file is done, so an import that was cut goes on where it
stopped. A suppressed, erased or unsubscribed person is never brought back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from subscribers import attributes as attribute_store
from subscribers import consent, lists
from subscribers.attributes import Attribute
from subscribers.bulk import make_room
from subscribers.db import Database
from subscribers.errors import Conflict
from subscribers.imports.diff import Difference
from subscribers.imports.error_file import ErrorFile
from subscribers.imports.incoming import RowReader
from subscribers.imports.lookup import Chunk, Outcome, Overlay
from subscribers.imports.peers import Export
from subscribers.imports.reading import Prepared, Source, Survey, look_through, prepare, repeated_addresses
from subscribers.imports.reading_ahead import Ahead
from subscribers.imports.tabular import Row, Table
from subscribers.imports.writing import Writer
from subscribers.tables import Basis, ImportBatch, MailingList

CHUNK_ROWS = 10_000
COUNTED = ("read", "new", "changed", "unchanged", "refused", "suppressed")
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What came of an import; `read` is the sum of the other five counts, `kept_out` says why of the suppressed."""

    batch: int | None
    read: int
    new: int
    changed: int
    unchanged: int
    refused: int
    suppressed: int
    errors_file: Path | None
    kept_out: Mapping[str, int] = field(default_factory=dict)
    learnt: Mapping[str, str] = field(default_factory=dict)
    mapping: Mapping[str, str] = field(default_factory=dict)
    continued_at: int = 0

    def to_json(self) -> dict[str, Any]:
        counts = {name: getattr(self, name) for name in COUNTED}
        return {"batch": self.batch, **counts, "errors_file": str(self.errors_file) if self.errors_file else None}


def import_file(
    database: Database,
    file: Path | Source,
    *,
    list_name: str,
    basis: Basis,
    evidence: str,
    actor: str,
    pepper: bytes,
    now: datetime,
    mapping: Mapping[str, str] | None = None,
    dry_run: bool = False,
    differs: Callable[[Difference], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
    errors_folder: Path | None = None,
    charity_number: str = "",
    collected_on: date | None = None,
    audited: Callable[[Session, ImportBatch], object] | None = None,
) -> ImportResult:
    """
    Import people from a CSV, TSV, Excel or OpenDocument file onto a list.

    Args:
        file: A path, or a file of another program already opened as a table.
        mapping: Column -> field, for what is not guessed rightly.
        dry_run: Count only; nothing is written but the error file.
        differs: Called by a dry run with each row that would change something, or whose person stays out.
        progress: Called with rows done and rows in all.
        errors_folder: Where the file with refused rows goes; without it they are only counted.
        collected_on: When people gave their details; the soft opt-in needs it.
        audited: Called in the transactions that begin a batch, or take it up again, and that end it.

    Raises:
        InvalidValue: When the basis is not shown, or the file cannot be read as a table.
        NotFound, Conflict: When the list is unknown or archived.
    """
    consent.check_basis(basis, evidence=evidence, charity_number=charity_number, collected_on=collected_on)
    if collected_on is not None:
        evidence = f"{evidence} (given on {collected_on})"
    table = Table(file) if isinstance(file, Path) else file
    mapping = {**table.meaning, **(mapping or {})} if isinstance(table, Export) else mapping
    with database.read() as session:
        mailing_list = lists.get_open(session, list_name)
        survey = look_through(table, mapping, attribute_store.definitions(session))
    task = _Import(database, table, survey, mailing_list, basis, evidence, actor, pepper, now, progress, errors_folder)
    task.audited = audited
    return task.rehearse(differs) if dry_run else task.run()


@dataclass
class _Import:
    """One run over one file."""

    database: Database
    table: Source
    survey: Survey
    mailing_list: MailingList
    basis: Basis
    evidence: str
    actor: str
    pepper: bytes
    now: datetime
    progress: Callable[[int, int], None] | None
    errors_folder: Path | None
    audited: Callable[[Session, ImportBatch], object] | None = None
    _counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTED, 0))
    _kept_out: dict[str, int] = field(default_factory=dict)

    def run(self) -> ImportResult:
        """Write chunk by chunk, from the start or from where an earlier run of the same file stopped."""
        with self.database.write() as session:
            batch, known = self._begin(session), self._declare(session)
            self._tell_audit(session, batch)
        done = started = batch.rows_done
        self._counts.update(batch.counts)
        self._kept_out.update(batch.kept_out)
        source = f"import {batch.id}, {self.table.path.name[:120]}"
        writer = Writer(batch.id, self.mailing_list.id, self.basis, self.evidence, self.actor, self.now, source)
        reader = RowReader(self.survey.mapping, known)
        rows = self.table.rows()
        last = max((row.number for row in islice(rows, done)), default=0)
        with closing(self._errors(f"import-{batch.id}-errors.csv", keep_to=last)) as errors:
            chunks = Ahead(prepare(chunk, reader, self.pepper) for chunk in _chunks(rows))
            writer.meanwhile = chunks.make_next
            for chunk in chunks:
                errors.add(chunk.refused)  # before the commit: a stop between the two must not lose them
                self._write(writer, chunk, known, done)
                done += chunk.rows
                self._tell(done)
        with self.database.write() as session:
            stored = session.get_one(ImportBatch, batch.id)
            stored.finished_at = self.now
            self._tell_audit(session, stored)
        return self._result(batch.id, errors.path, started)

    def _write(self, writer: Writer, chunk: Prepared, known: Mapping[str, Attribute], done: int) -> None:
        """Commit one chunk; where somebody joined by another way at that very moment, once more."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with self.database.write() as session:
                    make_room(session)
                    stored = session.get_one(ImportBatch, writer.batch_id, with_for_update=True)
                    if stored.rows_done != done or stored.undone_at is not None:
                        raise Conflict(
                            f"Import {writer.batch_id} of {self.table.path.name} is being worked on elsewhere.",
                            hint="Let that one finish; see: newsletter imports list",
                        )
                    outcome = writer.write(session, chunk.good, chunk.hashes, known)
                    counts, kept_out = self._sum(outcome, chunk)
                    stored.rows_done, stored.counts, stored.kept_out = done + chunk.rows, counts, kept_out
            except IntegrityError:
                if attempt == _ATTEMPTS:
                    raise
            else:
                self._counts, self._kept_out = counts, kept_out
                return

    def rehearse(self, differs: Callable[[Difference], None] | None) -> ImportResult:
        """Count what a run would do; people who come up again in the file are kept in memory meanwhile."""
        with self.database.read() as session:
            known = self._planned(attribute_store.definitions(session))
        reader = RowReader(self.survey.mapping, known)
        overlay = Overlay(repeated_addresses(self.table, reader))
        done = 0
        with closing(self._errors("import-dry-run-errors.csv")) as errors:
            for rows in _chunks(self.table.rows()):
                chunk = prepare(rows, reader, self.pepper)
                outcome = Outcome()
                with self.database.read() as session:
                    loaded = Chunk.load(session, chunk.good, chunk.hashes, self.mailing_list.id, self.now)
                for difference in loaded.rehearse(overlay, outcome):
                    if differs is not None:
                        differs(difference)
                done += chunk.rows
                self._counts, self._kept_out = self._sum(outcome, chunk)
                errors.add(chunk.refused)
                self._tell(done)
        return self._result(None, errors.path, 0)

    def _tell_audit(self, session: Session, batch: ImportBatch) -> None:
        if self.audited is not None:
            self.audited(session, batch)

    def _begin(self, session: Session) -> ImportBatch:
        """Return the batch of an earlier run of this file that did not finish, or a new one."""
        found = session.scalar(
            select(ImportBatch)
            .where(
                ImportBatch.file_sha256 == self.table.sha256,
                ImportBatch.list_id == self.mailing_list.id,
                ImportBatch.basis == self.basis,
                ImportBatch.finished_at.is_(None),
                ImportBatch.undone_at.is_(None),
            )
            .order_by(ImportBatch.id.desc())
            .limit(1)
        )
        said = self.survey.mapping.to_json(self.table.columns)
        if found is not None and found.mapping == said:
            return found
        made = ImportBatch(
            file_name=self.table.path.name[:255],
            file_sha256=self.table.sha256,
            list_id=self.mailing_list.id,
            basis=self.basis,
            evidence=self.evidence,
            actor=self.actor[:200],
            started_at=self.now,
            rows_done=0,
            counts=dict(self._counts),
            mapping=said,
        )
        session.add(made)
        session.flush()
        return made

    def _declare(self, session: Session) -> dict[str, Attribute]:
        known = attribute_store.definitions(session)
        for name, kind in self.survey.kinds.items():
            if name not in known:
                known[name] = attribute_store.declare(session, name, kind)
        return known

    def _planned(self, known: dict[str, Attribute]) -> dict[str, Attribute]:
        planned = {name: Attribute(None, name, kind) for name, kind in self.survey.kinds.items()}
        return {**planned, **known}

    def _sum(self, outcome: Outcome, chunk: Prepared) -> tuple[dict[str, int], dict[str, int]]:
        """Return the counts so far with those of one more chunk."""
        counts = {name: self._counts[name] + getattr(outcome, name, 0) for name in COUNTED}
        counts["read"] += chunk.rows
        counts["refused"] += len(chunk.refused)
        reasons = {**self._kept_out, **outcome.kept_out}
        kept_out = {name: self._kept_out.get(name, 0) + outcome.kept_out.get(name, 0) for name in reasons}
        return counts, kept_out

    def _tell(self, done: int) -> None:
        if self.progress is not None:
            self.progress(done, self.survey.rows)

    def _errors(self, name: str, *, keep_to: int = 0) -> ErrorFile:
        path = self.errors_folder / name if self.errors_folder else None
        return ErrorFile(path, self.table.columns, keep_to=keep_to)

    def _result(self, batch: int | None, errors_file: Path | None, continued_at: int) -> ImportResult:
        return ImportResult(
            batch=batch,
            errors_file=errors_file,
            kept_out=self._kept_out,
            learnt={name: kind.value for name, kind in self.survey.kinds.items()},
            mapping=self.survey.mapping.to_json(self.table.columns),
            continued_at=continued_at,
            **self._counts,
        )


def _chunks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while chunk := list(islice(rows, CHUNK_ROWS)):
        yield chunk
