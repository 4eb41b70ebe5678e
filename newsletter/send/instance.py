"""
Which copy of a database is the live one: a copied or restored one sends nothing until a person says that it is.

Where a database lies is noted in it: the file's number on its disk and the machine, or the PostgreSQL server, its
timeline, database and table. A copy finds itself elsewhere; one that was put back into the old place is behind
(`sent_mark`). What it holds as still to be sent may have been sent since.
"""

from __future__ import annotations

import hashlib
import socket
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session

from newsletter.errors import Conflict, NewsletterError
from newsletter.send import notice_rows, sent_mark
from newsletter.send.control import PauseKind, forget_pause, pause, pause_kind
from newsletter.send.owner import COPIED, changed, living_owner
from newsletter.send.states import TO_DO
from newsletter.tables import Delivery, Issue, IssueState, Setting, Worker
from newsletter.tables import DeliveryState as S

SETTING = "instance"
MACHINE_ID = Path("/etc/machine-id")
# A dump that is read back makes the tables anew; a server that is turned back in time begins another timeline.
POSTGRESQL_PLACE = """
    SELECT system_identifier::text AS server, pg_database.oid::bigint AS database,
        'deliveries'::regclass::oid::bigint AS deliveries, timeline_id AS timeline
    FROM pg_control_system(), pg_control_checkpoint(), pg_database WHERE datname = current_database()
"""
PAUSED_BY_ADOPTION = "The database was copied while this issue was going out."
SCHEDULE_IN_A_COPY = "The database was copied after this issue was scheduled; the other one may have sent it."


class CopiedDatabase(NewsletterError):
    """This database is a copy of another; until a person says that it is the live one, it mails nobody."""

    code = "copied"

    def __init__(self, noted: dict[str, Any]) -> None:
        super().__init__(
            f"This database was copied, or restored: on {noted['since']:.10} it was the live one on {noted['host']}. "
            "Nothing is sent from a copy, since the other one may be sending too.",
            hint="If this is the one to send from: newsletter db adopt",
        )


@dataclass(frozen=True, slots=True)
class Adopted:
    """What an adoption changed: copies that became uncertain, and issues and schedules that wait for a person."""

    uncertain: int
    paused: tuple[str, ...]


def require_live(session: Session) -> None:
    """
    Refuse to go on in a copied database. One that has not noted yet where it lies passes.

    Raises:
        CopiedDatabase: With what to do.
    """
    noted = session.get(Setting, SETTING)
    if noted is not None and (noted.value["place"] != place(session) or sent_mark.is_behind(session)):
        raise CopiedDatabase(noted.value)


def is_live(session: Session) -> bool:
    """Tell whether this database may send: it is the one that it says it is."""
    try:
        require_live(session)
    except CopiedDatabase:
        return False
    return True


def require_no_sender(session: Session, locks: Path) -> None:
    """
    Refuse to change which database is the live one under a worker that sends.

    Raises:
        Conflict: With whom to stop.
    """
    owner = living_owner(session, locks)
    if owner is None:
        return
    row = session.get(Worker, owner)
    whose = f"process {row.pid} on {row.host}" if row is not None else f"worker {owner}"
    raise Conflict(
        f"A worker still runs on this database: {whose}.", hint="Stop newsletter work, serve and issue send first."
    )


def note_place(session: Session, now: datetime) -> None:
    """Note where this database lies, unless that was done before."""
    sent_mark.prepare(session)
    if session.get(Setting, SETTING) is None:
        # Two workers that begin at once may both come here; they note the same.
        insert = postgresql_insert if session.get_bind().dialect.name == "postgresql" else sqlite_insert
        session.execute(insert(Setting).values(name=SETTING, value=_here(session, now)).on_conflict_do_nothing())


def adopt(session: Session, *, now: datetime, nothing_sent_since: bool) -> Adopted:
    """
    Make this database the live one.

    What was to be sent, by issues that had been frozen when the copy was made, becomes uncertain: the other database
    may have sent it. Issues that were going out, and schedules, wait for a person. A notice whose kind is repeated when
    in doubt goes out all the same, with the bytes of the other one.

    Args:
        nothing_sent_since: A person vouches that the other one has sent nothing since the copy was made. Only copies
            whose dot may have left are uncertain then.
    """
    paused = [issue.slug for issue in (*_pause_issues(session), *_set_schedules_aside(session))]
    doubtful = (S.INTENT,) if nothing_sent_since else TO_DO
    values = {"state": S.UNCERTAIN, "state_at": now, "retry_at": None, "reason": COPIED}
    uncertain = changed(session, update(Delivery).where(Delivery.state.in_(doubtful)).values(values))
    notice_rows.doubt(session, doubtful, reason=COPIED, now=now)
    sent_mark.catch_up(session)
    _note(session, now)
    return Adopted(uncertain, tuple(paused))


def set_aside(session: Session, *, now: datetime, why: str) -> Adopted:
    """
    Make this database one that sends nothing until it is adopted, wherever it comes to lie.

    A copy whose dot may have left is uncertain from now on; what else is to be sent is for whoever adopts it to say.
    Issues that were going out, and schedules, wait for a person.
    """
    paused = [issue.slug for issue in (*_pause_issues(session), *_set_schedules_aside(session))]
    values = {"state": S.UNCERTAIN, "state_at": now, "retry_at": None, "reason": COPIED}
    uncertain = changed(session, update(Delivery).where(Delivery.state == S.INTENT).values(values))
    notice_rows.doubt(session, (S.INTENT,), reason=COPIED, now=now)
    _set_nowhere(session, now, why)
    return Adopted(uncertain, tuple(paused))


def set_moved(session: Session, *, now: datetime) -> None:
    """Note that all of this database went to another one, which is live from now on: this one sends nothing."""
    _set_nowhere(session, now, "moved to another database")


def declare_live(session: Session, now: datetime) -> None:
    """Note that this database is the live one: the other was held while it was copied, so nothing was sent since."""
    sent_mark.prepare(session)
    sent_mark.catch_up(session)
    _note(session, now)


def to_do(session: Session) -> dict[str, int]:
    """Return how many copies of each frozen issue are still to be sent, by its slug."""
    statement = (
        select(Issue.slug, func.count().label("copies"))
        .join(Delivery, Delivery.issue_id == Issue.id)
        .where(Delivery.state.in_(TO_DO))
        .group_by(Issue.slug)
        .order_by(Issue.slug)
    )
    return {row.slug: row.copies for row in session.execute(statement)}


def place(session: Session) -> dict[str, Any]:
    """Return what tells this database from a copy of it, as JSON values."""
    connection = session.connection()
    if connection.dialect.name == "sqlite":
        file = connection.exec_driver_sql("PRAGMA database_list").fetchone()
        return {"machine": _machine(), "file": Path(file[2]).stat().st_ino if file and file[2] else 0}
    row = connection.execute(text(POSTGRESQL_PLACE)).one()
    return dict(row._mapping)


def _set_nowhere(session: Session, now: datetime, why: str) -> None:
    """Note a place where no database can be, so that wherever this one comes to lie it is a copy."""
    noted = session.get(Setting, SETTING)
    before = noted.value if noted is not None else {"host": "another machine", "since": now.isoformat()}
    session.merge(Setting(name=SETTING, value={**before, "place": {"none": why}}))
    session.flush()


def _note(session: Session, now: datetime) -> None:
    session.merge(Setting(name=SETTING, value=_here(session, now)))
    session.flush()


def _here(session: Session, now: datetime) -> dict[str, Any]:
    return {"place": place(session), "host": socket.gethostname(), "since": now.isoformat()}


def _machine() -> str:
    """Return a word for this machine; the id itself is kept to it. Source: machine-id(5)."""
    with suppress(OSError):
        return hashlib.sha256(b"newsletter:" + MACHINE_ID.read_bytes().strip()).hexdigest()[:16]
    return ""


def _pause_issues(session: Session) -> list[Issue]:
    """Pause what was going out; what was paused by a relay that was away does not go on by itself either."""
    live = select(Issue).where(Issue.state == IssueState.SENDING).order_by(Issue.id)
    issues = list(session.scalars(live))
    for issue in issues:
        pause(session, issue, PAUSED_BY_ADOPTION)
    for issue in session.scalars(select(Issue).where(Issue.state == IssueState.PAUSED)):
        if pause_kind(session, issue.id) is PauseKind.RELAY:
            forget_pause(session, issue.id)
    return issues


def _set_schedules_aside(session: Session) -> list[Issue]:
    issues = list(session.scalars(select(Issue).where(Issue.state == IssueState.SCHEDULED).order_by(Issue.id)))
    for issue in issues:
        issue.state, issue.reason = IssueState.PAUSED, SCHEDULE_IN_A_COPY
    session.flush()
    return issues
