"""
The refused rows of an import with the reason, as a CSV that can be mended and imported again.

A row is written before its chunk is committed; an import that goes on drops what the stopped one wrote beyond that.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TextIO

from subscribers.csv_cells import safe_cell
from subscribers.imports.tabular import Row

ROW, PROBLEM = "import row", "import problem"


class ErrorFile:
    """
    Made with the first refused row, readable by its owner only.

    Args:
        path: Where; None only counts.
        columns: The header of the imported file.
        keep_to: Keep what an earlier run wrote up to this row; 0 begins anew.
    """

    def __init__(self, path: Path | None, columns: Sequence[str], *, keep_to: int = 0) -> None:
        self._wanted, self._columns = path, columns
        self._file: TextIO | None = None
        self.path: Path | None = None
        if path is None or not path.exists():
            return
        if keep_to:
            earlier = path.replace(path.with_suffix(".earlier"))
            for row in _rows_up_to(earlier, keep_to):
                self._write([row])
            path = earlier
        path.unlink()

    def add(self, refused: Sequence[tuple[Row, str]]) -> None:
        """Write rows through to the file."""
        self._write(
            [[str(row.number), safe_cell(reason), *(safe_cell(cell) for cell in row.cells)] for row, reason in refused]
        )

    def _write(self, rows: Sequence[Sequence[str]]) -> None:
        if self._wanted is None or not rows:
            return
        if self._file is None:
            self._wanted.touch(mode=0o600)
            self._file = self._wanted.open("w", encoding="utf-8-sig", newline="")
            csv.writer(self._file).writerow([ROW, PROBLEM, *map(safe_cell, self._columns)])
            self.path = self._wanted
        csv.writer(self._file).writerows(rows)
        self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _rows_up_to(path: Path, number: int) -> Iterator[list[str]]:
    """Yield the whole rows of an error file that stand for rows up to *number*; a stop may have cut its last one."""
    last = 0
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in islice(csv.reader(file), 1, None):
            if len(row) < 2 or not row[0].isdecimal() or not last < int(row[0]) <= number:
                return
            last = int(row[0])
            yield row
