"""
The one door for what comes back: a mail or a provider's events in, verdicts and their evidence on disk.

Each mail is one transaction, each batch of events too; the same mail or event again changes nothing. Nothing that was
not understood is lost: a person's mail is passed on, and all else is filed as it came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from subscribers.bounces import reading, records
from subscribers.bounces.answers import has_answer_prefix
from subscribers.bounces.event import EventKind, MailKind, MailReport, Once, ProviderEvent, ReportKind, Said
from subscribers.bounces.letters import Letters
from subscribers.bounces.mail import Mail, read_mail
from subscribers.bounces.marks import Marks, answered_ids, read_marks
from subscribers.bounces.outside import Application, MarkedCopy
from subscribers.bounces.plain import one_line
from subscribers.bounces.policy import UNMATCHED, Rule, Sign
from subscribers.bounces.providers.verifying import WebhookRefused
from subscribers.bounces.report import read_report
from subscribers.bounces.text import addresses_in
from subscribers.bounces.verdicts import MARK_LIFETIME, Found, Judge
from subscribers.bounces.verp import read_mark
from subscribers.db import Database
from subscribers.errors import DatabaseUnavailable
from subscribers.suppression import ERASED
from subscribers.tables import BounceEvent, BounceReport, Suppression
from subscribers.tokens import Keyring

LARGEST_KEPT_BYTES = 25_000_000
ALERT_WINDOW = timedelta(hours=24)
MOST_AT_ONCE = 500
REFUSALS = "session"
JUST_CAME = ("pipe", "lmtp", "smtp")  # mail that these bring has only just come
_AWAY: tuple[type[Exception], ...] = (OperationalError, InterfaceError, PoolTimeout)
_MAY_ASK = (MailKind.ORDINARY, MailKind.AUTOREPLY, MailKind.CHALLENGE, MailKind.FEEDBACK)


class Disposition(StrEnum):
    """What whoever reads a mailbox does with a mail: which folder it belongs in."""

    PROCESSED = "processed"
    AUTOREPLY = "autoreply"
    UNKNOWN = "unknown"
    REPLY = "reply"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of one mail or event. `words` is one line for a person, without any address."""

    report_id: int | None
    disposition: Disposition
    words: str


@dataclass(frozen=True, slots=True)
class _Arrived:
    """One mail, read."""

    raw: bytes
    mail: Mail
    report: MailReport
    marks: Marks


class Intake:
    """
    Takes what comes back. Commits once a mail; raises DatabaseUnavailable when the database is away. After any error
    nothing was kept.

    Args:
        application: Its copies, and a way to its people.
        judge: Made for the same application.
        marks, links: Give the keys of envelope senders and of unsubscribe tokens as they are now; they rotate.
        keep_raw: How long a mail is kept as it came.
        alert_after: So many refusals for a cause of ours within a day alert the chair.
        signed_bounces: Every copy leaves with a signed envelope sender, so a bounce needs that. The Message-ID alone
            is seen by whoever a copy or an answer to it was sent on to.
    """

    def __init__(
        self,
        database: Database,
        application: Application,
        judge: Judge,
        *,
        marks: Callable[[], Keyring],
        links: Callable[[], Keyring],
        pepper: bytes,
        clock: Callable[[], datetime],
        keep_raw: timedelta = timedelta(days=30),
        alert_after: int = 20,
        signed_bounces: bool = False,
    ) -> None:
        self._database, self._application, self._judge = database, application, judge
        self._letters = Letters(application, judge, links=links, pepper=pepper, clock=clock)
        self._marks, self._pepper, self._clock = marks, pepper, clock
        self._keep_raw, self._alert_after = keep_raw, alert_after
        self._signed_bounces = signed_bounces

    def take_mail(self, raw: bytes, *, way: str, envelope_to: str | None = None) -> Taken:
        """
        Take one mail as it came.

        Args:
            way: How it came, one short word: ``pipe``, ``imap``.
            envelope_to: The address that it was delivered to, where the way tells.
        """
        raw = raw[:LARGEST_KEPT_BYTES]
        mail, report = read_mail(raw), read_report(raw)
        marks = read_marks(mail, report, self._marks(), envelope_to=envelope_to)
        digest = records.mail_digest(raw, mail, marks.delivery_id)
        with self._writing() as session:
            known = records.report_of(session, digest)
            if known is not None:
                return Taken(known, Disposition.DUPLICATE, "This mail was taken before.")
            row = self._file_mail(session, raw, mail, digest, way)
            events = self._mail_events(session, row, _Arrived(raw, mail, report, marks))
            self._forget_the_erased(session, row, events)
            self._watch(session, events)
            return Taken(row.id, _disposition(events), _words(events))

    def take_events(self, events: Sequence[ProviderEvent], *, way: str, once: Once | None = None) -> list[Taken]:
        """
        Take a batch of a provider's events, in one transaction; an event that was taken before changes nothing.

        Each is filed by itself, with its own entry of the batch: what is shown or erased is one person's.

        Args:
            once: What the post was verified by, where that is good for one body only.

        Raises:
            WebhookRefused: When it was used for another body.
        """
        if not events and once is None:
            return []
        with self._writing() as session:
            if once is not None and not records.use_token(session, once, now=self._clock()):
                raise WebhookRefused("The token was used for something else.")
            taken: list[Taken] = []
            made: list[BounceEvent] = []
            for event in events:
                key = records.event_key(way, event.event_id)
                before = records.event_of(session, key)
                if before is not None:
                    taken.append(Taken(before.report_id, Disposition.DUPLICATE, "This event was taken before."))
                    continue
                found = self._copy_of_event(session, event)
                said = self._said(event, found)
                if event.kind is EventKind.DELIVERED and not self._proves_anything(session, found):
                    taken.append(self._only_accepted(session, found))
                    continue
                report = self._file(session, way, raw=event.raw or None, size=len(event.raw))
                known = event.kind is not EventKind.OTHER
                people = [said.address] if known or said.address else _named_in(event.raw)
                judged = [
                    self._judged(session, report.id, replace(said, address=one), found, known=known) for one in people
                ]
                judged[0].event_key = key
                session.flush()
                made += judged
                taken.append(Taken(report.id, _disposition(judged), _words(judged)))
            self._forget_the_erased(session, None, made)
            self._watch(session, made)
            return taken

    def look(self) -> int:
        """
        Do what nothing that arrives asks for: take refusals met while sending, pass on what waits, forget old mails.

        Found by what the database holds, so that a stop at any moment loses nothing. Return how many were taken.
        """
        taken = 0
        while self._work_waits():
            with self._writing(away=(SQLAlchemyError,)) as session:
                batch = self._take_refusals(session)
                self._letters.pass_on_waiting(session)
                old = records.find_old_raw(session, before=self._clock() - self._keep_raw, most=MOST_AT_ONCE)
                records.forget_raw(session, old)
            taken += batch
            if batch < MOST_AT_ONCE:
                break
        return taken

    def _work_waits(self) -> bool:
        """Asked without the lock of a writer: mostly there is nothing to do."""
        with self._database.read() as session:
            old = records.old_raw(session, before=self._clock() - self._keep_raw)
            return old or records.anything_waits(session) or bool(self._application.new_refusals(session, most=1))

    @contextmanager
    def _writing(self, *, away: tuple[type[Exception], ...] = _AWAY) -> Iterator[Session]:
        """
        Open the transaction of one mail or batch; *away* are the errors that are no fault of what is written.

        Any other goes to the caller, who sets that mail aside: else one that is refused each time would keep all that
        come after it.
        """
        try:
            with self._database.write() as session:
                records.serialise(session)
                yield session
        except away as error:
            raise DatabaseUnavailable(
                f"The database refused to keep what came back: {type(error).__name__}."
            ) from error

    # -- what is filed

    def _file_mail(self, session: Session, raw: bytes, mail: Mail, digest: bytes, way: str) -> BounceReport:
        _, sender = reading.writer(mail)
        return self._file(
            session,
            way,
            raw=raw,
            size=len(raw),
            digest=digest,
            sender=sender or None,
            sender_hash=records.hash_of(self._pepper, sender) if sender else None,
            subject=one_line(mail.header("subject"), 500),
        )

    def _file(self, session: Session, way: str, **values: Any) -> BounceReport:
        row = BounceReport(way=way[:32], received_at=self._clock(), **values)
        session.add(row)
        session.flush()
        return row

    def _forget_the_erased(self, session: Session, row: BounceReport | None, events: Sequence[BounceEvent]) -> None:
        """Keep nothing of a mail or an event about or from somebody who was erased."""
        hashes = {
            row.sender_hash if row else None,
            *(e.address_hash for e in events),
            *(e.marked_hash for e in events),
        } - {None}
        erased = session.scalars(
            select(Suppression.address_hash).where(
                Suppression.address_hash.in_(hashes), Suppression.reason == ERASED, Suppression.lifted_at.is_(None)
            )
        ).all()
        for digest in {digest for digest in erased if digest is not None}:
            session.flush()
            records.forget_person(session, digest)
        if erased:
            session.expire_all()

    # -- mail

    def _mail_events(self, session: Session, row: BounceReport, arrived: _Arrived) -> list[BounceEvent]:
        if arrived.report.kind in _MAY_ASK:
            left = self._letters.leave_by_token(session, row.id, arrived.mail)
            if left is not None:
                return [left]
        if self._is_a_persons_answer(session, arrived):
            marks = Marks(None, answered_ids(arrived.mail))
            arrived = replace(arrived, report=MailReport(MailKind.ORDINARY), marks=marks)
        found = self._copy_of_mail(session, arrived)
        at = self._time_of(arrived.mail, found, row.way)
        maybe = self._may_be_a_person(arrived)
        if arrived.report.kind is MailKind.ORDINARY or maybe:
            return [self._letters.take(session, row.id, arrived.raw, arrived.mail, found, at=at, automatic=maybe)]
        said = reading.of_mail(arrived.mail, arrived.report, at=at)
        sure = self._only_signed(found, arrived.marks)
        return [
            self._judge.judge(session, row.id, one, sure if one.kind is ReportKind.BOUNCE else found, now=self._clock())
            for one in said
        ]

    def _only_signed(self, found: Found, marks: Marks) -> Found:
        """Return what counts for a bounce: where copies leave with signed senders, nothing less."""
        if self._signed_bounces and found.copy is not None and found.copy.id != marks.delivery_id:
            return Found(None, Rule.NO_MARK)
        return found

    def _may_be_a_person(self, arrived: _Arrived) -> bool:
        """Only the subject reads like an automatic answer or a challenge, and it went where people write to."""
        by_subject = arrived.report.kind in (MailKind.AUTOREPLY, MailKind.CHALLENGE)
        return by_subject and arrived.marks.delivery_id is None and not reading.is_surely_automatic(arrived.mail)

    def _is_a_persons_answer(self, session: Session, arrived: _Arrived) -> bool:
        """Only the words read like a bounce, it answers us, and it went where people write to."""
        mail = arrived.mail
        if arrived.marks.delivery_id is not None or not reading.is_bounce_by_words(mail, arrived.report):
            return False
        answered = (self._application.find(session, message_id=one) for one in answered_ids(mail))
        return has_answer_prefix(mail) or any(copy is not None for copy in answered)

    def _time_of(self, mail: Mail, found: Found, way: str) -> datetime:
        """When it came; where it may have lain in a mailbox first, when it was written."""
        now = self._clock()
        if way in JUST_CAME:
            return now
        return reading.sent_at(mail, earliest=min(now, found.copy.date), now=now) if found.copy else now

    def _copy_of_mail(self, session: Session, arrived: _Arrived) -> Found:
        marks = arrived.marks
        signed = self._application.find(session, delivery_id=marks.delivery_id) if marks.delivery_id else None
        named: list[dict[str, Any]] = [{"delivery_id": marks.handed_back}] if marks.handed_back else []
        named += [{"message_id": one} for one in marks.message_ids]
        named += [{"remote_id": marks.remote_id}] if marks.remote_id else []
        returned = (self._application.find(session, **one) for one in named)
        quoted = next((copy for copy in returned if copy is not None), None)
        if signed is not None and quoted is not None and signed.id != quoted.id:
            return Found(None, Rule.MARKS_DISAGREE)
        return self._in_time(signed or quoted)

    def _in_time(self, copy: MarkedCopy | None) -> Found:
        if copy is None:
            return Found(None, Rule.NO_MARK)
        return Found(copy, Rule.OLD_MARK if self._clock() - copy.date > MARK_LIFETIME else None)

    # -- events of providers

    def _copy_of_event(self, session: Session, event: ProviderEvent) -> Found:
        """What a provider hands back is a mark as well: it is verified, or cannot be guessed, or is the provider's."""
        delivery_id = read_mark(self._marks(), event.mark) if event.mark else None
        marks: tuple[dict[str, object], ...] = (
            {"delivery_id": delivery_id},
            {"message_id": event.message_id or None},
            {"remote_id": event.remote_id or None},
        )
        for mark in marks:
            if any(mark.values()):
                copy = self._application.find(session, **mark)  # type: ignore[arg-type]
                if copy is not None:
                    return self._in_time(copy)
        return Found(None, Rule.NO_MARK)

    def _judged(self, session: Session, report_id: int, said: Said, found: Found, *, known: bool) -> BounceEvent:
        """What nobody here understands is filed, under everybody whom it names: it can be shown, and erased."""
        event = self._judge.judge(session, report_id, said, found, now=self._clock())
        if not known and event.rule is not Rule.NOBODY:
            event.rule = Rule.UNREAD
        return event

    def _said(self, event: ProviderEvent, found: Found) -> Said:
        now = self._clock()
        earliest = min(now, found.copy.date) if found.copy else now - MARK_LIFETIME
        return reading.of_event(event, earliest=earliest, now=now)

    def _proves_anything(self, session: Session, found: Found) -> bool:
        """Whether something is known against the address: else a million `delivered` would be kept for nothing."""
        copy = found.copy
        return copy is not None and any(
            fact.sign is not Sign.PROOF for fact in records.history(session, copy.address_hash)
        )

    def _only_accepted(self, session: Session, found: Found) -> Taken:
        if found.copy is not None:
            self._application.accepted(session, found.copy.id, at=self._clock())
        return Taken(None, Disposition.PROCESSED, "Delivered.")

    # -- what nothing asks for

    def _take_refusals(self, session: Session) -> int:
        refusals = self._application.new_refusals(session, most=MOST_AT_ONCE)
        if not refusals:
            return 0
        report = self._file(session, REFUSALS, raw=None, size=0)
        made = []
        for refusal in refusals:
            found = Found(self._application.find(session, delivery_id=refusal.delivery_id))
            said = reading.of_refusal(refusal.reply, refusal.status, gave_up=refusal.gave_up, at=refusal.at)
            event = self._judge.judge(session, report.id, said, found, now=self._clock())
            event.delivery_id = refusal.delivery_id
            made.append(event)
        session.flush()
        self._forget_the_erased(session, report, made)
        self._watch(session, made)
        return len(refusals)

    def _watch(self, session: Session, events: Sequence[BounceEvent]) -> None:
        """Many refusals for a cause of ours are no matter of any one person: the chair must hear of them."""
        if not any(event.rule is Rule.NEVER_COUNTS for event in events):
            return
        now = self._clock()
        reasons = records.never_counted(session, since=now - ALERT_WINDOW)
        if sum(reasons.values()) >= self._alert_after:
            self._application.alert(session, reasons=reasons, now=now)


def _named_in(raw: bytes) -> list[str]:
    """Return whom an entry that is not understood names, so that it is theirs; one unnamed where it names nobody."""
    return addresses_in(raw.decode("utf-8", "replace"))[: reading.MOST_RECIPIENTS] or [""]


def _disposition(events: Sequence[BounceEvent]) -> Disposition:
    kinds = {event.kind for event in events}
    if ReportKind.REPLY in kinds:
        return Disposition.REPLY
    if kinds <= {ReportKind.AUTOREPLY, ReportKind.CHALLENGE}:
        return Disposition.AUTOREPLY
    if events and all(event.rule in UNMATCHED for event in events):
        return Disposition.UNKNOWN
    return Disposition.PROCESSED


def _words(events: Sequence[BounceEvent]) -> str:
    told = dict.fromkeys(_line(event) for event in events)
    return "; ".join(list(told)[:3])


def _line(event: BounceEvent) -> str:
    what = " ".join(
        part for part in (event.klass.value if event.klass.value != "none" else "", event.kind.value) if part
    )
    why = f" ({event.reason.value})" if event.reason else ""
    return f"{what}{why}: {event.rule.value}"
