"""That a worker is there: a moment in the database that it renews, and everybody else can look at."""

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
SILENT_AFTER = timedelta(seconds=90)


def beat(session: Session, now: datetime) -> None:
    session.merge(Setting(name=SETTING, value=now.isoformat()))
    session.flush()


def last_beat(session: Session) -> datetime | None:
    """Return when a worker was last there; None when none ever was."""
    stored = session.scalar(select(Setting.value).where(Setting.name == SETTING))
    return datetime.fromisoformat(stored) if stored else None


def keep_beating(app: App, stop: threading.Event) -> None:
    """Beat until *stop* is set; a database that is away, which the worker tells of, is waited for."""
    while not stop.is_set():
        with suppress(DatabaseUnavailable), app.database.write() as session:
            beat(session, app.now())
        stop.wait(BEAT_SECONDS)
