"""
Mail that people write to the machine: a wish to leave is honoured where it is shown to be theirs, the rest passed on.

None of it is answered, and nothing is lost: what cannot be passed on today waits.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from subscribers import consent, people
from subscribers.bounces import reading, records
from subscribers.bounces.event import ReportKind, Said
from subscribers.bounces.mail import Mail, read_mail
from subscribers.bounces.outside import Application, Letter
from subscribers.bounces.plain import one_line
from subscribers.bounces.policy import Rule
from subscribers.bounces.verdicts import Found, Judge
from subscribers.bounces.wishes import asks_to_leave, find_token
from subscribers.errors import TokenInvalid
from subscribers.tables import BounceEvent, BounceReport, MailingList, Subscriber
from subscribers.tokens import ALL_LISTS, Keyring, read_unsubscribe_token

MOST_AT_ONCE = 500
_NOTE_UNPROVEN = (
    "It asks to be unsubscribed, and does not show that it comes from the member: nobody was unsubscribed. "
    "If it is genuine: newsletter subscribers unsubscribe ADDRESS"
)
_NOTE_AUTOMATIC = "It may be an automatic answer."


class Letters:
    """Takes people's mail; nothing here commits."""

    def __init__(
        self,
        application: Application,
        judge: Judge,
        *,
        links: Callable[[], Keyring],
        pepper: bytes,
        clock: Callable[[], datetime],
    ) -> None:
        self._application, self._judge = application, judge
        self._links, self._pepper, self._clock = links, pepper, clock

    def take(
        self, session: Session, report_id: int, raw: bytes, mail: Mail, found: Found, *, at: datetime, automatic: bool
    ) -> BounceEvent:
        """
        Take a mail that reports nothing: a wish, a person's words, or a machine's.

        Args:
            automatic: It may be an automatic answer, which the chair is told.
        """
        author = reading.author(mail)
        if reading.is_machine(mail) or self._is_our_copy(session, mail):
            return self._plain_event(session, report_id, Said(ReportKind.OTHER, at), Rule.MACHINE)
        copy = found.copy
        genuine = copy is not None and records.hash_of(self._pepper, author) == copy.address_hash
        if copy is not None and genuine and asks_to_leave(mail):
            # The wish to leave has no end, unlike a bounce: an old mark will do.
            said = Said(ReportKind.UNSUBSCRIBED, at, address=author, words=one_line(mail.header("subject"), 200))
            return self._judge.judge(session, report_id, said, Found(copy), now=self._clock())
        note = _NOTE_AUTOMATIC if automatic else _note(mail)
        said = Said(ReportKind.REPLY, at, address=author, words=one_line(mail.header("subject"), 200))
        event = self._judge.judge(session, report_id, said, found if genuine else Found(None), now=self._clock())
        event.rule = Rule.PASSED_ON if self._pass_on(session, report_id, raw, mail, note) else Rule.WAITING
        session.flush()
        return event

    def _is_our_copy(self, session: Session, mail: Mail) -> bool:
        """Whether it is an issue itself, which comes back where this mailbox or its group is on the list."""
        message_id = mail.header("message-id")[:1000]
        return bool(message_id) and self._application.find(session, message_id=message_id) is not None

    def leave_by_token(self, session: Session, report_id: int, mail: Mail) -> BounceEvent | None:
        """Honour the token of our own List-Unsubscribe, whoever writes: as its link, it speaks for the person."""
        token = find_token(mail)
        try:
            claim = read_unsubscribe_token(self._links(), token) if token else None
        except TokenInvalid:
            return None
        if claim is None:
            return None
        now = self._clock()
        subscriber = people.by_token(session, claim.subscriber_token_id)
        mailing_list = None if claim.list_id == ALL_LISTS else session.get(MailingList, claim.list_id)
        said = Said(ReportKind.UNSUBSCRIBED, now, words="unsubscribed by mail")
        gone = subscriber is None or (mailing_list is None and claim.list_id != ALL_LISTS)
        event = self._plain_event(session, report_id, said, Rule.NOBODY if gone else Rule.UNSUBSCRIBED)
        if subscriber is not None and not gone:
            self._withdraw(session, event, subscriber, mailing_list, now)
        return event

    def _withdraw(
        self,
        session: Session,
        event: BounceEvent,
        subscriber: Subscriber,
        mailing_list: MailingList | None,
        now: datetime,
    ) -> None:
        event.address, event.address_hash = subscriber.address, subscriber.address_hash
        event.marked_hash, event.list_id = subscriber.address_hash, mailing_list.id if mailing_list else None
        lines = consent.withdraw(
            session,
            subscriber,
            mailing_list,
            source="unsubscribe by mail",
            actor=records.OWN_ACT,
            evidence=f"token in a mail, bounces {event.id}",
            at=now,
        )
        event.consent_event_ids = [line.id for line in lines]
        session.flush()

    def pass_on_waiting(self, session: Session) -> None:
        """Pass on what waited, the oldest first, as far as today's share goes."""
        waiting = session.execute(
            select(BounceEvent, BounceReport)
            .join(BounceReport, BounceReport.id == BounceEvent.report_id)
            .where(BounceEvent.rule == Rule.WAITING)
            .order_by(BounceEvent.id)
            .limit(MOST_AT_ONCE)
        ).all()
        for event, report in waiting:
            if report.raw is not None and not self._pass_on_again(session, report.id, report.raw):
                return
            event.rule = Rule.PASSED_ON
            session.flush()

    def _pass_on_again(self, session: Session, report_id: int, raw: bytes) -> bool:
        mail = read_mail(raw)
        return self._pass_on(session, report_id, raw, mail, _note(mail))

    def _plain_event(self, session: Session, report_id: int, said: Said, rule: Rule) -> BounceEvent:
        event = self._judge.judge(session, report_id, said, Found(None), now=self._clock())
        event.rule = rule
        session.flush()
        return event

    def _pass_on(self, session: Session, report_id: int, raw: bytes, mail: Mail, note: str) -> bool:
        name, sender = reading.writer(mail)
        subject = one_line(mail.header("subject"), 300)
        letter = Letter(report_id, raw, sender, name, subject, reading.first_text(mail), note)
        return self._application.pass_on(session, letter, now=self._clock())


def _note(mail: Mail) -> str:
    return _NOTE_UNPROVEN if asks_to_leave(mail) else ""
