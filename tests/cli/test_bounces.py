"""The commands of returned mail: taken from a pipe, listed, shown, counted, undone."""

from __future__ import annotations

import io
import json
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from newsletter.app import App, utc_now
from newsletter.cli.main import main
from newsletter.config.settings import Config
from newsletter.keys import create_keys
from newsletter.migrations import open_and_upgrade
from newsletter.paths import Workspace
from newsletter.tables import Delivery, Issue
from newsletter.tables import DeliveryState as S
from subscribers import db
from subscribers.bounces import intake
from tests.send.conftest import plan_issue  # noqa: F401  (a fixture)
from tests.send.returned_mail import MAILBOX_FULL, bounce, complaint, mark_of, reply

CONFIG = """
[organisation]
name = "Example Network"
postal_address = "1 High Street, Dudley DY1 1AA"
from_address = "news@example.org"
[smtp]
host = "127.0.0.1"
tls = "none"
[web]
url = "https://news.example.org"
"""
Run = Callable[..., Any]


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """A workspace that `init` could have made."""
    workspace = Workspace(tmp_path / "ws")
    for folder in (workspace.root, workspace.outbox, workspace.locks):
        folder.mkdir()
    create_keys(workspace.secrets)
    open_and_upgrade(f"sqlite:///{workspace.database}")
    workspace.config.write_text(CONFIG)
    made = App(workspace=workspace, config=Config.model_validate(tomllib.loads(CONFIG)), actor="tester")
    yield made
    made.close()


@pytest.fixture
def copies(app: App, plan_issue: Callable[..., int]) -> list[Delivery]:  # noqa: F811
    """Copies of an issue that is out since yesterday."""
    app.now = lambda: utc_now() - timedelta(days=1)
    issue_id = plan_issue(app, 5, slug="2026-11")
    with app.database.write() as session:
        session.execute(update(Delivery).where(Delivery.issue_id == issue_id).values(state=S.SENT, reply_code=250))
        return list(session.scalars(select(Delivery).order_by(Delivery.id)))


@pytest.fixture
def run(app: App, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command with a mail on standard input; returns its JSON or, where asked, all that it says."""

    def run_command(*words: str, code: int = 0, stdin: bytes = b"", as_json: bool = True) -> Any:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        out, err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
        arguments = ["--workspace", str(app.workspace.root), *(["--json"] if as_json else []), "bounces", *words]
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == code, err.getvalue()
        out.flush()
        said = out.buffer.getvalue().decode()  # type: ignore[attr-defined]
        return json.loads(said) if as_json and not code else said + err.getvalue()

    return run_command


def receive(run: Run, raw: bytes, *words: str) -> Any:
    return run("receive", *words, stdin=raw)


def test_a_mail_from_a_pipe_is_kept_and_said(run: Run, app: App, copies: list[Delivery]) -> None:
    raw = bounce("undisclosed", recipient=copies[0].address)
    assert receive(run, raw, "--to", mark_of(app, copies[0]))["disposition"] == "processed"
    assert receive(run, raw, "--to", mark_of(app, copies[0]))["disposition"] == "duplicate"
    (line,) = run("list")
    assert line["address"] == copies[0].address
    assert (line["issue"], line["class"], line["counts"], line["rule"]) == ("2026-11", "hard", True, "counted")


@pytest.mark.parametrize("trouble", ["locked", "no database", "no key", "broken configuration"])
def test_trouble_leaves_the_mail_with_the_mail_server(
    run: Run, app: App, copies: list[Delivery], trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "BUSY_TIMEOUT_MS", 50)
    raw = bounce(mark_of(app, copies[0]), recipient=copies[0].address)
    locked = app.database.engine.connect()
    if trouble == "locked":
        locked.exec_driver_sql("SELECT 1")  # begins: IMMEDIATE
    elif trouble == "no database":
        app.workspace.database.unlink()
    elif trouble == "no key":
        (app.workspace.secrets / "marks.key").unlink()
    else:
        app.workspace.config.write_text("[organisation")
    try:
        said = run("receive", stdin=raw, code=75, as_json=False)
    finally:
        locked.close()
    assert "could not be kept" in said
    assert copies[0].address not in said


def test_a_mail_that_is_too_large_is_never_kept_without_its_end(
    run: Run, app: App, copies: list[Delivery], monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = bounce(mark_of(app, copies[0]), recipient=copies[0].address)
    monkeypatch.setattr(intake, "LARGEST_KEPT_BYTES", len(raw) - 1)
    assert "larger than" in run("receive", stdin=raw, code=75, as_json=False)
    assert run("list") == []
    monkeypatch.setattr(intake, "LARGEST_KEPT_BYTES", len(raw))
    assert receive(run, raw)["disposition"] == "processed"


def test_lists_narrow_by_issue_person_kind_and_mark(run: Run, app: App, copies: list[Delivery]) -> None:
    receive(run, bounce(mark_of(app, copies[0]), recipient=copies[0].address))
    receive(run, complaint(mark_of(app, copies[1])))
    receive(run, bounce("b+1.aaaaaaaaaaaaaaaa@example.org", recipient=copies[2].address))
    assert len(run("list")) == 3
    assert [line["kind"] for line in run("list", "--issue", "2026-11")] == ["complaint", "bounce"]
    assert [line["rule"] for line in run("list", "--unmatched")] == ["no mark"]
    assert [line["kind"] for line in run("list", "--kind", "complaint")] == ["complaint"]
    assert [line["kind"] for line in run("list", "--address", copies[0].address.upper())] == ["bounce"]
    assert run("list", "--limit", "1", "--offset", "1")[0]["kind"] == "complaint"
    robot = reply("news@example.org", sender="no-reply@example.net")
    assert receive(run, robot)["disposition"] == "unknown"
    assert [line["rule"] for line in run("list", "--unmatched")] == ["machine", "no mark"]


def test_a_list_fits_a_terminal_of_80_columns(
    run: Run, app: App, copies: list[Delivery], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for copy in copies[:2]:
        receive(run, bounce(mark_of(app, copy), recipient=copy.address))
    said = run("list", as_json=False)
    assert said.startswith("id  day")
    assert max(map(len, said.splitlines())) <= 80


def test_a_mail_is_shown_as_text_that_cannot_change_the_terminal(run: Run, app: App, copies: list[Delivery]) -> None:
    raw = bounce(mark_of(app, copies[0]), recipient=copies[0].address, diagnostic="550 5.1.1 \x1b[2J\x07 <b>gone</b>")
    receive(run, raw)
    said = run("show", "1", as_json=False)
    assert "\x1b" not in said
    assert "\x07" not in said
    assert "\\x1b[2J\\x07 <b>gone</b>" in said
    assert "nobody is suppressed for one report" in " ".join(said.split())
    shown = run("show", "1")
    assert (shown["status"], shown["reason"], shown["subject"]) == ("5.1.1", "user unknown", "Undelivered Mail 1")
    assert run("show", "1", "--raw", as_json=False) == raw.decode()


def test_what_is_not_there_is_said(run: Run) -> None:
    assert "no report '7'" in run("show", "7", code=1, as_json=False)
    assert "Nothing came back" in run("list", as_json=False)
    assert "Nothing came back in 30 days" in run("stats", as_json=False)


def test_statistics_count_what_failed_by_reason_and_domain(run: Run, app: App, copies: list[Delivery]) -> None:
    for copy in copies[:3]:
        receive(run, bounce(mark_of(app, copy), recipient=copy.address))
    full = bounce(mark_of(app, copies[3]), recipient=copies[3].address, diagnostic=MAILBOX_FULL, status="5.2.2")
    receive(run, full)
    receive(run, bounce("x@example.org", recipient="a@elsewhere.example"))
    found = run("stats")
    assert found["kinds"] == {"bounce": 5}
    assert found["reasons"] == {"user unknown": 3, "mailbox full": 1}
    assert found["classes"] == {"hard": 3, "soft": 1}
    assert found["domains"] == {"example.com": 4}
    said = run("stats", "--issue", "2026-11", as_json=False)
    assert "user unknown  3  ████" in said


def test_a_report_is_undone_with_a_reason(run: Run, app: App, copies: list[Delivery]) -> None:
    receive(run, bounce(mark_of(app, copies[0]), recipient=copies[0].address))
    assert run("undo", "1", "--reason", "their server was broken")["undone"] == [1]
    (line,) = run("list")
    assert line["counts"] is False
    assert line["undone"] is not None
    assert "was undone on" in run("undo", "1", "--reason", "again", code=1, as_json=False)
    assert "--reason" in run("undo", "1", code=2, as_json=False)


def test_a_persons_mail_waits_in_the_outbox(run: Run, app: App, copies: list[Delivery]) -> None:
    assert receive(run, reply("news@example.org", sender=copies[0].address))["disposition"] == "reply"
    assert [line["rule"] for line in run("list", "--kind", "reply")] == ["passed on"]


def test_after_a_rotation_old_and_new_marks_are_known(
    run: Run, app: App, copies: list[Delivery], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = mark_of(app, copies[0])
    assert app.intake.take_mail(complaint("x@example.org"), way="pipe").disposition == "unknown"
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), pytest.raises(SystemExit) as ended:
        main(["--workspace", str(app.workspace.root), "keys", "rotate", "marks"])
    assert ended.value.code == 0
    fresh = App(workspace=app.workspace, config=app.config, actor="tester")
    new = mark_of(fresh, copies[1])
    # The intake that was made before the rotation: a worker that goes on.
    for mark, copy in ((old, copies[0]), (new, copies[1])):
        assert app.intake.take_mail(bounce(mark, recipient=copy.address), way="lmtp").disposition == "processed"


def test_what_is_held_about_a_person_holds_what_came_back(run: Run, app: App, copies: list[Delivery]) -> None:
    from subscribers import exporting, people

    receive(run, bounce(mark_of(app, copies[0]), recipient=copies[0].address))
    with app.database.read() as session:
        held = exporting.everything_about(session, people.find(session, copies[0].address), now=utc_now())
        assert session.query(Issue).count() == 1
    (line,) = held["returned_mail"]
    assert line["reason"] == "user unknown"
    assert "no such user here" in line["mail"]
