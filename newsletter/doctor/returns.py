"""
The ways in for returned mail, tried as far as a look would go, changing nothing.

That mail to the envelope senders arrives there is what no check can see without sending one; it says how to try.
"""

from __future__ import annotations

import smtplib
from collections.abc import Iterator

from newsletter.config.returning import Mailbox, Receiver
from newsletter.config.settings import Config
from newsletter.doctor.findings import Finding, fail, ok, warn
from newsletter.send.envelope import fixed_sender, lost_replies
from subscribers.bounces.intake import Taken
from subscribers.errors import MailboxTrouble

TIMEOUT_SECONDS = 5.0
NO_WAY = "Nothing is set up to read what comes back, unless a mail server pipes it to `newsletter bounces receive`."
NOT_OURS = "nobody@nowhere.invalid"


def check_returns(config: Config, *, online: bool) -> Iterator[Finding]:
    """Try each mailbox and the receiver; mailboxes elsewhere only when *online*."""
    bounces = config.bounces
    if (lost := lost_replies(config)) is not None:
        yield fail("replies", *lost)
    if not bounces.mailboxes and bounces.receiver is None:
        yield warn("returned mail", NO_WAY, "Set up one of the ways in docs/install.md, under Returned mail.")
        return
    tried = [_try(mailbox) for mailbox in bounces.mailboxes if mailbox.on_loopback or online]
    for mailbox in bounces.mailboxes:
        if not (mailbox.on_loopback or online):
            yield ok(f"mailbox {mailbox.name}", f"{mailbox.host}:{mailbox.real_port}, not tried (add --online).")
    yield from tried
    if bounces.receiver is not None:
        tried.append(_knock(bounces.receiver, fixed_sender(config)))
        yield tried[-1]
    if tried and all(not finding.fix for finding in tried):
        yield ok("returned mail", f"To see that mail gets there, write to {fixed_sender(config)} and fetch it.")


def _try(config: Mailbox) -> Finding:
    from newsletter.returning import account_of, make_mailbox
    from subscribers.bounces.mailboxes.taking import Taker

    check = f"mailbox {config.name}"
    mailbox = make_mailbox(account_of(config), Taker(_never, _unheard), _Nothing())
    try:
        found = mailbox.check()
    except MailboxTrouble as error:
        return fail(check, error.message, error.hint or "Try again later; else ask who runs it.")
    finally:
        mailbox.close()
    entry = "can be logged in to" if config.on_network else "can be read"
    return ok(check, f"{mailbox.account.place} {entry}; {found}.")


def _knock(config: Receiver, own_address: str) -> Finding:
    """Ask the receiver whom it takes mail for, as a mail server would, and leave before there is a mail."""
    fix = "`newsletter serve` or `newsletter work` must run for it."
    try:
        with _connected(config) as talk:
            talk.ehlo()
            talk.mail("<>")
            stranger, own = talk.rcpt(NOT_OURS)[0], talk.rcpt(own_address)[0]
    except (OSError, smtplib.SMTPException) as error:
        words = getattr(error, "strerror", None) or str(error) or "no answer"
        return warn("receiver", f"Nothing answers on {config.place}: {words}.", fix)
    if stranger < 500:
        return fail("receiver", f"What listens on {config.place} takes mail for anybody.", "Is that our receiver?")
    takes = f"takes mail for {own_address}" if own == 250 else "takes mail for marked addresses alone"
    return ok("receiver", f"{config.place} {takes}, and for nobody else.")


def _connected(config: Receiver) -> smtplib.SMTP:
    if config.protocol == "lmtp":
        return smtplib.LMTP(config.socket or _reached(config), config.port)
    return smtplib.SMTP(_reached(config), config.port, timeout=TIMEOUT_SECONDS)


def _reached(config: Receiver) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.bind, config.bind)  # noqa: S104  (compared, not bound)


class _Nothing:
    """The memory of a mailbox that is not looked into."""

    def load(self) -> dict[str, object]:
        return {}

    def save(self, values: dict[str, object]) -> None:
        raise AssertionError("a check changes nothing")


def _never(_raw: bytes) -> Taken:
    raise AssertionError("a check takes nothing")


def _unheard(_words: str) -> None:
    """A check takes nothing, so there is nothing to tell."""
