"""
Tables that only grow: triggers that refuse to change or delete a row, also to our own code and to a database's shell.

What an erasure must take away is named column by column. A migration that copies such a table, as Alembic's batch mode
does on SQLite, loses its triggers and must make them again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import DDL, FromClause, Table, event

DIALECTS = ("sqlite", "postgresql")
MESSAGE = "only grows: a row of it is never changed or deleted"


def only_grows(table: FromClause, *, movable: Sequence[str] = (), blankable: Mapping[str, str] | None = None) -> None:
    """
    Have the triggers of a table made whenever the table is.

    Args:
        movable: Columns that may take another value.
        blankable: Columns that may be blanked and nothing else, each with the literal that blanks it.
    """
    assert isinstance(table, Table)
    table.info["only_grows"] = (tuple(movable), dict(blankable or {}))
    for dialect in DIALECTS:
        for statement in triggers(table, dialect):
            made: Any = DDL(statement.replace("%", "%%"))  # type: ignore[no-untyped-call]
            made = made.execute_if(dialect=dialect)
            event.listen(table, "after_create", made)


def triggers(table: FromClause, dialect: str) -> Iterator[str]:
    """Yield the statements that make the triggers of a table for which `only_grows` was called."""
    assert isinstance(table, Table)
    movable, blankable = table.info["only_grows"]
    fixed = [column.name for column in table.columns if column.name not in (*movable, *blankable)]
    name = table.name
    if dialect == "sqlite":
        changed = [f"OLD.{column} IS NOT NEW.{column}" for column in fixed]
        changed += [f"(OLD.{c} IS NOT NEW.{c} AND NEW.{c} IS NOT {blank})" for c, blank in blankable.items()]
        refuse = f"BEGIN SELECT RAISE(ABORT, '{name} {MESSAGE}'); END"
        yield f"CREATE TRIGGER {name}_no_delete BEFORE DELETE ON {name} {refuse}"
        yield f"CREATE TRIGGER {name}_no_change BEFORE UPDATE ON {name} WHEN {' OR '.join(changed)} {refuse}"
        return
    # JSON has no equality of its own on PostgreSQL.
    changed = [f"OLD.{column}::text IS DISTINCT FROM NEW.{column}::text" for column in fixed]
    changed += [
        f"(OLD.{c} IS DISTINCT FROM NEW.{c} AND NEW.{c} IS DISTINCT FROM {blank})" for c, blank in blankable.items()
    ]
    yield (
        f"CREATE OR REPLACE FUNCTION {name}_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$ "
        f"BEGIN RAISE EXCEPTION '{name} {MESSAGE}'; END $$"
    )
    run = f"EXECUTE FUNCTION {name}_only_grows()"
    yield f"CREATE TRIGGER {name}_no_delete BEFORE DELETE ON {name} FOR EACH ROW {run}"
    yield f"CREATE TRIGGER {name}_no_truncate BEFORE TRUNCATE ON {name} FOR EACH STATEMENT {run}"
    yield f"CREATE TRIGGER {name}_no_change BEFORE UPDATE ON {name} FOR EACH ROW WHEN ({' OR '.join(changed)}) {run}"
