"""
Hostile words in every field that an editor, a spreadsheet or a feed can fill, by commands, to the finished bytes.

A field takes them as words or refuses them in words; the header that leaves has the fields that it always has.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from newsletter.cli.main import main
from newsletter.keys import create_keys
from newsletter.migrations import open_and_upgrade
from newsletter.paths import Workspace
from tests.journeys.hostile_words import END_OF_DATA, INJECTION, SMUGGLING
from tests.peers.fixtures import Postfix, wait_until
from tests.send.raw_server import RawServer, Wire

EXPECTED = [
    "From", "To", "Subject", "Date", "Message-ID", "List-Id", "List-Unsubscribe", "List-Unsubscribe-Post", "Precedence",
    "Feedback-ID", "Content-Language", "MIME-Version", "Content-Type",
]  # fmt: skip
PART = ["Content-Type", "Content-Transfer-Encoding"]
CONFIG = """
[organisation]
name = {name}
from_name = {from_name}
postal_address = "1 High Street, Dudley DY1 1AA"
from_address = "news@example.org"
[smtp]
host = "127.0.0.1"
port = {port}
tls = "none"
connections = 1
[web]
url = "https://news.example.org"
[issue]
default_lists = ["members"]
[[attributes]]
name = "town"
"""
FEED = """<?xml version="1.0" encoding="utf-8"?>
<feed xmlns="http://www.w3.org/2005/Atom"><id>urn:{number}</id><title>{words}</title>
<updated>{now}</updated><entry><id>urn:{number}:1</id><title>{words} {number}</title>
<link href="https://www.riverside.example/{number}"/><updated>{now}</updated>
<published>{now}</published><author><name>{words}</name></author><summary>{words}</summary></entry></feed>
"""
CALENDAR = (
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:{number}@x\r\nDTSTAMP:20260101T000000Z\r\n"
    "DTSTART:{day}T180000Z\r\nDTEND:{day}T190000Z\r\nSUMMARY:{words}\r\nLOCATION:{words}\r\nDESCRIPTION:{words}\r\n"
    "END:VEVENT\r\nEND:VCALENDAR\r\n"
)


@dataclass
class Office:
    """A workspace that is worked on by commands alone, and the server that its mail goes to."""

    workspace: Workspace
    port: int
    capsys: pytest.CaptureFixture[str]

    def run(self, *words: str, may_refuse: bool = False) -> str | None:
        """Run a command; None when it refuses, which it must do in words."""
        with pytest.raises(SystemExit) as ended:
            main(["--workspace", str(self.workspace.root), *words])
        said, code = self.capsys.readouterr(), int(ended.value.code or 0)
        assert "Traceback" not in said.err, said.err
        if code:
            assert may_refuse, f"{words}: {said.err}"
            assert len(said.err.split()) > 3, f"{words} was refused without words: {said.err!r}"
            return None
        return said.out

    def configure(self, name: str, from_name: str) -> None:
        values = {"name": json.dumps(name), "from_name": json.dumps(from_name), "port": self.port}
        self.workspace.config.write_text(CONFIG.format(**values), encoding="utf-8")
        self.workspace.config.chmod(0o600)


@pytest.fixture
def capture() -> Iterator[RawServer]:
    """A server that keeps every byte between DATA and the end by the letter of the standard, and every command."""

    def talk(wire: Wire) -> None:
        wire.greet()
        while wire.envelope():
            wire.take()
            wire.say(b"250 2.0.0 Ok\r\n")

    server = RawServer(talk)
    yield server
    server.stop()


@pytest.fixture
def office(tmp_path: Path, capture: RawServer, capsys: pytest.CaptureFixture[str]) -> Office:
    return make_office(tmp_path, capture.port, capsys)


def make_office(folder: Path, port: int, capsys: pytest.CaptureFixture[str]) -> Office:
    made = Office(Workspace(folder / "workspace"), port, capsys)
    for path in (made.workspace.root, made.workspace.media, made.workspace.outbox, made.workspace.locks):
        path.mkdir()
    create_keys(made.workspace.secrets)
    open_and_upgrade(f"sqlite:///{made.workspace.database}")
    made.configure("Example Network", "")
    return made


def fill(office: Office, number: int, words: str, folder: Path) -> list[str]:
    """Put *words* into every field that takes them, and send; return the names of the fields that took them."""
    slug, mailing_list = f"i{number}", f"l{number}"
    took: list[str] = []

    def attempt(field: str, *command: str) -> bool:
        done = office.run(*command, may_refuse=True) is not None
        took.extend([field] if done else [])
        return done

    for key, names in (("organisation", (words, "")), ("from_name", ("Example Network", words))):
        office.configure(*names)
        if attempt(key, "lists", "show" if number > 1 else "list", *(["members"] if number > 1 else [])):
            break
    else:
        office.configure("Example Network", "")
    if not attempt("list title", "lists", "create", mailing_list, "--title", words, "--description", words):
        office.run("lists", "create", mailing_list)
    take_in(office, number, words, folder, attempt)
    people = folder / f"{number}.csv"
    rows = io.StringIO()
    csv.writer(rows).writerows(
        [["address", "name", "first_name", "town"], [f"p{number}@example.org", words, words, words]]
    )
    people.write_text(rows.getvalue(), encoding="utf-8", newline="")
    consent = ("--list", mailing_list, "--basis", "consent", "--evidence", "forms")
    if not attempt("spreadsheet", "subscribers", "import", str(people), *consent):
        pass
    if not attempt("names", "subscribers", "set", f"p{number}@example.org", f"name={words}", f"first_name={words}"):
        office.run("subscribers", "add", f"p{number}@example.org", *consent, may_refuse=True)
    draft(office, slug, mailing_list)
    for field, command in {
        "subject": ("set", slug, f"subject={words}"),
        "preheader": ("set", slug, f"preheader={words}"),
        "letter": ("letter", slug, "--text", f"Dear {{{{first_name|friend}}}},\n\n{words}"),
        "letter's name": ("letter", slug, "--name", words, "--role", words),
        "quotation": ("add", slug, "--quote", words, "--by", words),
        "button": ("add", slug, "--button", words, "https://news.example.org/"),
        "button's address": ("add", slug, "--button", "Go", f"https://news.example.org/{words}"),
        "headline": ("set", slug, f"1.headline={words}"),
        "blurb": ("set", slug, f"1.blurb={words}"),
    }.items():
        attempt(field, "issue", *command)
    if not attempt("sent", "issue", "send", slug, "--yes"):
        # Preflight names what it does not let pass. With an editor's own words the issue goes, with names and titles.
        take_in(office, number + 1_000, "Calm words", folder, attempt)
        draft(office, f"{slug}-again", mailing_list)
        attempt("sent", "issue", "send", f"{slug}-again", "--yes")
    return took


def draft(office: Office, slug: str, mailing_list: str) -> None:
    office.run("issue", "draft", "--slug", slug)
    office.run("issue", "set", slug, "subject=Our news for you", "preheader=What is on and where to find us")
    office.run("issue", "letter", slug, "--text", "Dear {{first_name|friend}},\n\nwelcome.", "--name", "Ann Lee")
    office.run("audience", "set", slug, "--list", mailing_list)


def take_in(office: Office, number: int, words: str, folder: Path, attempt: Callable[..., bool]) -> None:
    """Let a feed and a calendar say the words, and a number: what reads alike is one item for the library."""
    words = f"{words} {number}"
    clean = "".join(
        c for c in words if c in "\t\n\r" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff"
    )
    now = datetime.now(UTC).isoformat()
    feed = folder / f"{number}.xml"
    feed.write_text(
        FEED.format(number=number, now=now, words=escape(clean, {"\r": "&#13;", "\n": "&#10;"})), encoding="utf-8"
    )
    calendar = folder / f"{number}.ics"
    text = words.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,").replace("\n", "\\n").replace("\r", "")
    day = (datetime.now(UTC) + timedelta(days=20)).strftime("%Y%m%d")
    calendar.write_text(CALENDAR.format(number=number, day=day, words=text), encoding="utf-8", newline="")
    attempt("feed", "source", "add", "feed", str(feed), "--name", f"feed{number}")
    attempt("calendar", "source", "add", "calendar", str(calendar), "--name", f"cal{number}")
    attempt("fetched", "source", "fetch")


def well_formed(raw: bytes, recipient: str) -> None:
    """Read the bytes as a server does that trusts nothing: the header, two parts, and not one line more."""
    assert raw.isascii()
    assert b"\x00" not in raw
    assert raw.count(b"\r") == raw.count(b"\n") == raw.count(b"\r\n")
    head, _, body = raw.partition(b"\r\n\r\n")
    assert [name for name, _ in fields(head)] == EXPECTED
    assert dict(fields(head))["To"] == recipient
    boundary = re.search(r'boundary="([^"]+)"', dict(fields(head))["Content-Type"])
    assert boundary is not None
    delimiter = b"--" + boundary[1].encode()
    pieces = (b"\r\n" + body).split(b"\r\n" + delimiter)
    assert (len(pieces), pieces[0], pieces[3]) == (4, b"", b"--\r\n")
    for piece in pieces[1:3]:
        part, _, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        assert [name for name, _ in fields(part)] == PART
        assert all(len(line) <= 76 and not line.startswith(b".") for line in content.split(b"\r\n"))


def fields(head: bytes) -> list[tuple[str, str]]:
    lines = head.replace(b"\r\n ", b" ").split(b"\r\n")
    return [(name, value.strip()) for name, _, value in (line.decode("ascii").partition(":") for line in lines)]


@pytest.mark.parametrize("words", INJECTION)
def test_hostile_words_in_every_field_leave_as_words_or_are_refused(
    office: Office, capture: RawServer, tmp_path: Path, words: str
) -> None:
    office.run("lists", "create", "members")
    took = fill(office, 2, words, tmp_path)
    assert "sent" in took, took
    assert capture.accepted == {"p2@example.org": 1}
    [raw] = capture.messages
    well_formed(raw, "p2@example.org")


@pytest.mark.parametrize("words", SMUGGLING, ids=[repr(end) for end in END_OF_DATA])
def test_no_end_of_data_in_any_field_ends_the_message(
    office: Office, capture: RawServer, tmp_path: Path, words: str
) -> None:
    office.run("lists", "create", "members")
    assert "sent" in fill(office, 2, words, tmp_path)
    assert capture.accepted == {"p2@example.org": 1}
    [raw] = capture.messages
    well_formed(raw, "p2@example.org")


def test_debian_s_postfix_delivers_one_mail_for_each_and_none_to_the_victim(
    postfix: Postfix, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Postfix of this age takes more than one sequence for an end; none of them reaches it."""
    office = make_office(tmp_path, postfix.port, capsys)
    office.run("lists", "create", "members")
    for number, words in enumerate(SMUGGLING, 2):
        assert "sent" in fill(office, number, words, tmp_path)
    for number in range(2, len(SMUGGLING) + 2):
        wait_until(lambda number=number: bool(postfix.mail_of(f"p{number}")), f"p{number} got nothing: {postfix.log}")
        assert len(postfix.mail_of(f"p{number}")) == 1
    assert postfix.mail_of("victim") == []
    assert "evil@evil.example" not in postfix.log
