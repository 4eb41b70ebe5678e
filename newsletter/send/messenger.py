"""
What sees to the outbox beside a worker: notices leave while an issue goes out, and operators are told of trouble.

It runs in a thread of its own with a conversation of its own, so that no list, however long, keeps a confirmation from
leaving. It holds an owner's lock only once there was something to do.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from newsletter.errors import NewsletterError
from newsletter.send import alerts, notice_rows
from newsletter.send.courier import Trip, Unrecorded, carry, carry_due
from newsletter.send.dispatch import dot_timeout
from newsletter.send.instance import CopiedDatabase, note_place, require_live
from newsletter.send.notices import new_message_id, written
from newsletter.send.owner import Owner
from newsletter.send.report import Parts
from newsletter.tables import DeliveryState as S
from newsletter.tables import NoticeKind
from subscribers.errors import DatabaseUnavailable, SubscribersError

LOOK_SECONDS = 1.0  # how soon a notice that another process enqueued is noticed
ALERT_LOOK_SECONDS = 30.0
TROUBLE_SECONDS = 10.0
FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS = 2.0, 60.0


class Messenger:
    """
    The outbox's worker; a context manager that ends as the owner of what it had in hand.

    Args:
        say: Tells the person who watches; no address is in it.
        stop: Set to end; what is on the wire is finished first.
    """

    def __init__(self, app: Parts, say: Callable[[str], None], stop: threading.Event | None = None) -> None:
        self._app, self._say, self._stop = app, say, stop or threading.Event()
        self._held = ExitStack()
        self._owner: Owner | None = None
        self._backoff = FIRST_BACKOFF_SECONDS
        self._trouble = ""
        self._look_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def run(self) -> None:
        """See to the outbox until `stop` is set; whatever goes wrong is told, and tried again."""
        with self:
            while not self._stop.is_set():
                try:
                    pause = self._round()
                except (DatabaseUnavailable, CopiedDatabase):  # the worker beside it tells these
                    pause = TROUBLE_SECONDS
                    self._leave()
                except Exception as error:
                    self._tell_once(f"Notices cannot be sent: {type(error).__name__}: {error}")
                    pause = TROUBLE_SECONDS
                    self._leave()
                self._stop.wait(pause)

    def once(self) -> int:
        """Do what is due now; return how many notices left."""
        self._look()
        trip = self._carry()
        self._tell(trip)
        return sum(each.state is S.SENT for each in trip.carried)

    def _round(self) -> float:
        """Return how long to wait for the next one."""
        trip = self._carry()
        self._tell(trip)
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + ALERT_LOOK_SECONDS
            self._look()
        if trip.away is not None:
            pause, self._backoff = self._backoff, min(self._backoff * 2, LONGEST_BACKOFF_SECONDS)
            return pause
        self._backoff = FIRST_BACKOFF_SECONDS
        return min(max(LOOK_SECONDS, trip.wait_seconds), LONGEST_BACKOFF_SECONDS)

    def _look(self) -> None:
        """Look for what needs a person; an alert that cannot be written keeps no other notice from leaving."""
        try:
            alerts.look(self._app)
        except DatabaseUnavailable:
            raise
        except (NewsletterError, SubscribersError) as error:
            self._tell_once(f"Alerts cannot be written: {error.message}")

    def _carry(self) -> Trip:
        app = self._app
        with app.database.read() as session:  # an idle messenger never takes the lock of a writer
            if not notice_rows.work_waits(session, app.now()):
                return Trip()
            require_live(session)
        owner = self._as_owner()
        with app.database.write() as session:
            note_place(session, app.now())
            notice_rows.recover(session, owner, now=app.now(), dot_timeout=dot_timeout(app.config))
            if not notice_rows.anything_due(session, app.now()):
                return Trip()
        return carry_due(app, owner, stop=self._stop)

    def _as_owner(self) -> Owner:
        if self._owner is None:
            self._owner = self._held.enter_context(Owner(self._app.database, self._app.workspace.locks, self._app.now))
        return self._owner

    def _leave(self) -> None:
        owner, self._owner = self._owner, None
        try:
            if owner is not None:
                with self._app.database.write() as session:
                    owner.leave(session)
        except DatabaseUnavailable:
            pass  # its lock is free all the same, and that is what counts
        finally:
            self._held.close()

    def _tell(self, trip: Trip) -> None:
        ends = Counter((each.kind, each.state) for each in trip.carried if each.state in notice_rows.ENDS)
        for (kind, state), count in sorted(ends.items()):
            noun = f"{kind.value} notice" if count == 1 else f"{kind.value} notices"
            self._say(f"{count} {noun} {state.value}.")
        if trip.away is not None:
            self._tell_once(f"Notices wait: {trip.away.message}" + (f" {trip.away.hint}" if trip.away.hint else ""))
        elif trip.carried:
            self._trouble = ""

    def _tell_once(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._say(trouble)
        self._trouble = trouble


def tell_chair(app: Parts) -> None:
    """Enqueue what operators should hear of, and send it if that can be done now; nothing of it stops a command."""
    try:
        with Messenger(app, lambda _: None) as messenger:
            messenger.once()
    except (NewsletterError, SubscribersError):
        pass  # `newsletter work` tells it


def tell_database_away(app: Parts, trouble: str, since: str) -> bool:
    """Mail operators that the database cannot be used, past the outbox, which is in it; say whether one was mailed."""
    text = alerts.alert_text(
        app, alerts.Cause("database", "database", {"what": alerts.plain_reason(trouble), "since": since})
    )
    word = NoticeKind.ALERT.value
    messages = {
        to: written(app, text, to=to, message_id=new_message_id(app.config, word), alert=True)
        for to in app.config.alerts.to
    }
    trip = carry(app, Unrecorded(app, NoticeKind.ALERT, messages), threading.Event())
    return any(each.state is S.SENT for each in trip.carried)
