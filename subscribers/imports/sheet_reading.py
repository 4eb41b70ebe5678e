"""
The first sheet of a spreadsheet, read by a process of its own that may take only so much memory and time.

A file of a kilobyte can ask for a table of billions of cells: then that process ends, and the import says so. It is
run as a script by `read_sheet`, and writes a row a line as JSON.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

MOST_PART_BYTES = 256 * 1024 * 1024
MOST_MEMORY_BYTES = 2 * 1024 * 1024 * 1024
MOST_CPU_SECONDS = 300
_BLOCK_BYTES = 1024 * 1024


class UnreadableSheet(Exception):
    """Why the file cannot be read, in words."""


def read_sheet(path: Path) -> Iterator[list[str]]:
    """
    Yield the rows of the first sheet as text.

    Raises:
        UnreadableSheet: When it is damaged, or unpacks to more than a spreadsheet can need.
    """
    _check_parts(path)
    # Isolated: neither the folder that the import runs in nor the environment says which modules it loads.
    command = [sys.executable, "-I", __file__, str(path.resolve())]
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=nothing, stdout=pipe, stderr=nothing)  # noqa: S603  (this file itself)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            found = json.loads(line)
            if isinstance(found, str):
                raise UnreadableSheet(found)
            yield found
        if process.wait() != 0:
            raise UnreadableSheet("it asks for more memory or time than a spreadsheet can need")
    finally:
        process.kill()
        process.communicate()


def _check_parts(path: Path) -> None:
    """Unpack each part once without keeping it: what an archive says of its sizes need not be true."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            if not names & {"[Content_Types].xml", "content.xml"} and "xl/workbook.xml" not in names:
                raise UnreadableSheet("it is an archive; unpack it and import the files that are in it")
            for name in names:
                size = 0
                with archive.open(name) as part:
                    while block := part.read(_BLOCK_BYTES):
                        size += len(block)
                        if size > MOST_PART_BYTES:
                            raise UnreadableSheet(f"'{name[:60]}' in it is larger than {MOST_PART_BYTES:,} bytes")
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError) as error:
        raise UnreadableSheet(str(error)) from None


def _cell_text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == datetime.min.time() else value.isoformat(sep=" ")
    if isinstance(value, date):
        return value.isoformat()
    return str(value).replace("\0", "\ufffd")


def _write_rows(path: str) -> None:
    """Write the rows to standard output; a text instead of a row says what is wrong."""
    for limit, most in (
        (resource.RLIMIT_AS, MOST_MEMORY_BYTES),
        (resource.RLIMIT_CPU, MOST_CPU_SECONDS),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (most, most))
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        sheet = CalamineWorkbook.from_path(path).get_sheet_by_index(0)
        for cells in sheet.iter_rows():
            sys.stdout.write(json.dumps([_cell_text(cell) for cell in cells]) + "\n")
    except (CalamineError, IndexError) as error:
        sys.stdout.write(json.dumps(str(error)) + "\n")


if __name__ == "__main__":
    _write_rows(sys.argv[1])
