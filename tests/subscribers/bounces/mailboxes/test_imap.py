"""IMAP against a real Dovecot: each mail taken once, moved by its kind, none lost however the connection ends."""

from __future__ import annotations

import imaplib
import threading
import time
from collections.abc import Callable

import pytest

from subscribers.bounces.mailboxes.account import Account, Tally
from subscribers.bounces.mailboxes.imap import ImapMailbox
from subscribers.errors import DatabaseUnavailable, MailboxTrouble
from tests.peers.cutting_proxy import CuttingProxy
from tests.peers.dovecot import PASSWORD, Dovecot

from .conftest import FakeIntake, FakeMemory, mail

WORDS = ("processed", "autoreply", "unknown", "reply")
FOLDERS = ("Processed", "Autoreply", "Unknown", "Replies")
SIX = [mail(f"{word} {number}") for number, word in enumerate((*WORDS, "processed", "unknown"))]


@pytest.fixture
def mailbox(account: Callable[..., Account], taker, memory: FakeMemory) -> Callable[..., ImapMailbox]:
    return lambda **other: ImapMailbox(account("imap", **other), taker, memory)


def everywhere(dovecot: Dovecot, user: str) -> list[bytes]:
    return sorted(m for folder in ("", *FOLDERS) for m in dovecot.mails(user, folder))


def test_each_mail_is_moved_into_the_folder_of_its_kind(mailbox, look, dovecot, user, intake) -> None:
    dovecot.put(user, SIX)
    tally = look(mailbox())
    assert tally.words == "2 processed, 1 autoreply, 2 unknown, 1 reply"
    assert dovecot.mails(user) == []
    assert dovecot.mails(user, "Processed") == [SIX[0], SIX[4]]
    assert [dovecot.mails(user, folder) for folder in ("Autoreply", "Replies")] == [[SIX[1]], [SIX[3]]]
    assert sorted(intake.kept) == sorted(SIX)


def test_a_second_look_finds_nothing_and_reads_nothing_again(mailbox, look, dovecot, user, intake) -> None:
    dovecot.put(user, SIX)
    box = mailbox()
    look(box)
    assert not look(box)
    assert intake.offered == len(SIX)


@pytest.mark.parametrize("line", range(2, 25))
def test_a_connection_cut_before_any_command_loses_nothing(
    line: int, mailbox, look, dovecot, user, intake: FakeIntake
) -> None:
    """Whatever was under way, the same look or the next one ends with each mail taken once and in its folder."""
    dovecot.put(user, SIX)
    with CuttingProxy(dovecot.imap, cut_before=line) as proxy:
        box = mailbox(port=proxy.own_port)
        try:
            look(box)
        except MailboxTrouble:
            look(box)
        assert proxy.cuts == (line <= len([x for x in proxy.lines if x]))
    assert sorted(intake.kept) == sorted(SIX)
    assert dovecot.mails(user) == []
    assert everywhere(dovecot, user) == sorted(SIX)


@pytest.mark.parametrize("command", [b"CAPABILITY", b"LOGIN", b"SELECT", b"SEARCH", b"SIZE", b"PEEK", b"LIST", b"MOVE"])
@pytest.mark.parametrize("passing", [0, 1, 12, 60])
def test_a_connection_cut_in_an_answer_loses_nothing(
    command: bytes, passing: int, mailbox, look, dovecot, user, intake: FakeIntake
) -> None:
    dovecot.put(user, SIX)
    with CuttingProxy(dovecot.imap, cut_on=command, cut_after_bytes=passing) as proxy:
        box = mailbox(port=proxy.own_port)
        try:
            look(box)
        except MailboxTrouble:
            look(box)
        assert proxy.cuts == 1
    assert sorted(intake.kept) == sorted(SIX)
    assert everywhere(dovecot, user) == sorted(SIX)
    assert dovecot.mails(user) == []


def test_a_new_process_moves_what_was_taken_and_not_moved(
    mailbox, look, dovecot, user, intake: FakeIntake, account, taker, memory
) -> None:
    dovecot.put(user, SIX[:1])
    with CuttingProxy(dovecot.imap, cut_on=b"MOVE", most_cuts=99) as proxy, pytest.raises(MailboxTrouble):
        look(mailbox(port=proxy.own_port))
    assert (len(intake.kept), dovecot.mails(user)) == (1, SIX[:1])
    assert look(mailbox()).words == "1 duplicate"
    assert dovecot.mails(user, "Processed") == SIX[:1]
    assert len(intake.kept) == 1


def test_a_server_that_always_breaks_is_given_up_after_a_few_tries(mailbox, look, dovecot, user) -> None:
    with CuttingProxy(dovecot.imap, cut_on=b"SELECT", most_cuts=99) as proxy:
        with pytest.raises(MailboxTrouble, match="broke off"):
            look(mailbox(port=proxy.own_port))
        assert proxy.connections == 3


def test_one_mail_that_the_server_cannot_hand_out_stops_no_other(mailbox, look, dovecot, user, intake) -> None:
    """A damaged index makes a server close the connection at one mail, each time."""
    dovecot.put(user, SIX)
    with CuttingProxy(dovecot.imap, cut_on=b"UID FETCH 3 (BODY", most_cuts=99) as proxy:
        box = mailbox(port=proxy.own_port)
        with CuttingProxy(proxy.own_port, cut_on=b"(BODY.PEEK[])") as first:  # the group; then one at a time
            box.account = mailbox(port=first.own_port).account
            tally = look(box)
    assert tally.left == {"could not be read": 1}
    assert len(intake.kept) == 5
    assert dovecot.mails(user) == [SIX[2]]


def test_a_mail_that_the_intake_fails_on_stays_and_is_told_without_its_words(
    mailbox, look, dovecot, user, intake, said: list[str]
) -> None:
    dovecot.put(user, [mail("poison"), *SIX])
    box = mailbox()
    tally = look(box)
    assert (tally.left.total(), len(intake.kept)) == (1, 6)
    assert dovecot.mails(user) == [mail("poison")]
    assert said == ["A mail could not be read (RuntimeError) and is left there."]


def test_a_mail_that_always_fails_is_tried_three_times_and_then_left_to_a_person(
    mailbox, look, dovecot, user, intake
) -> None:
    dovecot.put(user, [mail("poison")])
    for _ in range(5):
        look(mailbox())  # another process each time
    assert intake.offered == 3
    assert dovecot.mails(user) == [mail("poison")]


def test_when_the_database_is_away_mail_stays_and_is_taken_later(mailbox, look, dovecot, user, intake) -> None:
    dovecot.put(user, SIX)
    intake.fail = DatabaseUnavailable("The database is locked.")
    box = mailbox()
    with pytest.raises(DatabaseUnavailable):
        look(box)
    assert dovecot.mails(user) == SIX
    intake.fail = None
    assert look(box).taken.total() == len(SIX)


def test_what_was_taken_before_the_database_went_away_is_moved(mailbox, look, dovecot, user, intake) -> None:
    dovecot.put(user, SIX)

    def go_away(raw: bytes) -> None:
        if intake.offered == 3:
            raise DatabaseUnavailable("The database is locked.")

    intake.before = go_away
    with pytest.raises(DatabaseUnavailable):
        look(mailbox())
    assert len(intake.kept) == 2
    assert sorted(dovecot.mails(user)) == sorted(SIX[2:])


def test_another_uidvalidity_reads_what_is_there_now(mailbox, look, dovecot, user, intake) -> None:
    """A mailbox that was made anew gives old numbers to other mails: none may be taken for one that was read."""
    dovecot.put(user, [mail("poison")])
    box = mailbox()
    for _ in range(3):
        look(box)
    box.close()
    with imaplib.IMAP4("127.0.0.1", dovecot.imap) as client:
        client.login(user, PASSWORD)
        client.select()
        client.store("1", "+FLAGS", r"\Deleted")
        client.expunge()
        client.logout()
    for path in dovecot.maildir(user).glob("dovecot*"):
        if not path.name.startswith("dovecot-uidvalidity"):  # which remembers what it must not be again
            path.unlink()
    dovecot.put(user, SIX)
    assert look(box).taken.total() == len(SIX)
    assert dovecot.mails(user) == []


def test_mail_that_arrives_during_a_look_is_not_lost(mailbox, look, dovecot, user, intake) -> None:
    dovecot.put(user, SIX)
    late = mail("processed late")

    def deliver(raw: bytes) -> None:
        if late not in dovecot.mails(user):
            dovecot.put(user, [late])
            intake.before = None

    intake.before = deliver
    box = mailbox()
    look(box)
    assert (len(intake.kept), dovecot.mails(user)) == (6, [late])
    look(box)
    assert late in dovecot.mails(user, "Processed")


def test_mail_that_others_mark_as_deleted_is_neither_read_nor_expunged(mailbox, look, dovecot, user, intake) -> None:
    """A mail program on a telephone deletes by a flag; a bare EXPUNGE of ours would take that mail along."""
    dovecot.put(user, SIX)
    with imaplib.IMAP4("127.0.0.1", dovecot.imap) as client:
        client.login(user, PASSWORD)
        client.select()
        client.store("2", "+FLAGS", r"\Deleted")
        client.logout()
    box = mailbox()
    box._connected()._cached_capabilities = (b"UIDPLUS", b"NAMESPACE")  # as a server without MOVE
    look(box)
    assert dovecot.mails(user) == [SIX[1]]
    assert len(intake.kept) == 5
    assert len(everywhere(dovecot, user)) == 6


def test_without_move_and_uidplus_mail_is_copied_and_marked_and_nothing_expunged(
    mailbox, look, dovecot, user, intake
) -> None:
    dovecot.put(user, SIX)
    box = mailbox()
    box._connected()._cached_capabilities = (b"NAMESPACE",)
    assert look(box).taken.total() == 6
    assert dovecot.mails(user, "Processed") == [SIX[0], SIX[4]]
    assert len(dovecot.mails(user)) == 6  # marked as deleted; a mail program takes them away
    assert not look(box)


def test_a_large_report_is_read_by_its_beginning_and_moved_whole(mailbox, look, dovecot, user, intake) -> None:
    report = (
        b"From: MAILER-DAEMON@mx.example.net\nTo: b+1@example.org\nSubject: processed Undelivered Mail\n"
        b'MIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status; boundary="x"\n\n'
        b"--x\n\nsorry\n--x\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example.net\n\n"
        b"Final-Recipient: rfc822; gone@example.net\nAction: failed\nStatus: 5.1.1\n\n--x\n"
        b"Content-Type: message/rfc822\n\n" + b"x" * 70 + b"\n" * 2_000_000 + b"--x--\n"
    )
    dovecot.put(user, [report])
    assert look(mailbox(max_message_bytes=100_000)).words == "1 processed"
    assert len(intake.kept[0]) <= 1_000_000
    assert dovecot.mails(user, "Processed") == [report]


def test_a_large_letter_of_a_person_stays_and_is_told_once(mailbox, look, dovecot, user, intake, said) -> None:
    letter = mail("reply", body="My holiday pictures\n" * 20_000)
    dovecot.put(user, [letter, *SIX])
    look(mailbox(max_message_bytes=100_000))
    look(mailbox(max_message_bytes=100_000))
    assert dovecot.mails(user) == [letter]
    assert said == ["A mail is too large to be passed on and is left there: look at it."]


@pytest.mark.parametrize(
    "raw",
    [
        b"Subject: processed\n\n" + b"x" * 3_000_000,
        b"Subject: processed \xff\xfe\n\n\x80\x81\xff\n",
        b"Subject: processed\r\rX\n\na\rb\n.\n\r\n.\r\n",
        b"Subject: processed )\n\n{10}\n* BYE\nA001 OK\n",
    ],
    ids=["one line of 3 MB", "8-bit", "bare CR and dots", "looks like IMAP"],
)
def test_odd_bytes_are_taken_as_they_are(raw: bytes, mailbox, look, dovecot, user, intake) -> None:
    dovecot.put(user, [raw, *SIX])
    look(mailbox())
    assert dovecot.mails(user) == []
    assert raw.replace(b"\r\n", b"\n").replace(b"\r\r", b"\r\r") in intake.kept
    assert len(intake.kept) == 7


def test_nul_bytes_do_not_stop_the_mail_behind_them(mailbox, look, dovecot, user, intake) -> None:
    """IMAP cannot carry NUL; Dovecot hands out another byte in its place."""
    dovecot.put(user, [b"Subject: processed\n\na\0b\n", *SIX])
    look(mailbox())
    assert (dovecot.mails(user), len(intake.kept)) == ([], 7)


def test_a_wrong_password_says_what_to_do_and_is_lasting(mailbox, look) -> None:
    with pytest.raises(MailboxTrouble, match="refuses the user or password") as error:
        look(mailbox(password="canary"))
    assert error.value.lasting
    assert "canary" not in error.value.message + error.value.hint
    assert "password" in error.value.hint


def test_a_folder_that_is_not_there_is_named(mailbox, look) -> None:
    with pytest.raises(MailboxTrouble) as error:
        look(mailbox(folder="Nowhere"))
    assert error.value.lasting
    assert "Nowhere" in error.value.hint


def test_a_server_that_is_away_is_told_in_words(mailbox, look) -> None:
    with pytest.raises(MailboxTrouble, match="cannot be reached: Connection refused") as error:
        look(mailbox(port=1))
    assert not error.value.lasting


def test_a_check_changes_nothing_and_says_what_there_is(mailbox, dovecot, user, intake) -> None:
    dovecot.put(user, SIX)
    said = mailbox().check()
    assert said.startswith("folder INBOX holds 6 mails (IDLE, MOVE); made at the first look: Processed")
    assert (dovecot.mails(user), intake.offered) == (SIX, 0)


def test_new_mail_ends_the_wait(mailbox, look, dovecot, user) -> None:
    """The server calls (IDLE), so a report is read within a second or so and not after minutes."""
    box = mailbox()
    look(box)
    threading.Timer(0.3, dovecot.put, (user, SIX[:1])).start()
    start = time.monotonic()
    box.wait(60, threading.Event())
    assert time.monotonic() - start < 20
    assert look(box).taken.total() == 1


def test_a_stop_ends_the_wait(mailbox, look) -> None:
    box, stop = mailbox(), threading.Event()
    look(box)
    threading.Timer(0.2, stop.set).start()
    start = time.monotonic()
    box.wait(60, stop)
    assert time.monotonic() - start < 5


def test_without_idle_the_time_is_waited_for(mailbox, look) -> None:
    box = mailbox()
    box._connected()._cached_capabilities = (b"NAMESPACE", b"MOVE")
    assert not look(box)
    start = time.monotonic()
    box.wait(0.2, threading.Event())
    assert 0.15 < time.monotonic() - start < 3


def test_a_connection_cut_while_it_waits_is_opened_again(mailbox, look, dovecot, user) -> None:
    with CuttingProxy(dovecot.imap, cut_on=b"IDLE", cut_after_bytes=5) as proxy:
        box = mailbox(port=proxy.own_port)
        look(box)
        box.wait(10, threading.Event())
        dovecot.put(user, SIX[:1])
        assert look(box).taken.total() == 1


def test_tally_is_empty_when_nothing_was_there() -> None:
    assert Tally().words == "nothing new"


def test_a_stop_ends_a_look_early_with_all_in_order(mailbox, dovecot, user, intake, monkeypatch) -> None:
    """A service that is stopped may not first read a mailbox of twenty thousand mails."""
    monkeypatch.setattr("subscribers.bounces.mailboxes.imap.MAILS_A_MOVE", 2)
    dovecot.put(user, SIX)
    stop, tally = threading.Event(), Tally()
    intake.before = lambda _raw: stop.set() if intake.offered == 2 else None
    box = mailbox()
    box.look(tally, stop)
    box.close()
    assert len(intake.kept) == 2
    assert len(dovecot.mails(user)) == 4
    stop.clear()
    box.look(tally, stop)
    box.close()
    assert sorted(intake.kept) == sorted(SIX)
    assert sorted(dovecot.mails(user)) == []
