"""`newsletter tokens`: shown once, least by default, ended at once."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from newsletter import api_tokens
from newsletter.api_tokens import Scope
from newsletter.app import App
from newsletter.cli.main import Context, cli
from newsletter.errors import Conflict, InvalidValue
from newsletter.tables import ApiToken
from subscribers import lists
from subscribers.errors import InvalidValue as BadName

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)


@pytest.fixture
def run(app: App, monkeypatch: pytest.MonkeyPatch):
    """Return a function that runs a command on the application."""
    with app.database.write() as session:
        for name in ("members", "events"):
            lists.create(session, name, at=NOW)
    monkeypatch.setattr(Context, "app", property(lambda _: app))
    monkeypatch.setattr(Context, "close", lambda _: None)

    def run_it(*words: str) -> Result:
        return CliRunner().invoke(cli, list(words))

    return run_it


def stored(app: App, name: str) -> ApiToken:
    with app.database.read() as session:
        return session.scalars(select(ApiToken).where(ApiToken.name == name)).one()


def test_a_token_is_shown_once_and_only_its_hash_is_kept(app: App, run) -> None:
    said = run(
        "tokens", "create", "website", "--scope", "subscribers:ask", "--list", "members", "--expires", "2027-12-31"
    )
    assert said.exit_code == 0, said.output
    token = said.stdout.strip()
    assert token.startswith("nlt_")
    row = stored(app, "website")
    assert row.digest == api_tokens.digest(token)
    assert (row.scopes, row.list_ids, row.created_by) == (["subscribers:ask"], [1], "tester")
    listed = run("tokens", "list")
    assert "website" in listed.stdout
    assert "2027-12-31" in listed.stdout
    assert token not in listed.output
    assert token[4:] not in json.dumps(run("--json", "tokens", "list").stdout)


def test_without_scopes_it_is_the_least(app: App, run) -> None:
    made = json.loads(run("--json", "tokens", "create", "plain").stdout)
    assert made["scopes"] == ["lists:read"]
    assert (made["lists"], made["expires"]) == (None, None)
    with app.database.read() as session:
        access = api_tokens.authenticate(session, made["token"], now=NOW)
    assert access is not None
    assert access.scopes == {Scope.LISTS_READ}


def test_a_token_ends_after_its_last_day_and_at_once_when_revoked(app: App, run) -> None:
    made = json.loads(run("--json", "tokens", "create", "brief", "--expires", "2026-11-02").stdout)
    with app.database.read() as session:
        assert api_tokens.authenticate(session, made["token"], now=datetime(2026, 11, 2, 23, 59, tzinfo=UTC))
        assert api_tokens.authenticate(session, made["token"], now=datetime(2026, 11, 3, tzinfo=UTC)) is None
    assert run("tokens", "revoke", "brief").exit_code == 0
    with app.database.read() as session:
        assert api_tokens.authenticate(session, made["token"], now=NOW) is None
    [row] = json.loads(run("--json", "tokens", "list").stdout)
    assert (row["state"], row["revoked_by"]) == ("revoked", "tester")
    again = run("tokens", "revoke", "brief")
    assert isinstance(again.exception, Conflict)
    assert "brief" in str(run("tokens", "revoke", "brie").exception.__dict__)


def test_a_name_is_never_used_twice(app: App, run) -> None:
    run("tokens", "create", "one")
    run("tokens", "revoke", "one")
    assert isinstance(run("tokens", "create", "one").exception, Conflict)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("x", "--expires", "2026-11-01"), InvalidValue),
        (("x", "--scope", "subscribers:erase", "--list", "members"), InvalidValue),
        (("Not a name",), BadName),
    ],
)
def test_what_makes_no_sense_is_refused(app: App, run, words: tuple[str, ...], error: type[Exception]) -> None:
    assert isinstance(run("tokens", "create", *words).exception, error)
    assert run("tokens", "create", "x", "--scope", "everything").exit_code == 2
    with app.database.read() as session:
        assert not api_tokens.any_was_made(session)
