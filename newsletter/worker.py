"""
What `newsletter work` does: start what is scheduled, make the monthly digest, go on with what was deferred, and sleep
until something is due.

It fetches no source and decides nothing about a copy; a schedule that was missed is for a person, not for a surprise
mailing hours later. One issue's trouble never stops the others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy import func, select

from newsletter.app import App
from newsletter.asked.answering import Answering
from newsletter.audit.log import Action
from newsletter.beside import running, services
from newsletter.errors import NewsletterError
from newsletter.faults import Faults, in_words, log_fault
from newsletter.heartbeat import Pulse
from newsletter.publishing import start_issue
from newsletter.publishing.monthly import make_due_digests
from newsletter.send.control import issues_to_send, next_due_at
from newsletter.send.dispatch import SendReport, send_issue
from newsletter.send.instance import CopiedDatabase, require_live
from newsletter.send.left_behind import settle_left_behind
from newsletter.send.messenger import Messenger, tell_database_away
from newsletter.send.window import Window
from newsletter.tables import Issue, IssueState
from subscribers.errors import DatabaseUnavailable, SubscribersError

LOOK_SECONDS = 2.0  # how soon a new schedule, a resumed issue or a due retry is noticed
TURN_SECONDS = 300.0  # how long one issue may go out while others have something due
SHORTEST_PAUSE_SECONDS = 0.2
DATABASE_RETRY_SECONDS = 10.0
RETURNS_LOOK_SECONDS = 30.0
DRAIN_SECONDS = 30.0  # for a notice on the wire; one that takes longer is settled by the next worker
TELL_DATABASE_AWAY_AFTER = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Task:
    """An issue with something due."""

    issue_id: int
    slug: str


@dataclass(frozen=True, slots=True)
class Round:
    """What one look did, by the slugs of the issues: started, worked on, and in trouble; and how many notices left."""

    started: tuple[str, ...] = ()
    sending: tuple[str, ...] = ()
    troubles: tuple[str, ...] = ()
    notices: int = 0


@dataclass
class Worker:
    """
    The worker of one workspace.

    Attributes:
        say: Tells the person who watches.
        stop: Set by SIGTERM; what is on the wire is finished first.
        pulse: Felt after each look that came to its end, and while an issue goes out.
    """

    app: App
    say: Callable[[str], None]
    stop: threading.Event = field(default_factory=threading.Event)
    pulse: Pulse = field(default_factory=Pulse)
    _trouble: str = ""
    _digest_trouble: str = ""
    _away_since: datetime | None = None
    _told_at: datetime | None = None
    _returns_at: float = 0.0
    _started: list[str] = field(default_factory=list)
    _troubles: list[str] = field(default_factory=list)
    _gave_way: int = 0

    def __post_init__(self) -> None:
        self._faults = Faults(self.app, self.say)

    def run(self) -> None:
        """
        Work until `stop` is set, with a messenger beside.

        A database that is away, also at the start, one that is not upgraded yet, or a copy, is waited for.
        """
        if not self._database_comes():
            return
        messenger = Messenger(self.app, self.say, self.stop)
        beside = threading.Thread(target=messenger.run, name="messenger", daemon=True)
        beside.start()
        try:
            with running(services(self.app, self.say, self.pulse), self.app, self.stop):
                self._run()
        finally:
            self.stop.set()
            beside.join(DRAIN_SECONDS)

    def _database_comes(self) -> bool:
        """Wait for the database; return whether it came before `stop` was set."""
        while not self.stop.is_set():
            try:
                self.app.database  # noqa: B018  # opened here
                return True
            except DatabaseUnavailable as error:
                self._database_away(error)
                self.stop.wait(DATABASE_RETRY_SECONDS)
        return False

    def _run(self) -> None:
        while not self.stop.is_set():
            try:
                self._issues()
                pause = self._pause()
                self.pulse.feel()
                self._trouble, self._away_since = "", None
            except DatabaseUnavailable as error:
                self._database_away(error)
                pause = DATABASE_RETRY_SECONDS
            except CopiedDatabase as error:
                self._tell_once(f"{error.message} {error.hint}")
                pause = DATABASE_RETRY_SECONDS
            self.stop.wait(pause)

    def _tell_once(self, trouble: str) -> None:
        if trouble != self._trouble:
            self.say(trouble)
        self._trouble = trouble

    def _database_away(self, error: DatabaseUnavailable) -> None:
        """Say it, and mail operators once for each time that the database stays away, and at most once an hour."""
        hint = f" {error.hint.rstrip('.')}." if error.hint else ""
        self._tell_once(f"{error.message}{hint} Trying again every {DATABASE_RETRY_SECONDS:.0f} s.")
        now, to = self.app.now(), self.app.config.alerts.to
        since = self._away_since = self._away_since or now
        told = self._told_at is not None and (self._told_at >= since or now - self._told_at < timedelta(hours=1))
        if told or not to or now - since < TELL_DATABASE_AWAY_AFTER:
            return
        local = since.astimezone(self.app.config.organisation.zone)
        try:
            if tell_database_away(self.app, error.message, f"{local:%Y-%m-%d %H:%M}"):
                self._told_at = now
        except NewsletterError as failure:
            self.say(f"Nobody could be told by mail: {failure.message}")

    def once(self) -> Round:
        """
        Do what is due now: requests of the site, notices, issues, and what operators should hear of them.

        Raises:
            CopiedDatabase: When this is a copy that nobody has adopted.
        """
        Answering(self.app, self.say).once(self.stop)
        with Messenger(self.app, self.say, self.stop) as messenger:
            before = messenger.once()
            done = self._issues()
            return replace(done, notices=before + messenger.once())

    def _issues(self) -> Round:
        """
        Start and send what is due.

        Raises:
            CopiedDatabase: When this is a copy that nobody has adopted.
        """
        with self.app.database.read() as session:
            require_live(session)
        settle_left_behind(self.app)
        self._started, self._troubles = [], []
        sending: list[str] = []
        self._start_due()
        for task in self._to_send():
            if self.stop.is_set():
                break
            (sending if self._attempt(self._send, task) else self._troubles).append(task.slug)
        self._look_at_returns(at_once=bool(sending))
        return Round(tuple(self._started), tuple(sending), tuple(self._troubles))

    def _look_at_returns(self, *, at_once: bool) -> None:
        """Let refusals met while sending count, and see to what waits of the mail that came back."""
        if not at_once and time.monotonic() < self._returns_at:
            return
        self._returns_at = time.monotonic() + RETURNS_LOOK_SECONDS
        try:
            self.app.intake.look()
        except SubscribersError:
            raise
        except Exception as error:  # nor must a mail that came back
            log_fault("what waits of returned mail", error)

    def _attempt(self, work: Callable[[Task], bool], task: Task) -> bool:
        """Return whether the issue went on; whatever is the matter with it is told."""
        try:
            return work(task)
        except DatabaseUnavailable:
            raise
        except (NewsletterError, SubscribersError) as error:
            self.say(f"{task.slug}: {error.message}" + (f" {error.hint}" if error.hint else ""))
            return False
        except Exception as error:  # a fault of ours with one issue must not keep the others waiting
            self._faults.met(task.issue_id, task.slug, error)
            return False

    def _make_digests(self) -> None:
        try:
            for slug in make_due_digests(self.app):
                self.say(f"{slug} is made of the month's issues, for those who chose one mail a month.")
            self._digest_trouble = ""
        except DatabaseUnavailable:
            raise
        except (NewsletterError, SubscribersError) as error:
            self._tell_of_digest(error.message)
        except Exception as error:  # nor must the digest
            if self._tell_of_digest(in_words(error)):
                log_fault("the monthly digest", error)

    def _tell_of_digest(self, trouble: str) -> bool:
        """Say why there is none; return whether that is news."""
        before, self._digest_trouble = self._digest_trouble, trouble
        if trouble != before:
            self.say(f"The monthly digest could not be made: {trouble}")
        return trouble != before

    def _start_due(self) -> None:
        self._make_digests()
        for task in self._due_schedules():
            (self._started if self._attempt(self._start, task) else self._troubles).append(task.slug)

    @contextmanager
    def _seeing_to_others(self, task: Task) -> Iterator[threading.Event]:
        """While an issue goes out start what falls due; give what is set when others have waited for a whole turn."""
        over, give_way = threading.Event(), threading.Event()
        beside = threading.Thread(target=self._see_to_others, args=(task, over, give_way), name="others", daemon=True)
        beside.start()
        try:
            yield give_way
        finally:
            over.set()
            beside.join()

    def _see_to_others(self, task: Task, over: threading.Event, give_way: threading.Event) -> None:
        turn_ends = time.monotonic() + TURN_SECONDS
        while not over.wait(LOOK_SECONDS):
            # Without its database the sending ends too, and tells why.
            with suppress(DatabaseUnavailable):
                self._start_due()
                if time.monotonic() >= turn_ends and self._others_wait(task):
                    self._gave_way = task.issue_id
                    give_way.set()

    def _others_wait(self, task: Task) -> bool:
        with self.app.database.read() as session:
            due = issues_to_send(session, self.app.config, self.app.now(), only_look=True)
        return any(issue_id != task.issue_id for issue_id in due)

    def _start(self, task: Task) -> bool:
        try:
            planned = start_issue(self.app, task.issue_id)
        except DatabaseUnavailable:
            raise
        except (NewsletterError, SubscribersError) as error:
            self._set_aside(task, error.message)
            raise
        self.say(f"{task.slug} is started as scheduled, for {planned}.{self._window_words()}")
        return True

    def _send(self, task: Task) -> bool:
        with self._seeing_to_others(task) as give_way:
            report: SendReport = send_issue(
                self.app, task.issue_id, on_look=self.pulse.feel, stop=self.stop, give_way=give_way
            )
        if report.stopped:  # by a signal that the sending itself took
            self.stop.set()
        counts = {name: report.counts[name] for name in ("sent", "deferred", "bounced", "held", "expired", "uncertain")}
        told = ", ".join(f"{count} {name}" for name, count in counts.items() if count or name == "sent")
        after = f" {report.reason}" if report.reason else self._window_words() if report.goes_on_at else ""
        self.say(f"{task.slug} is {report.state.value}: {told}.{after}")
        return report.state is not IssueState.PAUSED

    def _window_words(self) -> str:
        """Return when copies may leave, where that is not now."""
        zone, now = self.app.config.organisation.zone, self.app.now()
        window = Window.of(self.app.config.send.window, zone)
        if window is None or window.is_open(now):
            return ""
        return f" The sending window opens {window.opens_at(now).astimezone(zone):%Y-%m-%d %H:%M}; it goes on then."

    def _due_schedules(self) -> list[Task]:
        """Return the issues whose time has come; those whose time passed long ago are paused instead."""
        now = self.app.now()
        with self.app.database.read() as session:
            due = session.scalars(
                select(Issue)
                .where(Issue.state == IssueState.SCHEDULED, Issue.scheduled_at <= now)
                .order_by(Issue.scheduled_at, Issue.id)
            ).all()
            found = [(Task(issue.id, issue.slug), issue.scheduled_at or now) for issue in due]
        grace = timedelta(minutes=self.app.config.send.schedule_grace_minutes)
        for task, at in found:
            if now - at > grace:
                self._set_aside(task, self._overdue(task.slug, at))
        return [task for task, at in found if now - at <= grace]

    def _overdue(self, slug: str, scheduled_at: datetime) -> str:
        local = scheduled_at.astimezone(self.app.config.organisation.zone)
        return (
            f"No worker ran at {local:%Y-%m-%d %H:%M}, the time it was scheduled for. "
            f"Send it now (newsletter issue send {slug}) or give it another time (newsletter issue schedule {slug})."
        )

    def _set_aside(self, task: Task, reason: str) -> None:
        with self.app.database.write() as session:
            issue = session.get(Issue, task.issue_id, with_for_update=True)
            if issue is None or issue.state is not IssueState.SCHEDULED:
                return  # a person was quicker
            issue.state, issue.reason = IssueState.PAUSED, reason
            self.app.audit.record(session, Action.SEND_PAUSED, f"issue {issue.slug}", kind="schedule")
        self.say(f"{task.slug} is paused: {reason}")

    def _to_send(self) -> list[Task]:
        now, config = self.app.now(), self.app.config
        with self.app.database.read() as session:  # an idle worker never takes the lock of a writer
            if not issues_to_send(session, config, now, only_look=True):
                return []
        with self.app.database.write() as session:
            resumed: list[str] = []
            due = issues_to_send(session, config, now, resumed=lambda issue: resumed.append(issue.slug))
            ids = sorted(due, key=lambda issue_id: issue_id == self._gave_way)
            slugs = {row.id: row.slug for row in session.execute(select(Issue.id, Issue.slug).where(Issue.id.in_(ids)))}
            for slug in resumed:
                self.app.audit.record(session, Action.SEND_RESUMED, f"issue {slug}", kind="relay")
        return [Task(issue_id, slugs[issue_id]) for issue_id in ids]

    def _pause(self) -> float:
        """Return the seconds until something is due, at most `LOOK_SECONDS`."""
        with self.app.database.read() as session:
            retry_at = next_due_at(session, self.app.config, self.app.now())
            start_at = session.scalar(select(func.min(Issue.scheduled_at)).where(Issue.state == IssueState.SCHEDULED))
        due = min((moment for moment in (retry_at, start_at) if moment is not None), default=None)
        if due is None:
            return LOOK_SECONDS
        return min(LOOK_SECONDS, max(SHORTEST_PAUSE_SECONDS, (due - self.app.now()).total_seconds()))
