"""
What becomes of a sign-up, pure: a link to confirm, a word that there is nothing to do, or silence.

Where in doubt nobody is mailed. Silence is never told apart on the site: whoever waits in vain can write to a person.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from newsletter.asked.form_ticket import FormTicket
from newsletter.asked.roles import ROLES
from subscribers.addresses import Address
from subscribers.signing_up import TOLD_EVERY, Standing

ONE_MAIL_A = timedelta(hours=24)
MOST_MAILS = 3
CLOCKS_DIFFER = timedelta(minutes=1)  # a form may come from another process than the one that answers


class Reply(StrEnum):
    """What is mailed."""

    NOTHING = "nothing"
    CONFIRM = "confirm"
    ALREADY = "already"


@dataclass(frozen=True, slots=True)
class Decision:
    """What is mailed, about which lists."""

    reply: Reply
    list_ids: frozenset[int] = frozenset()


SILENCE = Decision(Reply.NOTHING)


def is_timely(ticket: FormTicket, asked_at: datetime, *, shortest: timedelta, longest: timedelta) -> bool:
    """
    Return whether a form was filled in as people do it: neither at once, nor days later.

    A form that stands on another site was made when the site was; its time says nothing.
    """
    if ticket.embedded:
        return ticket.made_at <= asked_at + CLOCKS_DIFFER
    # What it carries is in whole seconds, cut off: it may look a second older than it is.
    return shortest <= asked_at - ticket.made_at <= longest


def is_role(address: Address) -> bool:
    """Return whether an address is the mailbox of a role."""
    local = address.key.rpartition("@")[0]
    return local.partition("+")[0] in ROLES


def decide(list_ids: Collection[int], known: Standing, now: datetime) -> Decision:
    """
    Decide what an address is mailed that asked for these lists.

    Somebody who asked for discreet mail is not told that there is nothing to do: nothing is lost, and nobody else who
    reads that mailbox learns of it.
    """
    wanted = frozenset(list_ids) - known.barred
    if known.barred_everywhere or not wanted:
        return SILENCE
    if known.written_at is not None and now - known.written_at < ONE_MAIL_A:
        return SILENCE
    if missing := wanted - known.on:
        return Decision(Reply.CONFIRM, missing) if known.mails < MOST_MAILS else SILENCE
    told_of_late = known.told_at is not None and now - known.told_at < TOLD_EVERY
    return SILENCE if told_of_late or known.discreet else Decision(Reply.ALREADY, wanted)
