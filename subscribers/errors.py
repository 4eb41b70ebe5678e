"""
What can go wrong with the list, each error with what happened, to what, and what to do next.

    SubscribersError
    |-- NotFound
    |-- Conflict
    |-- InvalidValue
    |-- TokenInvalid
    |-- WebhookRefused      see bounces/providers/verifying
    |-- PayloadUnreadable   see bounces/providers/payload
    |-- DatabaseUnavailable
    `-- MailboxTrouble      one mailbox or the receiver; nothing in it is lost, others go on
"""

from __future__ import annotations


class SubscribersError(Exception):
    """
    Root of the package's errors.

    Attributes:
        code: Stable word for scripts, for example ``not_found``.
        message: What happened, and to what.
        hint: What to do next; empty when the message says it.
    """

    code = "error"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class NotFound(SubscribersError):
    """Something was named that does not exist; the hint holds the nearest known name."""

    code = "not_found"

    def __init__(self, what: str, name: str, *, hint: str = "") -> None:
        super().__init__(f"There is no {what} '{name}'.", hint=hint)
        self.what = what
        self.name = name


class Conflict(SubscribersError):
    """What was asked contradicts what is stored; nothing was changed."""

    code = "conflict"


class InvalidValue(SubscribersError):
    """A value from outside cannot be accepted; nothing was changed."""

    code = "invalid"


class TokenInvalid(SubscribersError):
    """A signed token is malformed, forged, for another purpose or expired; callers show one page for all four."""

    code = "token_invalid"


class DatabaseUnavailable(SubscribersError):
    """The database is locked, full, away or refuses the password; nothing was changed."""

    code = "database_unavailable"


class MailboxTrouble(SubscribersError):
    """
    One place that returned mail comes in by cannot be used now; what is in it stays there.

    Attributes:
        lasting: Trying again changes nothing until somebody acts: a wrong password, a missing folder.
    """

    code = "mailbox"

    def __init__(self, message: str, *, lasting: bool = False, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.lasting = lasting
