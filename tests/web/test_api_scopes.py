"""What each scope opens, and that the words are those of the command line."""

from __future__ import annotations

import json

import httpx
from click.testing import CliRunner

from newsletter.api_tokens import Scope
from newsletter.app import App
from tests.web.api_client import (
    GROUND,
    READING,
    Caller,
    asking,
    caller,
    kind,
    make_lists,
    put,
)


def test_each_scope_opens_its_own_resource_and_no_other(app: App, site: httpx.Client) -> None:
    make_lists(app, "members")
    put(app, "ann@example.org", "members")
    ground = {"list": "members", **GROUND}
    requests = {
        ("GET", "/subscribers"): {Scope.SUBSCRIBERS_READ},
        ("GET", "/subscribers/1"): {Scope.SUBSCRIBERS_READ},
        ("POST", "/lookup"): {Scope.SUBSCRIBERS_READ},
        ("POST", "/subscribers"): {Scope.SUBSCRIBERS_WRITE, Scope.SUBSCRIBERS_ASK},
        ("POST", "/subscribers/1/subscribe"): {Scope.SUBSCRIBERS_WRITE},
        ("POST", "/subscribers/1/unsubscribe"): {Scope.SUBSCRIBERS_WRITE},
        ("PATCH", "/subscribers/1"): set(),  # needs two
        ("GET", "/lists"): {Scope.LISTS_READ},
        ("GET", "/lists/members"): {Scope.LISTS_READ},
        ("GET", "/issues"): {Scope.ISSUES_READ},
        ("GET", "/issues/2026-11"): {Scope.ISSUES_READ},
        ("GET", "/issues/2026-11/status"): {Scope.ISSUES_READ},
        ("GET", "/issues/2026-11/report"): {Scope.DELIVERIES_READ},
        ("GET", "/deliveries?issue=2026-11"): {Scope.DELIVERIES_READ},
        ("GET", "/suppressions"): {Scope.SUPPRESSIONS_READ},
        ("POST", "/suppressions"): {Scope.SUPPRESSIONS_WRITE},
        ("POST", "/subscribers/1/erase"): {Scope.SUBSCRIBERS_ERASE},
    }
    bodies = {
        "/lookup": {"address": "a@example.org"},
        "/subscribers": asking("a@example.org", "members"),
        "/subscribers/1/subscribe": ground,
        "/subscribers/1/unsubscribe": {"list": "members"},
        "/suppressions": {"address": "b@example.org", "evidence": "x"},
        "/subscribers/1/erase": {"evidence": "x"},
        "/subscribers/1": {"name": "x"},
    }
    for scope in Scope:
        one = caller(app, site, scope, name=scope.value.replace(":", "-"))
        for (method, path), needed in requests.items():
            body = {"json": bodies[path]} if method != "GET" else {}
            answer = one(method, path, **body, headers={"if-match": "*"})
            refused = answer.status_code == 403 and kind(answer) == "scope-missing"
            assert refused == (scope not in needed), (scope, method, path, answer.text)


def test_the_words_are_those_of_the_command_line(app: App, editor: Caller) -> None:
    from newsletter.cli.main import cli
    from newsletter.migrations import HEAD

    put(app, "ann@example.org", "members", name="Ann Jones", tags=("press",))
    reader = caller(app, editor.site, *READING, Scope.SUPPRESSIONS_READ, name="reader")
    with app.database.write() as session:
        connection = session.connection()
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.exec_driver_sql(f"INSERT INTO alembic_version VALUES ('{HEAD}')")
    folder = app.workspace.root
    (folder / "config.toml").write_text(
        '[organisation]\nname = "X"\npostal_address = "Y"\nfrom_address = "a@example.org"\n'
        '[smtp]\nhost = "127.0.0.1"\n[web]\nurl = "https://news.example.org"\n'
    )
    said = CliRunner().invoke(cli, ["--workspace", str(folder), "--json", "subscribers", "list"])
    [by_command] = json.loads(said.stdout)
    [by_program] = reader("GET", "/subscribers").json()
    assert {name: by_program[name] for name in by_command} == by_command
    said = CliRunner().invoke(cli, ["--workspace", str(folder), "--json", "lists", "list"])
    shown = {each["name"]: each for each in reader("GET", "/lists").json()}
    for by_command in json.loads(said.stdout):
        assert {name: shown[by_command["name"]][name] for name in by_command} == by_command
