"""
The triggers that write down every change of whom may be mailed, and of who wants discreet mail, whoever makes it.

They run in the transaction of the change: what is not committed leaves no line, and what is committed has one. They are
made anew after each upgrade, since SQLite drops them with a table that a migration rebuilds.
"""

from __future__ import annotations

from sqlalchemy import Connection
from sqlalchemy.sql import text

_COLUMNS = "mark, kind, at, address_hash, domain, list_id, person, reason, expires_at"

# What each trigger writes: name, table, event, condition, values after the mark. {now} differs between databases.
_PERSON = "(SELECT token_id FROM subscribers WHERE address_hash = NEW.address_hash)"
_ENTRY = (
    "CASE WHEN NEW.lifted_at IS NULL THEN 'suppressed' ELSE 'lifted' END, COALESCE(NEW.lifted_at, NEW.since), "
    f"NEW.address_hash, NEW.domain, NEW.list_id, {_PERSON}, NEW.reason, NEW.expires_at"
)
_OF_PERSON = "(SELECT {column} FROM subscribers WHERE id = NEW.subscriber_id)"
_STANDING = (
    "CASE WHEN NEW.state = 'unsubscribed' THEN 'left' ELSE 'back' END, NEW.since, "
    f"{_OF_PERSON.format(column='address_hash')}, NULL, NEW.list_id, {_OF_PERSON.format(column='token_id')}, NULL, NULL"
)
_CHOICE = (
    "CASE WHEN NEW.discreet THEN 'discreet' ELSE 'plain' END, {now}, NEW.address_hash, NULL, NULL, NEW.token_id, "
    "NULL, NULL"
)
_CHANGED = " OR ".join(
    f"OLD.{column} IS DISTINCT FROM NEW.{column}"
    for column in ("lifted_at", "expires_at", "address_hash", "domain", "list_id", "reason")
)
_TRIGGERS = (
    ("never_mail_suppressed", "suppressions", "INSERT", "", _ENTRY),
    ("never_mail_changed", "suppressions", "UPDATE", _CHANGED, _ENTRY),
    ("never_mail_off", "subscriptions", "INSERT", "NEW.state = 'unsubscribed'", _STANDING),
    (
        "never_mail_off_or_on",
        "subscriptions",
        "UPDATE",
        "OLD.state <> NEW.state AND NEW.state IN ('unsubscribed', 'subscribed')",
        _STANDING,
    ),
    (
        "never_mail_gone",
        "subscribers",
        "DELETE",
        "",
        "'gone', {now}, OLD.address_hash, NULL, NULL, OLD.token_id, NULL, NULL",
    ),
    ("never_mail_discreet", "subscribers", "UPDATE OF discreet", "OLD.discreet <> NEW.discreet", _CHOICE),
)
_SQLITE_NOW = "strftime('%Y-%m-%d %H:%M:%f000', 'now')"
_POSTGRESQL_MARK = "decode(replace(gen_random_uuid()::text, '-', ''), 'hex')"


def make_triggers(connection: Connection) -> None:
    """Make the triggers, or replace those that an older version made."""
    make = _make_on_sqlite if connection.dialect.name == "sqlite" else _make_on_postgresql
    for trigger in _TRIGGERS:
        for statement in make(*trigger):
            connection.execute(text(statement.replace(":", r"\:")))


def note_standing(connection: Connection) -> None:
    """Write down what holds already in a database that is older than the triggers."""
    _note(connection, f"{_ENTRY} FROM suppressions AS entry WHERE lifted_at IS NULL ORDER BY id")
    _note(connection, f"{_STANDING} FROM subscriptions AS entry WHERE state = 'unsubscribed'")


def note_discreet(connection: Connection) -> None:
    """Write down who has chosen discreet mail already."""
    _note(connection, f"{_CHOICE} FROM subscribers AS entry WHERE discreet")


def _note(connection: Connection, values: str) -> None:
    sqlite = connection.dialect.name == "sqlite"
    mark, now = ("randomblob(16)", _SQLITE_NOW) if sqlite else (_POSTGRESQL_MARK, "now()")
    statement = f"INSERT INTO never_mail_changes ({_COLUMNS}) SELECT {mark}, {values}"
    filled = statement.replace("NEW.", "entry.").replace("{now}", now)
    connection.execute(text(filled.replace(":", r"\:")))


def _make_on_sqlite(name: str, table: str, on: str, condition: str, values: str) -> list[str]:
    # `IS DISTINCT FROM` came to SQLite with version 3.39; its own `IS NOT` is the same.
    when = f"WHEN {condition}".replace("IS DISTINCT FROM", "IS NOT") if condition else ""
    filled = values.replace("{now}", _SQLITE_NOW)
    insert = f"INSERT INTO never_mail_changes ({_COLUMNS}) VALUES (randomblob(16), {filled})"  # noqa: S608
    return [
        f"DROP TRIGGER IF EXISTS {name}",
        f"CREATE TRIGGER {name} AFTER {on} ON {table} {when} BEGIN {insert}; END",
    ]


def _make_on_postgresql(name: str, table: str, on: str, condition: str, values: str) -> list[str]:
    filled = values.replace("{now}", "now()")
    insert = f"INSERT INTO never_mail_changes ({_COLUMNS}) VALUES ({_POSTGRESQL_MARK}, {filled})"  # noqa: S608
    body = f"BEGIN {insert}; RETURN NULL; END"
    when = f"WHEN ({condition})" if condition else ""
    return [
        # The body is kept as text and names its tables without a schema, as every statement of this program does.
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $body$ {body} $body$",
        f"DROP TRIGGER IF EXISTS {name} ON {table}",
        f"CREATE TRIGGER {name} AFTER {on} ON {table} FOR EACH ROW {when} EXECUTE FUNCTION {name}()",
    ]
