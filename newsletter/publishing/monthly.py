"""
The monthly digests that are due: made once a month by whichever worker comes first, then sent like every issue.

A digest is made in one transaction together with the mark on the issues that it took up, and is scheduled for the time
at which it was due. So a worker that dies leaves either nothing or a schedule, and one that comes too late leaves it to
a person, as with every schedule.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from newsletter.app import App
from newsletter.compose import monthly
from newsletter.compose.issue import approve, go
from newsletter.compose.monthly_draft import approvers, make_digest, months
from newsletter.tables import Issue, IssueState

MADE_BY = "newsletter work"


def make_due_digests(app: App) -> list[str]:
    """Make the digests whose time has come, and return their names; none where nobody is owed anything."""
    rule, zone = app.config.digest, app.config.organisation.zone
    last = monthly.last_due(app.now(), rule, zone)
    with app.database.read() as session:  # an idle worker never takes the lock of a writer
        if not months(session, zone, last=last):
            return []
    try:
        return _make_all(app, last)
    except IntegrityError:  # another worker made one just now; the next look finds its mark
        return _make_all(app, last)


def _make_all(app: App, last: date) -> list[str]:
    with app.database.write() as session:
        found = months(session, app.config.organisation.zone, last=last)
        return [_make(app, session, month, issues) for month, issues in found.items()]


def draft_digest(app: App, session: Session) -> Issue | None:
    """
    Draft the digest of the earliest month that waits, this month's included; it is the chair's then, and not sent by
    the worker. Null when nobody is owed anything.
    """
    zone = app.config.organisation.zone
    found = months(session, zone, last=monthly.month_of(app.now(), zone))
    for month, issues in found.items():
        return make_digest(session, month, issues, config=app.config, actor=app.actor, now=app.now())
    return None


def _make(app: App, session: Session, month: date, issues: Sequence[Issue]) -> str:
    """
    Make a digest that needs no approval of its own: each part of it was approved in its issue.

    Under four eyes as well, for nobody has edited it.
    """
    now = app.now()
    digest = make_digest(session, month, issues, config=app.config, actor=MADE_BY, now=now)
    if digest.state is IssueState.DRAFT:
        approve(digest, app.config, actor=approvers(issues), now=now)
        go(digest, IssueState.SCHEDULED)
        digest.scheduled_at = monthly.due_at(month, app.config.digest, app.config.organisation.zone)
    return digest.slug
