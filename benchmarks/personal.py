"""
Personal copies of one variant of about 30 kB: at least 20 times as many a second as an EmailMessage for each.

Both give every member a multipart/alternative message with the same headers, the same filled text and HTML.

Run: python benchmarks/personal.py
"""

from __future__ import annotations

import dataclasses
import email.policy
import secrets
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime

from sample_issue import sample_issue

from newsletter.paths import shipped_templates
from newsletter.render.environment import make_environment
from newsletter.render.headers import MessageHeaders
from newsletter.render.issue import RenderedIssue, render_issue
from newsletter.render.message import compile_message
from newsletter.render.personal import PersonalValues, fill_html, fill_subject, fill_text

COPIES, STANDARD_COPIES, ROUNDS = 4_000, 60, 5
LEAST_RATIO = 20
WEB = "https://news.example.org"
HEADERS = MessageHeaders(
    "Example Network",
    "news@example.org",
    "office@example.org",
    "members.news.example.org",
    "Members",
    "unsubscribe@news.example.org",
    "2026-11:newsletter:example",
    "en-GB",
)


def main() -> int:
    """Compare medians of rounds that alternate, so that both meet the same machine."""
    rendered = _variant()
    ours, standard = [], []
    for number in range(ROUNDS):
        standard.append(_rate(lambda values: _email_message(rendered, values), STANDARD_COPIES, number))
        message = compile_message(rendered, HEADERS)  # once a variant: counted with the first copy
        ours.append(_rate(message.compose, COPIES, number))
    best, other = sorted(ours)[ROUNDS // 2], sorted(standard)[ROUNDS // 2]
    size = len(message.compose(_people(1, 0)[0]))
    print(f"HTML {len(rendered.html.encode()):,} B, message {size:,} B")
    print(f"spliced {best:,.0f} a second ({1e6 / best:.1f} us each), EmailMessage {other:,.0f} a second")
    print(f"ratio {best / other:.0f} (at least {LEAST_RATIO})")
    return 0 if best / other >= LEAST_RATIO else 1


def _variant() -> RenderedIssue:
    """Return a variant with about 30 kB of HTML: the sample with four of its six posts."""
    issue = sample_issue()
    news = dataclasses.replace(issue.sections[0], blocks=issue.sections[0].blocks[:4])
    personal = dataclasses.replace(
        issue, subject="{{first_name|Friend}}, your November news", sections=(news, *issue.sections[1:])
    )
    return render_issue(personal, make_environment([shipped_templates()]))


def _people(count: int, number: int) -> list[PersonalValues]:
    """Return people who have not been seen before; first names repeat as they do in life."""
    names = ("Zofia", "Amina", "John", "Siân", "Łukasz", "Mary-Jane", "Ng", "O'Brien")
    moment = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
    people = []
    for index in range(count):
        token, name = "v1." + secrets.token_urlsafe(36), names[index % len(names)]
        people.append(
            PersonalValues(
                f"member{number}.{index}@example.com",
                name,
                f"{name} Smith",
                f"{WEB}/unsubscribe/{token}",
                f"{WEB}/preferences/{token}",
                moment,
                f"<{secrets.token_hex(13)}@news.example.org>",
            )
        )
    return people


def _rate(compose: Callable[[PersonalValues], bytes], count: int, number: int) -> float:
    people = _people(count, number)
    start = time.perf_counter()
    for values in people:
        compose(values)
    return count / (time.perf_counter() - start)


def _email_message(rendered: RenderedIssue, values: PersonalValues) -> bytes:
    message = EmailMessage(policy=email.policy.SMTP)
    message["From"] = f"{HEADERS.from_name} <{HEADERS.from_address}>"
    message["To"] = values.address
    message["Subject"] = fill_subject(rendered.subject, values)
    message["Date"] = format_datetime(values.date)
    message["Message-ID"] = values.message_id
    message["Reply-To"] = HEADERS.reply_to
    message["List-Id"] = f"{HEADERS.list_title} <{HEADERS.list_id}>"
    message["List-Unsubscribe"] = f"<{values.unsubscribe_url}>, <mailto:{HEADERS.unsubscribe_mailto}>"
    message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message["Precedence"] = "bulk"
    message["Feedback-ID"] = HEADERS.feedback_id
    message.set_content(fill_text(rendered.text, values), cte="quoted-printable")
    message.add_alternative(fill_html(rendered.html, values), subtype="html", cte="quoted-printable")
    return message.as_bytes()


if __name__ == "__main__":
    sys.exit(main())
