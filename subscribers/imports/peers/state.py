"""What everybody in a file is, said by the user where the file does not tell."""

from __future__ import annotations

from enum import StrEnum

from subscribers.imports import columns as fields
from subscribers.imports.peers.export import Export
from subscribers.imports.tabular import Table


class State(StrEnum):
    """How the people of a whole file stand; the words are those that a column of states may hold."""

    SUBSCRIBED = "subscribed"
    UNSUBSCRIBED = "unsubscribed"
    BOUNCED = "bounced"

    @property
    def is_leaving(self) -> bool:
        return self is not State.SUBSCRIBED


COLUMN = "(state)"


def stated(table: Table, state: State) -> Export:
    """Return a table all of whose people are in one state; a column of its own about that is kept as an attribute."""
    return Export(
        table.path,
        table.sha256,
        (*table.columns, COLUMN),
        {COLUMN: fields.STATUS},
        table.rows,
        lambda cells: [*cells, state.value],
        state.is_leaving,
    )
