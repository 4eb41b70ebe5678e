"""
Import a file: every row becomes a person on a list, or a line of the error file with the reason; nothing is lost.

Rows are committed in chunks together with how far the file is done, so an import that was cut goes on where it
stopped. A suppressed, erased or unsubscribed person is never brought back.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from sqlalchemy import select
from sqlalchemy.orm import Session

from subscribers import attributes as attribute_store
from subscribers import columns as fields
from subscribers import consent, lists
from subscribers.attributes import Attribute
from subscribers.columns import ColumnMap, Learner, map_columns
from subscribers.csv_cells import safe_cell
from subscribers.db import Database
from subscribers.errors import InvalidValue
from subscribers.import_lookup import Chunk, Outcome
from subscribers.import_writing import Writer
from subscribers.incoming import Incoming, Known, read_row
from subscribers.tables import AttributeKind, Basis, ImportBatch, MailingList
from subscribers.tabular import Row, Table

CHUNK_ROWS = 2000
COUNTED = ("read", "new", "changed", "unchanged", "refused", "suppressed")


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What came of an import; `read` is the sum of the other five counts."""

    batch: int | None
    read: int
    new: int
    changed: int
    unchanged: int
    refused: int
    suppressed: int
    errors_file: Path | None
    learnt: Mapping[str, str] = field(default_factory=dict)
    mapping: Mapping[str, str] = field(default_factory=dict)
    continued_at: int = 0

    def to_json(self) -> dict[str, Any]:
        counts = {name: getattr(self, name) for name in COUNTED}
        return {"batch": self.batch, **counts, "errors_file": str(self.errors_file) if self.errors_file else None}


@dataclass(frozen=True, slots=True)
class _Survey:
    """What a first pass over the file found."""

    rows: int
    mapping: ColumnMap
    kinds: Mapping[str, AttributeKind]


def import_file(
    database: Database,
    path: Path,
    *,
    list_name: str,
    basis: Basis,
    evidence: str,
    actor: str,
    pepper: bytes,
    now: datetime,
    mapping: Mapping[str, str] | None = None,
    dry_run: bool = False,
    progress: Callable[[int, int], None] | None = None,
    errors_folder: Path | None = None,
    charity_number: str = "",
    collected_on: date | None = None,
    audited: Callable[[Session, ImportBatch], object] | None = None,
) -> ImportResult:
    """
    Import people from a CSV, TSV, Excel or OpenDocument file onto a list.

    Args:
        mapping: Column -> field, for what is not guessed rightly.
        dry_run: Count only; nothing is written but the error file.
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
    table = Table(path)
    with database.read() as session:
        mailing_list = lists.get_open(session, list_name)
        survey = _look_through(table, mapping, attribute_store.definitions(session))
    task = _Import(database, table, survey, mailing_list, basis, evidence, actor, pepper, now, progress, errors_folder)
    task.audited = audited
    return task.rehearse() if dry_run else task.run()


def _look_through(table: Table, said: Mapping[str, str] | None, known: Mapping[str, Attribute]) -> _Survey:
    """Learn the kinds of new attributes and count rows, in one pass without keeping any."""
    mapping = map_columns(table.columns, said)
    learners = {name: Learner() for name in mapping.attributes if name not in known}
    status = Learner()
    watched = [(mapping.attributes[name], learner) for name, learner in learners.items()]
    if fields.STATUS in mapping.fields:
        watched.append((mapping.fields[fields.STATUS], status))
    rows = 0
    for row in table.rows():
        rows += 1
        if not row.problem:
            for position, learner in watched:
                learner.see(row.cells[position])
    mapping = _without_plain_status(mapping, status, said)
    kinds = {name: learner.kind for name, learner in learners.items()}
    for name in mapping.attributes:
        if name not in known and name not in kinds:
            kinds[name] = status.kind
    return _Survey(rows, mapping, kinds)


def _without_plain_status(mapping: ColumnMap, status: Learner, said: Mapping[str, str] | None) -> ColumnMap:
    """A column headed "status" that never speaks of leaving ("volunteer", "trustee") is an attribute."""
    asked_for = fields.STATUS in {target.casefold() for target in (said or {}).values()}
    if fields.STATUS not in mapping.fields or status.withdrawn or asked_for:
        return mapping
    rest = {name: position for name, position in mapping.fields.items() if name != fields.STATUS}
    return ColumnMap(rest, {**mapping.attributes, "status": mapping.fields[fields.STATUS]})


@dataclass
class _Import:
    """One run over one file."""

    database: Database
    table: Table
    survey: _Survey
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

    def run(self) -> ImportResult:
        """Write chunk by chunk, from the start or from where an earlier run of the same file stopped."""
        with self.database.write() as session:
            batch, known = self._begin(session), self._declare(session)
            self._tell_audit(session, batch)
        done = started = batch.rows_done
        self._counts.update(batch.counts)
        writer = Writer(batch.id, self.mailing_list.id, self.basis, self.evidence, self.actor, self.pepper, self.now)
        writer.source = f"import {batch.id}, {self.table.path.name[:120]}"
        with self._errors(f"import-{batch.id}-errors.csv", append=started > 0) as errors:
            for rows in _chunks(islice(self.table.rows(), done, None)):
                good, refused = self._read(rows, known)
                with self.database.write() as session:
                    outcome = writer.write(session, good, known)
                    done += len(rows)
                    self._count(outcome, len(rows), len(refused))
                    stored = session.get_one(ImportBatch, batch.id)
                    stored.rows_done, stored.counts = done, dict(self._counts)
                errors.add(refused)
                self._tell(done)
        with self.database.write() as session:
            stored = session.get_one(ImportBatch, batch.id)
            stored.finished_at, stored.counts = self.now, dict(self._counts)
            self._tell_audit(session, stored)
        return self._result(batch.id, errors.path, started)

    def rehearse(self) -> ImportResult:
        """Count what a run would do; the people that it would make or change are kept in memory meanwhile."""
        with self.database.read() as session:
            known = self._planned(attribute_store.definitions(session))
        overlay: dict[str, Known] = {}
        done = 0
        with self._errors("import-dry-run-errors.csv", append=False) as errors:
            for rows in _chunks(self.table.rows()):
                good, refused = self._read(rows, known)
                with self.database.read() as session:
                    chunk = Chunk.load(session, good, self.mailing_list.id, self.pepper, self.now)
                outcome = chunk.rehearse(overlay)
                done += len(rows)
                self._count(outcome, len(rows), len(refused))
                errors.add(refused)
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

    def _read(
        self, rows: Sequence[Row], known: Mapping[str, Attribute]
    ) -> tuple[list[Incoming], list[tuple[Row, str]]]:
        good, refused = [], []
        for row in rows:
            if row.problem:
                refused.append((row, row.problem))
                continue
            try:
                good.append(read_row(row, self.survey.mapping, known))
            except InvalidValue as error:
                refused.append((row, error.message))
        return good, refused

    def _count(self, outcome: Outcome, rows: int, refused: int) -> None:
        for name in ("new", "changed", "unchanged", "suppressed"):
            self._counts[name] += getattr(outcome, name)
        self._counts["read"] += rows
        self._counts["refused"] += refused

    def _tell(self, done: int) -> None:
        if self.progress is not None:
            self.progress(done, self.survey.rows)

    @contextmanager
    def _errors(self, name: str, *, append: bool) -> Iterator[_ErrorFile]:
        path = self.errors_folder / name if self.errors_folder else None
        errors = _ErrorFile(path, self.table.columns, append=append)
        try:
            yield errors
        finally:
            errors.close()

    def _result(self, batch: int | None, errors_file: Path | None, continued_at: int) -> ImportResult:
        return ImportResult(
            batch=batch,
            errors_file=errors_file,
            learnt={name: kind.value for name, kind in self.survey.kinds.items()},
            mapping=self.survey.mapping.to_json(self.table.columns),
            continued_at=continued_at,
            **self._counts,
        )


class _ErrorFile:
    """The refused rows with the reason, as a CSV that can be mended and imported; made with the first of them."""

    def __init__(self, path: Path | None, columns: Sequence[str], *, append: bool) -> None:
        self._wanted, self._columns = path, columns
        self._file: TextIO | None = None
        self.path = path if path is not None and append and path.exists() else None
        if path is not None and not append:
            path.unlink(missing_ok=True)

    def add(self, refused: Sequence[tuple[Row, str]]) -> None:
        if self._wanted is None or not refused:
            return
        if self._file is None:
            fresh = self.path is None
            self._file = self._wanted.open("a", encoding="utf-8-sig" if fresh else "utf-8", newline="")
            self._wanted.chmod(0o600)
            if fresh:
                csv.writer(self._file).writerow(["import row", "import problem", *map(safe_cell, self._columns)])
            self.path = self._wanted
        csv.writer(self._file).writerows(
            [row.number, safe_cell(reason), *(safe_cell(cell) for cell in row.cells)] for row, reason in refused
        )
        self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _chunks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while chunk := list(islice(rows, CHUNK_ROWS)):
        yield chunk
