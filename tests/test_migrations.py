"""The migrations and the tables' own definitions are one schema, on SQLite and on PostgreSQL."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from newsletter import migrations
from subscribers.db import Base, Database


def differences(database: Database) -> list[object]:
    with database.read() as session, warnings.catch_warnings():
        # SQLite's indexes of expressions are compared by their text below.
        warnings.filterwarnings("ignore", "(?s).*expression-based index")
        context = MigrationContext.configure(session.connection(), opts={"compare_type": False})
        return list(compare_metadata(context, Base.metadata))


def indexes_of_expressions(database: Database) -> set[str]:
    with database.read() as session:
        found = session.connection().exec_driver_sql("SELECT sql FROM sqlite_master WHERE type = 'index'").scalars()
        return {" ".join(sql.split()) for sql in found if sql and "lower(" in sql}


def test_the_migrated_schema_is_the_one_the_program_uses(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'new.sqlite3'}")
    assert migrations.upgrade(database) is None
    assert differences(database) == []
    assert migrations.upgrade(database) == migrations.HEAD
    migrations.require_current(database)
    database.close()


@pytest.mark.journey
def test_the_migrated_schema_is_the_same_on_postgresql(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    assert migrations.upgrade(database) is None
    assert differences(database) == []
    database.close()


def test_indexes_of_expressions_are_those_that_the_program_uses(tmp_path: Path) -> None:
    migrated, made = (Database(f"sqlite:///{tmp_path / name}.sqlite3") for name in ("migrated", "made"))
    migrations.upgrade(migrated)
    with made.write() as session:
        Base.metadata.create_all(session.connection())
    assert indexes_of_expressions(migrated) == indexes_of_expressions(made)
    assert len(indexes_of_expressions(made)) == 1
    migrated.close()
    made.close()


def test_head_is_the_newest_migration() -> None:
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert scripts.get_heads() == [migrations.HEAD]


def test_an_upgrade_that_fails_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    """A table in the way of the first migration: not one of the others may stay."""
    database = Database(f"sqlite:///{tmp_path / 'half.sqlite3'}")
    with database.write() as session:
        session.connection().exec_driver_sql("CREATE TABLE workers (id INTEGER)")
    with pytest.raises(Exception, match="already exists"):
        migrations.upgrade(database)
    with database.read() as session:
        names = session.connection().exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    assert [name for (name,) in names] == ["workers"]
    database.close()


def trigger_names(database: Database) -> set[str]:
    of = {"sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'", "postgresql":
          "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"}  # fmt: skip
    with database.read() as session:
        connection = session.connection()
        return {row[0] for row in connection.exec_driver_sql(of[connection.dialect.name])}


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.journey)])
def test_the_migrated_tables_that_only_grow_have_their_triggers(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    """A later migration that copies such a table in Alembic's batch mode would lose them."""
    url = f"sqlite:///{tmp_path / 'new.sqlite3'}" if kind == "sqlite" else request.getfixturevalue("postgresql_url")
    database = Database(url)
    migrations.upgrade(database)
    kinds = ("no_delete", "no_change", *(("no_truncate",) if kind == "postgresql" else ()))
    assert trigger_names(database) >= {f"{t}_{k}" for t in ("audit_entries", "consent_events") for k in kinds}
    database.close()
