"""
A mail server on loopback that keeps every message as a file and passes none on; one address it refuses.

It answers as a real server does (RFC 5321, with PIPELINING), in a thread of its own.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

LONGEST_LINE = 64 * 1024
START_SECONDS = 10
GREETING = b"220 catcher.invalid ESMTP: nothing leaves this machine\r\n"


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
        server = self._loop.run_until_complete(asyncio.start_server(self._converse, "127.0.0.1", 0, limit=LONGEST_LINE))
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

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(GREETING)
            talk = _Conversation(self._refuses, self._keep)
            while not talk.over and (line := await reader.readline()):
                answer = talk.answer(line)
                if answer:
                    writer.write(answer)
                    await writer.drain()
        except (ConnectionError, ValueError, asyncio.CancelledError):
            return  # a client that goes away, or a line without end, is no concern of the demonstration
        finally:
            writer.close()

    def _refuses(self, recipient: str) -> bool:
        if recipient.lower() not in self.refused:
            return False
        self.refusals.append(recipient)
        return True

    def _keep(self, recipient: str, message: bytes) -> str:
        number = len(self.caught) + 1
        name = "".join(c if c.isalnum() or c in "@.-_" else "_" for c in recipient)
        path = self.folder / f"{number:04}-{name}.eml"
        path.write_bytes(message)
        self.caught.append(Caught(recipient, path))
        return f"{number:04}"


class _Conversation:
    """One client's state: the recipient named, and the lines of a message while it comes."""

    def __init__(self, refuses: Callable[[str], bool], keep: Callable[[str, bytes], str]) -> None:
        self.over = False
        self._refuses, self._keep = refuses, keep
        self._recipient = ""
        self._lines: list[bytes] | None = None

    def answer(self, line: bytes) -> bytes:
        if self._lines is not None:
            return self._content(line)
        word = line[:4].upper().strip()
        if word == b"EHLO":
            return b"250-catcher.invalid\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n"
        if word == b"RCPT":
            return self._named(line)
        if word == b"DATA":
            if not self._recipient:
                return b"503 5.5.1 nobody to send to\r\n"
            self._lines = []
            return b"354 end with a line that holds a dot\r\n"
        if word == b"QUIT":
            self.over = True
            return b"221 2.0.0 goodbye\r\n"
        if word in (b"MAIL", b"RSET"):
            self._recipient = ""
        known = word in (b"HELO", b"MAIL", b"RSET", b"NOOP")
        return b"250 2.0.0 fine\r\n" if known else b"502 5.5.1 not known here\r\n"

    def _named(self, line: bytes) -> bytes:
        recipient = line.decode("utf-8", "replace").partition("<")[2].partition(">")[0]
        if not recipient:
            return b"501 5.1.3 no address\r\n"
        if self._refuses(recipient):
            return b"550 5.1.1 no such mailbox here\r\n"
        self._recipient = recipient
        return b"250 2.1.5 fine\r\n"

    def _content(self, line: bytes) -> bytes:
        assert self._lines is not None
        if line != b".\r\n":
            self._lines.append(line[1:] if line.startswith(b".") else line)
            return b""
        number = self._keep(self._recipient, b"".join(self._lines))
        self._lines, self._recipient = None, ""
        return b"250 2.0.0 kept as " + number.encode() + b"\r\n"
