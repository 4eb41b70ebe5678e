"""`init`, `config`, `doctor` and `db`, and the manners that all commands share, tried as a person would."""

from __future__ import annotations

import json
import os
import pty
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from newsletter.cli.main import NOUNS, SUMMARIES, main
from newsletter.migrations import HEAD
from tests.peers.dns import DnsServer


class Said(NamedTuple):
    """What one command said and how it ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run the command off a terminal, in an empty folder and an environment of the test's own."""
    for variable in [v for v in os.environ if v.startswith("NEWSLETTER")]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)

    def run(*words: str, **environ: str) -> Said:
        with monkeypatch.context() as patched:
            for name, value in environ.items():
                patched.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                main(words)
        out, err = capsys.readouterr()
        return Said(int(ended.value.code or 0), out, err)

    return run


@pytest.fixture
def workspace(run, tmp_path: Path) -> Path:
    assert run("init", "ws").code == 0
    return tmp_path / "ws"


class TestInit:
    def test_it_makes_everything_and_only_the_owner_may_look(self, workspace: Path) -> None:
        assert {p.name for p in workspace.iterdir()} >= {"config.toml", "secrets", "media", "templates", "outbox"}
        private = [workspace, workspace / "secrets", workspace / "config.toml", workspace / "newsletter.sqlite3"]
        assert [p for p in (*private, *(workspace / "secrets").iterdir()) if p.stat().st_mode & 0o077] == []

    def test_what_it_is_told_stands_in_the_file(self, run, tmp_path: Path) -> None:
        given = {
            "--name": 'The "Vale" \\ Netz für alle',
            "--from-address": "news@vale.example",
            "--postal-address": "1 High Street",
            "--web-url": "https://news.vale.example/",
            "--smtp-port": "2525",
        }
        said = run("init", "ws", "--json", *(word for pair in given.items() for word in pair))
        assert json.loads(said.out)["unfinished"] == []
        shown = {r["key"]: r["value"] for r in json.loads(run("--workspace", "ws", "config", "show", "--json").out)}
        assert shown["organisation.name"] == given["--name"]
        assert shown["web.url"] == "https://news.vale.example"
        assert shown["smtp.port"] == 2525

    def test_it_invents_nothing_and_names_what_is_open(self, run) -> None:
        said = run("init", "ws")
        assert all(key in said.out for key in ("organisation.name", "organisation.postal_address", "web.url"))

    def test_a_wrong_answer_leaves_nothing_behind(self, run, tmp_path: Path) -> None:
        said = run("init", "ws", "--from-address", "nobody", "--web-url", "http://news.example.org")
        assert said.code == 2
        assert "organisation.from_address" in said.err
        assert "web.url" in said.err
        assert not (tmp_path / "ws").exists()

    def test_repeated_it_completes_and_overwrites_nothing(self, run, workspace: Path) -> None:
        key, config = workspace / "secrets" / "links.key", workspace / "config.toml"
        before = key.read_text(), config.read_text()
        (workspace / "secrets" / "marks.key").unlink()
        assert run("init", "ws").code == 0
        assert (key.read_text(), config.read_text()) == before
        assert (workspace / "secrets" / "marks.key").exists()

    def test_a_folder_with_other_files_is_refused(self, run, tmp_path: Path) -> None:
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "thesis.txt").write_text("x")
        said = run("init", "full")
        assert said.code == 1
        assert "thesis.txt" in said.err
        assert [p.name for p in (tmp_path / "full").iterdir()] == ["thesis.txt"]

    def test_on_a_terminal_it_asks_for_what_it_was_not_told(self, tmp_path: Path) -> None:
        said = on_a_terminal(["init", "ws", "--name", "Vale"], "news@vale.example\n1 High Street\n\n", tmp_path)
        assert "Address that issues come from" in said
        assert "Name of your network" not in said
        config = (tmp_path / "ws" / "config.toml").read_text()
        assert '"news@vale.example"' in config
        assert "your-domain.invalid" in config


class TestDatabase:
    def test_a_command_on_an_older_database_names_the_upgrade(
        self, run, workspace: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("newsletter.migrations.HEAD", "9999")
        said = run("--workspace", "ws", "lists", "list")
        assert said.code == 1
        assert f"older version ({HEAD})" in said.err
        assert "newsletter db upgrade" in said.err

    def test_without_a_database_nothing_is_created_by_looking(self, run, workspace: Path) -> None:
        (workspace / "newsletter.sqlite3").unlink()
        said = run("--workspace", "ws", "lists", "list")
        assert "newsletter db upgrade" in said.err
        assert not (workspace / "newsletter.sqlite3").exists()
        assert json.loads(run("--workspace", "ws", "db", "upgrade", "--json").out) == {
            "before": None, "now": HEAD, "changed": True,
        }  # fmt: skip
        assert (workspace / "newsletter.sqlite3").stat().st_mode & 0o077 == 0

    def test_a_newer_database_is_left_alone(self, run, workspace: Path) -> None:
        stamp(workspace, "9999")
        said = run("--workspace", "ws", "db", "upgrade")
        assert said.code == 1
        assert "newer version" in said.err

    def test_what_is_no_database_is_named(self, run, workspace: Path) -> None:
        (workspace / "newsletter.sqlite3").write_text("This is a shopping list, not a database.\n" * 50)
        said = run("--workspace", "ws", "lists", "list")
        assert said.code == 1
        assert "not a SQLite database" in said.err


class TestConfig:
    def test_a_table_is_shown_with_origins(self, run, workspace: Path) -> None:
        said = run("--workspace", "ws", "config", "show", "smtp", NEWSLETTER__SMTP__PORT="2525")
        assert "smtp.port = 2525  (NEWSLETTER__SMTP__PORT)" in said.out
        assert "smtp.connections = 10  (default)" in said.out
        assert "web.url" not in said.out

    def test_a_secret_is_never_printed(self, run, workspace: Path) -> None:
        secret = {"NEWSLETTER__SMTP__USERNAME": "me", "NEWSLETTER__SMTP__PASSWORD": "canary"}
        for words in (["config", "show"], ["config", "show", "--json"], ["doctor"], ["doctor", "--json"]):
            said = run("--workspace", "ws", *words, **secret)
            assert "canary" not in said.out + said.err
        assert '"***"' in run("--workspace", "ws", "config", "show", **secret).out

    def test_an_unknown_key_in_the_file_is_a_usage_error_with_the_nearest(self, run, workspace: Path) -> None:
        with (workspace / "config.toml").open("a") as file:
            file.write("\n[alert]\nto = []\n")
        said = run("--workspace", "ws", "lists", "list", "--json")
        assert said.code == 2
        error = json.loads(said.err)["error"]
        assert error["code"] == "config"
        assert "Did you mean alerts?" in error["message"]


class TestDoctor:
    def test_a_fresh_workspace_has_no_failure(self, run, workspace: Path) -> None:
        said = run("--workspace", "ws", "doctor", "--json")
        assert said.code == 0
        findings = json.loads(said.out)
        assert {f["check"] for f in findings} >= {"python", "clock", "disk space", "disk speed", "privacy", "keys"}
        assert [f for f in findings if f["level"] == "fail"] == []
        assert all(f["fix"] for f in findings if f["level"] != "ok")

    @pytest.mark.parametrize(
        ("harm", "check"),
        [
            (lambda ws: (ws / "secrets" / "links.key").chmod(0o644), "privacy"),
            (lambda ws: (ws / "secrets" / "pepper.key").unlink(), "keys"),
            (lambda ws: (ws / "newsletter.sqlite3").unlink(), "database"),
            (lambda ws: (ws / "newsletter.sqlite3").write_bytes(b"nonsense" * 999), "database"),
            (lambda ws: write(ws / "templates/email/issue.html.j2", "{% if %}"), "templates"),
            (lambda ws: write(ws / "config.toml", "[organisation]\nnam = 1\n"), "configuration"),
        ],
    )
    def test_each_harm_is_found_and_has_a_fix(self, run, workspace: Path, harm, check: str) -> None:
        harm(workspace)
        said = run("--workspace", "ws", "doctor", "--json")
        assert said.code == 1
        failed = [f for f in json.loads(said.out) if f["level"] == "fail"]
        assert check in {f["check"] for f in failed}

    def test_it_fits_a_terminal_of_40_columns(self, run, workspace: Path) -> None:
        said = run("--workspace", "ws", "doctor", COLUMNS="40")
        path = str(workspace)
        assert [line for line in said.out.splitlines() if len(line) > 40 and path not in line] == []


class TestManners:
    @pytest.mark.parametrize(
        ("wrong", "right"),
        [("subscriber", "subscribers"), ("isue", "issue"), ("init-all", "init"), ("db upgrad", "upgrade")],
    )
    def test_a_wrong_word_suggests_the_nearest(self, run, wrong: str, right: str) -> None:
        said = run(*wrong.split())
        assert said.code == 2
        assert f"Did you mean '{right}'?" in said.err

    def test_outside_a_workspace_it_says_how_to_make_one(self, run) -> None:
        said = run("issue", "list", "--json")
        assert said.code == 1
        assert json.loads(said.err)["error"]["hint"].startswith("Make a workspace with `newsletter init DIR`")

    def test_help_lists_every_noun_with_what_it_is_for_and_imports_none(self, run) -> None:
        said = run("--help")
        assert all(noun in said.out for noun in NOUNS)
        code = "import sys; from newsletter.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
        heavy = "print([m for m in ('sqlalchemy', 'lxml', 'PIL', 'starlette', 'alembic') if m in sys.modules])"
        done = subprocess.run([sys.executable, "-c", code + heavy], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "['sqlalchemy']"  # the composition root needs it

    @pytest.mark.parametrize("noun", list(NOUNS))
    def test_the_summary_is_the_commands_own_and_every_help_has_an_example(self, noun: str) -> None:
        import importlib

        import click

        command = importlib.import_module(NOUNS[noun]).command
        assert SUMMARIES[noun] == command.help.strip().splitlines()[0]
        verbs = command.commands.values() if isinstance(command, click.Group) else [command]
        assert [v.name for v in verbs if "Example:" not in (v.help or "")] == []

    def test_a_full_disk_is_told_and_nothing_is_lost(self, run, workspace: Path) -> None:
        said = run("--workspace", "ws", "lists", "create", "members")
        assert said.code == 0
        limited = f"ulimit -f 0; exec {sys.executable} -m newsletter --workspace ws lists create second"
        done = subprocess.run(["sh", "-c", limited], cwd=workspace.parent, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        lists = json.loads(run("--workspace", "ws", "lists", "list", "--json").out)
        assert [entry["name"] for entry in lists] == ["members"]

    def test_a_locked_database_is_told_after_waiting(
        self, run, workspace: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from subscribers.db import Database
        from subscribers.errors import DatabaseUnavailable

        monkeypatch.setattr("subscribers.db.BUSY_TIMEOUT_MS", 100)
        holder = sqlite3.connect(workspace / "newsletter.sqlite3", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        database = Database(f"sqlite:///{workspace / 'newsletter.sqlite3'}")
        with pytest.raises(DatabaseUnavailable, match="locked by another program"), database.write() as session:
            session.connection()
        database.close()
        holder.close()


def stamp(workspace: Path, revision: str) -> None:
    with sqlite3.connect(workspace / "newsletter.sqlite3") as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    connection.close()


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def on_a_terminal(words: list[str], typed: str, folder: Path) -> str:
    """Run a command on a pseudo-terminal, type *typed*, return all that appeared."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "newsletter", *words], cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    os.write(ours, typed.encode())
    shown = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # Linux's way to say that the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert process.wait(60) == 0, shown.decode()
    return shown.decode()


def test_init_refuses_a_value_in_one_sentence(run, tmp_path: Path) -> None:
    said = run("init", "ws", "--from-address", "nonsense")
    assert said.code == 2
    assert "'nonsense' is not an address" in said.err
    assert ".." not in said.err
    assert not (tmp_path / "ws").exists()


def test_doctor_never_cuts_a_path(run, workspace: Path) -> None:
    said = run("--workspace", str(workspace), "doctor", COLUMNS="40")
    assert str(workspace / "config.toml") in said.out


class TestDoctorOfTheDns:
    GIVEN = (
        "--name", "Vale", "--from-address", "news@example.org", "--postal-address", "1 High Street",
        "--web-url", "https://news.example.org",
    )  # fmt: skip

    def test_records_to_publish_stand_whole_on_lines_of_their_own(self, run) -> None:
        run("init", "ws", *self.GIVEN)
        records = {("example.org", "MX"): ["10 mx.example.org."], ("mx.example.org", "A"): ["192.0.9.10"]}
        with DnsServer(records) as server:
            said = run("--workspace", "ws", "doctor", "--resolver", f"127.0.0.1:{server.port}", COLUMNS="80")
            found = json.loads(
                run("--workspace", "ws", "doctor", "--json", "--resolver", f"127.0.0.1:{server.port}").out
            )
        assert said.code == 1
        lines = [line.strip() for line in said.out.splitlines()]
        assert "name   _dmarc.example.org" in lines
        assert "value  v=DMARC1; p=none; rua=mailto:news@example.org" in lines
        assert {"type": "TXT", "name": "example.org", "value": "v=spf1 ip4:ADDRESS ~all"} in [
            f["record"] for f in found
        ]
        assert [line for line in said.out.splitlines() if len(line) > 80 and "config.toml" not in line] == []

    def test_a_record_cannot_steer_the_terminal(self, run) -> None:
        run("init", "ws", *self.GIVEN)
        records = {("example.org", "TXT"): ["v=spf1 \x1b[2J -all"], ("_dmarc.example.org", "TXT"): ["v=DMARC1; p=\x07"]}
        with DnsServer(records) as server:
            said = run("--workspace", "ws", "doctor", "--resolver", f"127.0.0.1:{server.port}")
        assert "[2J" in said.out
        assert "\x1b" not in said.out
        assert "\x07" not in said.out

    def test_without_being_told_nothing_is_asked(self, run) -> None:
        run("init", "ws", *self.GIVEN)
        said = json.loads(run("--workspace", "ws", "doctor", "--json").out)
        assert [f["message"] for f in said if f["check"] == "DNS"] == [
            "SPF, DKIM, DMARC and MX not looked up (add --online)."
        ]

    def test_a_wrong_name_server_is_told(self, run, workspace: Path) -> None:
        said = run("--workspace", "ws", "doctor", "--resolver", "dns.example")
        assert said.code != 0
        assert "'dns.example' is no name server" in said.err
