"""
A large network for benchmarks: people with two lists, three attributes and a tag, made by the database itself.

Who has what follows from the number of the person, so every run, on SQLite and on PostgreSQL, is about the same people.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import text

from newsletter import tables as _newsletter_tables  # noqa: F401  (registers the tables)
from subscribers.db import Base, Database
from subscribers.tables import AttributeDefinition, AttributeKind, MailingList

NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
TOWNS = ("Dudley", "Walsall", "Sandwell", "Wolverhampton", "Stourbridge", "Halesowen", "Tipton", "Bilston")
ROLES = ("police", "council", "health", "charity", "volunteer")

_NUMBERS = {
    "sqlite": "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :people)",
    "postgresql": "WITH numbers(n) AS (SELECT generate_series(1, :people))",
}
_SIXTEEN_BYTES = {
    "sqlite": "CAST(printf('%016d', n) AS BLOB)",
    "postgresql": "convert_to(lpad(n::text, 16, '0'), 'UTF8')",
}
_SOME_DAY = {
    "sqlite": "datetime('2026-11-02', '-' || (n * 31 % 1500) || ' days') || '.000000'",
    "postgresql": "timestamptz '2026-11-02 00:00+00' - (n * 31 % 1500) * interval '1 day'",
}


def fill(database: Database, people: int) -> None:
    """Make the tables, and *people* in them."""
    kind = database.engine.dialect.name
    numbers, sixteen, day = _NUMBERS[kind], _SIXTEEN_BYTES[kind], _SOME_DAY[kind]
    with database.write() as session:
        Base.metadata.create_all(session.connection())
        for number, name in enumerate(("members", "partners"), 1):
            session.add(MailingList(id=number, name=name, title=name.title(), created_at=NOW))
        for number, name in enumerate(("town", "role", "ward"), 1):
            session.add(AttributeDefinition(id=number, name=name, kind=AttributeKind.TEXT))
        session.flush()
        value = "INSERT INTO attribute_values (subscriber_id, definition_id, position, text)"
        for statement in (
            f"""INSERT INTO subscribers (id, token_id, address, key, address_hash, domain, name, first_name, joined_at,
                updated_at) {numbers} SELECT n, {sixteen}, 'person' || n || '@mail' || (n % 500) || '.example.org',
                'person' || n || '@mail' || (n % 500) || '.example.org', {sixteen}, 'mail' || (n % 500)
                || '.example.org', 'Name ' || n, 'Name', {day}, {day} FROM numbers""",
            f"""INSERT INTO subscriptions (subscriber_id, list_id, state, basis, since) {numbers}
                SELECT n, 1, 'subscribed', 'consent', {day} FROM numbers WHERE n % 5 > 0""",
            f"""INSERT INTO subscriptions (subscriber_id, list_id, state, basis, since) {numbers}
                SELECT n, 2, 'subscribed', 'corporate', {day} FROM numbers WHERE n % 3 = 0""",
            f"{value} {numbers} SELECT n, 1, 0, {_one_of(TOWNS, 'n * 7 / 3')} FROM numbers",
            f"{value} {numbers} SELECT n, 2, 0, {_one_of(ROLES, 'n * 11 / 7')} FROM numbers",
            f"{value} {numbers} SELECT n, 3, 0, 'Ward ' || (n % 97) FROM numbers",
            f"""INSERT INTO subscriber_tags (subscriber_id, tag) {numbers}
                SELECT n, 'volunteer' FROM numbers WHERE n % 4 = 1""",
        ):
            values = {"people": people} if ":people" in statement else {}
            session.execute(text(statement), values)
        session.execute(text("ANALYZE"))


def _one_of(words: tuple[str, ...], number: str) -> str:
    cases = " ".join(f"WHEN {place} THEN '{word}'" for place, word in enumerate(words))
    return f"CASE ({number}) % {len(words)} {cases} END"
