"""Suppressions in and out of files: lists of other systems, or our own export with keyed hashes for the erased."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from sqlalchemy.orm import Session

from subscribers import lists, suppression
from subscribers.attributes import read_date
from subscribers.csv_cells import plain_cell, safe_cell
from subscribers.errors import InvalidValue, NotFound
from subscribers.imports.columns import ADDRESS, map_columns
from subscribers.imports.tabular import Row, Table
from subscribers.tables import Suppression
from subscribers.tokens import ADDRESS_HASH_BYTES

COLUMNS = ("address", "domain", "hash", "scope", "reason", "since", "evidence", "expires")
EVERY_LIST = "all"


@dataclass
class SuppressionImport:
    """Counts of one file, and each refused row with its reason."""

    read: int = 0
    added: int = 0
    known: int = 0
    refused: list[tuple[int, str]] = field(default_factory=list)


def import_suppressions(
    session: Session, path: Path, *, pepper: bytes, reason: str, evidence: str, at: datetime
) -> SuppressionImport:
    """
    Add every address, domain or hash of a file; a bad row costs no other.

    Args:
        reason: For rows that give none.
        evidence: For rows that give none.

    Raises:
        InvalidValue: When the file is no table or has neither column.
    """
    table = Table(path)
    places = _places(table)
    result = SuppressionImport()
    for row in table.rows():
        result.read += 1
        try:
            if row.problem:
                raise InvalidValue(row.problem)
            made = _suppress_row(session, row, places, pepper=pepper, reason=reason, evidence=evidence, at=at)
        except (InvalidValue, NotFound) as error:
            result.refused.append((row.number, error.message))
            continue
        result.added += made
        result.known += not made
    return result


def _places(table: Table) -> dict[str, int]:
    places = {name: n for n, column in enumerate(table.columns) if (name := column.casefold()) in COLUMNS}
    if not {"address", "domain", "hash"} & set(places):
        places["address"] = map_columns(table.columns).fields[ADDRESS]
    return places


def _suppress_row(
    session: Session, row: Row, places: dict[str, int], *, pepper: bytes, reason: str, evidence: str, at: datetime
) -> bool:
    cells = {name: plain_cell(row.cells[place].strip()) for name, place in places.items()}
    scope = cells.get("scope", "")
    list_id = None if scope in ("", EVERY_LIST) else lists.get(session, scope).id
    since = _moment(cells.get("since", ""), at) or at
    digest = _digest(cells.get("hash", "")) if not cells.get("address") else None
    made = suppression.suppress(
        session,
        pepper=pepper,
        address=cells.get("address") or None,
        address_hash=digest,
        domain=cells.get("domain") or None,
        list_id=list_id,
        reason=cells.get("reason") or reason,
        evidence=cells.get("evidence") or evidence,
        at=at,
        expires_at=_moment(cells.get("expires", ""), at),
    )
    fresh = made.since == at
    made.since = min(since, made.since)
    return fresh


def _digest(text: str) -> bytes | None:
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        digest = b""
    if text and len(digest) != ADDRESS_HASH_BYTES:
        raise InvalidValue(f"'{text[:40]}' is no hash of an address")
    return digest or None


def _moment(text: str, at: datetime) -> datetime | None:
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        day = read_date(text)
        if day is None:
            raise InvalidValue(f"'{text[:40]}' is no date; write 2026-11-02") from None
        found = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def export_suppressions(file: TextIO, rows: Sequence[tuple[Suppression, str | None]]) -> int:
    """Write entries as CSV; the hash lets another copy of this workspace know the erased. Return how many."""
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    for entry, list_name in rows:
        writer.writerow(
            [
                safe_cell(entry.address or ""),
                entry.domain or "",
                entry.address_hash.hex() if entry.address_hash else "",
                list_name or EVERY_LIST,
                safe_cell(entry.reason),
                entry.since.isoformat(),
                safe_cell(entry.evidence),
                entry.expires_at.isoformat() if entry.expires_at else "",
            ]
        )
    return len(rows)
