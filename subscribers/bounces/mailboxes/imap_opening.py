"""Open a connection to an IMAP server: verified TLS, then the password, and whatever goes wrong in words."""

from __future__ import annotations

import imaplib
import re
import ssl
from contextlib import suppress
from functools import lru_cache
from typing import Any

from subscribers.bounces.mailboxes.account import Account
from subscribers.errors import MailboxTrouble

TIMEOUT_SECONDS = 60.0
BROKEN = (OSError, imaplib.IMAP4.error, EOFError, ValueError)  # ValueError: a reply that is no IMAP
LONGEST_WORDS = 300

_PASSING = re.compile(r"\[(UNAVAILABLE|INUSE|LIMIT|SERVERBUG|CONTACTADMIN)\]", re.I)  # RFC 5530


def open_client(account: Account) -> Any:
    """
    Return a client that is logged in.

    Raises:
        MailboxTrouble: `lasting` for what only a person can mend.
    """
    from imapclient import IMAPClient

    secure = tls_context() if account.tls != "none" else None
    try:
        client = IMAPClient(
            account.host,
            account.port,
            ssl=account.tls == "implicit",
            ssl_context=secure if account.tls == "implicit" else None,
            timeout=TIMEOUT_SECONDS,
        )
    except BROKEN as error:
        raise broken(account, error) from error
    try:
        if account.tls == "required":
            _start_tls(client, account, secure)
        _log_in(client, account)
    except BaseException:
        with suppress(OSError):  # of a socket that failed TLS nothing is left to close
            client.shutdown()
        raise
    return client


@lru_cache
def tls_context() -> ssl.SSLContext:
    """Return the context that verifies; reading the system's certificates takes 50 ms, so it is done once."""
    return ssl.create_default_context()


def _start_tls(client: Any, account: Account, secure: ssl.SSLContext | None) -> None:
    try:
        if not client.has_capability("STARTTLS"):
            hint = 'Set bounces.mailboxes.tls = "implicit", or ask who runs it.'
            raise MailboxTrouble(f"{account.place} offers no TLS; no password is sent.", lasting=True, hint=hint)
        client.starttls(secure)
    except BROKEN as error:
        raise broken(account, error) from error


def _log_in(client: Any, account: Account) -> None:
    try:
        client.login(account.username, account.password)
    except imaplib.IMAP4.abort as error:
        raise broken(account, error) from error
    except imaplib.IMAP4.error as error:
        said = words(error)
        if _PASSING.search(said):
            raise MailboxTrouble(f"{account.place} lets nobody in at the moment: {said}") from error
        raise refused(account, said) from error
    except BROKEN as error:
        raise broken(account, error) from error


def refused(account: Account, said: str) -> MailboxTrouble:
    """Return the trouble of a wrong password, with what to do: large providers take none of the usual kind."""
    hint = "Check bounces.mailboxes.username and password."
    if account.host.endswith(("gmail.com", "googlemail.com")):
        hint += " Google takes an app password alone (docs/install.md)."
    if account.host.endswith(("office365.com", "outlook.com")):
        hint += " Microsoft takes no password by IMAP or POP any more (docs/install.md says what to do instead)."
    return MailboxTrouble(f"{account.place} refuses the user or password: {said}", lasting=True, hint=hint)


def broken(account: Account, error: BaseException) -> MailboxTrouble:
    """Return the trouble of a connection that could not be opened or did not hold."""
    if isinstance(error, MailboxTrouble):
        return error
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "verify_message", "") or error.reason or str(error)
        hint = "Check bounces.mailboxes.host and tls."
        return MailboxTrouble(f"{account.place} cannot be trusted: {reason}", lasting=True, hint=hint)
    said = error.strerror if isinstance(error, OSError) and error.strerror else words(error)
    return MailboxTrouble(f"The connection to {account.place} does not hold: {said or 'it was closed'}.")


def words(error: BaseException) -> str:
    """Return a server's words on one line."""
    text = error.args[0] if error.args else str(error)
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    if text[:2] in ("b'", 'b"'):  # bytes that a library put into words
        text = text[2:-1]
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:LONGEST_WORDS].rstrip(". ")
