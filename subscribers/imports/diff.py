"""What an import would change, for whom: old and new value of each field, as values that a person or JSON can show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from subscribers.attributes import Value
from subscribers.imports.incoming import Change, Incoming, Known, to_json

NEW, CHANGED, SUPPRESSED = "new", "changed", "suppressed"


@dataclass(frozen=True, slots=True)
class Difference:
    """
    What one row would do.

    Attributes:
        what: ``new``, ``changed`` or ``suppressed``.
        changes: Field -> old and new value; tags only those that are added.
        reason: Why a suppressed person stays out.
    """

    row: int
    address: str
    what: str
    changes: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        changes = {name: {"before": before, "after": after} for name, (before, after) in self.changes.items()}
        return {"row": self.row, "address": self.address, "what": self.what, "changes": changes, "reason": self.reason}


def of_newcomer(row: Incoming) -> Difference:
    changes: dict[str, tuple[Any, Any]] = {name: (None, value) for name, value in row.person.items()}
    changes.update({name: (None, _shown(values)) for name, values in row.attributes.items()})
    if row.tags:
        changes["tags"] = (None, sorted(row.tags))
    return Difference(row.row, row.address.address, NEW, changes)


def of_change(row: Incoming, known: Known, change: Change) -> Difference:
    """Return what *change* does to somebody who still is as *known* says."""
    changes: dict[str, tuple[Any, Any]] = {
        name: (known.person.get(name), value) for name, value in change.person.items()
    }
    for name, values in change.attributes.items():
        changes[name] = (_shown(known.attributes.get(name, ())), _shown(values))
    if change.tags:
        changes["tags"] = (None, sorted(change.tags))
    if change.subscribes:
        changes["state"] = (known.state, "subscribed")
    return Difference(row.row, row.address.address, CHANGED, changes)


def kept_out(row: Incoming, reason: str) -> Difference:
    return Difference(row.row, row.address.address, SUPPRESSED, reason=reason)


def _shown(values: tuple[Value, ...]) -> Any:
    plain = to_json(values)
    return plain[0] if len(plain) == 1 else plain or None
