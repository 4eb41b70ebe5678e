"""LMTP: over TCP, over a socket in the file system, and into a real mailbox."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import UnixSocketController
from aiosmtpd.lmtp import LMTP

from newsletter.send.dispatch import send_issue
from newsletter.tables import DeliveryState as S
from tests.peers.dovecot import Dovecot
from tests.peers.fixtures import wait_until


class Mailbox:
    def __init__(self) -> None:
        self.recipients: list[str] = []

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:
        if address == "person2@example.com":
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        self.recipients += envelope.rcpt_tos
        return "250 OK"


class Server(UnixSocketController):
    def factory(self) -> LMTP:
        return LMTP(self.handler, hostname="localhost")


def test_lmtp_over_a_socket_in_the_file_system(
    tmp_path: Path, sending_app: Callable[..., Any], plan_issue: Callable[..., int], deliveries: Any
) -> None:
    mailbox, path = Mailbox(), tmp_path / "lmtp.sock"
    server = Server(mailbox, unix_socket=str(path))
    server.start()
    try:
        app = sending_app(25, protocol="lmtp", host=f"unix:{path}")
        report = send_issue(app, plan_issue(app, 5))
    finally:
        server.stop()
    assert (report.counts["sent"], report.counts["bounced"]) == (4, 1)
    assert sorted(mailbox.recipients) == [f"person{n}@example.com" for n in (1, 3, 4, 5)]
    assert {row.remote_host for row in deliveries(app).values() if row.state is S.SENT} == {f"unix:{path}"}


def test_a_socket_that_is_not_there_pauses_and_names_it(
    tmp_path: Path, sending_app: Callable[..., Any], plan_issue: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("newsletter.send.relay.DOWN_AFTER_SECONDS", 0.3)
    app = sending_app(25, protocol="lmtp", host=f"unix:{tmp_path}/lmtp.sock")
    report = send_issue(app, plan_issue(app, 3))
    assert report.counts["pending"] == 3
    assert f"unix:{tmp_path}/lmtp.sock" in report.reason


@pytest.mark.journey
def test_dovecot_takes_each_copy_once_into_the_mailbox_of_its_person(
    dovecot: Dovecot, sending_app: Callable[..., Any], plan_issue: Callable[..., int], deliveries: Any
) -> None:
    people = [dovecot.somebody() for _ in range(4)]
    addresses = [*people, "nobody.knows@example.org"]
    app = sending_app(dovecot.lmtp, protocol="lmtp", connections=2)
    report = send_issue(app, plan_issue(app, 5, address=lambda n: addresses[n - 1]))
    assert (report.counts["sent"], report.counts["bounced"]) == (4, 1)
    assert deliveries(app)["nobody.knows@example.org"].reply_status == "5.1.1"
    for person in people:
        wait_until(lambda person=person: bool(dovecot.mails(person)), f"{person} got nothing")
        [mail] = dovecot.mails(person)
        assert f"To: {person}".encode() in mail
