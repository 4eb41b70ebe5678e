"""Open a connection to an IMAP server: verified TLS, then the password, and whatever goes wrong in words."""

from __future__ import annotations

import imaplib
import re
import ssl
from contextlib import suppress
from typing import Any

from subscribers.bounces.mailboxes.account import Account
from subscribers.bounces.mailboxes.connecting import TIMEOUT_SECONDS, broken, refused, tls_context, words
from subscribers.errors import MailboxTrouble

BROKEN = (OSError, imaplib.IMAP4.error, EOFError, ValueError)  # ValueError: a reply that is no IMAP

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
        raise broken(account, error, "cannot be reached") from error
    try:
        if account.tls == "required":
            _start_tls(client, account, secure)
        _log_in(client, account)
    except BaseException:
        with suppress(OSError):  # of a socket that failed TLS nothing is left to close
            client.shutdown()
        raise
    return client


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
