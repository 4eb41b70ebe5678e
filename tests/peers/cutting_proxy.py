"""A proxy on loopback that cuts connections where a test says: before a command goes on, or in its answer."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self


@dataclass
class CuttingProxy:
    """
    Passes on what a client and a server on *port* say, inside a ``with`` block.

    Attributes:
        cut_before: The connection is cut when the client has sent so many lines, before the last goes on; 0: never.
        cut_after_bytes: It is cut in the answer to that line instead, after so many bytes of it; None: not.
        cut_on: Cut when a line of the client holds these bytes, each time.
        cuts: How many were made. After `most_cuts` of them all passes.
    """

    port: int
    cut_before: int = 0
    cut_after_bytes: int | None = None
    cut_on: bytes = b""
    most_cuts: int = 1
    cuts: int = 0
    lines: list[bytes] = field(default_factory=list)
    connections: int = 0
    _listener: socket.socket = field(default_factory=socket.socket)

    def __enter__(self) -> Self:
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()

    @property
    def own_port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            server = socket.create_connection(("127.0.0.1", self.port))
            link = _Link(self, client, server)
            threading.Thread(target=link.from_client, daemon=True).start()
            threading.Thread(target=link.from_server, daemon=True).start()


class _Link:
    def __init__(self, proxy: CuttingProxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._left: int | None = None  # bytes of the answer that still pass
        self._count = 0

    def from_client(self) -> None:
        proxy = self._proxy
        with self._client, self._client.makefile("rb") as lines:
            for line in self._safely(lines):
                proxy.lines.append(line)
                self._count += 1
                due = proxy.cuts < proxy.most_cuts
                if due and (self._count == proxy.cut_before or (proxy.cut_on and proxy.cut_on in line)):
                    proxy.cuts += 1
                    if proxy.cut_after_bytes is None:
                        break
                    self._left = proxy.cut_after_bytes
                if not self._send(self._server, line):
                    break
            self._close()

    def from_server(self) -> None:
        while True:
            try:
                data = self._server.recv(65536)
            except OSError:
                data = b""
            if not data:
                break
            if self._left is not None:
                data, self._left = data[: self._left], self._left - len(data)
                self._send(self._client, data)
                if self._left <= 0:
                    break
            elif not self._send(self._client, data):
                break
        self._close()

    def _safely(self, lines):
        try:
            yield from lines
        except (OSError, ValueError):
            return

    def _send(self, to: socket.socket, data: bytes) -> bool:
        try:
            to.sendall(data)
        except OSError:
            return False
        return True

    def _close(self) -> None:
        for end in (self._client, self._server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
