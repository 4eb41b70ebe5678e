"""
The ways in for returned mail, wired to the intake: mailboxes that are looked into, and the receiver.

One process looks into a mailbox at a time, and only for the live database: a copy would take from the other one what
it waits for.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from newsletter.app import App
from newsletter.config import returning as config_returning
from newsletter.named_lock import named_lock
from newsletter.send.envelope import addresses_of_ours
from newsletter.send.instance import CopiedDatabase, require_live
from newsletter.tables import Setting
from subscribers.bounces.intake import Disposition, Taken
from subscribers.bounces.mailboxes.account import Account, Mailbox, Memory
from subscribers.bounces.mailboxes.taking import Taker
from subscribers.bounces.mailboxes.watching import Watch
from subscribers.bounces.verp import has_form_of_mark
from subscribers.db import Database
from subscribers.errors import MailboxTrouble

if TYPE_CHECKING:
    from subscribers.bounces.receiver import Receiver

Say = Callable[[str], None]


class SettingMemory:
    """What is remembered of one mailbox, in the row of the database that has its name."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._name = f"mailbox.{name}"

    def load(self) -> dict[str, object]:
        with self._database.read() as session:
            row = session.get(Setting, self._name)
            return dict(row.value) if row is not None and isinstance(row.value, dict) else {}

    def save(self, values: dict[str, object]) -> None:
        with self._database.write() as session:
            session.merge(Setting(name=self._name, value=values))


def open_mailbox(app: App, config: config_returning.Mailbox, say: Say) -> Mailbox:
    """Return the mailbox that a table of the configuration describes; nothing is connected yet."""

    def take(raw: bytes) -> Taken:
        return app.intake.take_mail(raw, way=config.protocol)

    memory = SettingMemory(app.database, config.name)
    return make_mailbox(account_of(config), Taker(take, lambda words: say(f"Mailbox {config.name}: {words}")), memory)


def make_mailbox(account: Account, taker: Taker, memory: Memory) -> Mailbox:
    if account.protocol == "imap":
        from subscribers.bounces.mailboxes.imap import ImapMailbox

        return ImapMailbox(account, taker, memory)
    if account.protocol == "pop3":
        from subscribers.bounces.mailboxes.pop3 import Pop3Mailbox

        return Pop3Mailbox(account, taker, memory)
    if account.protocol == "maildir":
        from subscribers.bounces.mailboxes.maildir import Maildir

        return Maildir(account, taker, memory)
    from subscribers.bounces.mailboxes.mbox import Mbox

    return Mbox(account, taker, memory)


def account_of(config: config_returning.Mailbox) -> Account:
    """Return a mailbox's settings as the package of the list takes them."""
    return Account(
        name=config.name,
        protocol=config.protocol,
        host=config.host if config.on_network else "",
        port=config.real_port if config.on_network else 0,
        tls=config.tls_mode,
        username=config.username,
        password=config.password.get_secret_value(),
        path=config.path,
        folder=config.folder,
        targets={
            Disposition.PROCESSED: config.processed,
            Disposition.DUPLICATE: config.processed,
            Disposition.AUTOREPLY: config.autoreply,
            Disposition.UNKNOWN: config.unknown,
            Disposition.REPLY: config.replies,
        },
        delete=config.delete,
        max_message_bytes=config.max_message_bytes,
    )


def watch_mailbox(app: App, config: config_returning.Mailbox, say: Say) -> Watch:
    """Return what looks into one mailbox, alone."""

    @contextmanager
    def guard() -> Iterator[bool]:
        with named_lock(app.database, app.workspace.locks, f"mailbox-{config.name}") as free:
            if free:
                _require_live(app)
            yield free

    return Watch(open_mailbox(app, config, say), poll_seconds=config.poll_seconds, guard=guard, say=say)


def _require_live(app: App) -> None:
    try:
        with app.database.read() as session:
            require_live(session)
    except CopiedDatabase as error:
        words = "This database is a copy: what comes back is left to the live one."
        raise MailboxTrouble(words, lasting=True, hint=error.hint) from error


def make_receiver(app: App, config: config_returning.Receiver, say: Say) -> Receiver:
    """Return the receiver that the configuration describes; nothing listens yet."""
    from subscribers.bounces.receiver import Receiver
    from subscribers.bounces.receiver_protocol import Settings
    from subscribers.bounces.receiver_rates import Limits

    settings = Settings(
        protocol=config.protocol,
        hostname=app.config.bounce_domain or socket.getfqdn(),
        bind=config.bind,
        port=config.port,
        socket_path=config.socket,
        max_message_bytes=config.max_message_bytes,
        limits=Limits(config.connections, config.connections_per_peer, config.per_minute, config.per_minute_per_peer),
    )

    def take(raw: bytes, address: str) -> Taken:
        _require_live(app)
        return app.intake.take_mail(raw, way=config.protocol, envelope_to=address)

    return Receiver(settings, accepts=own_addresses(app), take=take, say=say)


def own_addresses(app: App) -> Callable[[str], bool]:
    """
    Return what tells whether an address is one that returned mail comes to.

    A mark is judged by its form alone: whether it is signed is nothing that a stranger should be able to ask.
    """
    config = app.config
    plain = addresses_of_ours(config)

    def is_own(address: str) -> bool:
        local_part, _, domain = address.rpartition("@")
        if address.lower() in plain:
            return True
        return domain.lower().rstrip(".") == config.bounce_domain and has_form_of_mark(local_part)

    return is_own
