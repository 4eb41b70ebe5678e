"""What runs beside the sending: it starts, stops, holds nothing up, and tells each trouble once."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import select

from newsletter.app import App
from newsletter.beside import Service, running, services
from newsletter.named_lock import named_lock
from newsletter.returning import own_addresses, watch_mailbox
from newsletter.send.envelope import leave_address
from newsletter.send.instance import note_place
from newsletter.tables import Setting
from newsletter.worker import Worker
from subscribers.bounces.verp import marked_local_part
from subscribers.errors import MailboxTrouble
from subscribers.tables import BounceReport
from tests.conftest import smallest_config
from tests.peers.fixtures import free_port, listens, wait_until

DSN = (
    b"From: MAILER-DAEMON@mx.example.net\nTo: b+1@example.org\nSubject: Undelivered Mail Returned to Sender\n"
    b"\n550 5.1.1 <gone@example.net>: user unknown\n"
)


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    root = tmp_path / "Maildir"
    for part in ("new", "cur", "tmp"):
        (root / part).mkdir(parents=True)
    return root


@pytest.fixture
def config(maildir: Path):
    mailbox = {"name": "returns", "protocol": "maildir", "path": str(maildir), "poll_seconds": 5}
    return smallest_config(bounces={"mailboxes": [mailbox], "receiver": {"port": free_port()}})


def reports(app: App) -> list[str]:
    with app.database.read() as session:
        return list(session.scalars(select(BounceReport.way)))


def test_a_worker_reads_mailboxes_and_receives_and_stops(app: App, maildir: Path) -> None:
    said: list[str] = []
    worker = Worker(app, said.append)
    thread = threading.Thread(target=worker.run)
    (maildir / "new" / "1.host").write_bytes(DSN)
    thread.start()
    try:
        wait_until(lambda: reports(app) == ["maildir"], f"nothing was read: {said}")
        assert app.config.bounces.receiver is not None
        wait_until(lambda: listens(app.config.bounces.receiver.port), "nothing listens")
    finally:
        begun = time.monotonic()
        worker.stop.set()
        thread.join(30)
    assert not thread.is_alive()
    assert time.monotonic() - begun < 10
    assert not listens(app.config.bounces.receiver.port)
    assert said == ["Mailbox returns: 1 unknown."]


def test_a_mailbox_in_trouble_is_told_once_and_holds_up_no_send(app: App, maildir: Path) -> None:
    """A worker whose mailbox is away still does what is due, at once."""
    (maildir / "new").rmdir()
    said: list[str] = []
    worker = Worker(app, said.append)
    with running(services(app, said.append, worker.pulse), app, worker.stop):
        wait_until(lambda: bool(said), "no trouble was told")
        begun = time.monotonic()
        worker.once()
        assert time.monotonic() - begun < 5
    assert len(said) == 1
    assert "is no Maildir" in said[0]


def test_a_service_that_breaks_is_told_once_and_started_again(app: App) -> None:
    said: list[str] = []
    starts: list[int] = []
    stop = threading.Event()

    def run(_stop: threading.Event) -> None:
        starts.append(1)
        if len(starts) >= 4:
            stop.set()
        raise RuntimeError("oh")

    Service("The thing", run, said.append, retry_seconds=0).keep_running(stop)
    assert len(starts) == 4
    assert said == ["The thing broke (RuntimeError: oh) and is started again."]


def test_a_receiver_that_cannot_listen_is_told_once_in_words(app: App) -> None:
    said: list[str] = []
    stop = threading.Event()

    def run(_stop: threading.Event) -> None:
        if len(starts := [*run.starts, 1]) >= 3:
            stop.set()
        run.starts = starts
        raise MailboxTrouble("The receiver cannot listen.", hint="Is it running twice?")

    run.starts = []
    Service("The receiver", run, said.append, retry_seconds=0).keep_running(stop)
    assert said == ["The receiver cannot listen. Is it running twice?"]


def test_two_processes_do_not_read_one_mailbox_at_a_time(app: App, maildir: Path) -> None:
    (maildir / "new" / "1.host").write_bytes(DSN)
    said: list[str] = []
    watch = watch_mailbox(app, app.config.bounces.mailboxes[0], said.append)
    with named_lock(app.database, app.workspace.locks, "mailbox-returns") as free:
        assert free
        assert watch.once().trouble == "another process is reading it."
        assert reports(app) == []
    assert watch.once().trouble == ""
    assert reports(app) == ["maildir"]


def test_the_lock_holds_on_postgresql_too(app_on_postgresql: App, tmp_path: Path) -> None:
    """Machines that share a database do not share a folder of locks."""
    database = app_on_postgresql.database
    with named_lock(database, tmp_path / "one", "mailbox-returns") as first:
        with named_lock(database, tmp_path / "two", "mailbox-returns") as second:
            assert (first, second) == (True, False)
        with named_lock(database, tmp_path / "two", "mailbox-others") as other:
            assert other
    with named_lock(database, tmp_path / "two", "mailbox-returns") as again:
        assert again


def test_a_copied_database_leaves_mail_to_the_live_one(app: App, maildir: Path) -> None:
    """A copy that reads the mailbox takes from the live one what it waits for."""
    (maildir / "new" / "1.host").write_bytes(DSN)
    with app.database.write() as session:
        note_place(session, app.now())
        session.flush()
        row = session.get(Setting, "instance")
        assert row is not None
        row.value = {**row.value, "place": "elsewhere"}
    said: list[str] = []
    looked = watch_mailbox(app, app.config.bounces.mailboxes[0], said.append).once()
    assert "This database is a copy" in looked.trouble
    assert (maildir / "new" / "1.host").exists()
    assert reports(app) == []


@pytest.mark.parametrize("domain", ["", "bounces.example.org"])
@pytest.mark.parametrize("envelope", ["verp", "fixed"])
@pytest.mark.parametrize("mailboxes", [(), ({"protocol": "mbox", "path": "/var/mail/bounces"},)])
@pytest.mark.parametrize("reply_to", ["", "chair@example.org"])
def test_the_address_to_unsubscribe_by_mail_is_always_accepted(
    app: App, domain: str, envelope: str, mailboxes: tuple, reply_to: str
) -> None:
    bounces = {"domain": domain, "envelope": envelope, "mailboxes": mailboxes, "receiver": {}}
    app.config = smallest_config(bounces=bounces, organisation={"reply_to": reply_to})
    assert own_addresses(app)(leave_address(app.config))
    assert own_addresses(app)(leave_address(app.config).upper())
    assert not own_addresses(app)("chair@example.org")


def test_our_own_addresses_are_those_of_returned_mail_alone(app: App) -> None:
    key = app.keys.marks.current
    app.config = smallest_config(bounces={"domain": "bounces.example.org"})
    ours = own_addresses(app)
    mark = marked_local_part(key, 17)
    for local_part in (mark, mark.upper(), "bounces", "b+unsubscribe"):
        assert ours(f"{local_part}@bounces.example.org")
        assert ours(f"{local_part}@BOUNCES.example.org")
    for address in (
        f"{mark}@example.org",
        "news@example.org",
        "x@bounces.example.org",
        "b+1@bounces.example.org",
        mark,
        "",
    ):
        assert not ours(address)
    app.config = smallest_config()
    assert own_addresses(app)(f"{mark}@example.org")
    assert not own_addresses(app)("news@example.org")  # people write there; it is not ours to take
    app.config = smallest_config(bounces={"envelope": "fixed"})
    assert own_addresses(app)("news@example.org")
