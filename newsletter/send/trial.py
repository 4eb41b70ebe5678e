"""
Test copies: an issue as a member would get it, marked as a test, for anybody the chair names.

They pass through the outbox and are sent by the command that asks for them: the chair is told what the server said,
and what cannot leave at once is withdrawn, so that nothing comes later as a surprise.
"""

from __future__ import annotations

from dataclasses import replace

from newsletter.errors import NewsletterError
from newsletter.render.headers import MessageHeaders
from newsletter.render.issue import RenderedIssue
from newsletter.render.links import preferences_url, unsubscribe_url
from newsletter.render.message import compile_message
from newsletter.render.personal import PersonalValues
from newsletter.send.courier import Trip, carry_due
from newsletter.send.gate import check_message
from newsletter.send.notice_rows import cancel
from newsletter.send.notices import finished, new_message_id
from newsletter.send.outbox import enqueue
from newsletter.send.owner import Owner
from newsletter.send.replies import SmtpReply
from newsletter.send.report import Parts
from newsletter.tables import DeliveryState, Notice, NoticeKind
from subscribers.addresses import parse_address
from subscribers.tokens import ALL_LISTS, SUBSCRIBER_ID_BYTES, unsubscribe_token

TEST_MARK = "[Test] "
# A well-formed token that names nobody: the links of a test copy can be tried, and unsubscribe no one.
NOBODY = bytes(SUBSCRIBER_ID_BYTES)


class NotDelivered(NewsletterError):
    """A test copy was not taken over; the message holds the server's words."""

    code = "not_delivered"


def send_test_copy(
    app: Parts,
    rendered: RenderedIssue,
    headers: MessageHeaders,
    *,
    to: str,
    values: PersonalValues | None = None,
) -> SmtpReply:
    """
    Mail one variant, marked as a test, to anybody; return the server's words.

    The copy is the newsletter's own, header and all, so that it is judged as the issue will be; only the subject and
    one header field tell it apart, its Message-ID is new each time, and its links belong to nobody.

    Args:
        values: Whose personal values to show; None shows the fallbacks.

    Raises:
        InvalidValue: When *to* is no address that can be mailed.
        NotDelivered: When no relay took it over; it is then not sent later either.
        DkimKeyUnusable: When it should be signed and there is no key for that.
        GateRefused: When the finished bytes break a rule: so would every copy of the issue.
    """
    address = parse_address(to).address
    mark = new_message_id(app.config, "test")
    personal = replace(values or nobodys_values(app), address=address, message_id=mark, date=app.now())
    compiled = compile_message(replace(rendered, subject=TEST_MARK + rendered.subject), headers)
    message = finished(app, _marked(compiled.compose(personal)))
    check_message(message, recipient=address)
    with Owner(app.database, app.workspace.locks, app.now) as owner:
        number = _enqueue(app, address, TEST_MARK + rendered.subject, message, mark)
        try:
            trip = carry_due(app, owner, only=(number,))
        finally:
            with app.database.write() as session:
                cancel(session, Notice.id == number, reason="its command ended", now=app.now())
                owner.leave(session)
    return _reply_of(trip, address)


def nobodys_values(app: Parts) -> PersonalValues:
    """Return personal values of nobody: fallbacks instead of names, links that work and change nothing."""
    web_url = app.config.web.url.rstrip("/")
    token = unsubscribe_token(app.keys.links.current, NOBODY, ALL_LISTS)
    return PersonalValues(
        address=app.config.organisation.from_address,
        first_name="",
        name="",
        unsubscribe_url=unsubscribe_url(web_url, token),
        preferences_url=preferences_url(web_url, token),
        date=app.now(),
        message_id=new_message_id(app.config, "test"),
    )


def _enqueue(app: Parts, address: str, subject: str, message: bytes, message_id: str) -> int:
    with app.database.write() as session:
        notice = enqueue(
            session,
            kind=NoticeKind.TEST,
            to=address,
            subject=subject,
            message=message,
            message_id=message_id,
            now=app.now(),
            pepper=app.keys.pepper,
        )
        assert notice is not None  # neither a suppression nor a dedupe stops a test copy
        return notice.id


def _reply_of(trip: Trip, address: str) -> SmtpReply:
    """
    Return the server's words.

    Raises:
        NotDelivered: When the copy was not taken over, or may not have been.
    """
    last = trip.carried[-1] if trip.carried else None
    if last is not None and last.state is DeliveryState.SENT and last.reply is not None:
        return last.reply
    if last is not None and last.state is DeliveryState.UNCERTAIN:
        raise NotDelivered(
            f"The mail server did not say whether it took the copy to {address}: {last.reply}",
            hint="Look whether it arrived before you send another one.",
        )
    if trip.away is not None:
        raise NotDelivered(trip.away.message, hint=trip.away.hint)
    if trip.wait_seconds:
        raise NotDelivered(
            f"The rate of your account is used up for {trip.wait_seconds:.0f} s; the copy to {address} did not leave.",
            hint="Try again then, or see: newsletter config show smtp",
        )
    raise NotDelivered(f"The mail server refuses the copy to {address}: {last.reply if last else ''}")


def _marked(message: bytes) -> bytes:
    return message.replace(b"\r\nMIME-Version:", b"\r\nX-Newsletter-Test: yes\r\nMIME-Version:", 1)
