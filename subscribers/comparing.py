"""
Comparing text alike on every database: ASCII letters without case, everything else by code point.

SQLite's ``lower()`` knows only ASCII; PostgreSQL's follows the collation, so there the "C" collation is named, which
also makes ``<`` compare code points. `fold` does the same to the values that are bound.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def fold(text: str) -> str:
    """Return *text* with its ASCII letters in lower case."""
    return text.translate(_ASCII_LOWER)


class folded(FunctionElement[str]):  # noqa: N801 (reads as the SQL function that it is)
    """The folded value of a text column."""

    name = "folded"
    type = Text()
    inherit_cache = True


@compiles(folded)
def _lower(element: folded, compiler: SQLCompiler, **options: Any) -> str:
    return f"lower({compiler.process(element.clauses, **options)})"


@compiles(folded, "postgresql")
def _lower_postgresql(element: folded, compiler: SQLCompiler, **options: Any) -> str:
    return f'lower({compiler.process(element.clauses, **options)} COLLATE "C")'


class by_code_point(FunctionElement[str]):  # noqa: N801 (reads as the SQL function that it is)
    """A text column that is ordered by code points; only for ``<`` and its like: an index on ``=`` needs the column."""

    name = "by_code_point"
    type = Text()
    inherit_cache = True


@compiles(by_code_point)
def _plain(element: by_code_point, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


@compiles(by_code_point, "postgresql")
def _collated(element: by_code_point, compiler: SQLCompiler, **options: Any) -> str:
    return f'({compiler.process(element.clauses, **options)} COLLATE "C")'
