"""
The talk with one mail server that hands us mail, on aiosmtpd: who may, for whom, how much, and how a mail is read.

One recipient a transaction, so that each mail has one answer, also by LMTP. A mail is read in pieces: lines of any
length are taken, which machines do write, and one that is too large is read to its end without being kept.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session

from subscribers.bounces.receiver_rates import Limits, Rates

PIECE_BYTES = 65_536
COMMAND_SECONDS, DATA_SECONDS = 60.0, 300.0
MOST_REFUSED = 20
MOST_COMMANDS = {"*": 100, "MAIL": 100_000, "RCPT": 100_000, "DATA": 100_000, "RSET": 100_000}
END = b".\r\n"


@dataclass(frozen=True, slots=True)
class Settings:
    """`socket_path` instead of `bind` and `port` where it is given; port 0 is any free one."""

    protocol: Literal["smtp", "lmtp"]
    hostname: str
    bind: str = "127.0.0.1"
    port: int = 0
    socket_path: str = ""
    max_message_bytes: int = 5_000_000
    limits: Limits = field(default_factory=Limits)


class Handler:
    """
    What is answered to whom; one for all connections.

    Args:
        accepts: Whether an address is one of ours.
        keep: Keeps a mail for an address and returns whether it did.
    """

    def __init__(
        self, accepts: Callable[[str], bool], rates: Rates, keep: Callable[[bytes, str], Awaitable[bool]]
    ) -> None:
        self._accepts = accepts
        self._rates = rates
        self._keep = keep

    async def handle_EHLO(  # noqa: N802  (aiosmtpd's name)
        self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        return [*responses[:-1], "250-PIPELINING", responses[-1]]

    async def handle_RCPT(  # noqa: N802
        self, server: Any, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if not self._accepts(address):
            return str(server.refused())
        if envelope.rcpt_tos:
            return "452 4.5.3 One recipient at a time"
        if not self._rates.message(server.peer, time.monotonic()):
            return "451 4.7.1 Too much mail at once, come again later"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        [address] = envelope.rcpt_tos
        trace = f"Return-Path: {_angled(envelope.mail_from or '')}\r\nDelivered-To: {address}\r\n"
        kept = await self._keep(trace.encode("utf-8", "surrogateescape") + envelope.content, address)
        return "250 2.0.0 Kept" if kept else "451 4.3.0 Not kept, come again later"

    async def handle_exception(self, _error: Exception) -> str:
        return "451 4.3.0 Something went wrong here, come again later"


class Door:
    """One connection; mixed into aiosmtpd's SMTP or LMTP."""

    line_length_limit = PIECE_BYTES  # the reader's, which `smtp_DATA` goes beyond

    transport: Any
    envelope: Any
    _reader: Any

    def open(self, rates: Rates, doors: set[Door]) -> None:
        self._rates, self._doors = rates, doors
        self.peer = ""
        self._admitted = False
        self._keeping = False
        self._refusals = 0

    def connection_made(self, transport: Any) -> None:
        self.peer = peer_name(transport)
        self._admitted = self._rates.connect(self.peer)
        if self._admitted:
            self._doors.add(self)
            super().connection_made(transport)  # type: ignore[misc]
        else:
            transport.write(b"421 4.7.0 Too many connections, come again later\r\n")
            transport.close()

    def data_received(self, data: bytes) -> None:
        if self._admitted:
            super().data_received(data)  # type: ignore[misc]

    def eof_received(self) -> bool | None:
        if not self._admitted:
            return False
        result: bool | None = super().eof_received()  # type: ignore[misc]
        return result

    def connection_lost(self, error: Exception | None) -> None:
        if self._admitted:
            self._admitted = False
            self._rates.leave(self.peer)
            self._doors.discard(self)
            super().connection_lost(error)  # type: ignore[misc]

    def close_if_idle(self) -> None:
        """Take leave of a peer that is not waiting for the answer to a mail."""
        if not self._keeping and self.transport is not None and not self.transport.is_closing():
            self.transport.write(b"421 4.3.2 Stopping, come again later\r\n")
            self.transport.close()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def refused(self) -> str:
        """Return the answer to an address that is not ours; who tries many is let go."""
        self._refusals += 1
        if self._refusals <= MOST_REFUSED:
            return "550 5.1.1 No such address here"
        asyncio.get_running_loop().call_soon(self.close_if_idle)
        return "421 4.7.0 Too many wrong addresses"

    async def smtp_DATA(self, arg: str | None) -> None:  # noqa: N802  (aiosmtpd's name)
        server: Any = self
        if await server.check_helo_needed() or await server.check_auth_needed("DATA"):
            return
        if not self.envelope.rcpt_tos:
            await server.push("503 5.5.1 Need RCPT first")
            return
        if arg:
            await server.push("501 5.5.4 Syntax: DATA")
            return
        await server.push("354 End data with <CR><LF>.<CR><LF>")
        server._reset_timeout(DATA_SECONDS)
        content = await self._content(server.data_size_limit)
        if content is None:
            status = "552 5.3.4 Message too large"
        else:
            self._keeping = True
            try:
                self.envelope.content = content
                status = await server.event_handler.handle_DATA(server, server.session, self.envelope)
            finally:
                self._keeping = False
        server._set_post_data_state()
        await server.push(status)

    async def _content(self, most_bytes: int) -> bytes | None:
        """Read a mail to its end and return it without dot-stuffing; None when it is too large."""
        parts: list[bytes] = []
        size, fresh = 0, True
        while True:
            try:
                piece: bytes = await self._reader.readuntil(b"\r\n")
            except asyncio.LimitOverrunError as error:
                piece = await self._reader.read(error.consumed)
            if fresh and piece == END:
                return b"".join(parts) if size <= most_bytes else None
            piece = piece[1:] if fresh and piece.startswith(b".") else piece
            fresh = piece.endswith(b"\r\n")
            size += len(piece)
            if size <= most_bytes:
                parts.append(piece)
            else:
                parts.clear()


class SmtpDoor(Door, SMTP):
    """A peer that speaks SMTP."""


class LmtpDoor(Door, LMTP):
    """A peer that speaks LMTP. Source: RFC 2033."""


def new_door(settings: Settings, handler: Handler, rates: Rates, doors: set[Door]) -> SmtpDoor | LmtpDoor:
    """Return the protocol of a connection that is about to be made."""
    kind = LmtpDoor if settings.protocol == "lmtp" else SmtpDoor
    door = kind(
        handler,
        data_size_limit=settings.max_message_bytes,
        hostname=settings.hostname,
        ident="LMTP" if settings.protocol == "lmtp" else "ESMTP",
        enable_SMTPUTF8=True,
        timeout=COMMAND_SECONDS,
        command_call_limit=MOST_COMMANDS,
        loop=asyncio.get_running_loop(),
    )
    door.open(rates, doors)
    return door


def peer_name(transport: Any) -> str:
    """Return the address of a peer, for its limits; empty for this machine."""
    name = transport.get_extra_info("peername")
    if not isinstance(name, tuple):
        return ""
    address = ipaddress.ip_address(name[0].partition("%")[0])
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_loopback:
        return ""
    return str(address) if address.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))


def _angled(address: str) -> str:
    return address if address == "<>" else f"<{address}>"
