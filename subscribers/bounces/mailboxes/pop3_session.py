"""
One POP3 conversation. The standard library's client gives up at a line of 2 kB, which mail holds every day.

A reply is read to its end or the connection is dropped: what is left of one is never taken for the next.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress

from subscribers.bounces.mailboxes.account import Account
from subscribers.bounces.mailboxes.connecting import TIMEOUT_SECONDS, broken, refused, tls_context
from subscribers.errors import MailboxTrouble

LONGEST_STATUS_BYTES = 2_048
LONGEST_READ_BYTES = 65_536


class Refused(Exception):
    """The server answered -ERR; its words are the argument."""


class Pop3Session:
    """A connection that is logged in. OSError and EOFError mean that it has ended."""

    def __init__(self, account: Account) -> None:
        self._socket = socket.create_connection((account.host, account.port), TIMEOUT_SECONDS)
        try:
            if account.tls == "implicit":
                self._secure(account)
            self._file = self._socket.makefile("rb")
            self._status()
            if account.tls == "required":
                self._start_tls(account)
            self._log_in(account)
        except BaseException:
            self.close()
            raise

    def _secure(self, account: Account) -> None:
        self._socket = tls_context().wrap_socket(self._socket, server_hostname=account.host)

    def _start_tls(self, account: Account) -> None:
        try:
            self.command("STLS")
        except Refused:
            hint = 'Set bounces.mailboxes.tls = "implicit", or ask who runs it.'
            raise MailboxTrouble(
                f"{account.place} offers no TLS; no password is sent.", lasting=True, hint=hint
            ) from None
        self._file.close()  # with whatever came in the clear behind the answer
        self._secure(account)
        self._file = self._socket.makefile("rb")

    def _log_in(self, account: Account) -> None:
        try:
            self.command(f"USER {account.username}")
            self.command(f"PASS {account.password}")
        except Refused as error:
            said = str(error)
            if "[IN-USE]" in said or "[SYS/TEMP]" in said or "[LOGIN-DELAY]" in said:  # RFC 2449 and 3206
                raise MailboxTrouble(f"{account.place} lets nobody in at the moment: {said}") from None
            raise refused(account, said) from None

    def command(self, line: str) -> str:
        """Send one command and return the words of its +OK."""
        if not line.isprintable():
            raise ValueError("a command is one line")
        self._socket.sendall(line.encode() + b"\r\n")
        return self._status()

    def _status(self) -> str:
        line = self._file.readline(LONGEST_STATUS_BYTES)
        if not line.endswith(b"\n"):
            raise EOFError("it was closed")
        words = " ".join("".join(c if c.isprintable() else " " for c in line.decode("utf-8", "replace")).split())
        if words[:3].upper() == "+OK":
            return words[3:].strip()
        raise Refused(words.removeprefix("-ERR").strip() or "no reason given")

    def lines(self) -> Iterator[bytes]:
        """Yield the lines of a multi-line reply, without dot-stuffing; a very long one comes in pieces."""
        fresh = True
        while True:
            piece = self._file.readline(LONGEST_READ_BYTES)
            if not piece:
                raise EOFError("it was closed")
            if fresh and piece in (b".\r\n", b".\n"):
                return
            yield piece[1:] if fresh and piece.startswith(b".") else piece
            fresh = piece.endswith(b"\n")

    def text(self, most_bytes: int) -> bytes:
        """
        Return a multi-line reply whole.

        Raises:
            OSError: When the server goes on beyond *most_bytes*; the connection is of no use then.
        """
        parts, size = [], 0
        for piece in self.lines():
            size += len(piece)
            if size > most_bytes:
                raise OSError("the server sends more than it announced")
            parts.append(piece)
        return b"".join(parts)

    def close(self) -> None:
        """Drop the connection: nothing that was marked is deleted."""
        with suppress(OSError):
            if hasattr(self, "_file"):
                self._file.close()
        self._socket.close()


def open_session(account: Account) -> Pop3Session:
    """
    Connect and log in.

    Raises:
        MailboxTrouble: `lasting` for what only a person can mend.
    """
    try:
        return Pop3Session(account)
    except (OSError, EOFError, ssl.SSLError, Refused) as error:
        raise broken(account, error, "cannot be reached") from error
