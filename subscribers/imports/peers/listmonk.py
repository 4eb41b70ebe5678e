"""
The subscribers of listmonk: its CSV export, whose attributes are JSON.

The export tells who is enabled, disabled or blocklisted, not who left which list: those are exported by themselves.

Source: listmonk, cmd/subscribers.go (the header of the export), models/subscribers.go (the states).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from subscribers.errors import InvalidValue
from subscribers.imports import columns as fields
from subscribers.imports.peers.export import Export
from subscribers.imports.peers.state import State
from subscribers.imports.standing import is_out, status_word
from subscribers.imports.tabular import MOST_COLUMNS, Table

_NEEDED = ("email", "status", "attributes")
_TAKEN = {"email": fields.ADDRESS, "name": fields.NAME, "created_at": fields.JOINED}
_STATUS, _EVIDENCE = "status", "evidence"


def read(path: Path, state: State | None) -> Export:
    """
    Open an export of listmonk.

    Raises:
        InvalidValue: When it has not listmonk's columns, or more attributes than a table may have.
    """
    table = Table(path)
    place = {name.casefold(): position for position, name in enumerate(table.columns)}
    if missing := [name for name in _NEEDED if name not in place]:
        raise InvalidValue(
            f"{path.name} is no export of listmonk's subscribers: it has no column '{missing[0]}'.",
            hint="Export it from listmonk: Subscribers, Export.",
        )
    taken = [(name, place[name], target) for name, target in _TAKEN.items() if name in place]
    names = _attributes_of(table, place["attributes"])

    def translate(cells: Sequence[str]) -> Sequence[str]:
        theirs = cells[place[_STATUS]].strip()
        known = {fields.own_name(key): _text(value) for key, value in reversed(_parsed(cells[place["attributes"]]))}
        return [
            *(cells[position] for _, position, _ in taken),
            *(known.get(name, "") for name in names),
            state.value if state is not None and not _is_out(theirs) else theirs,
            f"listmonk: {theirs}" + (f", {state.value} there" if state is not None else ""),
        ]

    meaning = {
        **{name: target for name, _, target in taken},
        **{f"attributes.{name}": name for name in names},
        _STATUS: fields.STATUS,
        _EVIDENCE: fields.EVIDENCE,
    }
    return Export(
        path, table.sha256, tuple(meaning), meaning, table.rows, translate, state is not None and state.is_leaving
    )


def _is_out(theirs: str) -> bool:
    return is_out(status_word(theirs))


def _attributes_of(table: Table, position: int) -> list[str]:
    """Return the names of all attributes that occur, in one pass."""
    names: dict[str, None] = {}
    for row in table.rows():
        if row.problem:
            continue
        try:
            names.update(dict.fromkeys(fields.own_name(key) for key, _ in _parsed(row.cells[position])))
        except InvalidValue:
            continue  # it is refused when the rows are read
        if len(names) > MOST_COLUMNS:
            raise InvalidValue(f"{table.path.name} has more than {MOST_COLUMNS} different attributes.")
    return sorted(names)


def _parsed(cell: str) -> list[tuple[str, Any]]:
    if not cell.strip():
        return []
    try:
        found = json.loads(cell)
    except (ValueError, RecursionError):
        raise InvalidValue("its attributes are not JSON") from None
    if not isinstance(found, dict):
        raise InvalidValue("its attributes are not a JSON object")
    return list(found.items())


def _text(value: Any) -> str:
    """Return a value as a cell of a table has it, so that its kind is learnt as any other column's."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and not any(isinstance(part, list | dict) for part in value):
        parts = [_text(part) for part in value]
        return ("|" if any(";" in part for part in parts) else ";").join(parts)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
