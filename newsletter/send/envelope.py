"""The envelope sender of what we mail: marked for each delivery, or one for all where a relay rewrites it."""

from __future__ import annotations

from newsletter.config.settings import Config
from subscribers.bounces.verp import LEAVE_LOCAL_PART


def fixed_sender(config: Config) -> str:
    """Return the one envelope sender of mail that carries no mark of its own."""
    return f"bounces@{config.bounces.domain}" if config.bounces.domain else config.organisation.from_address


def leave_address(config: Config) -> str:
    """
    Return where a mail program writes to unsubscribe.

    Where nothing says that this program reads what comes back, a person must.
    """
    if not _reads_what_comes_back(config):
        return config.organisation.reply_to or config.organisation.from_address
    if config.bounces.envelope == "fixed":
        return fixed_sender(config)
    return f"{LEAVE_LOCAL_PART}@{config.bounce_domain}"


def discreet_address(config: Config) -> str:
    """Return the From address of mail to people who chose discreet mail."""
    return config.discreet.from_address or config.organisation.from_address


def addresses_of_ours(config: Config) -> frozenset[str]:
    """Return the addresses without a mark that returned mail comes to, in lower case."""
    found = {f"{LEAVE_LOCAL_PART}@{config.bounce_domain}"}
    if config.bounces.domain or config.bounces.envelope == "fixed":
        found.add(fixed_sender(config))
    if _reads_what_comes_back(config):
        found.add(leave_address(config))
    return frozenset(address.lower() for address in found)


def chair_address(config: Config) -> str:
    """Return where people's words belong: the address for answers, else that of who runs it."""
    organisation = config.organisation
    return organisation.reply_to or next(iter(config.alerts.to), "") or organisation.from_address


def lost_replies(config: Config) -> tuple[str, str] | None:
    """Return why replies that are passed on would be read by this program again, and what to do; else null."""
    if not _reads_what_comes_back(config):
        return None
    chair = chair_address(config)
    read = addresses_of_ours(config) | {mailbox.username.lower() for mailbox in config.bounces.mailboxes}
    if chair.lower() not in read:
        return None
    return (
        f"People's replies would be passed on to {chair}, which this program reads itself: nobody would see them.",
        "Set organisation.reply_to to an address that a person reads, or the first of alerts.to.",
    )


def _reads_what_comes_back(config: Config) -> bool:
    bounces = config.bounces
    return bool(bounces.domain or bounces.mailboxes or bounces.receiver)
