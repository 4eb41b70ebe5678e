"""
The audit log: who did what, when, to what; a chain that shows whether an entry was changed, removed or put in between.

Each entry carries a keyed code over its content and over the code of the entry before it. The key lies in `secrets/`,
outside the database, so whoever can write only the database cannot make an entry that passes. No entry holds an
address, a name or free text about a person: an erasure never has to reach into the chain.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, func, inspect, or_, select, text
from sqlalchemy.orm import Session

from newsletter.audit.anchor import CODE_BYTES, Anchor, Held
from newsletter.tables import AuditEntry
from subscribers.db import after_commit

BEFORE_THE_FIRST = bytes(CODE_BYTES)
LONGEST_ACTOR, LONGEST_SUBJECT = 200, 200
# Both numbers are constants of our own: writers of one PostgreSQL database take turns on them.
LOCK_CLASS, LOCK_NUMBER = 0x4155, 1


class Action(StrEnum):
    """What an entry records; what stands before the dot groups them."""

    SETTINGS_CHANGED = "settings.changed"
    IMPORT_BEGUN = "import.begun"
    IMPORT_DONE = "import.done"
    IMPORT_UNDONE = "import.undone"
    EXPORT = "export.people"
    EXPORT_PERSON = "export.person"
    EXPORT_SUPPRESSIONS = "export.suppressions"
    PERSON_ERASED = "person.erased"
    PERSON_MERGED = "person.merged"
    PERSON_REMOVED = "person.removed"
    SUPPRESSION_ADDED = "suppression.added"
    SUPPRESSION_LIFTED = "suppression.lifted"
    SUPPRESSIONS_IMPORTED = "suppression.imported"
    BOUNCE_UNDONE = "bounce.undone"
    LIST_CREATED = "list.created"
    LIST_CHANGED = "list.changed"
    LIST_ARCHIVED = "list.archived"
    LIST_REOPENED = "list.reopened"
    SEGMENT_SAVED = "segment.saved"
    SEGMENT_REMOVED = "segment.removed"
    ISSUE_APPROVED = "issue.approved"
    ISSUE_SCHEDULED = "issue.scheduled"
    ISSUE_UNSCHEDULED = "issue.unscheduled"
    SEND_STARTED = "send.started"
    SEND_PAUSED = "send.paused"
    SEND_RESUMED = "send.resumed"
    SEND_CANCELLED = "send.cancelled"
    SEND_RETRIED = "send.retried"
    SEND_FINISHED = "send.finished"
    UNCERTAIN_RESOLVED = "uncertain.resolved"
    KEY_ROTATED = "key.rotated"
    TOKEN_CREATED = "token.created"  # noqa: S105  (the name of an action)
    TOKEN_REVOKED = "token.revoked"  # noqa: S105  (likewise)
    DKIM_KEYGEN = "dkim.keygen"
    DATABASE_UPGRADED = "database.upgraded"
    DATABASE_ADOPTED = "database.adopted"
    DATABASE_BACKED_UP = "database.backed-up"
    DATABASE_RESTORED = "database.restored"
    DATABASE_MOVED = "database.moved"
    RETENTION_RUN = "retention.run"
    REQUEST_ADDED = "request.added"
    REQUEST_ACKNOWLEDGED = "request.acknowledged"
    REQUEST_CLOSED = "request.closed"


class AuditLog:
    """
    Where entries are written.

    Args:
        key: Of the codes.
        anchor: What is kept outside the database of how long the chain was.
        actor: Who acts, where a caller names nobody else.
    """

    def __init__(self, key: bytes, anchor: Anchor, *, actor: str, clock: Callable[[], datetime]) -> None:
        self._key, self._anchor, self._actor, self._clock = key, anchor, actor, clock

    def record(
        self,
        session: Session,
        action: Action,
        subject: str = "",
        *,
        person: bytes | None = None,
        actor: str | None = None,
        details: Mapping[str, Any] | None = None,
        **named: Any,
    ) -> AuditEntry:
        """
        Append an entry in the caller's transaction, as the last that it does: on PostgreSQL others wait from here on.

        Args:
            subject: What it was done to, by its kind and number or slug: ``import 3``, ``issue 2026-11``.
            person: The keyed hash of whom it was about; never an address.
            details, named: Numbers, our own words, names of lists, segments and issues. No free text about anybody.
        """
        head = lock_head(session)
        follows = self._anchor.follows(session, head)
        entry = AuditEntry(
            number=head.number + 1,
            at=self._clock().astimezone(UTC),
            actor=(actor or self._actor)[:LONGEST_ACTOR],
            action=action.value,
            subject=subject[:LONGEST_SUBJECT],
            person=person,
            details={**(details or {}), **named},
            previous=head.code,
        )
        entry.code = code_of(self._key, entry)
        session.add(entry)
        session.flush()
        if follows:
            after_commit(session, lambda: self._moved_to(entry))
        return entry

    def _moved_to(self, entry: AuditEntry) -> None:
        """Let the anchor follow, unless the entry went with a savepoint that was rolled back."""
        if inspect(entry).persistent:
            self._anchor.move_to(Held(entry.number, entry.code))

    def begin_again(self, session: Session) -> int:
        """
        Anchor the chain where it ends now, a person having said that this is the database; return how many are lost.

        For a database that was put back from a backup, which lacks the entries written since.
        """
        head, held = lock_head(session), self._anchor.read()
        after_commit(session, lambda: self._anchor.move_to(Held(*head), back_too=True))
        return max(0, held.number - head.number) if held else 0


class Head(NamedTuple):
    """Where the chain ends."""

    number: int
    code: bytes


def lock_head(session: Session) -> Head:
    """Return the last entry and keep others from appending until the transaction ends."""
    session.flush()
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:c, :n)"), {"c": LOCK_CLASS, "n": LOCK_NUMBER})
    return head_of(session)


def head_of(session: Session) -> Head:
    row = session.execute(
        select(AuditEntry.number, AuditEntry.code).order_by(AuditEntry.number.desc()).limit(1)
    ).first()
    return Head(row[0], bytes(row[1])) if row else Head(0, BEFORE_THE_FIRST)


def code_of(key: bytes, entry: AuditEntry) -> bytes:
    """Return the code that an entry must carry: over all of it but its number, which its place in the chain gives."""
    content = [
        entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
        entry.actor,
        entry.action,
        entry.subject,
        entry.person.hex() if entry.person is not None else None,
        entry.details,
        bytes(entry.previous).hex(),
    ]
    message = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hmac.new(key, b"newsletter audit 1\0" + message.encode(), hashlib.sha256).digest()


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries are asked for; an `action` without a dot means its whole group."""

    action: str = ""
    actor: str = ""
    since: datetime | None = None
    persons: Sequence[bytes] = ()

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if self.action:
            group = AuditEntry.action.startswith(f"{self.action}.", autoescape=True)
            found.append(or_(AuditEntry.action == self.action, group))
        if self.actor:
            found.append(AuditEntry.actor == self.actor)
        if self.since is not None:
            found.append(AuditEntry.at >= self.since)
        if self.persons:
            found.append(AuditEntry.person.in_(self.persons))
        return found


def entries(
    session: Session, wanted: Wanted, *, most: int | None = None, offset: int = 0
) -> tuple[Sequence[AuditEntry], int]:
    """Return entries, the newest first, and how many there are in all."""
    conditions = wanted.conditions()
    newest = select(AuditEntry).where(*conditions).order_by(AuditEntry.number.desc()).limit(most).offset(offset)
    total = session.scalar(select(func.count()).select_from(AuditEntry).where(*conditions))
    return session.scalars(newest).all(), total or 0


def walk(session: Session) -> Iterator[AuditEntry]:
    """Yield every entry in order, without keeping those that were looked at."""
    statement = select(AuditEntry).order_by(AuditEntry.number).execution_options(yield_per=1000)
    for entry in session.scalars(statement):
        yield entry
        session.expunge(entry)
