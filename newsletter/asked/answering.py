"""
Answers what is asked for on the site, beside the sending: each request once, by one worker at a time.

A request is done in the transaction that answers it, so a crash leaves it to be answered, and never twice. One that
cannot be answered now keeps no other from it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from newsletter import api_answers
from newsletter.asked.answerers import ANSWERERS, Answerer
from newsletter.asked.limits import any_full, forget_full
from newsletter.asked.requests import Asked, any_done, any_waits, forget_done, mark_done, waiting
from newsletter.errors import NewsletterError
from newsletter.send.instance import CopiedDatabase, note_place, require_live
from newsletter.send.report import Parts
from newsletter.send.throttles import locked_value
from newsletter.tables import WebRequestKind
from subscribers import one_time, signing_up
from subscribers.errors import DatabaseUnavailable, SubscribersError

LOOK_SECONDS = 1.0  # how soon a request is noticed
TROUBLE_SECONDS = 10.0
TIDY_SECONDS = 3600.0
MOST_AT_ONCE = 15  # in one transaction: other writers wait for it
BREATH_SECONDS = 0.005  # between two batches, so that they get their turn
LONGEST_WAIT = timedelta(hours=24)  # a mail that comes later than this surprises
NEVER_LATE = (WebRequestKind.REQUEST,)  # a complaint is kept for a person, however long no worker ran
KEEP_DONE = timedelta(hours=24)
LOCK = "asked"


class Answering:
    """
    The service of one worker.

    Args:
        say: Tells the person who watches; nothing that was typed is in it.
        answerers: Who answers what.
    """

    def __init__(
        self, app: Parts, say: Callable[[str], None], answerers: Mapping[WebRequestKind, Answerer] = ANSWERERS
    ) -> None:
        self._app, self._say, self._answerers = app, say, answerers
        self._trouble = ""
        self._tidy_at = 0.0

    def run(self, stop: threading.Event) -> None:
        """Answer until *stop* is set; a database that is away, or a copy, is waited for."""
        while not stop.is_set():
            try:
                failed = self.once(stop)
                pause = TROUBLE_SECONDS if failed else LOOK_SECONDS
            except (DatabaseUnavailable, CopiedDatabase):  # the worker beside it tells these
                pause = TROUBLE_SECONDS
            stop.wait(pause)

    def once(self, stop: threading.Event | None = None) -> int:
        """
        Answer what waits; return how many could not be answered now.

        Raises:
            CopiedDatabase: When this is a copy that nobody has adopted.
        """
        stop = stop or threading.Event()
        self._tidy()
        with self._app.database.read() as session:  # an idle service never takes the lock of a writer
            if not any_waits(session):
                return 0
            require_live(session)
        last, failed = 0, 0
        while not stop.is_set():
            seen, troubles = self._batch(last)
            if not seen:
                break
            last, failed = seen[-1].id, failed + troubles
            stop.wait(BREATH_SECONDS)
        if not failed:
            self._trouble = ""
        return failed

    def _batch(self, last: int) -> tuple[list[Asked], int]:
        """Answer the next few in one transaction; return those that were looked at, and how many failed."""
        app = self._app
        with app.database.write() as session:
            locked_value(session.connection(), LOCK)  # on PostgreSQL: workers take turns
            if not last:
                note_place(session, app.now())
            seen = list(waiting(session, after=last, most=MOST_AT_ONCE))
            failed = sum(not self._answered(session, asked) for asked in seen)
        return seen, failed

    def _answered(self, session: Session, asked: Asked) -> bool:
        """Answer one; what it has written is taken back when it fails."""
        now = self._app.now()
        if asked.kind not in NEVER_LATE and now - asked.at > LONGEST_WAIT:
            self._say(f"A {asked.kind.value} request of the site waited for more than a day and is not answered.")
            mark_done(session, asked, now=now)
            return True
        answer = self._answerers.get(asked.kind)
        try:
            with session.begin_nested():
                if answer is not None:
                    answer(self._app, session, asked)
                mark_done(session, asked, now=now)
        except (DatabaseUnavailable, OperationalError):
            raise  # nothing else can be answered either
        except (NewsletterError, SubscribersError) as error:
            self._tell_once(f"What was asked for on the site waits: {error.message} {error.hint}".strip())
            return False
        except Exception as error:  # its words may hold what was typed
            self._tell_once(f"A {asked.kind.value} request of the site cannot be answered: {type(error).__name__}.")
            return False
        return True

    def _tidy(self) -> None:
        """Forget, once an hour, what is of no more use."""
        if time.monotonic() < self._tidy_at:
            return
        self._tidy_at = time.monotonic() + TIDY_SECONDS
        now = self._app.now()
        with self._app.database.read() as session:
            if not is_untidy(session, now):
                return
        with self._app.database.write() as session:
            tidy(session, now)

    def _tell_once(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._say(trouble)
        self._trouble = trouble


def is_untidy(session: Session, now: datetime) -> bool:
    """Return whether there is anything that no answer needs any more."""
    before = now - KEEP_DONE
    return (
        any_done(session, before=before)
        or one_time.any_expired(session, before=before)
        or signing_up.any_over(session, now)
        or any_full(session, now)
        or api_answers.any_over(session, now)
    )


def tidy(session: Session, now: datetime) -> None:
    """Delete what no answer needs any more."""
    before = now - KEEP_DONE
    forget_done(session, before=before)
    one_time.forget_expired(session, before=before)
    signing_up.forget_over(session, now)
    forget_full(session, now)
    api_answers.forget_over(session, now)
