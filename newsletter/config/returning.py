"""How returned mail gets in: mailboxes, the receiver that other mail servers hand it to, and providers' webhooks."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from newsletter.config.group import Group
from newsletter.config.values import (
    BindAddress,
    FolderName,
    MailboxHost,
    PathSecret,
    ProviderName,
    Slug,
    SocketPath,
    is_loopback,
)

PORTS = {("imap", "implicit"): 993, ("imap", ""): 143, ("pop3", "implicit"): 995, ("pop3", ""): 110}


class Mailbox(Group):
    """
    One mailbox that returned mail arrives in.

    `tls` null means `implicit` off loopback and `none` on it; `port` 0 the usual one. Folders are those that mail is
    moved into (IMAP, Maildir); POP3 and mbox have none.
    """

    name: Slug = Field("bounces", max_length=40)
    protocol: Literal["imap", "pop3", "maildir", "mbox"] = "imap"
    host: MailboxHost = ""
    port: int = Field(0, ge=0, le=65535)
    tls: Literal["required", "implicit", "none"] | None = None
    username: str = ""
    password: SecretStr = SecretStr("")
    path: str = ""
    folder: FolderName = "INBOX"
    processed: FolderName = "Processed"
    autoreply: FolderName = "Autoreply"
    unknown: FolderName = "Unknown"
    replies: FolderName = "Replies"
    delete: bool = False
    poll_seconds: int = Field(120, ge=5, le=86_400)
    max_message_bytes: int = Field(10_000_000, ge=10_000, le=25_000_000)

    @model_validator(mode="after")
    def _can_be_reached(self) -> Self:
        if not self.on_network:
            if not self.path.startswith("/"):
                raise ValueError(f"mailbox '{self.name}': {self.protocol} needs path = an absolute path")
            return self
        missing = [key for key in ("host", "username") if not getattr(self, key)]
        missing += [] if self.password.get_secret_value() else ["password"]
        if missing:
            raise ValueError(f"mailbox '{self.name}': {self.protocol} needs {', '.join(missing)}")
        if self.tls == "none" and not is_loopback(self.host):
            raise ValueError(f'mailbox \'{self.name}\': tls = "none" would show the password; write "implicit"')
        return self

    @model_validator(mode="after")
    def _sorts_apart(self) -> Self:
        targets = (self.processed, self.autoreply, self.unknown, self.replies)
        if self.folder in targets:
            raise ValueError(f"mailbox '{self.name}': mail of folder {self.folder} cannot be moved into itself")
        if self.delete and self.protocol != "pop3":
            raise ValueError(f"mailbox '{self.name}': delete is for pop3 alone; {self.protocol} deletes nothing")
        return self

    @property
    def on_network(self) -> bool:
        return self.protocol in ("imap", "pop3")

    @property
    def on_loopback(self) -> bool:
        return not self.on_network or is_loopback(self.host)

    @property
    def tls_mode(self) -> Literal["required", "implicit", "none"]:
        return self.tls or ("none" if self.on_loopback else "implicit")

    @property
    def real_port(self) -> int:
        return self.port or PORTS[(self.protocol, "implicit" if self.tls_mode == "implicit" else "")]


class Receiver(Group):
    """
    Where other mail servers hand us returned mail. Without the table nothing listens.

    `socket` is a path instead of `bind` and `port`. Limits are for each minute; 0 means none, and those of one peer
    do not hold for this machine.
    """

    protocol: Literal["lmtp", "smtp"] = "lmtp"
    bind: BindAddress = "127.0.0.1"
    port: int = Field(8026, ge=1, le=65535)
    socket: SocketPath = ""
    connections: int = Field(20, ge=1, le=1000)
    connections_per_peer: int = Field(5, ge=1, le=1000)
    per_minute: int = Field(1200, ge=0)
    per_minute_per_peer: int = Field(120, ge=0)
    max_message_bytes: int = Field(5_000_000, ge=10_000, le=25_000_000)

    @property
    def place(self) -> str:
        """Where it listens, for people."""
        return self.socket or (f"[{self.bind}]:{self.port}" if ":" in self.bind else f"{self.bind}:{self.port}")


class Webhook(Group):
    """
    Where a provider posts what became of the mail.

    What it is verified by besides depends on the provider; where that is missing, nothing it posts is believed.
    """

    provider: ProviderName
    path_secret: PathSecret = SecretStr("")
    secret: SecretStr = SecretStr("")
    public_key: str = ""
    username: str = ""
    password: SecretStr = SecretStr("")
    topic_arns: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """The path below `web.url`."""
        return f"/webhooks/{self.provider}/{self.path_secret.get_secret_value()}"


class BouncePolicy(Group):
    """
    How much is borne before an address is not mailed any more, and what is kept of what came back.

    `alert_after`: so many refusals for a cause of ours within a day are told to `alerts.to`.
    """

    hard_times: int = Field(2, ge=2, le=10)
    hard_days: int = Field(3, ge=1, le=90)
    hard_window_days: int = Field(90, ge=1, le=3650)
    score: float = Field(2.5, ge=1, le=100)
    score_days: int = Field(14, ge=1, le=365)
    half_life_days: int = Field(180, ge=7, le=3650)
    rest_days: int = Field(90, ge=0, le=3650)
    keep_days: int = Field(30, ge=1, le=365)
    alert_after: int = Field(20, ge=1)
    replies_per_day: int = Field(100, ge=1, le=10_000)

    @model_validator(mode="after")
    def _window_holds_the_days(self) -> Self:
        if self.hard_window_days < self.hard_days:
            raise ValueError("hard_window_days is below hard_days: no dead address would ever be suppressed")
        return self


class ListPatience(Group):
    """Another measure for one list; 0 means as for all."""

    list: Slug
    hard_times: int = Field(0, ge=0, le=10)
    hard_days: int = Field(0, ge=0, le=90)
    hard_window_days: int = Field(0, ge=0, le=3650)
    score: float = Field(0, ge=0, le=100)
    score_days: int = Field(0, ge=0, le=365)
    half_life_days: int = Field(0, ge=0, le=3650)

    @model_validator(mode="after")
    def _one_report_is_not_enough(self) -> Self:
        if self.hard_times == 1 or 0 < self.score < 1:
            raise ValueError(f"list '{self.list}': one report alone may not suppress: hard_times from 2, score from 1")
        if 0 < self.hard_window_days < self.hard_days:
            raise ValueError(f"list '{self.list}': hard_window_days is below hard_days")
        return self
