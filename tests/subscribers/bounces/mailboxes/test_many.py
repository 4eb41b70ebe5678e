"""A mailbox that nobody looked into for years: all of it is taken, and memory stays as it was."""

from __future__ import annotations

import os
import threading

import psutil
import pytest

from subscribers.bounces.intake import Disposition, Taken
from subscribers.bounces.mailboxes.account import Tally
from subscribers.bounces.mailboxes.imap import ImapMailbox
from subscribers.bounces.mailboxes.pop3 import Pop3Mailbox
from subscribers.bounces.mailboxes.taking import Taker

from .conftest import mail

COUNT = 20_000 if os.environ.get("NEWSLETTER_TORTURE") else 2_000
MOST_GROWTH_BYTES = 8_000_000


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
def test_memory_stays_flat_however_many_mails_there_are(protocol: str, dovecot, user, account, memory) -> None:
    dovecot.put_often(user, mail("processed", body=("x" * 70 + "\n") * 60), COUNT)
    sizes: list[int] = []
    process = psutil.Process()

    def take(_raw: bytes) -> Taken:
        sizes.append(process.memory_info().rss)
        return Taken(1, Disposition.PROCESSED, "")

    kind = ImapMailbox if protocol == "imap" else Pop3Mailbox
    box, tally = kind(account(protocol, delete=protocol == "pop3"), Taker(take, print), memory), Tally()
    box.look(tally, threading.Event())
    box.close()
    assert tally.words == f"{COUNT} processed"
    assert list((dovecot.maildir(user) / "new").iterdir()) == []
    assert list((dovecot.maildir(user) / "cur").iterdir()) == []
    assert max(sizes) - sizes[COUNT // 10] < MOST_GROWTH_BYTES
