"""
A server whose every byte a test decides: a function talks to each connection; what it took over is counted.

Where `smtp_sink.py` behaves but for its rules, this one need not behave at all.
"""

from __future__ import annotations

import socket
import socketserver
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

GREETING = b"220 raw.example ESMTP\r\n"
EHLO = b"250-raw.example\r\n250 PIPELINING\r\n"


class Wire:
    """One connection as the server sees it; what it reads at the end of the stream is empty."""

    def __init__(self, server: RawServer, connection: socket.socket) -> None:
        self.server, self.connection = server, connection
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = connection.makefile("rb")
        self.recipient = ""

    def close(self) -> None:
        self.file.close()
        self.connection.close()

    def say(self, data: bytes) -> None:
        self.connection.sendall(data)

    def line(self) -> bytes:
        return self.file.readline()

    def message(self) -> bytes:
        """Read up to the end of the data, by the letter of the standard."""
        raw = b""
        while not raw.endswith(b"\r\n.\r\n"):
            line = self.file.readline()
            if not line:
                raise EOFError
            raw += line
        return raw[:-3]

    def greet(self, ehlo: bytes = EHLO) -> None:
        self.say(GREETING)
        self.line()
        self.say(ehlo)

    def envelope(self) -> bool:
        """Answer MAIL, RCPT and DATA; False when the client takes its leave."""
        for code in (b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
            line = self.line()
            if line.upper().startswith(b"RCPT TO:<"):
                self.recipient = line[9:].strip().rstrip(b">").decode()
            if not line or line.upper().startswith((b"QUIT", b"RSET")):
                return False
            self.say(code)
        return True

    def take(self) -> bytes:
        """Take a message over; the reply is the caller's."""
        raw = self.message()
        self.server.accepted[self.recipient] += 1
        self.server.messages.append(raw)
        return raw


class RawServer:
    """Listen on loopback; *talk* is run for each connection, in a thread of its own."""

    def __init__(self, talk: Callable[[Wire], Any], address: Any = ("127.0.0.1", 0)) -> None:
        self.accepted: Counter[str] = Counter()
        self.messages: list[bytes] = []
        self.connections = 0
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                outer.connections += 1
                wire = Wire(outer, self.request)
                with suppress(OSError, EOFError):  # the client went away
                    talk(wire)
                wire.close()

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = daemon_threads = True
            block_on_close = False

        self._server = Server(address, Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
