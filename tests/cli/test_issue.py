"""`newsletter issue`, typed as a user types it, on a workspace with a real mail server on loopback."""

from __future__ import annotations

import asyncio
import email
import email.policy
import io
import json
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP

from newsletter.app import App
from newsletter.cli.main import main
from newsletter.compose.cleaning import normal_title
from newsletter.config.loading import load_config
from newsletter.keys import create_keys
from newsletter.paths import Workspace
from newsletter.tables import Issue, Item, ItemKind, ItemState
from subscribers import consent, lists, people
from subscribers.db import Base
from subscribers.tables import Basis, Tag

CONFIG = """
[organisation]
name = "Example Network"
postal_address = "1 High Street, Dudley DY1 1AA"
from_address = "news@example.org"
[smtp]
host = "127.0.0.1"
port = {port}
tls = "none"
[web]
url = "https://news.example.org"
[issue]
approval = "{approval}"
"""
REFUSED = "p1@example.org"


@dataclass
class Catcher:
    """A mail server that keeps what it takes, and knows one mailbox that does not exist."""

    port: int = 0
    mails: list[tuple[str, bytes]] = field(default_factory=list)

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address == REFUSED:
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.mails.append((envelope.rcpt_tos[0], envelope.content))
        return "250 OK"


@pytest.fixture
def catcher() -> Iterator[Catcher]:
    caught, loop, ready = Catcher(), asyncio.new_event_loop(), threading.Event()

    stop = asyncio.Event()

    async def serve() -> None:
        server = await loop.create_server(lambda: SMTP(caught, loop=loop), "127.0.0.1", 0)
        caught.port = server.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        server.close()
        await server.wait_closed()

    def run() -> None:
        loop.run_until_complete(serve())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(5)
    yield caught
    loop.call_soon_threadsafe(stop.set)
    thread.join(5)
    loop.close()


@dataclass(frozen=True)
class Done:
    """What a command printed."""

    stdout: str
    stderr: str


@dataclass
class Desk:
    """A workspace, and the command line on it."""

    root: Path
    catcher: Catcher
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def run(self, *words: str, code: int = 0, user: str = "ann", width: int = 80, stdin: str = "") -> Done:
        """Run one command in this process, as the entry point does, and hold it to its exit code."""
        standard_input = io.TextIOWrapper(io.BytesIO(stdin.encode()))
        self.monkeypatch.setattr(sys, "stdin", standard_input)
        self.monkeypatch.setenv("COLUMNS", str(width))
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["--workspace", str(self.root), "--as", user, *words])
        out, err = self.capsys.readouterr()
        assert ended.value.code == code, f"{ended.value.code}\n{out}\n{err}"
        return Done(out, err)

    def json(self, *words: str, code: int = 0, user: str = "ann") -> Any:
        return json.loads(self.run(*words, "--json", code=code, user=user).stdout)

    def app(self) -> App:
        workspace = Workspace(self.root)
        return App(workspace=workspace, config=load_config(workspace.config, {}).config, actor="test")


@pytest.fixture
def make_desk(
    tmp_path: Path, catcher: Catcher, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Desk]:
    def make(approval: str = "single") -> Desk:
        root = tmp_path / "desk"
        workspace = Workspace(root)
        for folder in (workspace.root, workspace.media, workspace.outbox, workspace.locks):
            folder.mkdir(parents=True, exist_ok=True)
        create_keys(workspace.secrets)
        workspace.config.write_text(CONFIG.format(port=catcher.port, approval=approval))
        from newsletter.migrations import open_and_upgrade

        desk = Desk(root, catcher, monkeypatch, capsys)
        app = desk.app()
        open_and_upgrade(app.database_url)
        _fill(app)
        app.close()
        return desk

    return make


@pytest.fixture
def desk(make_desk: Callable[..., Desk]) -> Desk:
    return make_desk()


def _fill(app: App) -> None:
    """Two posts, a coming and a past event, a resource; three members, of whom two are tagged."""
    now = datetime.now(UTC)
    wanted: list[dict[str, Any]] = [
        {"kind": ItemKind.POST, "title": "A new helpline for the region", "url": "https://e.org/helpline"},
        {"kind": ItemKind.POST, "title": "What we learned from a hundred visits", "url": "https://e.org/visits"},
        {"kind": ItemKind.EVENT, "title": "Spring meeting", "starts_at": now + timedelta(days=9)},
        {"kind": ItemKind.EVENT, "title": "Last autumn", "starts_at": now - timedelta(days=9)},
        {"kind": ItemKind.RESOURCE, "title": "A guide for first responders", "url": "https://e.org/guide"},
    ]
    with app.database.write() as session:
        for values in wanted:
            event = values["kind"] is ItemKind.EVENT
            session.add(
                Item(
                    **values, state=ItemState.ACTIVE, norm_title=normal_title(values["title"]),
                    summary="A few words that say what it is about.", body_html="", authors=[], categories=[],
                    stated={}, missing=[], set_by_hand=[], fingerprint="", first_seen_at=now, updated_at=now,
                    timezone="Europe/London" if event else None, place="Town Hall, Dudley" if event else None,
                )
            )  # fmt: skip
        members = lists.create(session, "members", title="Members", at=now)
        session.flush()
        for number in range(3):
            person = people.add(
                session, pepper=app.keys.pepper, address=f"p{number}@example.org", name=f"Kim Lee {number}", at=now
            )
            session.flush()
            consent.grant(session, person, members, basis=Basis.CONSENT, source="t", actor="t", evidence="e", at=now)
            if number:
                session.add(Tag(subscriber_id=person.id, tag="north"))


def drafted(desk: Desk) -> dict[str, Any]:
    """Draft an issue that may go: audience set, nothing blocking."""
    document: dict[str, Any] = desk.json("issue", "draft", "--slug", "spring")
    desk.run("issue", "set", "spring", "subject={{first_name|Friend}}, our news")
    desk.run("audience", "set", "spring", "--list", "members")
    return document


def blocks(document: dict[str, Any], section: str) -> list[int]:
    return [b["id"] for s in document["sections"] if s["name"] == section for b in s["blocks"]]


def test_a_draft_is_proposed_once_and_never_holds_a_past_event(desk: Desk) -> None:
    document = desk.json("issue", "draft")
    titles = [block["title"] for section in document["sections"] for block in section["blocks"]]
    assert "Spring meeting" in titles
    assert "Last autumn" not in titles
    assert len(titles) == 4
    assert desk.json("issue", "draft") == {"issue": None, "reason": "nothing new", "left_out": []}
    assert "Nothing new" in desk.run("issue", "draft").stdout


def test_a_draft_from_an_empty_library_says_how_to_fill_it(desk: Desk) -> None:
    app = desk.app()
    with app.database.write() as session:
        session.query(Item).delete()
    app.close()
    assert "newsletter source add" in desk.run("issue", "draft").stderr


def test_an_issue_is_edited_by_command(desk: Desk) -> None:
    news = blocks(drafted(desk), "news")
    desk.run("issue", "set", "spring", f"{news[0]}.headline=Ours", f"{news[1]}.audience=tag 'north'")
    desk.run("issue", "letter", "spring", "--file", "-", "--name", "Ann Lee", stdin="Dear {{first_name|friend}}")
    (quote,) = desk.json("issue", "add", "spring", "--quote", "Well said", "--section", "news")["blocks"]
    desk.run("issue", "move", "spring", str(quote), "--to", "1")
    desk.run("issue", "move", "spring", "--sections", "events,news")
    desk.run("issue", "remove", "spring", *map(str, blocks(desk.json("issue", "show", "spring"), "resources")))
    document = desk.json("issue", "show", "spring")
    assert [section["name"] for section in document["sections"]] == ["events", "news"]
    assert blocks(document, "news") == [quote, *news]
    assert document["letter"]["name"] == "Ann Lee"
    assert "Dear {{first_name|friend}}" in desk.run("issue", "letter", "spring").stdout


def test_a_mistake_is_told_and_changes_nothing(desk: Desk) -> None:
    news = blocks(drafted(desk), "news")
    before = desk.json("issue", "show", "spring")
    for words, hint in (
        (("set", "spring", f"{news[0]}.audience=town = "), "Expected"),
        (("set", "spring", f"{news[0]}.hedline=x"), "headline"),
        (("set", "sprung", "subject=x"), "spring"),
        (("add", "spring", "99"), "library list"),
        (("add", "spring", "4"), "past"),
        (("add", "spring", "1"), "already"),
        (("move", "spring", "--sections", "nws"), "news"),
        (("schedule", "spring", "--at", "2020-01-01T10:00"), "past"),
        (("pause", "spring"), "draft"),
    ):
        assert hint in desk.run("issue", *words, code=1).stderr
    desk.run("issue", "add", "spring", code=2)
    assert desk.json("issue", "show", "spring") == before


@pytest.mark.parametrize("width", [40, 80])
def test_pages_fit_the_terminal(desk: Desk, width: int) -> None:
    drafted(desk)
    for words in (("show", "spring"), ("check", "spring"), ("list",), ("send", "spring", "--dry-run")):
        done = desk.run("issue", *words, width=width)
        assert max(len(line) for line in done.stdout.splitlines()) <= width


def test_check_blocks_without_an_audience_with_exit_three(desk: Desk) -> None:
    desk.json("issue", "draft", "--slug", "spring")
    report = desk.json("issue", "check", "spring", code=3)
    assert set(report) == {"issue", "blocks", "warnings", "facts"}
    assert [set(block) for block in report["blocks"]] == [{"rule", "where", "message", "fix"}]
    error = desk.run("issue", "send", "spring", "--yes", "--json", code=3).stderr
    assert json.loads(error)["error"]["code"] == "preflight"
    desk.run("audience", "set", "spring", "--list", "members")
    assert desk.json("issue", "check", "spring")["blocks"] == []


def test_render_writes_the_files_of_every_variant(desk: Desk, tmp_path: Path) -> None:
    news = blocks(drafted(desk), "news")
    desk.run("issue", "set", "spring", f"{news[0]}.audience=tag 'north'")
    out = tmp_path / "out"
    desk.run("issue", "render", "spring", "--out", str(out))
    names = {"issue.html", "issue.txt", "issue.2.html", "issue.2.txt", "sample.eml"}
    assert {path.name for path in out.iterdir()} == names
    first = (out / "issue.html").read_bytes()
    desk.run("issue", "render", "spring", "--out", str(out))
    assert (out / "issue.html").read_bytes() == first
    sample = email.message_from_bytes((out / "sample.eml").read_bytes(), policy=email.policy.default)
    assert sample["To"] == "p1@example.org"
    assert sample["Subject"] == "Kim, our news"
    assert "helpline" in sample.get_body(("plain",)).get_content()  # variant 1 is what most people get
    assert "helpline" not in (out / "issue.2.html").read_text()


def test_preview_shows_every_view_in_sandboxed_frames(desk: Desk) -> None:
    drafted(desk)
    (path,) = desk.json("issue", "preview", "spring")["files"]
    page = Path(path).read_text()
    assert page.count('<iframe sandbox=""') == 4
    assert "<pre>" in page
    assert "<script" not in page
    assert "Alex, our news" in page


def test_a_test_copy_goes_to_anybody_and_is_remembered(desk: Desk) -> None:
    drafted(desk)
    desk.run("issue", "test", "spring", "--to", "guest@elsewhere.example")
    (recipient, mail), *rest = desk.catcher.mails
    assert (recipient, rest) == ("guest@elsewhere.example", [])
    message = email.message_from_bytes(mail, policy=email.policy.default)
    assert message["Subject"] == "[Test] Friend, our news"
    assert desk.json("issue", "show", "spring")["tested"] is True
    desk.run("issue", "set", "spring", "preheader=Changed")
    assert desk.json("issue", "show", "spring")["tested"] is False
    assert desk.json("issue", "status", "spring")["planned"] == 0


def test_an_issue_is_sent_and_its_counts_add_up(desk: Desk) -> None:
    news = blocks(drafted(desk), "news")
    desk.run("issue", "set", "spring", f"{news[0]}.audience=not tag 'north'")
    plan = desk.json("issue", "send", "spring", "--dry-run")
    assert (plan["people"], [each["people"] for each in plan["variants"]]) == (3, [2, 1])
    desk.run("issue", "send", "spring", code=2)  # nobody can be asked
    assert desk.catcher.mails == []
    counts = desk.json("issue", "send", "spring", "--yes", code=4)
    assert (counts["state"], counts["planned"], counts["sent"], counts["bounced"]) == ("sent", 3, 2, 1)
    assert desk.json("issue", "status", "spring") == counts
    texts = {to: mail.decode().replace("=\n", "").replace("=\r\n", "") for to, mail in desk.catcher.mails}
    assert set(texts) == {"p0@example.org", "p2@example.org"}
    assert "visits" in texts["p0@example.org"]
    report = desk.json("issue", "report", "spring")
    assert [(each["state"], each["count"]) for each in report["reasons"]] == [("bounced", 1)]
    for words in (("send", "spring", "--yes"), ("set", "spring", "subject=x"), ("cancel", "spring", "--yes")):
        desk.run("issue", *words, code=1)
    assert len(desk.catcher.mails) == 2


def test_what_was_sent_is_shown_as_it_was_sent(desk: Desk, tmp_path: Path) -> None:
    """A template of a later day and the members of a later day change nothing of it."""
    desk.run("issue", "draft", "--slug", "spring")
    desk.run("audience", "set", "spring", "--list", "members")
    desk.run("issue", "send", "spring", "--yes", code=4)
    template = desk.root / "templates" / "email" / "issue.txt.j2"
    template.parent.mkdir(parents=True)
    template.write_text("Another text entirely")
    desk.run("subscribers", "tag", "p0@example.org", "later")
    desk.run("issue", "render", "spring", "--out", str(tmp_path / "out"))
    assert "Another text" not in (tmp_path / "out/issue.txt").read_text()
    sample, caught = ((tmp_path / "out/sample.eml").read_bytes(), dict(desk.catcher.mails))
    assert caught["p0@example.org"].replace(b"\r\n", b"\n") == sample.replace(b"\r\n", b"\n")
    desk.run("issue", "preview", "spring")
    assert "Another text" not in (desk.root / "outbox/preview-spring.html").read_text()


def test_with_four_eyes_a_second_person_must_approve(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk("four-eyes")
    drafted(desk)
    desk.run("issue", "send", "spring", "--yes", code=3)
    desk.run("issue", "submit", "spring")
    assert "somebody else" in desk.run("issue", "approve", "spring", code=1).stderr
    desk.run("issue", "approve", "spring", user="bea")
    assert "voids" in desk.run("issue", "set", "spring", "preheader=Late change").stderr
    desk.run("issue", "send", "spring", "--yes", code=3)
    desk.run("issue", "approve", "spring", user="bea")
    desk.run("issue", "send", "spring", "--yes", code=4)
    assert len(desk.catcher.mails) == 2


def test_a_relay_that_is_down_pauses_the_issue_and_a_later_send_goes_on(desk: Desk) -> None:
    drafted(desk)
    config = desk.root / "config.toml"
    working = config.read_text()
    config.write_text(working.replace(f"port = {desk.catcher.port}", "port = 1"))
    done = desk.run("issue", "send", "spring", "--yes", code=1)
    assert "paused" in done.stdout
    counts = desk.json("issue", "status", "spring")
    assert (counts["state"], counts["sent"], counts["planned"]) == ("paused", 0, 3)
    assert counts["reason"]
    config.write_text(working)
    assert desk.json("issue", "send", "spring", code=4)["sent"] == 2


def test_outside_the_window_send_says_when_it_opens_and_does_nothing(desk: Desk) -> None:
    drafted(desk)
    config = desk.root / "config.toml"
    always = config.read_text()
    other_day = (datetime.now(UTC) + timedelta(days=3)).strftime("%a").lower()
    config.write_text(f'{always}\n[send.window]\ndays = ["{other_day}"]\nstart = "09:00"\n')
    told = desk.run("issue", "send", "spring", "--yes").stderr
    assert "the sending window (send.window) opens" in told
    assert "newsletter issue schedule spring --at" in told
    assert desk.json("issue", "send", "spring", "--yes")["planned"] == 0
    assert (desk.catcher.mails, desk.json("issue", "show", "spring")["state"]) == ([], "draft")
    start_planned(desk)
    assert "`newsletter work` goes on with spring" in desk.run("issue", "send", "spring").stderr
    shown = desk.run("issue", "status", "spring").stdout
    assert "Waiting    The sending window opens" in shown
    assert all(len(line) < 80 for line in shown.splitlines())
    config.write_text(always)
    assert desk.json("issue", "send", "spring", code=4)["sent"] == 2


def start_planned(desk: Desk) -> None:
    """Freeze the issue as the worker does at its time."""
    from newsletter.publishing import start_issue

    app = desk.app()
    with app.database.read() as session:
        issue_id = session.query(Issue).one().id
    start_issue(app, issue_id, approve_as="ann")
    app.close()


def test_a_persons_pause_stands_until_it_is_resumed(desk: Desk) -> None:
    from newsletter.publishing import start_issue
    from newsletter.send import control

    drafted(desk)
    app = desk.app()
    with app.database.read() as session:
        issue_id = session.query(Issue).one().id
    start_issue(app, issue_id, approve_as="ann")
    desk.run("issue", "pause", "spring", "--reason", "Wrong date")
    assert "Wrong date" in desk.run("issue", "send", "spring", "--yes", code=1).stderr
    assert desk.catcher.mails == []
    desk.run("issue", "resume", "spring")
    desk.run("issue", "send", "spring", code=4)
    with app.database.write() as session:
        assert control.pause_kind(session, issue_id) is None
    app.close()


def test_scheduling_needs_no_second_command_where_one_person_decides(desk: Desk) -> None:
    drafted(desk)
    at = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert desk.json("issue", "schedule", "spring", "--at", at)["state"] == "scheduled"
    assert desk.json("issue", "list", "--state", "scheduled")[0]["issue"] == "spring"
    assert desk.json("issue", "schedule", "spring", "--off")["state"] == "approved"
    late = (datetime.now(UTC) + timedelta(days=10)).isoformat()
    assert "over" in desk.run("issue", "schedule", "spring", "--at", late, code=3).stderr


def test_a_change_at_the_source_is_flagged_and_accepted(desk: Desk) -> None:
    news = blocks(drafted(desk), "news")
    app = desk.app()
    with app.database.write() as session:
        session.query(Item).filter_by(title="A new helpline for the region").one().title = "A helpline in Dudley"
    app.close()
    assert "changed at its source: title" in desk.run("issue", "show", "spring").stdout
    assert any(each["rule"] == "changed-at-source" for each in desk.json("issue", "check", "spring")["warnings"])
    changed = next(
        block
        for section in desk.json("issue", "show", "spring")["sections"]
        for block in section["blocks"]
        if block["changes"]
    )
    assert changed["id"] in news
    desk.run("issue", "accept", "spring", str(changed["id"]))
    assert "changed at its source" not in desk.run("issue", "show", "spring").stdout


def test_a_cancelled_issue_frees_its_items(desk: Desk) -> None:
    drafted(desk)
    desk.run("issue", "cancel", "spring", code=2)
    desk.run("issue", "cancel", "spring", "--yes")
    assert desk.json("issue", "draft")["sections"]


def test_every_verb_explains_itself_with_an_example() -> None:
    from newsletter.cli.issue import command

    for name, verb in command.commands.items():
        assert "Example: newsletter" in (verb.help or ""), name
    assert Base.metadata.tables  # the tables are known to whoever imports the command
