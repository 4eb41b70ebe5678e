"""
One SMTP conversation: aiosmtplib opens it (TLS, EHLO, AUTH), then our own protocol carries the mail.

Every reply is read and given to the command that it answers, however it is cut into segments. A message's body goes
out without its final dot; the dot is a step of its own, and whoever takes it has checked that nothing came first.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from newsletter.config.settings import SmtpAccount
from newsletter.errors import NewsletterError
from newsletter.send.replies import LONGEST_TEXT, SmtpReply

LONGEST_REPLY_BYTES = 131_072
QUIT_SECONDS = 2.0
_SETTINGS = "Check smtp.tls, smtp.username and smtp.password."
_LAST_LINE = re.compile(rb"\d{3}(?:[ \r]|\Z)")
# As a plain number: the flags' own class takes longer than the call.
_LOOK = int(socket.MSG_PEEK) | int(socket.MSG_DONTWAIT)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class RelayRefused(NewsletterError):
    """
    No connection to the relay could be opened; nobody is charged.

    Attributes:
        lasting: Trying again changes nothing until somebody acts: a wrong password, an untrusted certificate.
        configuration: It is lasting, and the account itself is wrong: no other account makes up for that unseen.
    """

    code = "relay"

    def __init__(self, message: str, *, lasting: bool = False, configuration: bool = False, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.lasting, self.configuration = lasting or configuration, configuration


class ConnectionLost(Exception):
    """The connection ended, or stayed silent too long, before the reply that was waited for."""


@dataclass(frozen=True, slots=True)
class Features:
    """What the relay offers, how the connection is kept, and whose relay it is (`SmtpAccount.provider`)."""

    pipelining: bool
    remote_host: str
    tls_version: str | None
    provider: str = ""


class Conversation(asyncio.Protocol):
    """Replies in the order of their commands. `deadline` (loop time) is watched by whoever runs many of these."""

    def __init__(self, transport: asyncio.Transport, features: Features) -> None:
        self.features = features
        self.deadline: float | None = None
        self.carried = 0
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self.opened_at = self._loop.time()
        self._replies: deque[SmtpReply] = deque()
        self._partial = bytearray()
        self._lines: list[bytes] = []
        self._lines_bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self._ended: str | None = None
        transport.set_protocol(self)
        self._peek = _duplicate(transport)

    # -- what arrives

    def data_received(self, data: bytes) -> None:
        if self._ended is not None:
            return  # whatever follows nonsense answers nothing
        if b"\n" not in data:
            self._partial += data
        else:
            *lines, rest = (bytes(self._partial) + data if self._partial else data).split(b"\n")
            self._partial = bytearray(rest)
            for line in lines:
                self._line(line)
                if self._ended is not None:
                    return
        if len(self._partial) + self._lines_bytes > LONGEST_REPLY_BYTES:
            self._end("The relay sent a reply without end.")
        self._wake()

    def _line(self, line: bytes) -> None:
        if not self._lines and (reply := _whole_reply(line)) is not None:
            self._replies.append(reply)
            return
        code = line[:3]
        if len(code) < 3 or not code.isdigit() or line[3:4] not in (b"", b"\r", b" ", b"-"):
            self._end("The relay sent something that is no SMTP reply.")
            return
        if line[3:4] == b"-":
            self._lines.append(line[4:])
            self._lines_bytes += len(line)
            return
        self._replies.append(_read_reply(code + b" " + b" ".join([*self._lines, line[4:]])))
        self._lines, self._lines_bytes = [], 0

    def eof_received(self) -> bool:
        self._end("The relay closed the connection.")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(f"The connection broke: {exc}" if exc else "The relay closed the connection.")

    def _end(self, why: str) -> None:
        if self._ended is None:
            self._ended = why
        self._transport.close()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done() and (self._replies or self._ended):
            self._waiter.set_result(None)

    # -- what is sent and awaited

    def write(self, data: bytes) -> None:
        """Hand bytes to the transport; a connection that has ended is noticed by the next `reply`."""
        if self._ended is None:
            self._transport.write(data)

    async def reply(self, timeout_seconds: float) -> SmtpReply:
        """
        Return the next reply.

        Raises:
            ConnectionLost: When the connection ended first, or nothing came in time.
        """
        if not self._replies:
            if self._ended is None:
                self._waiter = self._loop.create_future()
                self.deadline = self._loop.time() + timeout_seconds
                try:
                    await self._waiter
                finally:
                    self.deadline = None
            if not self._replies:
                raise ConnectionLost(self._ended or "The connection ended.")
        return self._replies.popleft()

    def came_first(self) -> SmtpReply | None:
        """
        Return a reply that came before the dot; None when the dot may leave.

        Raises:
            ConnectionLost: When the other side has closed. It is asked of the socket itself, not of what the loop
                has noticed so far, so that a dot into a closed connection stays rare.
        """
        if self._replies:
            return self._replies.popleft()
        if self._ended is None and self._peek is not None:
            with contextlib.suppress(BlockingIOError, InterruptedError):
                if self._peek.recv(1, _LOOK) == b"":
                    self._end("The relay closed the connection.")
        if self._ended is not None:
            raise ConnectionLost(self._ended)
        return None

    def overdue(self, now: float) -> None:
        """End the conversation if the reply it waits for is overdue."""
        if self.deadline is not None and now > self.deadline:
            self._end("The relay did not answer in time.")

    def abort(self) -> None:
        """Drop the connection as it stands: what was begun without a dot is never delivered."""
        self._ended = self._ended or "The connection was dropped."
        self._transport.abort()
        self._release()

    async def quit(self) -> None:
        """Take leave and close; the answer is waited for, but not for long."""
        if self._ended is None:
            self.write(b"QUIT\r\n")
            with contextlib.suppress(ConnectionLost, TimeoutError):
                async with asyncio.timeout(QUIT_SECONDS):
                    await self.reply(QUIT_SECONDS)
        self._ended = self._ended or "The connection was closed."
        self._transport.close()
        self._release()

    def _release(self) -> None:
        if self._peek is not None:
            self._peek.close()
            self._peek = None


async def open_conversation(account: SmtpAccount, *, local_hostname: str) -> Conversation:
    """
    Connect to a relay as its account says, and hand the connection to our protocol.

    Raises:
        RelayRefused: With the relay's words; `lasting` for what only a person can mend.
    """
    import aiosmtplib

    if account.username and account.tls_mode in ("none", "opportunistic") and not account.on_loopback:
        raise RelayRefused(
            f"The password for {account.host} would be sent unencrypted.", configuration=True, hint="Set smtp.tls."
        )
    client = _client(account, local_hostname)
    try:
        await client.connect()
        if account.protocol == "lmtp":
            offered = await _lhlo(client, local_hostname)
        else:
            if client.is_ehlo_or_helo_needed:
                await _greet(client)
            offered = frozenset(client.esmtp_extensions)
    except aiosmtplib.SMTPAuthenticationError as error:
        raise RelayRefused(
            f"{_name(account)} refuses the user or password: {error.code} {_words(error.message)}",
            configuration=True,
            hint="Check smtp.username and smtp.password.",
        ) from error
    except (ssl.SSLError, ssl.CertificateError) as error:
        raise RelayRefused(f"{_name(account)} cannot be trusted: {_words(str(error))}", lasting=True) from error
    except aiosmtplib.SMTPException as error:
        raise _refused(account, error) from error
    except OSError as error:
        raise RelayRefused(f"{_name(account)} cannot be reached: {_words(str(error))}") from error
    return _hand_over(client, account, offered)


def _client(account: SmtpAccount, local_hostname: str) -> Any:
    import aiosmtplib

    mode = account.tls_mode
    unix = account.host.removeprefix("unix:") if account.host.startswith("unix:") else None
    return aiosmtplib.SMTP(
        hostname=None if unix else account.host,
        port=None if unix else account.port,
        socket_path=unix,
        username=account.username or None,
        password=account.password.get_secret_value() if account.username else None,
        local_hostname=local_hostname,
        timeout=account.connect_timeout_seconds,
        use_tls=mode == "implicit",
        start_tls={"required": True, "opportunistic": None}.get(mode, False) if account.protocol == "smtp" else False,
        tls_context=None if mode == "none" else _tls_context(verified=mode != "opportunistic"),
    )


@lru_cache
def _tls_context(*, verified: bool) -> ssl.SSLContext:
    """Return the context for TLS. Reading the system's certificates takes 50 ms, so it is done once."""
    context = ssl.create_default_context()
    if not verified:
        # Whoever asks for no more than "if it can be had" gets no verification either; `required` verifies.
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def _greet(client: Any) -> None:
    import aiosmtplib

    try:
        await client.ehlo()
    except aiosmtplib.SMTPHeloError:
        await client.helo()


async def _lhlo(client: Any, local_hostname: str) -> frozenset[str]:
    """Greet an LMTP server. Source: RFC 2033 4.1."""
    import aiosmtplib

    reply = await client.execute_command(b"LHLO", local_hostname.encode("ascii"))
    if reply.code != 250:
        raise aiosmtplib.SMTPHeloError(reply.code, reply.message)
    return frozenset(line.split(" ")[0].lower() for line in reply.message.splitlines()[1:] if line)


def _refused(account: SmtpAccount, error: Any) -> RelayRefused:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return RelayRefused(f"{_name(account)} cannot be trusted: {_words(str(cause))}", lasting=True)
        if isinstance(cause, OSError) and cause.strerror:
            # The system's own words; aiosmtplib's begin with the host and port, which the name says already.
            return RelayRefused(f"{_name(account)} cannot be reached: {cause.strerror}.")
        cause = cause.__cause__
    code = getattr(error, "code", None)
    words = _words(str(getattr(error, "message", error)))
    if code is not None:
        wrong = code in (530, 534, 535, 538) or (code == 454 and "TLS" in words)
        return RelayRefused(f"{_name(account)} refuses: {code} {words}", configuration=wrong, hint=_SETTINGS * wrong)
    wrong = "STARTTLS" in words or "AUTH" in words or "authentication method" in words
    return RelayRefused(f"{_name(account)} cannot be used: {words}", configuration=wrong, hint=_SETTINGS * wrong)


def _hand_over(client: Any, account: SmtpAccount, offered: frozenset[str]) -> Conversation:
    transport = client.transport
    secured = transport.get_extra_info("ssl_object")
    peer = transport.get_extra_info("peername")
    features = Features(
        pipelining="pipelining" in offered,
        remote_host=f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else account.host,
        tls_version=secured.version() if secured else None,
        provider=account.provider,
    )
    conversation = Conversation(transport, features)
    # The client object is done: cut it off from the transport, which is ours now.
    client.protocol = client.transport = None
    return conversation


@lru_cache(maxsize=256)  # a server says the same few over and over
def _whole_reply(line: bytes) -> SmtpReply | None:
    """Return the reply that one line is; None when it is a part of one, or none."""
    return _read_reply(line) if _LAST_LINE.match(line) else None


def _read_reply(line: bytes) -> SmtpReply:
    text = _CONTROL.sub(" ", line[4:].decode("utf-8", "replace"))
    return SmtpReply(int(line[:3]), " ".join(text.split())[:LONGEST_TEXT])


def _duplicate(transport: asyncio.Transport) -> socket.socket | None:
    """Return a second handle on the socket for looking whether it has ended; None where there is none to look at."""
    original = transport.get_extra_info("socket")
    if original is None or transport.get_extra_info("ssl_object") is not None:
        return None
    return socket.socket(original.family, original.type, original.proto, fileno=socket.dup(original.fileno()))


def _name(account: SmtpAccount) -> str:
    place = account.host if account.host.startswith("unix:") else f"{account.host}:{account.port}"
    return f"The mail server {place}"


def _words(text: str) -> str:
    return _CONTROL.sub(" ", text).strip()[:LONGEST_TEXT]
