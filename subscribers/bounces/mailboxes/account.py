"""How one mailbox is reached and sorted: values, without a socket."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, Protocol

from subscribers.bounces.intake import Disposition

DAMAGED = "could not be read"
TOO_LARGE = "too large to be passed on"


@dataclass(frozen=True, slots=True)
class Account:
    """
    One mailbox.

    Attributes:
        folder: The folder that is looked into.
        targets: The folder that a mail of each disposition is moved into.
        delete: Delete what was understood, on POP3.
        max_message_bytes: Of a larger mail only the beginning is read.
    """

    name: str
    protocol: Literal["imap", "pop3", "maildir", "mbox"] = "imap"
    host: str = ""
    port: int = 0
    tls: Literal["required", "implicit", "none"] = "implicit"
    username: str = ""
    password: str = field(default="", repr=False)
    path: str = ""
    folder: str = "INBOX"
    targets: dict[Disposition, str] = field(default_factory=dict)
    delete: bool = False
    max_message_bytes: int = 10_000_000

    @property
    def place(self) -> str:
        """The mailbox for people."""
        return f"{self.host}:{self.port}" if self.host else self.path


@dataclass(slots=True)
class Tally:
    """What one look did: mails by what they were, and those that were left where they are, by why."""

    taken: Counter[Disposition] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)

    def __bool__(self) -> bool:
        return bool(self.taken.total() or self.left.total())

    @property
    def words(self) -> str:
        """One line for a person."""
        counts = [(disposition.value, self.taken[disposition]) for disposition in Disposition]
        told = [f"{count} {name}" for name, count in counts if count]
        told += [f"{count} left there ({why})" for why, count in sorted(self.left.items())]
        return ", ".join(told) or "nothing new"


class Mailbox(Protocol):
    """One mailbox; whoever looks holds its lock."""

    account: Account

    def look(self, tally: Tally, stopped: Stopped) -> None:
        """
        Take what is there, sort it away, and count it in *tally*; a stop ends it early, with all in order.

        Raises:
            MailboxTrouble: When it cannot be reached; what was taken before is kept.
            DatabaseUnavailable: Then the mail stays where it is.
        """
        ...

    def wait(self, seconds: float, stopped: Stopped) -> None:
        """Wait until something new may be there, at most so long."""
        ...

    def check(self) -> str:
        """
        Go as far as a look would, change nothing, and say in words what was found.

        Raises:
            MailboxTrouble: When it cannot be used.
        """
        ...

    def close(self) -> None: ...


class Stopped(Protocol):
    """What `threading.Event` offers to whoever waits."""

    def is_set(self) -> bool: ...

    def wait(self, timeout: float | None = None) -> bool: ...


class Memory(Protocol):
    """What is remembered of one mailbox between two looks: small, and kept with the database."""

    def load(self) -> dict[str, object]: ...

    def save(self, values: dict[str, object]) -> None: ...
