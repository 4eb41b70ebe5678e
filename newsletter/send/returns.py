"""
What the intake of returned mail needs of the application: its copies, the chair's address, and the alerts.

Nothing here commits: a person's mail is in the outbox in the same transaction that files it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import and_, exists, func, or_, select
from sqlalchemy.orm import Session

from newsletter.render.notice import NoticeHeaders, NoticeText
from newsletter.render.passed_on import compose_passed_on
from newsletter.render.personal import one_line
from newsletter.send import alerts
from newsletter.send.envelope import chair_address
from newsletter.send.evidence import CAME_BACK, Evidence, MarkedDelivery, find_delivery, settle
from newsletter.send.notices import finished, new_message_id, written
from newsletter.send.outbox import enqueue
from newsletter.send.report import Parts
from newsletter.tables import Delivery, DeliveryState, Issue, Notice, NoticeKind
from subscribers.addresses import parse_address
from subscribers.bounces.event import Reason
from subscribers.bounces.intake import REFUSALS
from subscribers.bounces.outside import Letter, Refusal
from subscribers.errors import InvalidValue
from subscribers.tables import BounceEvent, BounceReport

REFUSALS_OF = timedelta(days=35)  # an issue's refusals are all there long before
LONGEST_QUOTE = 20_000
LARGEST_ATTACHED = 7_000_000  # of a larger one the text is passed on; the mail is kept for weeks
_LINES = re.compile(r"\r\n?|\n")


def reply_name(report_id: int) -> str:
    """Return the name of the notice that passes a person's mail on, by the report that the mail is filed as."""
    return f"reply/{report_id}"


class Returns:
    """Does what `subscribers.bounces.outside.Application` asks for."""

    def __init__(self, app: Parts) -> None:
        self._app = app

    def find(
        self,
        session: Session,
        *,
        delivery_id: int | None = None,
        message_id: str | None = None,
        remote_id: str | None = None,
    ) -> MarkedDelivery | None:
        return find_delivery(session, delivery_id=delivery_id, message_id=message_id, remote_id=remote_id)

    def accepted(self, session: Session, delivery_id: int, *, at: datetime) -> None:
        settle(session, delivery_id, Evidence.ACCEPTED, at=at)

    def returned(self, session: Session, delivery_id: int, *, status: str, words: str, at: datetime) -> None:
        settle(session, delivery_id, Evidence.RETURNED, at=at, status=status, text=words)

    def new_refusals(self, session: Session, *, most: int) -> Sequence[Refusal]:
        told = (
            exists()
            .where(BounceEvent.delivery_id == Delivery.id, BounceEvent.at == Delivery.state_at)
            .where(BounceReport.id == BounceEvent.report_id, BounceReport.way == REFUSALS)
        )
        recent = select(Issue.id).where(Issue.planned_at > self._app.now() - REFUSALS_OF)
        rows = session.scalars(
            select(Delivery)
            .where(
                Delivery.issue_id.in_(recent),
                Delivery.state.in_((DeliveryState.BOUNCED, DeliveryState.EXPIRED)),
                Delivery.reply_code >= 400,  # may be of an earlier attempt, where a report came back later
                or_(Delivery.reason.is_(None), Delivery.reason != CAME_BACK),
                ~told,
            )
            .order_by(Delivery.id)
            .limit(most)
        ).all()
        return [
            Refusal(
                row.id,
                f"{row.reply_code} {row.reply_text or ''}".strip(),
                row.reply_status or "",
                row.state is DeliveryState.EXPIRED,
                row.state_at,
            )
            for row in rows
        ]

    def pass_on(self, session: Session, letter: Letter, *, now: datetime) -> bool:
        recent = select(func.count()).where(
            and_(Notice.kind == NoticeKind.REPLY, Notice.created_at > now - timedelta(days=1))
        )
        if (session.scalar(recent) or 0) >= self._app.config.bounces.policy.replies_per_day:
            return False
        config = self._app.config
        text, mark, to = self._text(letter), new_message_id(config, NoticeKind.REPLY.value), chair_address(config)
        enqueue(
            session,
            kind=NoticeKind.REPLY,
            to=to,
            subject=text.subject,
            message=self._message(letter, text, to=to, mark=mark),
            message_id=mark,
            dedupe=reply_name(letter.report_id),
            now=now,
            pepper=self._app.keys.pepper,
        )
        return True

    def alert(self, session: Session, *, reasons: dict[Reason, int], now: datetime) -> None:
        values = {"count": sum(reasons.values()), "reasons": {reason.value: n for reason, n in reasons.items()}}
        cause = alerts.Cause(f"returned/{now:%Y-%m-%d}", "returned", values)
        if session.scalar(select(exists().where(Notice.dedupe.startswith(f"{cause.name}/", autoescape=True)))):
            return
        for to in self._app.config.alerts.to:
            alerts.tell(self._app, session, alerts.alert_text(self._app, cause), to=to, cause=cause)

    def _message(self, letter: Letter, text: NoticeText, *, to: str, mark: str) -> bytes:
        answer_to = _mailable(letter.sender)
        if len(letter.raw) > LARGEST_ATTACHED:
            return written(self._app, text, to=to, message_id=mark, reply_to=answer_to)
        organisation = self._app.config.organisation
        headers = NoticeHeaders(
            from_name=organisation.from_name or organisation.name,
            from_address=organisation.from_address,
            to=parse_address(to).address,
            reply_to=answer_to or organisation.reply_to,
            message_id=mark,
            date=self._app.now().replace(microsecond=0),
            language=organisation.language,
        )
        return finished(self._app, compose_passed_on(text, headers, letter.raw))

    def _text(self, letter: Letter) -> NoticeText:
        who = one_line(f"{letter.sender_name} <{letter.sender}>" if letter.sender_name else letter.sender)
        quote = letter.text[:LONGEST_QUOTE].strip()
        note = f"{letter.note}\n\n" if letter.note else ""
        how = "Answer this mail to write to them." if _mailable(letter.sender) else "It names no address to answer to."
        whole = (
            "The whole mail is attached."
            if len(letter.raw) <= LARGEST_ATTACHED
            else f"The mail is too large to attach; it is kept for {self._app.config.bounces.policy.keep_days} days: "
            "newsletter bounces list --kind reply"
        )
        body = f"{who or 'Somebody'} wrote to the newsletter. {how}\n{whole}\n\n{note}{_quoted(quote)}\n"
        return NoticeText(one_line(f"Reply: {letter.subject or '(no subject)'}"), body)


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in _LINES.split(text)) if text else "(It holds no text.)"


def _mailable(address: str) -> str:
    """Return an address that can stand in Reply-To; empty when it cannot."""
    try:
        parsed = parse_address(address)
    except InvalidValue:
        return ""
    return parsed.address if parsed.ascii_local else ""
