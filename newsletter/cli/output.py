"""
What commands say: data to standard output, everything else to standard error, one shape for tables, JSON and errors.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import click


@dataclass
class Output:
    """How this run speaks: `--json`, `--quiet`, `--yes`, `--no-color`, and whether somebody watches a terminal."""

    as_json: bool = False
    quiet: bool = False
    yes: bool = False
    color: bool = True

    def data(self, value: Any) -> None:
        """Print one JSON document."""
        click.echo(json.dumps(value, default=_plain, ensure_ascii=False, indent=2))

    def show(self, text: str) -> None:
        """Print what was asked for."""
        click.echo(text)

    def note(self, text: str) -> None:
        """Tell the person something that is not the answer."""
        if not self.quiet:
            click.echo(text, err=True)

    def warn(self, text: str) -> None:
        click.echo(text, err=True)

    def table(self, rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, empty: str) -> None:
        """Print rows as JSON with all their keys, or the named columns, without empty ones, as a table that fits."""
        rows = list(rows)
        if self.as_json:
            self.data(rows)
            return
        if not rows:
            self.note(empty)
            return
        columns = [column for column in columns if any(_cell(row.get(column)) for row in rows)]
        cells = [[plain_lines(_cell(row.get(column))) for column in columns] for row in rows]
        self._print_table([column.replace("_", " ") for column in columns], cells)

    def _print_table(self, headings: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
        from rich.cells import cell_len
        from rich.table import Table

        from newsletter.cli.table_layout import fitted_widths

        console = self.console()
        columns = list(zip(headings, *cells, strict=True))
        widths = fitted_widths([max(map(cell_len, column)) for column in columns], console.width)
        if widths is None:
            label = max(map(len, headings)) + 2
            records = ("\n".join(f"{h:<{label}}{c}" for h, c in zip(headings, row, strict=True) if c) for row in cells)
            console.print("\n\n".join(records))
            return
        table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False, padding=(0, 2, 0, 0))
        for heading, width in zip(headings, widths, strict=True):
            table.add_column(heading, overflow="fold", width=width)
        for row in cells:
            table.add_row(*row)
        console.print(table)

    def console(self, *, stderr: bool = False) -> Any:
        from rich.console import Console

        return Console(
            stderr=stderr, no_color=not self.color, highlight=False, markup=False, emoji=False, soft_wrap=False
        )

    @property
    def asks(self) -> bool:
        """Whether somebody sits there to be asked, and has not answered everything with `--yes`."""
        return not self.yes and sys.stdin.isatty() and sys.stderr.isatty()

    def confirm(self, question: str) -> bool:
        """
        Ask before something that cannot be taken back.

        Raises:
            click.UsageError: When nobody can be asked: not on a terminal and without `--yes`.
        """
        if self.yes:
            return True
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise click.UsageError(f"{question} Nobody can be asked here: add --yes to answer yes.")
        return click.confirm(question, default=False, err=True)

    def progress(self, label: str, total: int | None) -> Any:
        """Return a rich progress bar on standard error, as a context manager; silent when quiet or off a terminal."""
        from newsletter.cli.progress import Progress

        return Progress(label, total, visible=not self.quiet and sys.stderr.isatty(), console=self.console(stderr=True))


def plain(text: str) -> str:
    """Return what others wrote (a name, a reply, a DNS record) as text that cannot steer a terminal."""
    return "".join(c if c.isprintable() else " " for c in text)


def plain_lines(text: str) -> str:
    """Return the same of a text that may have several lines."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    if isinstance(value, list | tuple):
        return ", ".join(str(v) for v in value)
    if isinstance(value, dict):
        return ", ".join(f"{k}={_cell(v)}" for k, v in value.items())
    return str(value)
