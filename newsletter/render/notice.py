"""
A notice as finished bytes: plain text, a few short lines, without logo or link to look at.

Mail that no person wrote says so (RFC 3834), so that nobody's absence answers it; it never carries List-Unsubscribe.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime

from babel import Locale

from newsletter.compose.language import locale_of
from newsletter.errors import InvalidValue, TemplateError
from newsletter.render import headers as h
from newsletter.render.environment import Environment
from newsletter.render.message import quoted_printable
from newsletter.render.personal import one_line

FOLDER = "email/notices"
_MESSAGE_ID = re.compile(r"[A-Za-z0-9._-]+@[A-Za-z0-9.-]+")
_SUBJECT = "Subject:"


@dataclass(frozen=True, slots=True)
class NoticeText:
    """
    What a notice says.

    Attributes:
        subject: One line without control characters.
        language: That it is in, where it is the person's; empty for the organisation's.
    """

    subject: str
    body: str
    language: str = ""


@dataclass(frozen=True, slots=True)
class NoticeHeaders:
    """
    Who writes to whom.

    Attributes:
        reply_to: Where an answer goes; empty: to the sender.
        message_id: Without its angle brackets; the same in every attempt.
        date: Aware; the same in every attempt.
    """

    from_name: str
    from_address: str
    to: str
    reply_to: str
    message_id: str
    date: datetime
    language: str


def render_notice(environment: Environment, name: str, *, language: str, **values: object) -> NoticeText:
    """
    Render the template of one notice: its first line is the subject, the rest after a blank line the text.

    A translation stands in a folder with the name of its language and wins: `notices/cy/NAME.txt.j2`. A day among the
    values is put into the words of the language that the text is in.

    Raises:
        TemplateError: With file, line and cause; also when the first line is no subject.
    """
    template, spoken = _template(environment, name, language)
    locale = locale_of(spoken)
    told = {key: _day(value, locale) if type(value) is date else value for key, value in values.items()}
    subject, _, body = environment.render(template, **told).partition("\n")
    if not subject.startswith(_SUBJECT) or not body.strip():
        raise TemplateError(f"The template {template} must begin with '{_SUBJECT} ...', a blank line, then the text.")
    return NoticeText(one_line(subject.removeprefix(_SUBJECT)), body.strip("\n") + "\n", spoken)


def compose_notice(text: NoticeText, headers: NoticeHeaders) -> bytes:
    """
    Return the whole message.

    Raises:
        InvalidValue: When a value cannot stand where it belongs: a line break in a name or subject, say.
    """
    content_type = [
        h.structured("MIME-Version", "1.0"),
        h.structured("Content-Type", "text/plain;", "charset=utf-8"),
        h.structured("Content-Transfer-Encoding", "quoted-printable"),
    ]
    return notice_fields(text, headers) + b"".join(content_type) + b"\r\n" + notice_body(text.body)


def notice_fields(text: NoticeText, headers: NoticeHeaders) -> bytes:
    """
    Return the header fields that every notice has, without those that say what its body is.

    Raises:
        InvalidValue: As `compose_notice`.
    """
    if not _MESSAGE_ID.fullmatch(headers.message_id):
        raise InvalidValue("The Message-ID of this notice is malformed: it must be one name@domain in ASCII.")
    fields = [
        h.mailbox("From", headers.from_name, headers.from_address),
        b"To: " + h.plain_address("To", headers.to).encode("ascii") + b"\r\n",
        h.unstructured("Subject", text.subject),
        h.date_header(headers.date),
        b"Message-ID: <" + headers.message_id.encode("ascii") + b">\r\n",
        h.mailbox("Reply-To", "", headers.reply_to) if headers.reply_to else b"",
        h.structured("Auto-Submitted", "auto-generated"),
        h.structured("X-Auto-Response-Suppress", "OOF,", "AutoReply"),
        h.structured("Content-Language", headers.language),
    ]
    return b"".join(fields)


def notice_body(body: str) -> bytes:
    """Return the text of a notice, quoted-printable."""
    return quoted_printable(_printable(body))


def _template(environment: Environment, name: str, language: str) -> tuple[str, str]:
    """Return the template, and the language that it is in; empty where that is not known to be the one asked for."""
    spoken = language.partition("-")[0].lower()
    translated = f"{FOLDER}/{spoken}/{name}.txt.j2"
    if environment.has(translated):
        return translated, language
    return f"{FOLDER}/{name}.txt.j2", language if spoken == "en" else ""


def _day(day: date, locale: Locale) -> str:
    from babel.dates import format_date  # here: only what names a day pays for it

    return format_date(day, "long", locale=locale)


def _printable(body: str) -> str:
    """Return the text without control and direction characters; its lines stay."""
    return "\n".join(_clean(line) for line in body.split("\n"))


def _clean(line: str) -> str:
    """Clean one line, but keep its indentation: commands to copy are indented."""
    return line[: len(line) - len(line.lstrip(" "))] + one_line(line)
