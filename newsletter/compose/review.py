"""What changed at the source since an issue took an item, and taking that over: never silently."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from newsletter.compose.library import changes_since, snapshot
from newsletter.errors import InvalidValue
from newsletter.tables import Block, Issue

SHOWN_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class ChangedBlock:
    """A block whose item is no longer what the issue holds: field -> was, now."""

    block: Block
    changes: dict[str, dict[str, Any]]

    def in_words(self) -> str:
        title = (self.block.snapshot or {}).get("title", "")
        fields = "; ".join(f"{name}: {_short(c['was'])} → {_short(c['now'])}" for name, c in self.changes.items())
        return f"'{title}' (block {self.block.id}): {fields}"


def changed_blocks(issue: Issue) -> list[ChangedBlock]:
    """Return the blocks whose items changed at their source after the issue took them."""
    found = []
    for block in issue.blocks:
        if block.item is not None and block.snapshot is not None:
            changes = changes_since(block.item, block.snapshot)
            if changes:
                found.append(ChangedBlock(block, changes))
    return found


def accept(block: Block) -> dict[str, dict[str, Any]]:
    """
    Take over the item as it is now; return what changed.

    Raises:
        InvalidValue: When the block holds no item.
    """
    if block.item is None:
        raise InvalidValue(f"Block {block.id} is a {block.kind.value}; only items come from a source.")
    changes = changes_since(block.item, block.snapshot or {})
    block.snapshot = snapshot(block.item)
    return changes


def _short(value: Any) -> str:
    if value in (None, "", [], {}):
        return "nothing"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
