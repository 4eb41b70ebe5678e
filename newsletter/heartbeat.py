"""
That a worker works: a moment in the database that it renews while its loop goes on, and everybody else can look at.

The process alone proves nothing: a loop that stands still, at a database that does not answer say, lets no beat follow.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter.app import App
from newsletter.tables import Setting
from subscribers.errors import DatabaseUnavailable

SETTING = "worker-heartbeat"
BEAT_SECONDS = 20.0
LOOK_SECONDS = 1.0
SILENT_AFTER = timedelta(seconds=90)


class Pulse:
    """Felt by whoever works, each time that the work has gone on; taken by who tells of it."""

    def __init__(self) -> None:
        self._felt = threading.Event()

    def feel(self) -> None:
        self._felt.set()

    def take(self) -> bool:
        """Return whether it was felt since it was taken last."""
        felt = self._felt.is_set()
        self._felt.clear()
        return felt


def beat(session: Session, now: datetime) -> None:
    session.merge(Setting(name=SETTING, value=now.isoformat()))
    session.flush()


def last_beat(session: Session) -> datetime | None:
    """Return when a worker was last at work; None when none ever was."""
    stored = session.scalar(select(Setting.value).where(Setting.name == SETTING))
    return datetime.fromisoformat(stored) if stored else None


def keep_beating(app: App, pulse: Pulse, stop: threading.Event) -> None:
    """Beat after each pulse until *stop* is set; a database that is away, which the worker tells of, is waited for."""
    while not stop.is_set():
        felt = pulse.take()
        if felt:
            with suppress(DatabaseUnavailable), app.database.write() as session:
                beat(session, app.now())
        stop.wait(BEAT_SECONDS if felt else LOOK_SECONDS)
