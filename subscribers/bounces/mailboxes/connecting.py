"""What connections to mailboxes share: verified TLS, and what goes wrong in words; never the password."""

from __future__ import annotations

import ssl
from functools import lru_cache

from subscribers.bounces.mailboxes.account import Account
from subscribers.errors import MailboxTrouble

TIMEOUT_SECONDS = 60.0
LONGEST_WORDS = 300


@lru_cache
def tls_context() -> ssl.SSLContext:
    """Return the context that verifies; reading the system's certificates takes 50 ms, so it is done once."""
    return ssl.create_default_context()


def refused(account: Account, said: str) -> MailboxTrouble:
    """Return the trouble of a wrong password, with what to do: large providers take none of the usual kind."""
    hint = "Check bounces.mailboxes.username and password."
    if account.host.endswith(("gmail.com", "googlemail.com")):
        hint += " Google takes an app password alone (docs/install.md)."
    if account.host.endswith(("office365.com", "outlook.com")):
        hint += " Microsoft takes no password by IMAP or POP any more (docs/install.md says what to do instead)."
    return MailboxTrouble(f"{account.place} refuses the user or password: {said}", lasting=True, hint=hint)


def broken(account: Account, error: BaseException, what: str = "broke off") -> MailboxTrouble:
    """Return the trouble of a connection that could not be opened or broke off."""
    if isinstance(error, MailboxTrouble):
        return error
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "verify_message", "") or error.reason or str(error)
        hint = "Check bounces.mailboxes.host and tls."
        return MailboxTrouble(f"{account.place} cannot be trusted: {reason}", lasting=True, hint=hint)
    said = error.strerror if isinstance(error, OSError) and error.strerror else words(error)
    return MailboxTrouble(f"{account.place} {what}: {said or 'it was closed'}.")


def words(error: BaseException) -> str:
    """Return a server's words on one line."""
    text = error.args[0] if error.args else str(error)
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    if text[:2] in ("b'", 'b"'):  # bytes that a library put into words
        text = text[2:-1]
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:LONGEST_WORDS].rstrip(". ")
