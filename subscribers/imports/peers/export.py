"""A file of another program as a table: its rows made into ours one by one, and what each column means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from subscribers.errors import InvalidValue
from subscribers.imports.tabular import Row


@dataclass(frozen=True)
class Export:
    """
    A table that an import can read.

    Attributes:
        meaning: Column -> field or attribute, or ``ignore``; what the user says comes before it.
        holds_leavers: Whether everybody in it left; such files are imported before the others.
    """

    path: Path
    sha256: str
    columns: tuple[str, ...]
    meaning: Mapping[str, str]
    source: Callable[[], Iterable[Row]]
    translate: Callable[[Sequence[str]], Sequence[str]]
    holds_leavers: bool = False

    def rows(self) -> Iterator[Row]:
        for row in self.source():
            if row.problem:
                yield row
                continue
            try:
                yield Row(row.number, self.translate(row.cells))
            except InvalidValue as error:
                yield Row(row.number, row.cells, error.message)
