"""The mail catcher talks SMTP as a real server does."""

from __future__ import annotations

import smtplib
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


def test_one_connection_carries_many_messages_each_in_a_file_of_its_own(catcher: Catcher) -> None:
    with smtplib.SMTP("127.0.0.1", catcher.port) as client:
        for name in ("a", "b", "c"):
            client.sendmail("news@example.org", [f"{name}@x.example"], b"Subject: y\r\n\r\nhello " + name.encode())
    assert [mail.recipient for mail in catcher.caught] == ["a@x.example", "b@x.example", "c@x.example"]
    assert len({mail.path for mail in catcher.caught}) == 3
