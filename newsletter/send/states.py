"""
The published table of a delivery's states: every edge that exists, and when it happens. An edge not here is a fault.

No row ever leaves `sent` by itself. One leaves `uncertain` to be sent again by a person or the policy, or when its own
worker learns late that it was not accepted.
A notice of the outbox has the same states and uses the edges in `NOTICE_EDGES`; nobody retries one by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from newsletter.tables import DeliveryState as S

TRANSITIONS: Mapping[tuple[S, S], str] = MappingProxyType(
    {
        (S.PENDING, S.CLAIMED): "a worker takes the row in hand",
        (S.DEFERRED, S.CLAIMED): "its time to be tried again has come",
        (S.PENDING, S.DEFERRED): "its provider refuses our mail; it waits for the provider, and nobody is charged",
        (S.DEFERRED, S.HELD): "its provider takes other copies but refused this one again and again",
        (S.PENDING, S.SUPPRESSED): "consent, suppression or a choice changed between the plan and the claim",
        (S.DEFERRED, S.SUPPRESSED): "as above, while it waited to be tried again",
        (S.CLAIMED, S.SUPPRESSED): "as above, at the intent: the body was on the wire, the dot never left",
        (S.CLAIMED, S.INTENT): "committed before the dot leaves; from here on a stop means `uncertain`",
        (S.CLAIMED, S.SENT): "a late 250 of the worker itself, to a dot before the row was put back and claimed again",
        (S.CLAIMED, S.PENDING): "put back untried: pause, drain, relay down, a dead or stopped owner; no dot ever left",
        (S.CLAIMED, S.DEFERRED): "a 4yz before the body, or put back after an earlier attempt",
        (S.CLAIMED, S.BOUNCED): "the recipient was refused before the body",
        (S.CLAIMED, S.HELD): "the copy could not be composed, failed the gate, or its sender crashed on it three times",
        (S.CLAIMED, S.EXPIRED): "deferred once too often",
        (S.CLAIMED, S.CANCELLED): "the issue was cancelled; the intent then finds no row, so no dot leaves",
        (S.INTENT, S.SENT): "250 to the dot, or a report that was quicker than the reply",
        (S.INTENT, S.BOUNCED): "5yz to the dot that names the mailbox, or a report that was quicker than the reply",
        (S.INTENT, S.DEFERRED): "4yz to the dot, a policy refusal, or a reply in mid-body: certainly not accepted",
        (S.INTENT, S.PENDING): "the connection ended before the dot left: certainly not accepted, nobody charged",
        (S.INTENT, S.HELD): "the content was refused",
        (S.INTENT, S.EXPIRED): "deferred once too often",
        (S.INTENT, S.CANCELLED): "certainly not accepted, and its issue was cancelled meanwhile: nobody tries again",
        (S.INTENT, S.UNCERTAIN): "no reply to the dot: cut, silent, or the sender stopped",
        (
            S.UNCERTAIN,
            S.SENT,
        ): "a person says so, a late 250 of the worker that was thought stopped, or a report",
        (S.UNCERTAIN, S.BOUNCED): "a late refusal or a delivery report",
        (S.UNCERTAIN, S.DEFERRED): "a late 4yz: certainly not accepted",
        (S.UNCERTAIN, S.HELD): "a late refusal of the content",
        (S.UNCERTAIN, S.EXPIRED): "a late 4yz, once too often",
        (S.UNCERTAIN, S.CANCELLED): "a late 4yz, after its issue was cancelled",
        (
            S.UNCERTAIN,
            S.PENDING,
        ): "a person, or the policy, accepts a possible second copy; or it is late news that no dot ever left",
        (S.PENDING, S.UNCERTAIN): "`db adopt`: the database was copied, and the other one may have sent it since",
        (S.DEFERRED, S.UNCERTAIN): "as above",
        (S.CLAIMED, S.UNCERTAIN): "as above",
        (S.PENDING, S.CANCELLED): "the issue was cancelled before it was begun",
        (S.DEFERRED, S.CANCELLED): "the issue was cancelled while it waited",
        (S.BOUNCED, S.PENDING): "`issue retry --failed`",
        (S.HELD, S.PENDING): "`issue retry --failed`",
        (S.EXPIRED, S.PENDING): "`issue retry --failed`",
        (S.SENT, S.BOUNCED): "a delivery report after the relay had accepted it",
        (S.PENDING, S.EXPIRED): "a notice only: its time was over before a relay took it",
        (S.DEFERRED, S.EXPIRED): "as above, while it waited to be tried again",
    }
)

# A doubtful notice goes from `uncertain` back to `pending` where its kind says so; else it stays there for good.
NOTICE_EDGES = frozenset(TRANSITIONS) - {
    (S.BOUNCED, S.PENDING),
    (S.HELD, S.PENDING),
    (S.EXPIRED, S.PENDING),
    (S.SENT, S.BOUNCED),
}

# Planned = FINAL + TO_DO, at any moment.
FINAL = (S.SENT, S.BOUNCED, S.EXPIRED, S.SUPPRESSED, S.HELD, S.CANCELLED, S.UNCERTAIN)
TO_DO = (S.PENDING, S.CLAIMED, S.INTENT, S.DEFERRED)


def states_before(*targets: S) -> tuple[S, ...]:
    """Return the states from which every one of *targets* may be reached."""
    return tuple(s for s in S if all((s, target) in TRANSITIONS for target in targets))
