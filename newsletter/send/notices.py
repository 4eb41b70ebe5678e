"""
Mail that is no copy of an issue for a subscriber: test copies, so far. It leaves by the same session and gate.

Nothing of it is recorded as a delivery: a test copy may go to somebody who is on no list, and counts nowhere.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

from newsletter.config import Config, SmtpAccount
from newsletter.errors import InvalidValue, NewsletterError
from newsletter.render.headers import MessageHeaders
from newsletter.render.issue import RenderedIssue
from newsletter.render.links import preferences_url, unsubscribe_url
from newsletter.render.message import compile_message
from newsletter.render.personal import PersonalValues
from newsletter.send.copies import envelope_commands
from newsletter.send.envelope import fixed_sender
from newsletter.send.gate import check_message, stuffed
from newsletter.send.replies import SmtpReply
from newsletter.send.report import Parts
from newsletter.send.runtime import loop_factory, own_name
from newsletter.send.session import ConnectionLost, Conversation, RelayRefused, open_conversation
from subscribers.addresses import parse_address
from subscribers.tokens import ALL_LISTS, SUBSCRIBER_ID_BYTES, unsubscribe_token

TEST_MARK = "[Test] "
# A well-formed token that names nobody: the links of a test copy can be tried, and unsubscribe no one.
NOBODY = bytes(SUBSCRIBER_ID_BYTES)


class NotDelivered(NewsletterError):
    """A notice was not taken over; the message holds the server's words."""

    code = "not_delivered"


@dataclass(frozen=True, slots=True)
class Notice:
    """One finished message and where it goes. `newsletter` false means that it carries no List-Unsubscribe."""

    recipient: str
    message: bytes
    newsletter: bool = False


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
        NotDelivered: When no relay took it over.
        GateRefused: When the finished bytes break a rule: so would every copy of the issue.
    """
    address = parse_address(to)
    if not address.ascii_local:
        raise InvalidValue(f"A test copy cannot go to '{to}': only plain ASCII addresses can be mailed.")
    personal = replace(
        values or nobodys_values(app), address=address.address, message_id=_new_message_id(app.config), date=app.now()
    )
    compiled = compile_message(replace(rendered, subject=TEST_MARK + rendered.subject), headers)
    message = _marked(compiled.compose(personal))
    return deliver(app, [Notice(address.address, message, newsletter=True)])[0]


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
        message_id=_new_message_id(app.config),
    )


def deliver(app: Parts, notices: Sequence[Notice]) -> list[SmtpReply]:
    """
    Hand notices to the first relay that can be used, one after the other; return its replies.

    Raises:
        NotDelivered: When no relay can be used, or one notice is refused; those before it are out.
        GateRefused: Before anything leaves.
    """
    for notice in notices:
        check_message(notice.message, recipient=notice.recipient, newsletter=notice.newsletter)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_deliver(app.config, notices))


async def _deliver(config: Config, notices: Sequence[Notice]) -> list[SmtpReply]:
    talk, account = await _first_usable(config)
    watch = asyncio.create_task(_watch(talk))
    try:
        replies = [await _carry(talk, account, notice, fixed_sender(config)) for notice in notices]
        await talk.quit()
    except ConnectionLost as error:
        raise NotDelivered(f"The mail server {account.host} ended the conversation: {error}") from error
    finally:
        watch.cancel()
        talk.abort()
    return replies


async def _first_usable(config: Config) -> tuple[Conversation, SmtpAccount]:
    refused: RelayRefused | None = None
    for account in config.smtp.all_accounts:
        try:
            name = account.local_hostname or await asyncio.to_thread(own_name)
            return await open_conversation(account, local_hostname=name), account
        except RelayRefused as error:
            refused = error
    assert refused is not None
    raise NotDelivered(refused.message, hint=refused.hint)


async def _carry(talk: Conversation, account: SmtpAccount, notice: Notice, sender: str) -> SmtpReply:
    seconds = account.command_timeout_seconds
    for command in (*envelope_commands(sender, notice.recipient), b"DATA\r\n"):
        talk.write(command)
        reply = await talk.reply(seconds)
        if not 200 <= reply.code < 400:
            raise NotDelivered(f"The mail server {account.host} refuses the copy to {notice.recipient}: {reply}")
    talk.write(stuffed(notice.message) + b".\r\n")
    reply = await talk.reply(account.dot_timeout_seconds)
    if not 200 <= reply.code < 300:
        raise NotDelivered(f"The mail server {account.host} refuses the copy to {notice.recipient}: {reply}")
    return reply


async def _watch(talk: Conversation) -> None:
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(1)
        talk.overdue(loop.time())


def _marked(message: bytes) -> bytes:
    return message.replace(b"\r\nMIME-Version:", b"\r\nX-Newsletter-Test: yes\r\nMIME-Version:", 1)


def _new_message_id(config: Config) -> str:
    return f"test.{secrets.token_hex(12)}@{config.bounce_domain}"
