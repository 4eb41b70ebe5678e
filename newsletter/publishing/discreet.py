"""The header of copies for people who chose discreet mail: who writes and which list it is, without telling."""

from __future__ import annotations

from newsletter.config.settings import Config
from newsletter.render.headers import MessageHeaders
from newsletter.send.envelope import discreet_address, leave_address


def discreet_headers(config: Config, language: str) -> MessageHeaders:
    """
    Return what the header of every discreet copy has in common: nothing in it is of the issue or of a list.

    Feedback-ID is left out, for it names both; the domain stays that of every issue, so that DMARC holds.
    """
    neutral, organisation = config.discreet, config.organisation
    address = discreet_address(config)
    leave = leave_address(config)
    if leave == organisation.from_address:
        leave = address
    elif leave == organisation.reply_to:
        leave = neutral.reply_to or address
    return MessageHeaders(
        from_name=neutral.from_name,
        from_address=address,
        reply_to=neutral.reply_to,
        list_id=f"{neutral.list_name}.{address.rpartition('@')[2]}",
        list_title="",
        unsubscribe_mailto=f"mailto:{leave}?subject=unsubscribe%20{{token}}",
        feedback_id="",
        language=language,
    )
