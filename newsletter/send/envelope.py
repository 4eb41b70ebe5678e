"""The envelope sender of what we mail: marked for each delivery, or one for all where a relay rewrites it."""

from __future__ import annotations

from newsletter.config import Config
from subscribers.bounces.verp import LEAVE_LOCAL_PART


def fixed_sender(config: Config) -> str:
    """Return the one envelope sender of mail that carries no mark of its own."""
    return f"bounces@{config.bounces.domain}" if config.bounces.domain else config.organisation.from_address


def leave_address(config: Config) -> str:
    """
    Return where a mail program writes to unsubscribe.

    Where nothing says that this program reads what comes back, a person must.
    """
    bounces = config.bounces
    if not (bounces.domain or bounces.mailboxes or bounces.receiver):
        return config.organisation.reply_to or config.organisation.from_address
    if bounces.envelope == "fixed":
        return fixed_sender(config)
    return f"{LEAVE_LOCAL_PART}@{config.bounce_domain}"
