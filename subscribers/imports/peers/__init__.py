"""The exports of other programs, each read as a table whose columns are known: nothing has to be guessed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from subscribers.imports.peers import listmonk, mailchimp, mailman
from subscribers.imports.peers.export import Export
from subscribers.imports.peers.state import State, stated

_READERS: Mapping[str, Callable[[Path, State | None], Export]] = {
    "listmonk": listmonk.read,
    "mailchimp": mailchimp.read,
    "mailman": mailman.read,
}
SYSTEMS = tuple(_READERS)

__all__ = ["SYSTEMS", "Export", "State", "read_export", "stated"]


def read_export(system: str, path: Path, state: State | None = None) -> Export:
    """
    Open a file that *system* wrote.

    Args:
        state: What everybody in it is, where the file does not say it itself.

    Raises:
        InvalidValue: When it is no such file, or nothing says what its people are.
    """
    return _READERS[system](path, state)
