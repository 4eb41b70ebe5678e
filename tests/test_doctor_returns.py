"""What the doctor says of the ways in for returned mail."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from newsletter.app import App
from newsletter.config.settings import Config
from newsletter.doctor.findings import Level
from newsletter.doctor.returns import check_returns
from newsletter.returning import make_receiver
from newsletter.send.envelope import lost_replies
from tests.conftest import smallest_config
from tests.peers.dovecot import PASSWORD, Dovecot
from tests.peers.fixtures import free_port, listens, wait_until


def with_mailbox(**keys: object) -> Config:
    mailbox = {"host": "127.0.0.1", "username": "nobody", "password": PASSWORD, **keys}
    return smallest_config(bounces={"domain": "bounces.example.org", "mailboxes": [mailbox]})


def test_a_mailbox_that_can_be_read_is_told_with_what_was_checked_and_what_was_not(dovecot: Dovecot) -> None:
    user = dovecot.somebody()
    mailbox, trip = check_returns(with_mailbox(port=dovecot.imap, username=user), online=False)
    assert (mailbox.check, mailbox.level) == ("mailbox bounces", Level.OK)
    assert "can be logged in to; folder INBOX holds 0 mails" in mailbox.message
    assert "write to bounces@bounces.example.org" in trip.message
    assert dovecot.mails(user) == []


@pytest.mark.parametrize(
    ("keys", "word"),
    [({"password": "wrong"}, "password"), ({"folder": "Nowhere"}, "folder"), ({"port": 1}, "cannot be reached")],
)
def test_a_mailbox_that_cannot_be_used_fails_with_what_to_do(dovecot: Dovecot, keys: dict, word: str) -> None:
    config = with_mailbox(**{"port": dovecot.imap, "username": dovecot.somebody(), **keys})
    [found] = check_returns(config, online=False)
    assert found.level is Level.FAIL
    assert found.fix
    assert word in found.message + found.fix


def test_a_mailbox_elsewhere_is_tried_only_when_asked() -> None:
    [found] = check_returns(with_mailbox(host="imap.example.org"), online=False)
    assert found.message == "imap.example.org:993, not tried (add --online)."


def test_no_way_in_is_worth_a_word() -> None:
    [found] = check_returns(smallest_config(), online=False)
    assert (found.level, "install.md" in found.fix) == (Level.WARN, True)


def test_a_maildir_is_looked_at_too(tmp_path: Path) -> None:
    [found] = check_returns(with_mailbox(protocol="maildir", path=str(tmp_path)), online=False)
    assert (found.level, "is no Maildir" in found.message) == (Level.FAIL, True)


GMAIL = {"host": "imap.gmail.com", "username": "news@example.org", "password": PASSWORD}
FIXED = {"envelope": "fixed", "mailboxes": [GMAIL]}


@pytest.mark.parametrize(
    ("bounces", "groups"),
    [
        (FIXED, {}),
        (FIXED, {"alerts": {"to": ["News@Example.org"]}}),
        ({"mailboxes": [GMAIL]}, {}),
        ({"envelope": "fixed", "receiver": {}}, {}),
        ({"domain": "bounces.example.org"}, {"alerts": {"to": ["bounces@bounces.example.org"]}}),
        ({"domain": "bounces.example.org"}, {"alerts": {"to": ["b+unsubscribe@bounces.example.org"]}}),
    ],
)
def test_replies_that_would_go_round_in_a_loop_fail(bounces: dict, groups: dict) -> None:
    config = smallest_config(bounces=bounces, **groups)
    found = next(iter(check_returns(config, online=False)))
    assert (found.check, found.level) == ("replies", Level.FAIL)
    assert "nobody would see them" in found.message
    assert "organisation.reply_to" in found.fix
    assert lost_replies(config) == (found.message, found.fix)


@pytest.mark.parametrize(
    ("bounces", "groups"),
    [
        ({}, {}),
        ({"envelope": "fixed"}, {}),
        ({"domain": "bounces.example.org"}, {}),
        (FIXED, {"alerts": {"to": ["ann@example.org"]}}),
        ({"mailboxes": [{**GMAIL, "username": "bounces@example.org"}]}, {}),
    ],
)
def test_replies_that_a_person_reads_are_well(bounces: dict, groups: dict) -> None:
    config = smallest_config(bounces=bounces, **groups)
    assert lost_replies(config) is None
    assert all(found.check != "replies" for found in check_returns(config, online=False))


@pytest.mark.parametrize("protocol", ["lmtp", "smtp"])
def test_the_receiver_is_asked_whom_it_takes_mail_for(app: App, protocol: str) -> None:
    receiver = {"protocol": protocol, "port": free_port()}
    app.config = smallest_config(bounces={"domain": "bounces.example.org", "receiver": receiver})
    config = app.config.bounces.receiver
    assert config is not None
    [away] = check_returns(app.config, online=False)
    assert (away.level, "must run" in away.fix) == (Level.WARN, True)
    stop = threading.Event()
    thread = threading.Thread(target=make_receiver(app, config, print).run, args=(stop,))
    thread.start()
    try:
        wait_until(lambda: listens(config.port), "the receiver does not listen")
        found, _trip = check_returns(app.config, online=False)
    finally:
        stop.set()
        thread.join(30)
    assert found.message == f"127.0.0.1:{config.port} takes mail for bounces@bounces.example.org, and for nobody else."
