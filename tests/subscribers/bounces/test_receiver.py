"""The receiver over real sockets: 250 only when a mail is kept, for our addresses alone, one mail at a time."""

from __future__ import annotations

import contextlib
import smtplib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from subscribers.bounces.intake import Disposition, Taken
from subscribers.bounces.receiver import Receiver
from subscribers.bounces.receiver_protocol import MOST_REFUSED, Settings
from subscribers.bounces.receiver_rates import Limits, Rates
from subscribers.errors import DatabaseUnavailable, MailboxTrouble
from tests.peers.fixtures import wait_until

OURS = "b+1.abcdefghijklmnop@bounces.example.org"
DSN = b"From: MAILER-DAEMON@mx.example.net\r\nSubject: Undelivered\r\n\r\nsorry\r\n"


class Keeper:
    """What the receiver hands mail to."""

    def __init__(self) -> None:
        self.kept: list[tuple[bytes, str]] = []
        self.fail: Exception | None = None
        self.seconds = 0.0

    def take(self, raw: bytes, address: str) -> Taken:
        time.sleep(self.seconds)
        if self.fail is not None:
            raise self.fail
        self.kept.append((raw, address))
        return Taken(len(self.kept), Disposition.PROCESSED, "fine")


@pytest.fixture
def keeper() -> Keeper:
    return Keeper()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def start(keeper: Keeper, said: list[str]) -> Iterator[Callable[..., Receiver]]:
    """Return a function that starts a receiver; all are stopped at the end of the test."""
    stop, threads = threading.Event(), []

    def begin(protocol: str = "smtp", **settings: object) -> Receiver:
        made = Settings(protocol, "bounces.example.org", **settings)
        receiver = Receiver(made, accepts=lambda a: a.lower() == OURS, take=keeper.take, say=said.append)
        threads.append(threading.Thread(target=receiver.run, args=(stop,)))
        threads[-1].start()
        path = settings.get("socket_path")
        wait_until(lambda: receiver.port > 0 or bool(path and Path(str(path)).exists()), "the receiver did not start")
        return receiver

    begin.stop = stop
    begin.threads = threads
    yield begin
    stop.set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def client(receiver: Receiver) -> smtplib.SMTP:
    kind = smtplib.LMTP if receiver.settings.protocol == "lmtp" else smtplib.SMTP
    made = kind("127.0.0.1", receiver.port, timeout=20)
    made.ehlo_or_helo_if_needed() if kind is smtplib.SMTP else made.ehlo()
    return made


@contextlib.contextmanager
def talking(receiver: Receiver) -> Iterator[smtplib.SMTP]:
    made = client(receiver)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("protocol", ["smtp", "lmtp"])
def test_a_report_is_kept_with_who_sent_it_and_whom_it_came_for(protocol: str, start, keeper: Keeper) -> None:
    with talking(start(protocol)) as talk:
        assert talk.sendmail("<>", [OURS.upper()], DSN) == {}
    [(raw, address)] = keeper.kept
    assert raw == f"Return-Path: <>\r\nDelivered-To: {OURS.upper()}\r\n".encode() + DSN
    assert address == OURS.upper()


@pytest.mark.parametrize("protocol", ["smtp", "lmtp"])
@pytest.mark.parametrize("to", ["chair@example.org", "root", "b+1.abcdefghijklmnop@example.org", '"b+1"@elsewhere.net'])
def test_mail_for_others_is_refused(to: str, protocol: str, start, keeper) -> None:
    """No relay, and no source of bounces to people who never wrote."""
    with talking(start(protocol)) as talk:
        assert talk.mail("<>")[0] == 250
        code, words = talk.rcpt(to)
        assert (code, words[:5]) == (550, b"5.1.1")
        assert talk.docmd("DATA")[0] == 503
    assert keeper.kept == []


@pytest.mark.parametrize("error", [DatabaseUnavailable("The database is locked."), RuntimeError("canary@example.org")])
def test_what_cannot_be_kept_is_answered_451_and_taken_the_next_time(error: Exception, start, keeper, said) -> None:
    receiver = start()
    keeper.fail = error
    with talking(receiver) as talk:
        for _ in range(3):
            with pytest.raises(smtplib.SMTPDataError) as refused:
                talk.sendmail("<>", [OURS], DSN)
            assert refused.value.smtp_code == 451
        keeper.fail = None
        talk.sendmail("<>", [OURS], DSN)
    assert len(keeper.kept) == 1
    assert len(said) == 2  # that it began and that it ended
    assert "canary" not in "".join(said)


def test_250_comes_only_after_the_mail_is_kept(start, keeper) -> None:
    receiver = start()
    keeper.seconds = 0.5
    with talking(receiver) as talk:
        begun = time.monotonic()
        talk.sendmail("<>", [OURS], DSN)
        assert time.monotonic() - begun >= 0.5
        assert len(keeper.kept) == 1


def test_a_slow_take_holds_up_nobody_else(start, keeper) -> None:
    receiver = start()
    keeper.seconds = 1.0
    with talking(receiver) as slow, talking(receiver) as other:
        thread = threading.Thread(target=slow.sendmail, args=("<>", [OURS], DSN))
        thread.start()
        begun = time.monotonic()
        assert other.noop()[0] == 250
        assert time.monotonic() - begun < 0.8
        thread.join()


def test_a_mail_that_is_too_large_is_refused_before_and_after_it_came(start, keeper) -> None:
    with talking(start(max_message_bytes=20_000)) as talk:
        assert talk.mail("<>", ["SIZE=30000"])[0] == 552
        talk.rset()
        talk.mail("<>")
        talk.rcpt(OURS)
        assert talk.data(DSN + b"x" * 30_000 + b"\r\n" + b"y\r\n" * 100_000)[0] == 552
        talk.sendmail("<>", [OURS], DSN)  # and the conversation goes on
    assert len(keeper.kept) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"z" * 1_000_000 + b"\r\n",
        b"z" * 65_535 + b"\r\n.\r\n",
        b"z" * 65_536 + b"\r\n..\r\n.a\r\n",
        b"\x80\xff\0 bytes\r\n",
        b"no line end",
        b"bare\nline\rends\r\r\n",
    ],
    ids=["1 MB line", "a dot behind a long line", "dots", "8-bit and NUL", "no line end", "bare ends"],
)
def test_odd_bytes_are_kept_as_they_came(body: bytes, start, keeper) -> None:
    receiver = start()
    message = DSN + body + (b"" if body.endswith(b"\r\n") else b"\r\n")
    stuffed = message.replace(b"\r\n.", b"\r\n..")
    with socket.create_connection(("127.0.0.1", receiver.port), 20) as raw:
        file = raw.makefile("rwb")
        exchange(file, b"EHLO x\r\n")
        exchange(file, b"MAIL FROM:<>\r\n")
        exchange(file, f"RCPT TO:<{OURS}>\r\n".encode())
        exchange(file, b"DATA\r\n")
        assert exchange(file, stuffed + b".\r\n")[:3] == b"250"
    assert keeper.kept[0][0].partition(b"From:")[2] == message.partition(b"From:")[2]


def exchange(file, line: bytes) -> bytes:
    """Send bytes and return the last line of the reply."""
    if not getattr(file, "greeted", True):
        read_reply(file)
    file.write(line)
    file.flush()
    return read_reply(file)


def read_reply(file) -> bytes:
    while True:
        line = file.readline()
        if line[:4] == b"220 ":
            continue  # the greeting
        if line[3:4] != b"-":
            return line


END_LIKE = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r.\r",
    b"\r\n.\n",
    b"\r\n.\r",
    b"\r.\r\n",
    b"\n.\r",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
]


@pytest.mark.parametrize("end", END_LIKE, ids=[repr(e) for e in END_LIKE])
def test_a_second_mail_cannot_be_smuggled_in(end: bytes, start, keeper) -> None:
    """Only CR LF . CR LF ends a mail: whoever passes on something like it must not make us read a command in it."""
    receiver = start()
    smuggled = b"MAIL FROM:<>\r\nRCPT TO:<" + OURS.encode() + b">\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n"
    with socket.create_connection(("127.0.0.1", receiver.port), 20) as raw:
        file = raw.makefile("rwb")
        exchange(file, b"EHLO x\r\n")
        exchange(file, b"MAIL FROM:<>\r\n")
        exchange(file, f"RCPT TO:<{OURS}>\r\n".encode())
        exchange(file, b"DATA\r\n")
        assert exchange(file, DSN + b"x" + end + smuggled + b"\r\n.\r\n")[:3] == b"250"
        assert exchange(file, b"QUIT\r\n")[:3] == b"221"
    assert len(keeper.kept) == 1
    assert b"smuggled" in keeper.kept[0][0]


def test_a_whole_conversation_in_one_segment_is_answered_in_order(start, keeper) -> None:
    """What is pipelined is read as if it had come one by one. Source: RFC 2920."""
    receiver = start("lmtp")
    one = b"MAIL FROM:<>\r\nRCPT TO:<" + OURS.encode() + b">\r\nDATA\r\n" + DSN + b".\r\n"
    with socket.create_connection(("127.0.0.1", receiver.port), 20) as raw:
        raw.sendall(b"LHLO x\r\n" + one * 3 + b"QUIT\r\n")
        said = raw.makefile("rb").read()
    codes = [line[:3] for line in said.splitlines() if line[3:4] == b" "]
    assert codes == [b"220", b"250", *[b"250", b"250", b"354", b"250"] * 3, b"221"]
    assert b"250-PIPELINING" in said
    assert len(keeper.kept) == 3


def test_one_recipient_at_a_time_so_that_each_mail_has_one_answer(start, keeper) -> None:
    with talking(start("lmtp")) as talk:
        talk.mail("<>")
        assert talk.rcpt(OURS)[0] == 250
        assert talk.rcpt(OURS)[0] == 452
        assert talk.data(DSN)[0] == 250
    assert len(keeper.kept) == 1


def test_a_peer_that_guesses_addresses_is_let_go(start) -> None:
    with talking(start()) as talk:
        talk.mail("<>")
        codes = [talk.rcpt(f"guess{n}@bounces.example.org")[0] for n in range(MOST_REFUSED + 1)]
    assert codes == [*[550] * MOST_REFUSED, 421]


def test_too_many_connections_are_told_to_come_again(start, keeper) -> None:
    receiver = start(limits=Limits(connections=2))
    with talking(receiver), talking(receiver) as second:
        with pytest.raises(smtplib.SMTPConnectError) as refused:
            client(receiver)
        assert refused.value.smtp_code == 421
        second.quit()
        time.sleep(0.1)
        with talking(receiver) as third:
            assert third.sendmail("<>", [OURS], DSN) == {}


def test_too_many_mails_a_minute_are_told_to_come_again(start, keeper) -> None:
    with talking(start(limits=Limits(per_minute=3))) as talk:
        for _ in range(3):
            talk.sendmail("<>", [OURS], DSN)
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            talk.sendmail("<>", [OURS], DSN)
    assert refused.value.recipients[OURS][0] == 451
    assert len(keeper.kept) == 3


def test_limits_of_one_peer_leave_room_for_others() -> None:
    rates = Rates(Limits(connections=3, connections_per_peer=2, per_minute=5, per_minute_per_peer=2))
    assert [rates.connect("a") for _ in range(3)] == [True, True, False]
    assert [rates.connect("b"), rates.connect("c")] == [True, False]
    rates.leave("a")
    assert rates.connect("c")
    assert [rates.message("a", 0.0) for _ in range(3)] == [True, True, False]
    assert [rates.message("", 1.0) for _ in range(4)] == [True, True, True, False]
    assert rates.message("a", 60.0)
    assert not Rates(Limits(connections=0)).connect("")


def test_forgotten_peers_take_no_memory() -> None:
    rates = Rates(Limits())
    for number in range(1000):
        assert rates.connect(f"peer{number}")
        rates.message(f"peer{number}", number * 61.0)
        rates.leave(f"peer{number}")
    assert len(rates._by_peer) + len(rates._open) + len(rates._messages) <= 3


def test_a_stop_lets_a_mail_that_is_being_kept_have_its_answer(start, keeper) -> None:
    receiver = start()
    keeper.seconds = 0.6
    with talking(receiver) as busy, talking(receiver) as idle:
        threading.Timer(0.2, start.stop.set).start()
        assert busy.sendmail("<>", [OURS], DSN) == {}
        assert idle.getreply()[0] == 421
    start.threads[0].join(10)
    assert not start.threads[0].is_alive()


def test_it_listens_on_a_path_that_a_dead_one_left_behind(start, keeper, tmp_path: Path) -> None:
    path = tmp_path / "lmtp.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    start("lmtp", socket_path=str(path))
    wait_until(lambda: path.stat().st_mode & 0o777 == 0o660, "the socket is not its group's")
    with contextlib.closing(smtplib.LMTP(str(path))) as talk:
        talk.ehlo()
        assert talk.sendmail("<>", [OURS], DSN) == {}
    start.stop.set()
    start.threads[0].join(10)
    assert not path.exists()


def test_a_place_that_is_taken_is_told(start, keeper, said, tmp_path: Path) -> None:
    running = start()
    (tmp_path / "file").write_text("not ours")
    for settings in ({"port": running.port}, {"socket_path": str(tmp_path / "file")}):
        made = Settings("smtp", "bounces.example.org", **settings)
        with pytest.raises(MailboxTrouble, match="cannot listen"):
            Receiver(made, accepts=bool, take=keeper.take, say=said.append).run(threading.Event())
    assert (tmp_path / "file").read_text() == "not ours"


def test_a_peer_that_leaves_in_the_middle_of_a_mail_leaves_nothing(start, keeper) -> None:
    receiver = start()
    with socket.create_connection(("127.0.0.1", receiver.port), 20) as raw:
        file = raw.makefile("rwb")
        for line in (b"EHLO x\r\n", b"MAIL FROM:<>\r\n", f"RCPT TO:<{OURS}>\r\n".encode(), b"DATA\r\n"):
            exchange(file, line)
        raw.sendall(DSN)
    time.sleep(0.1)
    with talking(receiver) as talk:
        talk.sendmail("<>", [OURS], DSN)
    assert len(keeper.kept) == 1


NONSENSE = {
    "NUL": b"MAIL FROM:<a@b>\0\r\n",
    "8-bit": b"RCPT TO:<\xff@x>\r\n",
    "no command": b"\x80\x81\r\n",
    "angles": b"MAIL FROM:" + b"<" * 400 + b"\r\n",
    "long": b"X" * 100_000 + b"\r\n",
}


@pytest.mark.parametrize("line", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_is_refused_and_the_conversation_goes_on(line: bytes, start, keeper) -> None:
    receiver = start()
    with socket.create_connection(("127.0.0.1", receiver.port), 20) as raw:
        file = raw.makefile("rwb")
        exchange(file, b"EHLO x\r\n")
        assert exchange(file, line)[:1] in (b"4", b"5", b"2")
        exchange(file, b"RSET\r\n")
        exchange(file, b"MAIL FROM:<>\r\n")
        exchange(file, f"RCPT TO:<{OURS}>\r\n".encode())
        exchange(file, b"DATA\r\n")
        assert exchange(file, DSN + b".\r\n")[:3] == b"250"
    assert len(keeper.kept) == 1
