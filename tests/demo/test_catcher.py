"""The mail catcher talks SMTP as a real server does."""

from __future__ import annotations

import smtplib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from newsletter.demo.catcher import Catcher


@pytest.fixture
def catcher(tmp_path: Path) -> Iterator[Catcher]:
    with Catcher(tmp_path / "caught", refused=("gone@example.org",)) as running:
        yield running


def test_a_message_is_kept_byte_for_byte(catcher: Catcher) -> None:
    body = b"Subject: x\r\n\r\n.starts with a dot\r\n..two\r\nend\r\n"
    with smtplib.SMTP("127.0.0.1", catcher.port) as client:
        client.sendmail("news@example.org", ["Amina@example.org"], body)
    (mail,) = catcher.to("amina@example.org")
    assert mail.path.read_bytes() == body


def test_the_refused_address_gets_550_5_1_1_and_nothing_is_kept(catcher: Catcher) -> None:
    with smtplib.SMTP("127.0.0.1", catcher.port) as client:
        client.ehlo()
        client.mail("news@example.org")
        code, words = client.rcpt("Gone@example.org")
        assert (code, words[:5]) == (550, b"5.1.1")
        assert client.docmd("DATA")[0] == 503
    assert catcher.refusals == ["Gone@example.org"]
    assert catcher.caught == []


def test_commands_sent_together_are_answered_in_order(catcher: Catcher) -> None:
    with socket.create_connection(("127.0.0.1", catcher.port), timeout=10) as client:
        stream = client.makefile("rwb")
        stream.readline()
        stream.write(b"EHLO x\r\n")
        stream.flush()
        extensions = [stream.readline() for _ in range(4)]
        assert b"250-PIPELINING\r\n" in extensions
        stream.write(b"MAIL FROM:<a@x.example>\r\nRCPT TO:<b@x.example>\r\nDATA\r\n")
        stream.flush()
        assert [stream.readline()[:3] for _ in range(3)] == [b"250", b"250", b"354"]
        stream.write(b"Subject: y\r\n\r\nhello\r\n.\r\nNOOP\r\nBOGUS\r\nQUIT\r\n")
        stream.flush()
        assert [stream.readline()[:3] for _ in range(4)] == [b"250", b"250", b"502", b"221"]
    assert [mail.recipient for mail in catcher.caught] == ["b@x.example"]
