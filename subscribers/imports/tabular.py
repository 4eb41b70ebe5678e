"""
Rows out of the files that offices have: CSV, TSV, semicolons, Excel, OpenDocument, in their encodings.

One bad row never costs another: a stray quote, a NUL, a ragged or endless line becomes that row's problem.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, NamedTuple

from subscribers.errors import InvalidValue
from subscribers.imports.sheet_reading import UnreadableSheet, read_sheet
from subscribers.naming import nearest

LONGEST_LINE_BYTES = 1_000_000
_BLOCK_BYTES = 256 * 1024
MOST_COLUMNS = 500
MOST_LINES_IN_CELL = 50
_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Row(NamedTuple):
    """One row: its line or sheet row number (1 = the header's place), its cells, or what is wrong with it."""

    number: int
    cells: Sequence[str]
    problem: str = ""


class _Line(NamedTuple):
    number: int
    text: str
    problem: str = ""


class Table:
    """
    A file with a header row.

    Raises:
        InvalidValue: When it cannot be read as one: empty, no header, two columns of one name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            start = file.read(4)
        if not start:
            raise InvalidValue(f"{path.name} is empty.")
        self._is_sheet = start in (_ZIP, _OLE)
        self.columns: tuple[str, ...] = self._read_header()

    @cached_property
    def sha256(self) -> str:
        return file_sha256(self.path)

    def rows(self) -> Iterator[Row]:
        """Yield every row after the header that is not blank."""
        rows = self._sheet_rows() if self._is_sheet else self._text_rows()
        next(rows)
        width = len(self.columns)
        for row in rows:
            if row.problem:
                yield row
            elif (text := "".join(row.cells)) and not text.isspace():
                yield row if len(row.cells) == width else _fitted(row, width)

    def _read_header(self) -> tuple[str, ...]:
        rows = self._sheet_rows() if self._is_sheet else self._text_rows()
        first = next(rows, None)
        if first is None or not any(cell.strip() for cell in first.cells):
            raise InvalidValue(f"{self.path.name} has no header row.", hint="Its first row must name the columns.")
        if first.problem:
            raise InvalidValue(f"The header row of {self.path.name} cannot be read: {first.problem}.")
        return _checked_header(self.path.name, first.cells)

    def _text_rows(self) -> Iterator[Row]:
        with self.path.open("rb") as file:
            lines = _lines(file)
            first = next(lines, None)
            while first is not None and not first.text.strip() and not first.problem:
                first = next(lines, None)
            if first is None:
                return
            told = re.fullmatch(r"sep=(.)", first.text.strip())
            if told:  # Excel writes the separator into a line of its own
                first = next(lines, None) or _Line(2, "")
            separator = told.group(1) if told else _separator(first.text)
            yield from _records(first, lines, separator)

    def _sheet_rows(self) -> Iterator[Row]:
        try:
            for number, cells in enumerate(read_sheet(self.path), start=1):
                yield Row(number, cells)
        except UnreadableSheet as error:
            raise InvalidValue(
                f"{self.path.name} cannot be read as a spreadsheet: {error}",
                hint="Save it as CSV (UTF-8) in your spreadsheet program and import that.",
            ) from None


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def text_lines(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield the lines of a text file: number, text, and what is wrong with it."""
    with path.open("rb") as file:
        yield from _lines(file)


def _checked_header(file_name: str, cells: Sequence[str]) -> tuple[str, ...]:
    names = [" ".join(cell.split()) for cell in cells]
    while names and not names[-1]:
        names.pop()
    if len(names) > MOST_COLUMNS:
        raise InvalidValue(f"{file_name} has {len(names)} columns; {MOST_COLUMNS} are the most.")
    seen: dict[str, str] = {}
    for name in names:
        same = seen.setdefault(name.casefold(), name) if name else name
        if name and (same is not name):
            raise InvalidValue(
                f"{file_name} has two columns '{name}'.", hint="Give each column a name of its own, then import again."
            )
    if any("@" in name for name in names):
        raise InvalidValue(
            f"The first row of {file_name} holds an address, not the names of columns.",
            hint="Put a row such as `address,name` above it.",
        )
    return tuple(names)


def _fitted(row: Row, width: int) -> Row:
    cells = list(row.cells)
    while len(cells) > width and not cells[-1].strip():
        cells.pop()
    if len(cells) == width:
        return Row(row.number, cells)
    return Row(row.number, cells, f"it has {len(cells)} cells where the header has {width}")


def _separator(header: str) -> str:
    outside = re.sub(r'"[^"]*"', "", header)
    counts = {separator: outside.count(separator) for separator in ("\t", ";", ",")}
    best = max(counts, key=lambda separator: counts[separator])
    return best if counts[best] else ","


def _lines(file: BinaryIO) -> Iterator[_Line]:
    start = file.read(4)
    file.seek(0)
    if start[:2] in _UTF16:
        yield from _utf16_lines(file)
        return
    if start.startswith(codecs.BOM_UTF8):
        file.seek(len(codecs.BOM_UTF8))
    number = 1
    for block, too_long in _blocks(file):
        if too_long:
            shown = block[:200].decode("utf-8", "replace").replace("\0", "\ufffd")
            yield _Line(number, shown, f"the line is longer than {LONGEST_LINE_BYTES:,} bytes")
            number += 1
            continue
        lines = _even_lines(block)
        if lines is not None:
            yield from map(_Line, range(number, number + len(lines)), lines)
            number += len(lines)
            continue
        for raw in block.removesuffix(b"\n").split(b"\n"):
            for part in raw.removesuffix(b"\r").split(b"\r"):  # line ends of old Macs
                yield _decoded(number, part)
                number += 1


def _blocks(file: BinaryIO) -> Iterator[tuple[bytes, bool]]:
    """Yield whole lines, many at once, or the beginning of one that is too long, which is never held whole."""
    rest = b""
    while read := file.read(_BLOCK_BYTES):
        end = read.rfind(b"\n") + 1
        if end:
            first = read.find(b"\n") + 1
            if len(rest) + first > LONGEST_LINE_BYTES and b"\r" not in rest:
                yield rest, True
                rest, read, end = b"", read[first:], end - first
            if end:
                yield rest + read[:end], False
                rest = b""
            read = read[end:]
        rest += read
        if len(rest) > LONGEST_LINE_BYTES:
            cut = rest.rfind(b"\r") + 1
            yield (rest[:cut], False) if cut else (rest, True)
            rest = rest[cut:] if cut else _after_long_line(file)
    if rest:
        yield rest, False


def _after_long_line(file: BinaryIO) -> bytes:
    while read := file.read(_BLOCK_BYTES):
        if end := read.find(b"\n") + 1:
            return read[end:]
    return b""


def _even_lines(block: bytes) -> list[str] | None:
    """Return the lines of a block that has nothing odd in it: no NUL, no lone CR, all of it UTF-8."""
    if b"\0" in block:
        return None
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n")
        if b"\r" in block.removesuffix(b"\r"):
            return None
    try:
        return block.decode("utf-8").removesuffix("\r").removesuffix("\n").split("\n")
    except UnicodeDecodeError:
        return None


def _decoded(number: int, raw: bytes) -> _Line:
    """Decode a line by itself: a file that mixes UTF-8 and Windows-1252 comes out right."""
    if b"\0" in raw:
        return _Line(number, raw.decode("utf-8", "replace").replace("\0", "\ufffd"), "it holds a NUL byte")
    try:
        return _Line(number, raw.decode("utf-8"))
    except UnicodeDecodeError:
        pass
    try:
        return _Line(number, raw.decode("cp1252"))
    except UnicodeDecodeError:
        return _Line(number, raw.decode("cp1252", "replace"), "its letters are neither UTF-8 nor Windows-1252")


def _utf16_lines(file: BinaryIO) -> Iterator[_Line]:
    text = io.TextIOWrapper(file, encoding="utf-16", errors="replace", newline="\n")
    number = 0
    while line := text.readline(LONGEST_LINE_BYTES):
        number += 1
        if len(line) == LONGEST_LINE_BYTES and not line.endswith("\n"):
            shown = line[:200]
            while line and not line.endswith("\n"):
                line = text.readline(LONGEST_LINE_BYTES)
            yield _Line(number, shown, f"the line is longer than {LONGEST_LINE_BYTES:,} characters")
        elif "\0" in line:
            yield _Line(number, line.replace("\0", "\ufffd").rstrip("\r\n"), "it holds a NUL byte")
        else:
            yield _Line(number, line.rstrip("\r\n"))
    text.detach()


def _records(first: _Line, rest: Iterator[_Line], separator: str) -> Iterator[Row]:
    """Join the lines of quoted cells; a quote that is never closed stays the problem of its own line."""
    waiting: list[_Line] = []  # lines that were looked at as part of a quoted cell, and were none
    line: _Line | None = first
    width = 0
    while line is not None:
        number, text, problem = line
        if problem:
            yield Row(number, [text], problem)
        else:
            row = _quoted(line, waiting, rest, separator, width) if '"' in text else Row(number, text.split(separator))
            width = width or len(row.cells)
            yield row
        line = waiting.pop(0) if waiting else next(rest, None)


def _quoted(line: _Line, waiting: list[_Line], rest: Iterator[_Line], separator: str, width: int) -> Row:
    text, taken = line.text, 0
    while True:
        cells, wrong = _split(text, separator)
        if cells is not None and (taken == 0 or len(cells) == width):
            del waiting[:taken]
            return Row(line.number, cells)
        if wrong != _UNCLOSED or taken == MOST_LINES_IN_CELL:
            break
        if taken == len(waiting):
            following = next(rest, None)
            if following is None:
                break
            waiting.append(following)
        more = waiting[taken]
        if more.problem or len(text) > LONGEST_LINE_BYTES or _is_row(more.text, separator, width):
            break
        text, taken = f"{text}\n{more.text}", taken + 1
    return Row(line.number, [line.text], "a quotation mark in it is not closed or stands inside a cell")


_UNCLOSED = "unclosed"


def _split(text: str, separator: str) -> tuple[list[str] | None, str]:
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter=separator, strict=True))
    except csv.Error as error:
        return None, _UNCLOSED if "unexpected end" in str(error) else str(error)
    return (rows[0], "") if len(rows) == 1 else (None, "several rows")


def _is_row(text: str, separator: str, width: int) -> bool:
    """Tell whether a line is a row by itself: then the quote above it was a stray one."""
    cells, _ = _split(text, separator)
    return cells is not None and len(cells) == width > 1 and any(_ADDRESS.fullmatch(cell.strip()) for cell in cells)


_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


def unknown_column(name: str, columns: Sequence[str]) -> InvalidValue:
    """Return the error for a column that a mapping names and the file has not."""
    return InvalidValue(f"The file has no column '{name}'.", hint=nearest(name, [c for c in columns if c]))
