"""
Tokens of the programming interface: made, shown once, found by their digest, revoked.

A token can do what its scopes name and nothing else; one for some lists knows no other list and nobody who is not on
its own. What is wrong with a token that is refused is never told.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from newsletter.errors import Conflict, InvalidValue, NotFound
from newsletter.tables import ApiToken
from subscribers.naming import check_slug, nearest
from subscribers.tables import MailingList

PREFIX = "nlt_"  # lets people, and programs that look for secrets in files, know one when they see it
TOKEN_BYTES = 32
TOKEN_CHARACTERS = len(PREFIX) + 43


class Scope(StrEnum):
    """What a token may do."""

    SUBSCRIBERS_ASK = "subscribers:ask"
    SUBSCRIBERS_READ = "subscribers:read"
    SUBSCRIBERS_WRITE = "subscribers:write"
    SUBSCRIBERS_ERASE = "subscribers:erase"
    LISTS_READ = "lists:read"
    ISSUES_READ = "issues:read"
    DELIVERIES_READ = "deliveries:read"
    DELIVERIES_ADDRESSES = "deliveries:addresses"
    SUPPRESSIONS_READ = "suppressions:read"
    SUPPRESSIONS_WRITE = "suppressions:write"


# The least that a token can be for: it shows no person.
LEAST = (Scope.LISTS_READ,)
# These reach beyond any list.
FOR_EVERY_LIST_ONLY = (Scope.SUBSCRIBERS_ERASE,)


@dataclass(frozen=True, slots=True)
class Access:
    """
    What a valid token allows.

    Attributes:
        list_ids: The only lists that exist for it; None for every list.
    """

    token_id: int
    name: str
    scopes: frozenset[Scope]
    list_ids: frozenset[int] | None = None

    def may(self, scope: Scope) -> bool:
        """Whether it has *scope*; whoever may put people on lists may also ask them."""
        asking = scope is Scope.SUBSCRIBERS_ASK and Scope.SUBSCRIBERS_WRITE in self.scopes
        return scope in self.scopes or asking

    def may_see_list(self, list_id: int) -> bool:
        return self.list_ids is None or list_id in self.list_ids


def create(
    session: Session,
    name: str,
    *,
    scopes: Sequence[Scope],
    lists: Iterable[MailingList] = (),
    expires_at: datetime | None = None,
    by: str,
    now: datetime,
) -> str:
    """
    Store a new token and return its text, which is shown once and kept nowhere.

    Args:
        lists: The only ones that it is for; none of them means every list.

    Raises:
        InvalidValue: When the name, a scope or the day cannot be used.
        Conflict: When there was one of this name.
    """
    check_slug("token", name)
    list_ids = sorted({one.id for one in lists})
    beyond = [scope for scope in scopes if scope in FOR_EVERY_LIST_ONLY]
    if list_ids and beyond:
        raise InvalidValue(f"A token for some lists cannot have the scope {beyond[0]}: it reaches every list.")
    if expires_at is not None and expires_at <= now:
        raise InvalidValue("A token cannot have expired before it is made.", hint="Name a day to come with --expires.")
    if session.scalar(select(ApiToken.id).where(ApiToken.name == name)) is not None:
        raise Conflict(
            f"There is, or was, a token '{name}'; the records name what it did.", hint="Give this one another name."
        )
    text = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    session.add(
        ApiToken(
            name=name,
            digest=digest(text),
            scopes=[scope.value for scope in Scope if scope in scopes],
            list_ids=list_ids or None,
            created_at=now,
            created_by=by[:200],
            expires_at=expires_at,
        )
    )
    session.flush()
    return text


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def any_was_made(session: Session) -> bool:
    return session.scalar(select(ApiToken.id).limit(1)) is not None


def authenticate(session: Session, text: str, *, now: datetime) -> Access | None:
    """Return what a token allows; None for one that is unknown, expired or revoked."""
    wanted = digest(text)
    found = session.scalar(select(ApiToken).where(ApiToken.digest == wanted))
    if found is None or not hmac.compare_digest(found.digest, wanted):
        return None
    if found.revoked_at is not None or (found.expires_at is not None and found.expires_at <= now):
        return None
    known = set(Scope)
    scopes = frozenset(Scope(scope) for scope in found.scopes if scope in known)
    return Access(found.id, found.name, scopes, None if found.list_ids is None else frozenset(found.list_ids))


def mark_used(session: Session, token_id: int, day: date) -> None:
    """Write down on which day a token was used last; the hour would tell more of people than anybody needs."""
    session.execute(
        update(ApiToken)
        .where(ApiToken.id == token_id, or_(ApiToken.used_on.is_(None), ApiToken.used_on < day))
        .values(used_on=day),
        execution_options={"synchronize_session": False},
    )


def all_tokens(session: Session) -> Sequence[ApiToken]:
    return session.scalars(select(ApiToken).order_by(ApiToken.name)).all()


def revoke(session: Session, name: str, *, by: str, now: datetime) -> ApiToken:
    """
    End a token; from now on it is refused.

    Raises:
        NotFound: With the nearest name.
        Conflict: When it was revoked before.
    """
    found = session.scalar(select(ApiToken).where(ApiToken.name == name))
    if found is None:
        known = session.scalars(select(ApiToken.name)).all()
        raise NotFound("token", name, hint=nearest(name, known))
    if found.revoked_at is not None:
        raise Conflict(f"The token '{name}' was revoked on {found.revoked_at:%Y-%m-%d} by {found.revoked_by}.")
    found.revoked_at, found.revoked_by = now, by[:200]
    session.flush()
    return found
