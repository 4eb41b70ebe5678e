"""The gate: what must never reach the wire, whatever composed it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.send.gate import GateRefused, check_message, stuffed

HEADER = (
    b"From: Example <news@example.org>\r\nTo: person@example.com\r\nSubject: News\r\n"
    b"Date: Mon, 02 Nov 2026 09:30:00 +0000\r\nMessage-ID: <abc@example.org>\r\n"
    b"List-Id: Members <members.example.org>\r\n"
    b"List-Unsubscribe: <https://news.example.org/unsubscribe/v1.abc>,\r\n <mailto:leave@example.org>\r\n"
    b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
    b'MIME-Version: 1.0\r\nContent-Type: multipart/alternative;\r\n boundary="x"\r\n'
)
BODY = b"Hello\r\n\r\nGood bye\r\n"
GOOD = HEADER + b"\r\n" + BODY


def refused(message: bytes, recipient: str = "person@example.com", **kind: bool) -> bool:
    try:
        check_message(message, recipient=recipient, **kind)
    except GateRefused:
        return True
    return False


def test_a_good_message_passes():
    assert not refused(GOOD)
    assert not refused(GOOD.replace(b"From:", b"from:"))


# The sequences by which one server ends a message where another reads on.
SMUGGLING = [
    b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\r\n.\n", b"\r\r\n.\r\r\n", b"\n\n.\r\n",
    b"\r\n\x00.\r\n", b"\r\n.\x00\r\n",
]  # fmt: skip


@pytest.mark.parametrize("sequence", SMUGGLING)
@pytest.mark.parametrize("where", ["body", "header"])
def test_no_smuggling_sequence_passes(sequence, where):
    place = b"Hello" if where == "body" else b"News"
    assert refused(GOOD.replace(place, place + sequence + b"MAIL FROM:<a@b>", 1))


def test_a_plain_dot_line_is_stuffed_and_nothing_else():
    assert stuffed(b"a\r\n.\r\nb\r\n") == b"a\r\n..\r\nb\r\n"
    assert stuffed(b".a\r\n") == b"..a\r\n"
    assert stuffed(GOOD) == GOOD


@given(st.lists(st.sampled_from([b".", b"..", b"a.", b"", b"x"]), min_size=1))
def test_stuffing_can_be_undone_and_leaves_no_end_of_data(lines):
    message = b"".join(line + b"\r\n" for line in lines)
    sent = stuffed(message)
    assert b"\r\n.\r\n" not in b"\r\n" + sent
    undone = b"".join(line[1:] if line.startswith(b".") else line for line in sent.splitlines(keepends=True))
    assert undone == message


@pytest.mark.parametrize(
    "bad",
    [
        GOOD.replace(b"Hello", b"Hell\xc3\xb6"),
        GOOD.replace(b"Hello", b"Hel\x07lo"),
        GOOD.replace(b"Hello", b"Hel\tlo"),
        GOOD.replace(b"Hello", b"x" * 79),
        GOOD[:-2],
        HEADER,
        b"\r\n" + BODY,
        GOOD.replace(b"Subject: News\r\n", b""),
        GOOD.replace(b"Subject: News\r\n", b"Subject: \r\n"),
        GOOD.replace(b"Subject: News\r\n", b"Subject: News\r\nsubject: two\r\n"),
        GOOD.replace(b"Subject: News\r\n", b"Subject: News\r\nBcc: other@example.com\r\n"),
        GOOD.replace(b"Subject: News\r\n", b"Subject: News\r\nno field\r\n"),
        GOOD.replace(b"Subject: News\r\n", b"Subject: News\r\n \r\n"),
        GOOD.replace(b"To: person@example.com", b"To: person@example.com, other@example.com"),
        GOOD.replace(b"<https://news", b"<ftp://news"),
        GOOD.replace(b"One-Click", b"Two-Clicks"),
        GOOD.replace(b"List-Id:", b"X-List:"),
        b" folded first\r\n" + GOOD,
        GOOD.replace(b"Subject: News", b"Subject: " + b"x" * 1_100),
    ],
)
def test_a_broken_rule_is_refused(bad):
    assert refused(bad)


def test_to_must_be_the_recipient():
    assert refused(GOOD, recipient="other@example.com")
    assert refused(GOOD, recipient="erson@example.com")


def test_a_notice_needs_no_unsubscribe():
    notice = b"\r\n".join(line for line in GOOD.split(b"\r\n") if b"List-" not in line and b"mailto" not in line)
    assert not refused(notice, newsletter=False)
    assert refused(notice)
