"""What everybody in a file is, said by the user where the file does not tell."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from subscribers.imports import columns as fields
from subscribers.imports.peers.export import Export
from subscribers.imports.standing import is_not_on_list, status_word
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
    """
    Return a table whose people are in one state, save where a column of its own says that they are not on the list.

    That column is kept as an attribute.
    """
    own = next((place for place, name in enumerate(table.columns) if fields.field_of(name) == fields.STATUS), None)

    def translate(cells: Sequence[str]) -> Sequence[str]:
        theirs = "" if own is None else cells[own]
        return [*cells, theirs if is_not_on_list(status_word(theirs)) else state.value]

    return Export(
        table.path,
        table.sha256,
        (*table.columns, COLUMN),
        {COLUMN: fields.STATUS},
        table.rows,
        translate,
        state.is_leaving,
    )
