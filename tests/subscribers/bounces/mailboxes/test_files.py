"""Maildir and mbox: files of this machine, taken once, moved or left, never lost or cut."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from subscribers.bounces.mailboxes.account import Account
from subscribers.bounces.mailboxes.maildir import Maildir
from subscribers.bounces.mailboxes.mbox import Mbox
from subscribers.errors import DatabaseUnavailable, MailboxTrouble

from .conftest import TARGETS, mail

SIX = [
    mail(f"{word} {number}")
    for number, word in enumerate(("processed", "autoreply", "unknown", "reply", "processed", "unknown"))
]
FOLDERS = (".Processed", ".Autoreply", ".Unknown", ".Replies")


@pytest.fixture
def maildir(tmp_path: Path, taker, memory):
    root = tmp_path / "Maildir"
    for part in ("new", "cur", "tmp"):
        (root / part).mkdir(parents=True)
    return Maildir(Account("bounces", path=str(root), targets=TARGETS, max_message_bytes=100_000), taker, memory)


def deliver(maildir: Maildir, raw: bytes, name: str, part: str = "new") -> Path:
    path = Path(maildir.account.path) / part / name
    path.write_bytes(raw)
    return path


def held(maildir: Maildir, folder: str = "") -> list[bytes]:
    root = Path(maildir.account.path) / folder
    return [path.read_bytes() for part in ("new", "cur") for path in sorted((root / part).glob("*"))]


def test_each_mail_is_moved_into_the_sub_folder_of_its_kind(maildir, look, intake) -> None:
    for number, raw in enumerate(SIX):
        deliver(maildir, raw, f"{number}.host")
    assert look(maildir).words == "2 processed, 1 autoreply, 2 unknown, 1 reply"
    assert held(maildir) == []
    assert held(maildir, ".Processed") == [SIX[0], SIX[4]]
    assert [held(maildir, f) for f in (".Autoreply", ".Replies")] == [[SIX[1]], [SIX[3]]]
    assert (Path(maildir.account.path) / ".Processed" / "maildirfolder").exists()
    assert not look(maildir)


def test_mail_that_a_mail_program_has_seen_is_taken_too(maildir, look, intake) -> None:
    deliver(maildir, SIX[0], "1.host:2,S", "cur")
    look(maildir)
    assert held(maildir, ".Processed") == [SIX[0]]


def test_links_folders_and_hidden_files_are_no_mail(maildir, look, intake, tmp_path: Path) -> None:
    """A link could name any file that this program may read."""
    secret = tmp_path / "secret"
    secret.write_bytes(mail("reply"))
    root = Path(maildir.account.path)
    (root / "new" / "link").symlink_to(secret)
    (root / "new" / "folder").mkdir()
    deliver(maildir, SIX[0], ".hidden")
    assert not look(maildir)
    assert intake.offered == 0


def test_nothing_is_moved_over_another_mail(maildir, look, intake) -> None:
    deliver(maildir, SIX[0], "1.host")
    look(maildir)
    deliver(maildir, SIX[4], "1.host")
    look(maildir)
    assert sorted(held(maildir, ".Processed")) == sorted([SIX[0], SIX[4]])


def test_a_poison_mail_stays_and_the_others_are_taken(maildir, look, intake) -> None:
    deliver(maildir, mail("poison"), "0.host")
    deliver(maildir, SIX[0], "1.host")
    for _ in range(5):
        look(maildir)
    assert held(maildir) == [mail("poison")]
    assert intake.offered == 1 + 3


def test_a_large_letter_stays_and_is_told_once(maildir, look, said) -> None:
    deliver(maildir, mail("reply", body="x" * 200_000), "0.host")
    look(maildir)
    look(maildir)
    assert said == ["A mail is too large to be passed on and is left there: look at it."]
    assert len(held(maildir)) == 1


def test_when_the_database_is_away_mail_stays(maildir, look, intake) -> None:
    deliver(maildir, SIX[0], "1.host")
    intake.fail = DatabaseUnavailable("away")
    with pytest.raises(DatabaseUnavailable):
        look(maildir)
    assert held(maildir) == [SIX[0]]


def test_a_folder_that_is_no_maildir_is_told(tmp_path: Path, taker, memory, look) -> None:
    with pytest.raises(MailboxTrouble, match="is no Maildir") as error:
        look(Maildir(Account("bounces", path=str(tmp_path), targets=TARGETS), taker, memory))
    assert error.value.lasting


def test_a_maildir_check_counts(maildir) -> None:
    deliver(maildir, SIX[0], "1.host")
    assert maildir.check() == "holds 1 mails"


@pytest.fixture
def mbox(tmp_path: Path, taker, memory) -> Mbox:
    path = tmp_path / "mbox"
    path.touch()
    return Mbox(Account("bounces", path=str(path), max_message_bytes=100_000), taker, memory)


def append(mbox: Mbox, *mails: bytes) -> None:
    with open(mbox.account.path, "ab") as file:
        for raw in mails:
            file.write(b"From MAILER-DAEMON Mon Nov  2 09:30:00 2026\n" + raw + b"\n")


def subjects(intake) -> list[bytes]:
    return [raw.partition(b"Subject: ")[2].partition(b"\n")[0] for raw in intake.kept]


def test_an_mbox_is_read_from_where_the_last_look_ended(mbox, look, intake) -> None:
    append(mbox, *SIX[:4])
    assert look(mbox).taken.total() == 4
    append(mbox, *SIX[4:])
    assert look(mbox).taken.total() == 2
    assert not look(mbox)
    assert subjects(intake) == [raw.partition(b"Subject: ")[2].partition(b"\n")[0] for raw in SIX]


def test_an_mbox_is_never_changed(mbox, look) -> None:
    append(mbox, *SIX)
    Path(mbox.account.path).chmod(0o400)
    before = (Path(mbox.account.path).read_bytes(), os.stat(mbox.account.path).st_mtime_ns)
    look(mbox)
    assert (Path(mbox.account.path).read_bytes(), os.stat(mbox.account.path).st_mtime_ns) == before


@pytest.mark.parametrize("keep", [0, 1])
def test_an_mbox_that_was_emptied_or_cut_is_read_from_its_beginning(mbox, look, intake, keep: int) -> None:
    append(mbox, *SIX[:4])
    look(mbox)
    Path(mbox.account.path).write_bytes(b"")
    append(mbox, *SIX[:keep], SIX[5], SIX[4])
    look(mbox)
    assert set(subjects(intake)) == {
        b"processed 0",
        b"autoreply 1",
        b"unknown 2",
        b"reply 3",
        b"processed 4",
        b"unknown 5",
    }


def test_an_mbox_that_was_replaced_by_a_longer_one_is_read_from_its_beginning(mbox, look, intake) -> None:
    append(mbox, SIX[0])
    look(mbox)
    Path(mbox.account.path).write_bytes(b"")
    append(mbox, *SIX[1:])
    look(mbox)
    assert len(intake.kept) == 6


def test_a_line_that_begins_with_from_inside_a_mail_is_no_new_mail(mbox, look, intake) -> None:
    append(mbox, mail("processed", body="Dear friend,\nFrom now on we meet on Mondays.\n>From here\n"), SIX[1])
    assert look(mbox).taken.total() == 2


def test_a_poison_mail_in_an_mbox_stops_no_other(mbox, look, intake) -> None:
    append(mbox, SIX[0], mail("poison"), SIX[1])
    tally = look(mbox)
    assert (tally.taken.total(), tally.left.total()) == (2, 1)
    assert [bool(look(mbox)) for _ in range(4)] == [True, True, False, False]
    assert intake.offered == 2 + 3


def test_a_mail_in_an_mbox_that_failed_once_is_tried_again_and_taken(mbox, look, intake) -> None:
    append(mbox, SIX[0], SIX[1], SIX[2])
    intake.before = lambda raw: (_ for _ in ()).throw(RuntimeError("a bad moment")) if b"autoreply" in raw else None
    look(mbox)
    append(mbox, SIX[3])
    intake.before = None
    assert look(mbox).words == "1 autoreply, 1 reply"
    assert set(intake.kept) == {b"From MAILER-DAEMON Mon Nov  2 09:30:00 2026\n" + raw + b"\n" for raw in SIX[:4]}
    assert not look(mbox)


def test_an_mbox_that_was_replaced_has_nothing_to_try_again(mbox, look, intake) -> None:
    append(mbox, SIX[0], mail("poison"))
    look(mbox)
    Path(mbox.account.path).write_bytes(b"")
    append(mbox, *SIX[1:])
    look(mbox)
    assert len(intake.kept) == 6
    assert intake.offered == 7


def test_an_mbox_larger_than_memory_is_read_in_stretches(mbox, look, intake, memory, monkeypatch) -> None:
    monkeypatch.setattr("subscribers.bounces.mailboxes.mbox.STRETCH_BYTES", 1_000)
    append(mbox, *(mail(f"processed {number}") for number in range(100)))
    assert look(mbox).taken.total() == 100
    assert memory.saves > 5


def test_a_stretch_is_read_again_when_the_database_went_away_in_it(mbox, look, intake) -> None:
    append(mbox, *SIX)
    intake.before = lambda _raw: setattr(intake, "fail", DatabaseUnavailable("away") if intake.offered == 3 else None)
    with pytest.raises(DatabaseUnavailable):
        look(mbox)
    intake.before = intake.fail = None
    look(mbox)
    assert len(intake.kept) == 6


def test_a_large_report_in_an_mbox_is_read_by_its_beginning(mbox, look, intake) -> None:
    report = (
        b"From: MAILER-DAEMON@mx.example.net\nTo: b+1@example.org\nSubject: processed Undelivered Mail\n\n"
        b"550 5.1.1 <gone@example.net>: user unknown\n" + b"x\n" * 2_000_000
    )
    append(mbox, report, SIX[1])
    assert look(mbox).taken.total() == 2
    assert len(intake.kept[0]) <= 1_000_000


WRITER = """
import fcntl, sys, time
with open(sys.argv[1], "a") as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
    file.write(sys.argv[2])
    file.flush()
    print("!", end="", flush=True)
    time.sleep(0.5)
    file.write(sys.argv[3])
"""


def test_the_lock_of_mail_servers_is_waited_for(mbox, look, intake) -> None:
    """A delivery that is under way is not read by half."""
    append(mbox, SIX[0])
    halves = [b"From MAILER-DAEMON Mon Nov  2 09:30:00 2026\n" + SIX[1][:20], SIX[1][20:] + b"\n"]
    writing = [sys.executable, "-c", WRITER, mbox.account.path, *(half.decode() for half in halves)]
    with subprocess.Popen(writing, stdout=subprocess.PIPE) as writer:  # such a lock does not hold within a process
        assert writer.stdout is not None
        assert writer.stdout.read(1) == b"!"
        assert look(mbox).taken.total() == 2
    assert len(intake.kept) == 2


def test_a_file_that_is_not_there_or_a_pipe_is_told(tmp_path: Path, taker, memory, look) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("nothing", "pipe"):
        with pytest.raises(MailboxTrouble, match="cannot be read") as error:
            look(Mbox(Account("bounces", path=str(tmp_path / name)), taker, memory))
        assert error.value.lasting


def test_waiting_for_files_ends_with_a_stop(maildir, mbox) -> None:
    stop = threading.Event()
    stop.set()
    for mailbox in (maildir, mbox):
        mailbox.wait(60, stop)
        mailbox.close()
    assert mbox.check().startswith("holds 0 bytes")
