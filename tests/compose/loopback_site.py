"""A real site on loopback, and a fetcher that is allowed to reach it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from newsletter.compose.fetching import Fetcher, Limits

Answer = bytes | Callable[[str, dict[str, str]], bytes]


class Site:
    """A web server that says what a test tells it to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.port = 0

    def url(self, path: str, host: str = "feeds.example.org") -> str:
        return f"http://{host}:{self.port}{path}"

    def say(self, path: str, body: bytes = b"", status: str = "200 OK", **headers: str) -> None:
        """Answer *path* with this from now on."""
        self.answers[path] = self.response(body, status, **headers)

    @staticmethod
    def response(body: bytes = b"", status: str = "200 OK", **headers: str) -> bytes:
        lines = [f"HTTP/1.1 {status}", "Connection: close", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        path = head[0].split(" ")[1]
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in head[1:] if ": " in line)}
        self.asked.append((path, headers))
        answer = self.answers.get(path, self.response(status="404 Not Found"))
        writer.write(answer(path, headers) if callable(answer) else answer)
        with contextlib.suppress(ConnectionError):  # the fetcher had enough, which is what the cap is for
            await writer.drain()
            writer.close()
            await writer.wait_closed()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    server = await asyncio.start_server(made.handle, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()
    await server.wait_closed()


@pytest.fixture
def fetcher(site: Site) -> Fetcher:
    """A fetcher whose names all lead to the site and whose policy lets it through."""

    async def to_loopback(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    return Fetcher(
        limits=Limits(seconds=3, ports=(80, 443, site.port)), resolver=to_loopback, allowed=lambda a: a.is_loopback
    )
