"""
A mail server on loopback that keeps every message as a file and passes none on; one address it refuses.

aiosmtpd speaks SMTP; it runs in a thread of its own, so that the commands beside it find it as they would a relay.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from aiosmtpd.smtp import SMTP, Envelope, Session

START_SECONDS = 10
HOST_NAME = "catcher.invalid"
GREETING = "ESMTP: nothing leaves this machine"


@dataclass(frozen=True, slots=True)
class Caught:
    """One accepted message: whom it was for, and its file."""

    recipient: str
    path: Path


@dataclass
class Catcher:
    """
    The server, running inside a ``with`` block.

    Attributes:
        folder: Where messages are kept, as the bytes that came, dot-stuffing taken off.
        refused: Addresses answered with 550 5.1.1.
        caught, refusals: What happened, in order.
    """

    folder: Path
    refused: Collection[str] = ()
    caught: list[Caught] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    port: int = 0
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        started = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(started,), name="catcher", daemon=True)
        self._thread.start()
        if not started.wait(START_SECONDS):
            raise OSError("The mail catcher did not start.")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        if self._thread is not None:
            self._thread.join(START_SECONDS)

    def into(self, folder: Path) -> None:
        """Keep what comes from now on in another folder."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    def to(self, recipient: str) -> list[Caught]:
        """Return the messages that this address has got."""
        return [mail for mail in list(self.caught) if mail.recipient.lower() == recipient.lower()]

    def _serve(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        # Not aiosmtpd's Controller, which cannot be asked for any free port.
        server = self._loop.run_until_complete(self._loop.create_server(self._talk, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        try:
            self._loop.run_forever()
        finally:
            server.close()
            for task in asyncio.all_tasks(self._loop):
                task.cancel()
            self._loop.run_until_complete(asyncio.sleep(0))
            self._loop.close()

    def _talk(self) -> SMTP:
        return SMTP(self, hostname=HOST_NAME, ident=GREETING, enable_SMTPUTF8=True, loop=self._loop)

    async def handle_RCPT(  # noqa: N802  (aiosmtpd's name)
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address.lower() in self.refused:
            self.refusals.append(address)
            return "550 5.1.1 no such mailbox here"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 fine"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        for recipient in envelope.rcpt_tos:
            number = self._keep(recipient, envelope.content)
        return f"250 2.0.0 kept as {number}"

    def _keep(self, recipient: str, message: bytes) -> str:
        number = len(self.caught) + 1
        name = "".join(c if c.isalnum() or c in "@.-_" else "_" for c in recipient)
        path = self.folder / f"{number:04}-{name}.eml"
        path.write_bytes(message)
        self.caught.append(Caught(recipient, path))
        return f"{number:04}"
