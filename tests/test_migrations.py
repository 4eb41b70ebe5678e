"""The migrations and the tables' own definitions are one schema, on SQLite and on PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from newsletter import migrations
from subscribers.db import Base, Database


def differences(database: Database) -> list[object]:
    with database.read() as session:
        context = MigrationContext.configure(session.connection(), opts={"compare_type": False})
        return list(compare_metadata(context, Base.metadata))


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
