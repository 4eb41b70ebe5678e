"""Nobody can use what comes back to have somebody else unsubscribed or suppressed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from sqlalchemy import func, select

from newsletter.cli.bounces import begins_like_a_mail
from subscribers.bounces.intake import Disposition
from subscribers.bounces.policy import Rule
from subscribers.tables import BounceReport
from tests.send.issue_out import Sent, event_of
from tests.send.returned_mail import away, bounce, complaint, mark_of, reply

LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
FORGED_MAILS = 2_000  # half of them name everybody: six thousand forged verdicts
FORGED_ON_POSTGRESQL = 200  # what differs there is tried by these as well


def everybody_is_as_before(sent: Sent) -> bool:
    return sent.suppressed() == [] and all(sent.subscribed(number) for number in range(1, 6))


def test_guessed_marks_and_forged_reports_touch_nobody(sent: Sent) -> None:
    """A guesser knows the form of a mark, the numbers of deliveries, and everybody's address."""
    chance = random.Random(20261125)
    number = FORGED_MAILS if sent.app.database.is_sqlite else FORGED_ON_POSTGRESQL
    everybody = [f"person{who}@example.com" for who in range(1, 6)]
    for n in range(number):
        sent.later(0.01)
        mac = "".join(chance.choices(LETTERS, k=16))
        mark = f"b+{sent.copy(n % 5 + 1).id}.{mac}@example.org"
        raw = bounce(mark, recipient="\nAction: failed\nStatus: 5.1.1\n\nFinal-Recipient: rfc822; ".join(everybody))
        sent.take(raw if n % 2 else complaint(mark, recipient=everybody[n % 5]))
    assert everybody_is_as_before(sent)
    assert set(sent.rules()) == {Rule.NO_MARK}
    assert len(sent.events()) == number // 2 * 6


def test_a_member_can_use_his_own_marks_against_himself_only(sent: Sent) -> None:
    """One had two copies, days apart, and writes what he likes about the others."""
    sent.issue("two", days=4)
    for slug in ("one", "two"):
        mine, others = sent.copy(1, slug), [sent.copy(number, slug) for number in range(2, 6)]
        for other in others:
            mark = mark_of(sent.app, mine)
            assert sent.take(bounce(mark, recipient=other.address, message_id=mine.message_id)) is Disposition.UNKNOWN
            assert sent.take(complaint(mark, recipient=other.address)) is Disposition.UNKNOWN
            mac = mark.partition(".")[2]
            assert sent.take(bounce(f"b+{other.id}.{mac}", recipient=other.address)) is Disposition.UNKNOWN
    assert everybody_is_as_before(sent)


def test_a_report_for_another_issues_delivery_is_of_that_delivery(sent: Sent) -> None:
    """An old mark and the Message-ID of a new copy do not go together."""
    sent.issue("two", days=4)
    raw = bounce(sent.mark(1), recipient="person1@example.com", message_id=sent.copy(1, "two").message_id)
    assert sent.take(raw) is Disposition.UNKNOWN
    assert sent.rules() == [Rule.MARKS_DISAGREE]


def test_a_replayed_report_counts_once_however_it_is_changed(sent: Sent) -> None:
    for n in range(30):
        sent.later(1 if n < 29 else 0)
        sent.returned(1, token=str(n))
    assert sent.suppressed() == []
    assert sent.rules()[0] is Rule.COUNTED
    assert set(sent.rules()[1:29]) <= {Rule.REPEATED}


def test_a_loop_of_automatic_answers_makes_no_mail(sent: Sent) -> None:
    for n in range(20):
        raw = away(sent.mark(1), sender="person1@example.com").replace(b"Monday", f"Monday {n}".encode())
        assert sent.take(raw) is Disposition.AUTOREPLY
    for extra in ("Auto-Submitted: auto-replied\n", "X-Newsletter-Notice: reply\n", "Precedence: junk\n"):
        sent.take(reply("news@example.org", sender="robot@example.net", extra=extra))
    assert sent.notices() == []


def test_an_event_of_one_provider_is_no_event_of_another(sent: Sent) -> None:
    """Ids are of a provider: one cannot use up those of another."""
    sent.app.intake.take_events([event_of(sent, 1, message_id=None)], way="postal")
    (taken,) = sent.app.intake.take_events([event_of(sent, 1)], way="ses")
    assert taken.disposition is Disposition.PROCESSED


def test_every_known_mail_is_filed_and_touches_nobody(sent: Sent, shared: Path) -> None:
    """Real mails of all kinds, none of them about copies of ours."""
    if not sent.app.database.is_sqlite:
        pytest.skip("the mails are the same; what the database makes of odd text is tried below")
    paths = [p for p in sorted((shared / "bounces").rglob("*")) if p.is_file() and begins_like_a_mail(p)]
    for path in paths:
        sent.take(path.read_bytes())
    assert everybody_is_as_before(sent)
    with sent.app.database.read() as session:
        filed = session.scalar(select(func.count()).select_from(BounceReport))
    assert filed is not None
    assert filed > 400  # the same mail with other line ends is filed once


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0\0\0",
        b"From: \x00\xff <a\x00b@example.org>\nSubject: \x1b[2J\x00\xed\xa0\x80\n\nunsubscribe\x00",
        b"Subject: =?utf-8?b?AAAA?=\nFrom: =?utf-8?q?=00=ED=A0=80?= <x@y.example>\nReply-To: <>\n\n\xed\xa0\x80",
        bounce("b+1.aaaaaaaaaaaaaaaa@example.org", recipient="a\0b@example.com", diagnostic="550 \0\x1b[31m\xff"),
        complaint("x@example.org", recipient="\0@\0", feedback_type="abuse\0\x1b"),
    ],
)
def test_odd_bytes_are_filed_on_every_database(sent: Sent, raw: bytes) -> None:
    sent.take(raw)
    assert len(sent.events()) >= 1
    assert everybody_is_as_before(sent)
