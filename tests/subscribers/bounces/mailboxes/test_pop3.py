"""POP3 against a real Dovecot: each mail read once, deleted only when it was understood, kept, and told to."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from subscribers.bounces.mailboxes.account import Account, Tally
from subscribers.bounces.mailboxes.pop3 import Pop3Mailbox
from subscribers.errors import DatabaseUnavailable, MailboxTrouble
from tests.peers.cutting_proxy import CuttingProxy

from .conftest import FakeIntake, FakeMemory, mail

SIX = [
    mail(f"{word} {number}")
    for number, word in enumerate(("processed", "autoreply", "unknown", "reply", "processed", "unknown"))
]
KEPT = [SIX[2], SIX[3], SIX[5]]


@pytest.fixture
def mailbox(account: Callable[..., Account], taker, memory: FakeMemory) -> Callable[..., Pop3Mailbox]:
    return lambda **other: Pop3Mailbox(account("pop3", **other), taker, memory)


def test_nothing_is_deleted_unless_that_is_set_and_nothing_read_twice(mailbox, look, dovecot, user, intake) -> None:
    dovecot.put(user, SIX)
    assert look(mailbox()).words == "2 processed, 1 autoreply, 2 unknown, 1 reply"
    assert not look(mailbox())
    assert dovecot.mails(user) == SIX
    assert intake.offered == len(SIX)


def test_only_what_was_understood_is_deleted(mailbox, look, dovecot, user, intake) -> None:
    dovecot.put(user, SIX)
    look(mailbox(delete=True))
    assert dovecot.mails(user) == KEPT
    assert not look(mailbox(delete=True))
    assert intake.offered == len(SIX)


@pytest.mark.parametrize("line", range(1, 20))
def test_a_connection_cut_before_any_command_loses_nothing(
    line: int, mailbox, look, dovecot, user, intake: FakeIntake
) -> None:
    dovecot.put(user, SIX)
    with CuttingProxy(dovecot.pop3, cut_before=line) as proxy:
        box = mailbox(port=proxy.own_port, delete=True)
        try:
            look(box)
        except MailboxTrouble:
            look(box)
        assert proxy.cuts == (line <= len(proxy.lines))
    assert sorted(intake.kept) == sorted(SIX)
    assert sorted(dovecot.mails(user)) == sorted(KEPT)


@pytest.mark.parametrize("command", [b"USER", b"PASS", b"UIDL", b"LIST", b"RETR 3", b"DELE", b"QUIT"])
@pytest.mark.parametrize("passing", [0, 2, 15, 60])
def test_a_connection_cut_in_an_answer_loses_nothing(
    command: bytes, passing: int, mailbox, look, dovecot, user, intake: FakeIntake
) -> None:
    dovecot.put(user, SIX)
    with CuttingProxy(dovecot.pop3, cut_on=command, cut_after_bytes=passing) as proxy:
        box = mailbox(port=proxy.own_port, delete=True)
        try:
            look(box)
        except MailboxTrouble:
            look(box)
        assert proxy.cuts == 1
    assert sorted(intake.kept) == sorted(SIX)
    assert sorted(dovecot.mails(user)) == sorted(KEPT)


def test_what_was_kept_and_not_deleted_is_deleted_later_without_reading_it_again(
    mailbox, look, dovecot, user, intake
) -> None:
    dovecot.put(user, SIX)
    with CuttingProxy(dovecot.pop3, cut_on=b"DELE", most_cuts=99) as proxy, pytest.raises(MailboxTrouble):
        look(mailbox(port=proxy.own_port, delete=True))
    assert dovecot.mails(user) == SIX
    assert not look(mailbox(delete=True))
    assert (dovecot.mails(user), intake.offered) == (KEPT, len(SIX))


def test_when_the_database_is_away_nothing_is_deleted(mailbox, look, dovecot, user, intake) -> None:
    dovecot.put(user, SIX)

    def go_away(raw: bytes) -> None:
        if intake.offered >= 3:
            raise DatabaseUnavailable("The database is locked.")

    intake.before = go_away
    with pytest.raises(DatabaseUnavailable):
        look(mailbox(delete=True))
    assert dovecot.mails(user) == SIX
    intake.before = None
    look(mailbox(delete=True))
    assert dovecot.mails(user) == KEPT
    assert sorted(intake.kept) == sorted(SIX)


def test_a_mail_that_was_taken_by_another_way_is_never_deleted(mailbox, look, dovecot, user, intake) -> None:
    """A duplicate says nothing of whether it was understood."""
    dovecot.put(user, SIX[:1])
    intake.kept.append(SIX[0])
    assert look(mailbox(delete=True)).words == "1 duplicate"
    assert dovecot.mails(user) == SIX[:1]


def test_one_mail_that_the_server_cannot_hand_out_stops_no_other(mailbox, look, dovecot, user, intake) -> None:
    dovecot.put(user, SIX)
    with CuttingProxy(dovecot.pop3, cut_on=b"RETR 2\r\n", most_cuts=99) as proxy:
        tally = look(mailbox(port=proxy.own_port, delete=True))
    assert tally.left == {"could not be read": 1}
    assert sorted(dovecot.mails(user)) == sorted([SIX[1], *KEPT])


def test_a_mail_that_the_intake_fails_on_stays(mailbox, look, dovecot, user, intake) -> None:
    dovecot.put(user, [mail("poison"), *SIX])
    for _ in range(5):
        look(mailbox(delete=True))
    assert dovecot.mails(user) == [mail("poison"), *KEPT]
    assert intake.offered == len(SIX) + 3


def test_more_mails_than_a_session_takes_are_all_taken(mailbox, look, dovecot, user, intake, monkeypatch) -> None:
    monkeypatch.setattr("subscribers.bounces.mailboxes.pop3.MAILS_A_SESSION", 4)
    dovecot.put(user, SIX)
    assert look(mailbox(delete=True)).taken.total() == len(SIX)
    assert dovecot.mails(user) == KEPT


def test_large_mails_are_judged_by_their_beginning_and_never_deleted(
    mailbox, look, dovecot, user, intake, said
) -> None:
    letter = mail("reply", body="My holiday pictures\n" * 20_000)
    report = (
        mail("processed", body="\n")
        .replace(b"a@example.org", b"MAILER-DAEMON@mx.example.net")
        .replace(b"Subject: processed", b"Subject: processed Undelivered Mail Returned to Sender")
        + b"550 5.1.1 <gone@example.net>: user unknown\n"
        + b"x\n" * 200_000
    )
    dovecot.put(user, [letter, report, *SIX])
    look(mailbox(delete=True, max_message_bytes=100_000))
    look(mailbox(delete=True, max_message_bytes=100_000))
    assert dovecot.mails(user) == [letter, report, *KEPT]
    assert said == ["A mail is too large to be passed on and is left there: look at it."]
    assert len(intake.kept) == len(SIX) + 1


@pytest.mark.parametrize(
    "raw",
    [
        b"Subject: processed\n\n" + b"x" * 3_000_000 + b"\n",
        b"Subject: processed \xff\xfe\n\n\x80\x81\xff\n",
        b"Subject: processed\n\n.\n..\n.x\n\n.\n",
        b"Subject: processed\n\n" + b"y" * 65_535 + b".\n.\n",
    ],
    ids=["one line of 3 MB", "8-bit", "dots", "a dot at the end of a piece"],
)
def test_odd_bytes_are_taken_as_they_are(raw: bytes, mailbox, look, dovecot, user, intake) -> None:
    dovecot.put(user, [raw, *SIX])
    look(mailbox())
    assert raw in intake.kept
    assert len(intake.kept) == len(SIX) + 1


def test_a_wrong_password_says_what_to_do_and_is_lasting(mailbox, look) -> None:
    with pytest.raises(MailboxTrouble, match="refuses the user or password") as error:
        look(mailbox(password="canary"))
    assert error.value.lasting
    assert "canary" not in error.value.message + error.value.hint


def test_a_check_changes_nothing(mailbox, dovecot, user, intake) -> None:
    dovecot.put(user, SIX)
    assert mailbox(delete=True).check() == "holds 6 mails (UIDL, what was understood is deleted)"
    assert (dovecot.mails(user), intake.offered) == (SIX, 0)


@pytest.fixture
def lying_server() -> Iterator[Callable[[dict[bytes, bytes]], int]]:
    """Return a function that starts a server of scripted answers and gives its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(answers: dict[bytes, bytes]) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with suppress(OSError), client, client.makefile("rwb") as file:
                file.write(b"+OK hello\r\n")
                file.flush()
                for line in file:
                    file.write(answers.get(line.split()[0], b"+OK\r\n"))
                    file.flush()

    def start(answers: dict[bytes, bytes]) -> int:
        threading.Thread(target=serve, args=(answers,), daemon=True).start()
        port: int = listener.getsockname()[1]
        return port

    yield start
    listener.close()


def test_a_server_without_uidl_is_told_and_nothing_is_read(mailbox, look, lying_server, intake) -> None:
    port = lying_server({b"UIDL": b"-ERR unknown command\r\n"})
    with pytest.raises(MailboxTrouble, match="has no UIDL") as error:
        look(mailbox(port=port))
    assert error.value.lasting


def test_a_server_that_sends_without_end_is_dropped(mailbox, look, lying_server, intake) -> None:
    answers = {
        b"UIDL": b"+OK\r\n1 a\r\n.\r\n",
        b"LIST": b"+OK\r\n1 100\r\n.\r\n",
        b"RETR": b"+OK\r\n" + b"x" * 300_000,
    }
    tally = look(mailbox(port=lying_server(answers), max_message_bytes=100_000))
    assert (tally.left, intake.offered) == ({"could not be read": 1}, 0)


def test_a_list_that_is_none_is_refused(mailbox, look, lying_server, intake) -> None:
    with pytest.raises(MailboxTrouble, match="list"):
        look(mailbox(port=lying_server({b"UIDL": b"+OK\r\nx y\r\n.\r\n"})))


def test_a_stop_ends_a_look_early_with_all_in_order(mailbox, dovecot, user, intake) -> None:
    """A service that is stopped may not first read a mailbox of twenty thousand mails."""
    dovecot.put(user, SIX)
    stop, tally = threading.Event(), Tally()
    intake.before = lambda _raw: stop.set() if intake.offered == 2 else None
    box = mailbox(delete=True)
    box.look(tally, stop)
    box.close()
    assert len(intake.kept) == 2
    stop.clear()
    box.look(tally, stop)
    box.close()
    assert sorted(intake.kept) == sorted(SIX)
    assert sorted(dovecot.mails(user)) == sorted(KEPT)
